package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// What callers branch on.
var (
	// ErrFull says that the runner has no room for the task. Use errors.As with *FullError for the limit.
	ErrFull = errors.New("actors: the runner is full")
	// ErrStopping says that the runner takes nothing any more. It is also the cause with which a stopping runner cancels
	// the context of a handler: what did not finish runs again later, and this run uses no attempt.
	ErrStopping = errors.New("actors: the runner is stopping")
	// ErrUnknownKind says that the runner has no handler for the kind.
	ErrUnknownKind = errors.New("actors: unknown kind")
	// ErrNoStore says that what was asked for needs a runner with a store.
	ErrNoStore = errors.New("actors: the runner has no store")
	// ErrTaskCancelled is the cause with which the context of a cancelled task's handler is cancelled.
	ErrTaskCancelled = fmt.Errorf("actors: the task was cancelled: %w", context.Canceled)
	// ErrTaskTimeout is the cause with which a handler's context ends when its Timeout is over.
	ErrTaskTimeout = fmt.Errorf("actors: the task timed out: %w", context.DeadlineExceeded)
	// ErrTaken is the cause with which the context of a handler is cancelled whose task was taken from this process, because that
	// was thought dead. The task runs elsewhere or has run, and what this run brings is not recorded.
	ErrTaken = errors.New("actors: the task was taken from this process")
	// ErrAbandoned says that a handler was told to stop and did not. Its goroutine is counted until it ends.
	ErrAbandoned = errors.New("actors: the handler did not stop when it was told to")
)

// FullError is ErrFull with the limit that was reached.
type FullError struct {
	Runner string
	Limit  string // the name of the limit, a field of TaskRunnerConfig
	Max    int    // its value
}

func (e *FullError) Error() string {
	if e.Runner == "" {
		return fmt.Sprintf("actors: full: %s is %d", e.Limit, e.Max)
	}
	return fmt.Sprintf("actors: runner %q is full: %s is %d", e.Runner, e.Limit, e.Max)
}

// Is makes errors.Is(e, ErrFull) true.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// ArgsError says that the arguments of a task were refused. Nothing of the call was recorded.
type ArgsError struct {
	Kind  string
	Index int // which of the arguments of RunMany; 0 otherwise
	Err   error
}

func (e *ArgsError) Error() string {
	return fmt.Sprintf("actors: kind %q: arguments[%d]: %v", e.Kind, e.Index, e.Err)
}

// Unwrap gives the cause.
func (e *ArgsError) Unwrap() error { return e.Err }

// TaskError is what Await gives for a task that ended without a value.
type TaskError struct {
	TaskID string
	State  store.State // Cancelled or Discarded
	Err    error       // the reason; only its text if the task had ended before it was awaited
}

func (e *TaskError) Error() string {
	return fmt.Sprintf("actors: task %s is %s: %v", e.TaskID, e.State, e.Err)
}

// Unwrap gives the reason.
func (e *TaskError) Unwrap() error { return e.Err }
