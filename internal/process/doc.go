// Package process gives the processes of OTP on protoactor-go's actors. It is the one room that touches protoactor, and
// nothing of protoactor shows outside.
//
// There are two kinds of process. One with a mailbox ([System.Spawn]) is an actor: it handles one message at a time. One
// without ([System.SpawnFunc]) is a goroutine that runs a function. Both have a [messages.PID], may be linked, monitored,
// told to exit and killed.
//
// # Promises
//
//   - A PID that was handed out belongs to an initialised process. A failed init is an error and leaves nothing behind;
//     its name is free before the caller has the error (GS-01, GS-07). A process that was killed or told to exit before its
//     init returned is a failed init.
//   - Messages from one sender to one process are handled in the order in which they were sent, one at a time (GS-08).
//   - Every process ends with exactly one reason, and each monitor learns it in exactly one Down, which comes after
//     every message that the process sent before (TK-02). Nothing that a dead process sends arrives.
//   - A panic or a runtime.Goexit in a callback ends that process, with its stack as reason, and no other. The same holds
//     for the methods of the errors that it returns, which are called while it ends. A panic is never a clean end, whatever
//     the value. A logger that panics loses its line.
//   - A Down, an Exit or a TaskReply that means something is true: what only looks like one is a message like any other.
//   - Links are symmetric, and tell before monitors do. Each of two linked processes hears of the other's end once, however
//     often they were linked; who unlinked itself in time, not at all.
//   - Who is alive, linked and monitored is a record of ours outside the mailbox. A process that hangs in a callback can
//     be killed: it is declared dead at once, everybody is told, and what its goroutine still does is counted
//     ([System.Abandoned]) until it ends.
//
// # Who looks
//
// Info, Processes and Tree read the records and wait for nobody, so they show a process that hangs too, and one that was
// declared dead and still runs. State, Suspend and Resume are orders that a process carries out between two messages. A trace
// goes into a channel of bounded size; the process never waits for its reader. What is neither traced nor looked at pays
// two atomic writes for each message.
//
// # What protoactor is not asked to do
//
// All actors are started at the top, without protoactor's parents: a protoactor parent waits for ever for a child that
// hangs. Its restarts, watches, futures, guardians and receive timeouts are not used; each of them loses or overtakes
// something that OTP does not. Every message travels inside a type of ours, so that no message of a user is taken for one
// of protoactor's own.
package process
