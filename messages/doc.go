// Package messages is what is said: what asks for a task, what tells how it ended, who is meant, and why a process ends.
//
//   - [Run] asks for a task. [Completed], [Failed], [Cancelled] and [Snoozed] each tell the end of one run, [Progress] how
//     far it has come. Their [TaskRef] says which run of which task.
//   - [Down] and [Exit] tell the end of a process, whose [PID] is never used again.
//   - The reason for an end is an error: [Normal], [Shutdown], [Killed], [NoProc] and [NoConnection] by name, [ShutdownWith] with a value,
//     [PanicError] with its stack, [ErrGoexit], or whatever error ended it.
//   - [Retry], [RetryAfter], [Snooze], [Cancel] and [Discard] make the errors by which a handler says what becomes of its
//     task.
//   - [Encode] and [Decode] are the way to the wire and back. taskrunner.proto says what is on it; the types whose names
//     begin with Wire, and [Envelope], are generated from there.
//
// Messages are values: whoever has one may keep it, and must not change what its slices point to.
package messages
