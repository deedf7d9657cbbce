// Package supervisor decides what happens when a child ends: it is started again, forgotten, or takes its supervisor with
// it. The words and their meaning are OTP's, and the ids in brackets are those of the table in docs/otp.md.
//
// There are three supervisors:
//
//   - A [Supervisor] has children that are known beforehand, in an order. Its [Strategy] says who is started again with a
//     child that ended: it alone ([OneForOne]), all ([OneForAll]), or it and those that were started after it ([RestForOne]).
//   - A [DynamicSupervisor] starts children when it is asked to, one for one.
//   - A [PartitionSupervisor] runs one child several times, and leads each key to one of them.
//
// A child is whatever the Start of its [ChildSpec] starts: a GenServer, a task, another supervisor.
//
// # When a child ends
//
// Its [Restart] and the reason decide. A [Permanent] child is started again always; a [Transient] one unless it ended clean, with
// messages.Normal, Shutdown or a ShutdownWith; a [Temporary] one never. What is started again is a new process, with a new
// PID, an empty mailbox and the state that its Start gives it (SV-07): messages to its name are lost in the gap, without an
// error (RG-14).
//
// Restarts are counted together for all children of a supervisor, a group that is started again once (SV-17, SV-18). When
// there are more than MaxRestarts within MaxSeconds, the supervisor stops all its children and ends with messages.Shutdown
// (SV-21); then its own supervisor decides in the same way, so that a fault which a restart does not heal rises until something
// larger is started anew, or the program learns of it (SV-22). A start that fails while a child is started again is one more
// restart, tried at once, by a message of the supervisor to itself, so that others are served in between (SV-23, SV-24);
// [Backoff] has it wait.
//
// # Start and stop
//
// Children start in their order, each when the one before has (SV-01), and stop in the opposite order, each gone before the next
// is told (SH-01); those of a DynamicSupervisor are told together (SH-02). To be told is an exit signal with
// messages.Shutdown: it cancels the child's context, or, for a GenServer that traps exits, comes behind what is queued and runs
// Terminate. Who is not gone when its Shutdown time is over is declared dead (SH-03). A child that ends by itself meanwhile is
// not started again (SH-08). A supervisor ends with the process that started it, however that ends (SV-34).
//
// # Promises
//
//   - A child that ends is restarted, or not, by its Restart and the reason alone.
//   - When a supervisor stops, no child is left. One that hangs keeps it no longer than its spec says.
//   - What a Start does wrong, by an error, a panic, a runtime.Goexit or a PID that is not its own, is a failed start.
//   - A message that is not for a supervisor, and an Exit that somebody made up, does it no harm (SV-37).
//
// # Deadlocks
//
// A supervisor that starts a child serves nobody else. A Start that asks its own supervisor is told so (actors.ErrCallingSelf), but
// an Init that does, in the child's process, waits for ever, as in OTP, and so do two supervisors whose children ask each
// other's while they start. Ask in a Continue, which runs when the start is over.
//
// # When not to use it
//
// A process costs a goroutine and a mailbox; what cannot fail by itself, or is of no use without its caller, belongs into its
// caller. Work that must be done although the program dies is for a TaskRunner with a store: a supervisor keeps processes
// alive, not what they were doing. And children whose failure is a mistake in their arguments are not healed by a restart: make
// them temporary, and have somebody told.
//
// # Where Go differs
//
//   - A goroutine cannot be killed (GS-34, SH-03). Declared dead means that the child's monitors are told, its name is free and
//     nothing it still says is heard; its code goes on until it looks at its context, and is counted by System.Abandoned and
//     shown by System.Processes until then.
//   - Every child gets the chance to clean up: its context is cancelled, with the reason as cause (SH-05).
//   - A child is linked to its supervisor whatever its Start did, and a supervisor that waits for a child waits for its record,
//     not for a message (SH-09).
//   - What OTP answers as a tuple is an error: [AlreadyStartedError], [ErrAlreadyPresent], [ErrRunning], [ErrRestarting],
//     [ErrNotFound], [StartError], [ErrIgnore] (SV-27 to SV-31).
//   - SV-01, SV-07, SV-12, SV-13, SV-18, SV-21: all of this is code of ours. protoactor's Spawn does not wait for an init, its
//     strategies restart in place, unordered, count per child, and stop the child alone when the limit is broken; none of
//     them is used.
//   - SV-34: a supervisor that was not started by a process belongs to its System and stops with it.
//   - DS-04, DS-06: a Start gives a PID or an error. A panic is a *messages.PanicError, a runtime.Goexit messages.ErrGoexit; a
//     PID that is not the child's own (the supervisor's, one of those above it, another's child) is a failed start.
//   - SH-01: protoactor stops all children at once; here each is waited for.
//   - The span of the restart intensity is measured exactly, where OTP counts whole seconds (SV-20).
//   - Extra arguments are a function that wraps each Start (DS-17), and what a partition's child depends on is an argument of
//     PartitionConfig.Child (PS-05).
//   - A DynamicSupervisor that terminates a child serves others meanwhile.
//   - Backoff is ours (SV-23). With one_for_all and rest_for_one the others of the group run on while it waits.
package supervisor
