package actors

import (
	"github.com/taskrunner-go/taskrunner/internal/process"
)

// System is where processes live. One is enough for a program; it costs about 3 MiB. All its methods are safe from any
// goroutine. A ctx that was given to a callback, or one made from it, says that the process does it; with any other ctx
// it is done from outside of all processes. A target is a [messages.PID], or a [messages.Name] or [messages.Via], which mean
// whoever holds them at that moment.
//
// Send:
//   - Send(ctx, target, message): never blocks and never fails; what is for nobody is lost (GS-17).
//   - SendAfter(d, target, message) (stop func() bool): the same, later. stop reports whether it came in time.
//
// Monitor, within a process with a mailbox:
//   - Monitor(ctx, target) messages.Ref: one messages.Down when the target ends; at once, with messages.NoProc, if there is none.
//   - Demonitor(ctx, ref): that Down is not seen any more, also if it is queued.
//
// Link, within a process:
//   - Link(ctx, pid): each is told of the end of the other by an exit signal, unless that end is messages.Normal.
//   - Unlink(ctx, pid): neither is.
//
// Exit:
//   - Exit(ctx, pid, reason): an exit signal. It ends a process that does not trap exits before its next message, without
//     Terminate (GS-28); one that traps them gets a messages.Exit (GS-30), or, from its parent, ends in order (GS-29).
//   - Kill(pid) bool: declares it dead at once (GS-34). Its goroutine is counted until it ends.
//   - [GenServer.Stop] ends a server behind what is queued.
//
// Names:
//   - Whereis(name) (messages.PID, bool): who holds the name now (RG-03).
//   - Alive(target) bool: whether it lives now.
//   - Done(pid) <-chan struct{}: closed when it has ended.
//
// Look, at any time and from anywhere, as OTP's observer and sys do:
//   - Info(target) ([ProcessInfo], bool): what it is, does, and has in its mailbox. It does not wait for the process.
//   - Processes() []ProcessInfo: all of them, those that are declared dead and still run too.
//   - Tree() string: the same as text, each below its parent.
//   - State(ctx, target) (string, error): the state of a server as text, made between two messages ([StatusFormatter]).
//   - Suspend(ctx, target), Resume(ctx, target) error: no message is handled in between; they wait in their order. What ends a
//     process ends it all the same, and then what was held is lost.
//   - Trace(ctx, target, buffer) (<-chan [TraceEvent], error): what it receives and sends from now on.
//   - Len() int, Abandoned() int: how many processes live, and how many goroutines of dead ones still run.
//   - Node() string: the name of this start of the system, part of each PID.
//
// Stop:
//   - Stop(ctx) error: all processes end, the newest first, each before the next; what has not when ctx ends is killed.
type System = process.System

// SystemConfig configures a System: Logger is where crashes are reported, nil for nowhere. Its zero value works.
type SystemConfig = process.Config

// NameTakenError says that a process of this name is running already; Holder is its PID (RG-01).
type NameTakenError = process.NameTakenError

// What is seen of a process, by System.Info and System.Processes.
type (
	// ProcessInfo is what can be seen of a process from outside, without waiting for it. Its fields are
	//
	//	PID         messages.PID
	//	Name        string         // under which it is registered; empty without one
	//	What        string         // the type of its server, or the name of its function
	//	Parent      messages.PID   // who started it, or supervises it; zero if that was no process
	//	Status      ProcessStatus  // what it is doing
	//	Callback    string         // which callback runs, for which type of message; empty between messages
	//	Mailbox     int            // how many messages wait
	//	TrapExit    bool           // exit signals are messages to it
	//	Links       []messages.PID // children and parent among them
	//	Monitors    int            // how many processes it monitors
	//	MonitoredBy int            // by how many it is monitored
	//	ProcessPlace               // ID, Restarts and LastExit, under its supervisor
	ProcessInfo = process.Info
	// ProcessPlace is where a process stands under its supervisor: ID (string) is that of its child spec, Restarts (int) how
	// often the supervisor has started one there anew, LastExit (error) why the one before ended; nil for the first.
	ProcessPlace = process.Place
	// ProcessStatus is what a process is doing.
	ProcessStatus = process.Status
	// TraceEvent is one thing that a traced process did. Its fields are
	//
	//	At       time.Time
	//	PID      messages.PID    // of the process
	//	What     string          // TraceReceived, TraceSent or TraceEnded
	//	Peer     messages.Target // to whom it was sent
	//	Callback string          // that handles what was received
	//	Message  any             // what was received or sent, as its sender knows it: to be read only
	//	Reason   error           // of the end
	//	Lost     int             // how many events before this one nobody took in time
	TraceEvent = process.TraceEvent
)

// What a process may be doing.
const (
	ProcessWaiting   = process.Waiting   // for a message
	ProcessRunning   = process.Running   // a callback, or its function
	ProcessSuspended = process.Suspended // by System.Suspend
	ProcessExiting   = process.Exiting   // it was told to end, and its code has not returned yet
	ProcessAbandoned = process.Abandoned // it was declared dead, and its code still runs
)

// What a TraceEvent tells.
const (
	TraceReceived = process.Received // a message came out of the mailbox, and its callback is about to run
	TraceSent     = process.Sent     // the process sent a message or a call
	TraceEnded    = process.Ended    // the process has ended; the last event, which is never lost
)

// DefaultTraceBuffer is how many events wait for whoever traces, unless System.Trace is told otherwise.
const DefaultTraceBuffer = process.DefaultTraceBuffer

// What callers branch on.
var (
	// ErrSystemStopped says that the system is stopping or has stopped.
	ErrSystemStopped = process.ErrStopped
	// ErrCallingSelf says that a process called, stopped or looked at itself, which would wait for ever (GS-14).
	ErrCallingSelf = process.ErrCallingSelf
	// ErrOtherSystem says that a process of one System wants to be linked to a process of another, or to own a task there.
	// Links, monitors and what they tell do not cross that border; messages and calls do.
	ErrOtherSystem = process.ErrOtherSystem
	// ErrNoMailbox says that the process is one of a function, which has no state to look at and cannot be suspended.
	ErrNoMailbox = process.ErrNoMailbox
	// ErrTraced says that somebody traces the process already.
	ErrTraced = process.ErrTraced
)

// NewSystem starts a system. Stop it with Stop.
func NewSystem(config SystemConfig) *System { return process.NewSystem(config) }
