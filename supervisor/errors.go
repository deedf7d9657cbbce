package supervisor

import (
	"errors"
	"fmt"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// What callers branch on.
var (
	// ErrMaxChildren says that the supervisor has as many children as it may (DS-08). Use errors.As with
	// *MaxChildrenError for the number.
	ErrMaxChildren = errors.New("supervisor: max_children reached")
	// ErrNotFound says that the supervisor has no such child (DS-15, SV-31).
	ErrNotFound = errors.New("supervisor: no such child")
	// ErrIgnore is answered by a Start that does not want its child, without that being a failure. A DynamicSupervisor
	// answers ErrIgnore and keeps nothing (DS-05); a Supervisor keeps the spec, without a process (SV-29).
	ErrIgnore = process.ErrIgnore
	// ErrAlreadyStarted says that a child of this ID runs. Use errors.As with *AlreadyStartedError for its PID (SV-27).
	ErrAlreadyStarted = errors.New("supervisor: the child is started already")
	// ErrAlreadyPresent says that there is a spec of this ID whose child does not run: RestartChild starts it, DeleteChild
	// makes room for another (SV-27).
	ErrAlreadyPresent = errors.New("supervisor: the child is present already, and does not run")
	// ErrRunning says that the child must be terminated first (SV-31).
	ErrRunning = errors.New("supervisor: the child is running")
	// ErrRestarting says that the supervisor is about to start the child again by itself (SV-24).
	ErrRestarting = errors.New("supervisor: the child is restarting")
	// ErrNoPartitions says that a PartitionSupervisor was resized to none, so that a key has nowhere to go (PS-07).
	ErrNoPartitions = errors.New("supervisor: there are no partitions")
)

// MaxChildrenError is ErrMaxChildren with the limit.
type MaxChildrenError struct {
	Limit int // how many children it may have at once
}

func (e *MaxChildrenError) Error() string {
	return fmt.Sprintf("%v: the limit is %d", ErrMaxChildren, e.Limit)
}

// Is makes errors.Is(e, ErrMaxChildren) true.
func (e *MaxChildrenError) Is(target error) bool { return target == ErrMaxChildren }

// AlreadyStartedError is ErrAlreadyStarted with the child that runs.
type AlreadyStartedError struct {
	ID  string       // of the child spec
	PID messages.PID // of its process
}

func (e *AlreadyStartedError) Error() string {
	return fmt.Sprintf("%v: %q is %s", ErrAlreadyStarted, e.ID, e.PID)
}

// Is makes errors.Is(e, ErrAlreadyStarted) true.
func (e *AlreadyStartedError) Is(target error) bool { return target == ErrAlreadyStarted }

// StartError says that a child could not be started: one of a supervisor's first children, so that the supervisor did not
// start either (SV-02), or one that was added, whose spec is not kept (SV-28).
type StartError struct {
	ID  string // of the child
	Err error  // why: what its Start gave
}

func (e *StartError) Error() string {
	return fmt.Sprintf("supervisor: child %q did not start: %v", e.ID, e.Err)
}

// Unwrap gives what the child's Start gave.
func (e *StartError) Unwrap() error { return e.Err }
