// Package remote carries tasks between machines: Run, Await, Cancel and Subscribe on a task runner elsewhere, as if it were here, and told apart where it
// is not.
//
// A program that has runners opens a port with [Listen]; another one reaches them with [Dial] and [Client.Runner]. What it calls reads
// like the calls of package actors:
//
//	task, err := remote.Run[Moved](ctx, client.Runner("assets"), "asset.move", move) // returns when recorded over there
//	moved, err := task.Await(ctx)
//
// What holds:
//
//   - Accepted is recorded: Run returns when the other side has answered that the task is recorded. Without an answer it is sent again, with
//     the same id, over the next connection, and accepted once: for as long as the task is known there, which is until its retention has passed
//     or, if the runner records nothing, until its outcome has arrived, or [Keep] after its end.
//   - An outcome is told until it has arrived. Over restarts of either side it can be awaited by id; a subscriber that has a name finds all
//     that it has not acknowledged.
//   - What one client hands over in an order, one runner records in that order.
//   - Every call ends: with the answer, with the end of its context, or with [ErrNoConnection] when nobody could be reached for
//     [DialConfig.Away]. Where it is not known whether a task was accepted, the error says so, and is store.ErrUnavailable too.
//   - Memory is bounded on both sides, whoever is slow or away: [Limits] and [DialConfig] name the limits.
//   - Nobody comes in unknown: with [TLS], both sides show certificates; [AllowedClient] says what each client may do; without TLS nothing
//     leaves the machine. A message is looked at before it is dealt with, and the worst that one can do is to end its own stream.
//   - A [Monitor] tells of an end over there, and that it can no longer be known: messages.NoConnection.
//
// The client opens all connections, so it needs no port. One stream carries everything between two programs, many requests in one message.
// Those who have no Go use the service in remotepb/tasks.proto, over the same port.
//
// Why not protoactor's remote, on which processes here are built otherwise: see docs/remote.md.
package remote
