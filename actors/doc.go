// Package actors is who does the work: the [System] in which processes live, the [GenServer], the [Task] under its
// [TaskSupervisor], and the [TaskRunner], which is made of these.
//
// # The TaskRunner
//
// A service gets a request that starts slow work and must not wait for it. [Run] hands the work to a TaskRunner and
// returns as soon as that is certain. The runner starts a short-lived child for each task, under a supervisor, and returns
// to its mailbox; the end of each child comes back to it as one message; and the outcome is told to whoever wants it: the
// HandleInfo hook of the config, which sees all of them, and [Handle.Await].
//
// Each run of a task ends in exactly one of these:
//
//   - messages.Completed: the handler returned a value.
//   - messages.Failed: an error, a panic (with its stack), a runtime.Goexit, a timeout, or a handler that did not stop when
//     told to. The task is tried again after a back-off ([Backoff]) until no attempt is left; then it is discarded.
//   - messages.Snoozed: the handler put the task off, which uses no attempt.
//   - messages.Cancelled: nobody wants it any more.
//   - nothing, if the runner stopped first: the task is put back, which uses no attempt either.
//
// # Promises
//
//   - A task that misbehaves touches no other and not the runner: not by a panic, not by a Goexit, not by hanging, and not by
//     what the methods of its error do, which are called in its own process.
//   - With a store, accepted means recorded, and every accepted task reaches one recorded outcome, also if the program is
//     killed; a handler may therefore run more than once. Outcomes are told after they were recorded. If the program dies in
//     between, nobody is told by a hook, but Await, by the task's id, still answers.
//   - The death of the program uses an attempt of each task that was running, so that a task which kills its program ends
//     discarded; an ordinary stop uses none, also one that is cut short.
//   - Without a store, and for plain funcs ([RunFunc]), accepted means that the runner has it. It is gone with the program.
//   - The runner never waits for the store, so a store that is slow or away does not keep running tasks from ending. What
//     cannot be recorded is refused, or tried again until it can.
//   - A runner that crashes is started again and takes up the tasks that still run. One that crashes more than three times in
//     five seconds is dead, and says so: it refuses tasks and tells those who wait (ErrStopping).
//   - Every queue has a limit in [TaskRunnerConfig]. A full runner says so, with the name of the limit, or the caller waits
//     in line ([WithWait]).
//
// # Order
//
// Recorded tasks start in the order of their times, and those with equal times in the order in which they were recorded.
// Plain funcs start in the order in which they were accepted. Free slots go to both by turns. Outcomes are told in the
// order in which the runner learned of them.
//
// # Where Go differs from OTP
//
//   - A goroutine cannot be killed. A handler that ignores its context is abandoned: its task has its outcome, its slot is
//     free, and what its goroutine still does is counted (Stats.Abandoned) and dropped.
//   - Every task is of the kind that traps exits: it sees ctx.Done and may still return a value, which counts (TS-12).
//   - What goes wrong at the caller is an error and not an exit (GS-09, TS-09, TS-13).
//   - Tasks are async_nolink: a task that fails never takes its runner along (TK-05).
//
// # When not to use it
//
// For work that the caller waits for anyway, a plain call or an errgroup is simpler. For many steps that must each happen
// once, use a workflow engine: a task's handler may run again from its start.
package actors
