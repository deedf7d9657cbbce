// Package supervisor decides what happens when a child ends: it is started again, forgotten, or takes its supervisor with
// it. The words and their meaning are OTP's.
//
// A [DynamicSupervisor] starts its children one by one when it is asked to. Its children do not depend on each other: when
// one ends, only that one is started again (one for one).
//
// # Promises
//
//   - A child that ends is restarted, or not, by its [Restart] and the reason alone, and has a new PID then.
//   - Restarts are counted together for all children of a supervisor. When there are more than MaxRestarts within
//     MaxSeconds, the supervisor stops all its children and ends with messages.Shutdown, so that whoever supervises it
//     decides (SV-18, SV-21). The ends of temporary children are not counted.
//   - When a supervisor stops, no child is left: each is told to shut down, waited for as long as its spec says, and
//     then declared dead. A child that hangs does not keep its supervisor from stopping.
//
// # Where Go differs
//
//   - A goroutine cannot be killed (GS-34). Declared dead means that the child's monitors are told, its name is free and
//     nothing it still says is heard; its code goes on until it looks at its context, and is counted by
//     System.Abandoned until then.
//   - Every child gets the chance to clean up: its context is cancelled, with the reason as cause (SH-05).
//   - The span of the restart intensity is measured exactly, where OTP counts whole seconds (SV-20).
package supervisor
