package messages

import (
	"log/slog"
	"time"
)

// Run asks a TaskRunner for one run of a task. It is what lies in the runner's mailbox, and what travels between
// machines; a Go program says it with actors.Run.
type Run struct {
	TaskID      string        // a UUID; identifies the task for ever
	Kind        string        // which handler runs it
	Args        []byte        // the arguments, encoded by the kind's codec (JSON by default)
	ScheduledAt time.Time     // not before; zero is now
	MaxAttempts int           // zero is the kind's
	Timeout     time.Duration // of each run; zero is the kind's
	Priority    int           // how urgent it is while it waits, from 0 down to 9; zero is the kind's

	// TraceContext is the trace of whoever asks, as an OpenTelemetry propagator writes it; nil: none. It travels on the envelope.
	TraceContext map[string]string
}

// LogValue is what a log and a report of a crash show of it: the id, the kind and how large Args are, and never Args, which may
// hold secrets. What prints it with fmt or encodes it shows them.
func (r Run) LogValue() slog.Value {
	return slog.GroupValue(slog.String("task", r.TaskID), slog.String("kind", r.Kind), slog.Int("args_bytes", len(r.Args)))
}

// TaskRef says which run of which task a message is about.
type TaskRef struct {
	TaskID      string // a UUID; identifies the task for ever
	Kind        string // empty for a plain func
	Runner      string // the name of the TaskRunner
	Run         int64  // rises by one at each start on any node, and is never used twice
	Attempt     int    // counts from 1; snoozing and giving back leave it unchanged
	MaxAttempts int    // how many there may be
}

// Completed says that a run returned a value.
type Completed struct {
	TaskRef
	Result     []byte    // encoded; nil for a plain func
	Value      any       // as the handler returned it; nil where the message came from another process
	StartedAt  time.Time // when the run began
	FinishedAt time.Time // when it ended
}

// Failed says that a run ended without a value: an error, a panic, a Goexit, a timeout, or a handler that did not
// stop when it was told to.
type Failed struct {
	TaskRef
	Reason     error     // *PanicError for a panic, with its stack; ErrGoexit; else what the handler returned
	RetryAt    time.Time // when the task runs again; zero if it is discarded
	StartedAt  time.Time // when the run began
	FinishedAt time.Time // when it ended
}

// Discarded reports whether the task will not run again.
func (f Failed) Discarded() bool { return f.RetryAt.IsZero() }

// Cancelled says that a task ended because somebody no longer wanted it.
type Cancelled struct {
	TaskRef
	Reason     error     // what the handler returned, or the cause of the cancel
	FinishedAt time.Time // when it ended
}

// Snoozed says that a run put its task off without using an attempt.
type Snoozed struct {
	TaskRef
	Until time.Time // it does not run before
}

// Progress says how far a run has come.
type Progress struct {
	TaskRef
	Fraction float64 // from 0 to 1
}

// Down says that a monitored process has ended, or that it was not there when it was monitored. It never overtakes a
// message which that process sent before (TK-02).
type Down struct {
	Ref    Ref   // of the monitor
	PID    PID   // of the process; zero if a name was monitored that nobody held
	Reason error // NoProc if there was no such process
}

// Exit is what a process that traps exits gets in place of dying with a linked process (GS-30). Anybody may send one, so
// whoever acts on it compares From with whom it knows.
type Exit struct {
	From   PID   // who ended, or sent the signal; zero if that was no process
	Reason error // why
}

// TaskReply is what the owner of an asynchronous task gets when that has returned a value; the Down of the task, with the same
// Ref, follows it (TK-02).
type TaskReply struct {
	Ref   Ref // of the task
	Value any // what its function returned
}

// Timeout is what HandleInfo gets when no message has come for as long as the server has asked for (GS-24).
type Timeout struct{}

// Registered is what the listeners of a registry get when a process has registered a key (RG-13).
type Registered struct {
	Registry Name // of the registry; empty if it has none
	Key      any
	PID      PID // of the process
	Value    any // with which it registered
}

// Unregistered is what they get when a process has given up a key; not when it ended with it.
type Unregistered struct {
	Registry Name // of the registry; empty if it has none
	Key      any
	PID      PID // of the process
}
