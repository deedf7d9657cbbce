// Package taskrunner is the front door of a library for supervised background tasks: Elixir's TaskRunner, and the OTP below
// it, for services in Go.
//
// The code is in its packages:
//
//   - messages: what is said. Run, Completed, Failed, the reasons for which processes end, and the errors with which a handler
//     decides what becomes of its task.
//   - actors: who does the work. The System, the GenServer, the Task, the Registry and the TaskRunner. Start reading here.
//   - supervisor: what happens when a child ends. Supervisor, DynamicSupervisor and PartitionSupervisor.
//   - store: what survives a crash. The contract, the states of a task, and a store in memory; store/sqlite is the one
//     that lasts.
//   - assets: the job that it all began with: moving static assets between providers. An ordinary user of the library.
//   - graphql: the same job for a front end, started by a mutation that does not wait.
//   - cmd/demo: all of it, running.
//
// The way a task goes: a Run is checked; the store records it, and only then is it accepted; the runner, a GenServer, takes it
// from its mailbox and has its supervisor start a child; the child runs the handler in a goroutine of its own; its end comes
// back to the runner as a message; the outcome is recorded; whoever waits is told. Nothing on this way goes back a step.
package taskrunner
