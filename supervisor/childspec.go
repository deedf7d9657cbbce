package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Restart says whether a child that ended is started again.
type Restart int

const (
	// Permanent children are always started again, however they ended (SV-08). The default, as in OTP.
	Permanent Restart = iota
	// Transient children are started again unless they ended clean: normal or shutdown (SV-09).
	Transient
	// Temporary children are never started again, and their ends are not counted (SV-10).
	Temporary
)

func (r Restart) String() string {
	switch r {
	case Permanent:
		return "permanent"
	case Transient:
		return "transient"
	case Temporary:
		return "temporary"
	}
	return fmt.Sprintf("Restart(%d)", int(r))
}

// ChildType says what a child is; it decides the default of its Shutdown.
type ChildType int

const (
	// TypeWorker is a child without children of its own.
	TypeWorker ChildType = iota
	// TypeSupervisor is a child that has children.
	TypeSupervisor
)

func (t ChildType) String() string {
	switch t {
	case TypeWorker:
		return "worker"
	case TypeSupervisor:
		return "supervisor"
	}
	return fmt.Sprintf("ChildType(%d)", int(t))
}

const (
	// BrutalKill declares the child dead at once (SH-03).
	BrutalKill time.Duration = -1
	// Infinity waits without limit: the default for supervisors, so that a subtree goes down leaf first (SH-04).
	Infinity time.Duration = -2

	// DefaultShutdown is how long a worker may take to end (SV-05).
	DefaultShutdown = 5 * time.Second
)

// StartFunc starts a process and gives its PID.
type StartFunc = func(ctx context.Context) (messages.PID, error)

// ChildSpec says how a child is started, restarted and stopped.
type ChildSpec struct {
	// ID names the child. A Supervisor needs one for each, and no two alike (SV-03); a DynamicSupervisor only lists them
	// (DS-02).
	ID string

	// Start starts the child and gives its PID. It runs in the supervisor, which handles nothing else meanwhile (DS-10);
	// ctx belongs to the supervisor, so that what is started with a link is linked to it; the process that it gives is
	// linked in any case, and no two children may be the same. An error, a panic or a runtime.Goexit is the failure of this
	// start alone.
	Start StartFunc

	// Restart says whether the child is started again when it ends; the zero value is Permanent.
	Restart Restart

	// Shutdown is how long the child may take to end when it is told to, before it is declared dead. Zero is
	// DefaultShutdown for a worker and Infinity for a supervisor; BrutalKill does not ask.
	Shutdown time.Duration

	// Type says what the child is; the zero value is TypeWorker.
	Type ChildType

	// Significant children end a Supervisor whose AutoShutdown says so, when they end by themselves and are not started
	// again (SV-35). A permanent child cannot be significant, nor can one of a supervisor whose AutoShutdown is Never, or of
	// a DynamicSupervisor (SV-36).
	Significant bool
}

// validate checks a spec without contacting a supervisor (DS-03).
func (c ChildSpec) validate() error {
	switch {
	case c.Start == nil:
		return fmt.Errorf("supervisor: child %q: Start is nil, want a function", c.ID)
	case c.Restart < Permanent || c.Restart > Temporary:
		return fmt.Errorf("supervisor: child %q: Restart is %d, want Permanent, Transient or Temporary", c.ID, int(c.Restart))
	case c.Type != TypeWorker && c.Type != TypeSupervisor:
		return fmt.Errorf("supervisor: child %q: Type is %d, want TypeWorker or TypeSupervisor", c.ID, int(c.Type))
	case c.Significant && c.Restart == Permanent:
		return fmt.Errorf("supervisor: child %q: Significant is true, want a Restart of Transient or Temporary with it, not Permanent", c.ID)
	case c.Shutdown < Infinity:
		return fmt.Errorf("supervisor: child %q: Shutdown is %d, want a duration, BrutalKill or Infinity", c.ID, int64(c.Shutdown))
	}
	return nil
}

func (c ChildSpec) validateDynamic() error {
	if c.Significant {
		return fmt.Errorf("supervisor: child %q: Significant is true, want false: a DynamicSupervisor has no AutoShutdown", c.ID)
	}
	return c.validate()
}

// grace is Shutdown with its default filled in.
func (c ChildSpec) grace() time.Duration {
	switch {
	case c.Shutdown != 0:
		return c.Shutdown
	case c.Type == TypeSupervisor:
		return Infinity
	default:
		return DefaultShutdown
	}
}

// Child is one child as it is listed.
type Child struct {
	ID         string       // of its spec
	PID        messages.PID // zero while Restarting, and when it does not run
	Type       ChildType    // of its spec
	Restart    Restart      // of its spec
	Restarting bool         // it is about to be started again: its last start failed, or a Backoff has it wait
	Restarts   int          // how often it was started again by its supervisor
	LastExit   error        // why it ended the last time; nil if it never has
}

// Counts says how many children there are.
type Counts struct {
	Specs       int // all
	Active      int // those that run
	Supervisors int // of TypeSupervisor, active or not
	Workers     int // of TypeWorker, active or not
}
