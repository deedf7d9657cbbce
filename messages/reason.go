package messages

import (
	"errors"
	"fmt"
)

// ExitReason is a reason, known by its name, for which a process ends. It is an error, so that any other error can
// stand in its place: a process ends with whatever error ended it.
//
// Compare with errors.Is, which also finds [Shutdown] in a [ShutdownWith], or with [Is] where the error may be anybody's.
type ExitReason string

const (
	// Normal says that the process had done its work.
	Normal ExitReason = "normal"
	// Shutdown says that the process was told to stop by its supervisor, or that a supervisor gave up (SV-21).
	Shutdown ExitReason = "shutdown"
	// Killed says that the process was declared dead without being asked: it did not stop within its grace, or was
	// to be stopped at once. Go cannot end a goroutine, so its code may go on until it looks at its context.
	Killed ExitReason = "killed"
	// NoProc says that there was no such process when it was monitored, called or stopped.
	NoProc ExitReason = "noproc"
	// NoConnection says that the connection to the machine of the process is lost; the process may live on.
	NoConnection ExitReason = "noconnection"
)

// Error gives the name of the reason.
func (r ExitReason) Error() string { return string(r) }

// ShutdownWith is a shutdown that carries a value, OTP's {:shutdown, value}. It is as clean an exit as [Shutdown].
type ShutdownWith struct {
	Value any // says more about why, for whoever gets the reason; on the wire it becomes its text
}

func (s *ShutdownWith) Error() string { return fmt.Sprintf("shutdown: %v", s.Value) }

// Is makes errors.Is(s, Shutdown) true.
func (s *ShutdownWith) Is(target error) bool { return target == error(Shutdown) }

// PanicError is the reason of a process whose code panicked.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // the stack of the goroutine at the panic, as debug.Stack prints it
}

func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Unwrap gives the panic's value if it was an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// ErrGoexit is the reason of code that ended its goroutine with runtime.Goexit: it neither returned nor panicked
// (testing.T.FailNow in a handler does this).
var ErrGoexit = errors.New("the function ended its goroutine with runtime.Goexit instead of returning")

// IsClean reports whether a process that ended for this reason ended as it should: [Normal], [Shutdown] or a
// [ShutdownWith], also wrapped. A transient child that ended so is not restarted (SV-09), and no error is logged (GS-40).
// A panic is never clean, whatever the value was and whatever wraps it. Like [Is], it takes any error.
func IsClean(reason error) bool {
	return !search(reason, isPanic) && (Is(reason, Normal) || Is(reason, Shutdown))
}
