// Package actors is who does the work: the [System] in which processes live, the [GenServer], the [Task] under its
// [TaskSupervisor], the [Registry] of names and topics, and the [TaskRunner], which is made of these.
//
// # The TaskRunner
//
// A service gets a request that starts slow work and must not wait for it. [Run] hands the work to a TaskRunner and
// returns as soon as that is certain. The runner starts a short-lived child for each task, under a supervisor, and returns
// to its mailbox; the end of each child comes back to it as one message; and the outcome is told to whoever wants it: the
// HandleInfo hook of the config, which sees all that ended here, [Handle.Await], and [TaskRunner.Outcomes], which misses none.
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
//     between, nobody is told by a hook, but Await, by the task's id, still answers, and Outcomes still gives it.
//   - On a store for several processes, runners of one name in any number of them share its tasks. Await, Cancel, Retry and
//     Outcomes do not depend on where a task runs. What is taken from a process that was thought dead is cancelled there with the
//     cause [ErrTaken], and whatever it still brings is refused.
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
// Of the recorded tasks that wait, the most urgent start first ([WithPriority]), of these the longest due, and those with equal
// times in the order in which they were recorded.
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
// # The GenServer
//
// A GenServer is a process with a state: a value whose methods, its callbacks, run one at a time, so that they need no lock. It
// implements those that it needs: [Initializer], [CallHandler], [CastHandler], [InfoHandler], [Continuer], [Terminator],
// and for those who look at it [Snapshotter] and [StatusFormatter]. What a callback wants beside its answer it returns as an error
// that steers: [Stop], [Continue], [Timeout], [NoReply].
//
// What it gets, and in which order:
//
//   - Init, while the starter waits. Then what Init continues with. Then the mailbox, in order: what one sender sends comes in
//     the order of its sending, calls, casts and other messages alike.
//   - HandleCall for a [GenServer.Call], HandleCast for a [GenServer.Cast], HandleInfo for all else: a plain send, a timer, a
//     messages.Down of a monitor, a messages.TaskReply and then a messages.Down of a task, a messages.Exit if it traps exits, a
//     messages.Timeout that it has asked for.
//   - HandleContinue directly behind the callback that asked for it.
//   - Terminate, last, if the end is its own or in order.
//
// What happens on which end:
//
//	                                 Terminate   reason                 logged   what is queued
//	a callback returns Stop(r)       runs        r                      unless clean   lost
//	HandleCast, -Info, -Continue
//	  return an error                runs        the error              unless clean   lost
//	a callback panics                runs        *messages.PanicError   yes            lost
//	Terminate panics                             *messages.PanicError   yes            lost
//	GenServer.Stop                   runs        the one asked for      unless clean   handled first
//	exit signal, not trapped         does not    the signal's           no             lost
//	exit signal of the parent,
//	  trapped                        runs        the signal's           unless clean   handled first
//	exit signal of another, trapped  no end: a messages.Exit in HandleInfo
//	Kill                             does not    messages.Killed        no             lost
//
// Clean are messages.Normal, messages.Shutdown and a *messages.ShutdownWith. Whoever waits in a Call gets the reason. Linked
// processes get an exit signal with it, those that monitor a Down.
//
// # Where Go differs from OTP: the GenServer
//
//   - GS-01, GS-23: a start waits for Init and for nothing after it; protoactor's would wait for neither.
//   - GS-02, GS-03, GS-04: a failed Init is the error of the start (ErrIgnore, *messages.PanicError) and never an exit signal.
//   - GS-05, GS-09, GS-38: time is the caller's context, and so is the error; no call has five seconds by default.
//   - GS-07, RG-01: names are one flat record, free before the starter hears of the failure; the error is *NameTakenError.
//   - GS-12, GS-14, GS-39: messages.NoProc and ErrCallingSelf are errors. Who calls itself is known by its context, so one that
//     a callback did not get from its own waits for ever.
//   - GS-13: a caller gets the reason of a server that ends as an error.
//   - GS-20, GS-21: a callback is an optional interface. A call, cast or continue without one ends the server with ErrNotHandled;
//     a HandleInfo without a default case drops what it does not know, since a type switch cannot fail.
//   - GS-22: a server that continues for ever can be ended by an exit signal and by Kill, between two turns.
//   - GS-24, GS-25: a timeout is a timer of ours, for one wait; zero is a message behind what is queued.
//   - GS-26: state is changed in place, so the state from before a panic is there only for a Snapshotter. A returned error puts
//     nothing back. A runtime.Goexit is a failure like a panic, with the reason messages.ErrGoexit.
//   - GS-27: what a callback returns is typed; there is no bad return value.
//   - GS-28, GS-34: Go cannot end a goroutine. After an exit signal the callback that runs has its context cancelled, with the reason
//     as cause, and what it returns does not count, but for a panic. After a Kill it is counted (System.Abandoned) until it returns.
//   - GS-29, GS-30, GS-33: trapping exits is an option of the start, and the signals are messages in the mailbox.
//   - GS-32: protoactor would stop the children of a parent that ends; here OTP's rule holds.
//   - GS-37: the order to stop is a message in the mailbox, where protoactor's overtakes.
//
// # The Task
//
// A Task is a function in a process of its own: [Async] and [AsyncNoLink] start one whose outcome is for its owner, the process
// that the context of the start belongs to, or all code outside of processes; [StartTask] one that nobody waits for.
// [AsyncStream] runs one for each element of a sequence. They run under a [TaskSupervisor], or [Unsupervised].
//
// The owner asks ([Task.Await], [Task.Yield], [AwaitMany], [YieldMany], [Task.Shutdown], [Task.Ignore]); or, if it is a GenServer, it
// need not: its HandleInfo gets
//
//   - a messages.TaskReply with the value, and then a messages.Down with the reason messages.Normal, when the function has
//     returned a value;
//   - a messages.Down alone, when it has not: the reason is the error that it returned, a *messages.PanicError,
//     messages.ErrGoexit, messages.Shutdown or messages.Killed.
//
// Both have the task's Ref, so a server keeps its tasks in a map by Ref, and never blocks on an Await (TS-14). What was asked for
// does not come as a message, and what came as a message cannot be asked for (ErrConsumed). Demonitor drops both.
//
// Async links the two: the task's failure ends an owner that does not trap exits, and the owner's failure cancels the task's
// context (TK-05, TK-06). A link without a failure means nothing. AsyncNoLink is for owners that are to live on.
//
// # Where Go differs from OTP: the Task
//
//   - TK-01, TK-02, TS-02: an owner without a mailbox has no monitor, Ref is 0, and it gets no messages: it asks.
//   - TK-03, TK-04: an error is OTP's exit, a panic its raise and throw. The error messages.Normal is exit(:normal); a
//     runtime.Goexit is messages.ErrGoexit.
//   - TK-05, TK-06: a linked owner ends when its callback returns, and a function when it heeds its context, whose cause is the
//     reason.
//   - TK-08, TK-10, AS-05: what goes wrong is an error and not an exit. Await has no timeout but its context's, and ends nobody.
//   - TK-09: after an Await that ran out of time no message comes, but the task may be awaited again.
//   - TK-11, TK-12: a stranger gets ErrNotOwner, known by its context; a second Await is ErrConsumed at once.
//   - TK-18, TK-19, TS-10, TS-11, AS-06: to kill is to declare dead. The place is free, the goroutine may go on, and is counted.
//   - TK-25: callers (32 at most) and ancestors are in the context.
//   - TS-08: WithRestart for an Async is an error.
//   - TS-09, TS-13, AS-13: a full task supervisor and one that is not there are errors, for all starts.
//   - TS-12: every task sees ctx.Done and may still return a value.
//   - AS-01: a stream is an iterator; its owner is the process of the context that it was built with.
//   - AS-08, AS-10: a stream that ends early gives a *StreamError last, and its tasks time to stop, together.
//
// # Where Go differs from OTP: the Registry
//
//   - RG-02: a Via is a value that holds its registry, and an option of a start beside the Name.
//   - RG-08: who asks is the process of the context.
//   - RG-12: a registry is a map under a lock, read by everybody. It does not crash, so nobody is linked to it.
//
// # When not to use it
//
// A GenServer is for state that several goroutines share and that has a life: timers, links, messages. For a value behind a lock a
// sync.Mutex is simpler, and for code without a state a function. Whatever takes long belongs into a [Task], not into a
// callback: while that runs, nobody else is served, and a mailbox has no limit.
//
// For work that the caller waits for anyway, a plain call or an errgroup is simpler. For many steps that must each happen
// once, use a workflow engine: a task's handler may run again from its start.
package actors
