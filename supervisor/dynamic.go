package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// System is where the processes live; see actors.NewSystem.
type System = process.System

// Unlimited is a MaxChildren without a limit.
const Unlimited = 0

// NoChildren is a MaxChildren that forbids all, OTP's 0 (DS-08).
const NoChildren = -1

// DynamicConfig configures a DynamicSupervisor. Its zero value works.
type DynamicConfig struct {
	Name        messages.Name // registers the supervisor's process; empty, it has no name
	Via         messages.Via  // registers it in a registry; the zero Via does not
	MaxChildren int           // how many children at once, those that wait for a restart included; zero is Unlimited, NoChildren allows none
	MaxRestarts int           // how many restarts within MaxSeconds, over all children; zero is DefaultMaxRestarts, NoRestarts allows none
	MaxSeconds  time.Duration // how long a restart counts: a duration, not a number of seconds; zero is DefaultMaxSeconds
	Backoff     Backoff       // between restarts; the zero value is OTP's way, at once

	// Extra wraps the Start of each child, at each of its starts, which is how the supervisor gives all its children
	// something of its own (OTP's extra_arguments, DS-17). Nil leaves them as they are.
	Extra func(start StartFunc) StartFunc
}

func (c DynamicConfig) validate() error {
	if c.MaxChildren < NoChildren {
		return fmt.Errorf("supervisor: MaxChildren is %d, want a number, Unlimited or NoChildren", c.MaxChildren)
	}
	if err := c.Backoff.validate(); err != nil {
		return err
	}
	return validIntensity(c.MaxRestarts, c.MaxSeconds)
}

// ChildSpec makes a child spec of the config, for a dynamic supervisor under another supervisor: permanent, stopped without
// limit. Its ID is the Name or, without one, "dynamic_supervisor".
func (c DynamicConfig) ChildSpec(system *System) ChildSpec {
	return ChildSpec{
		ID: idOr(c.Name, "dynamic_supervisor"), Type: TypeSupervisor,
		Start: func(ctx context.Context) (messages.PID, error) { return started(StartDynamic(ctx, system, c)) },
	}
}

// DynamicSupervisor addresses a running dynamic supervisor. It may be copied, and its methods are safe from any goroutine
// except within a Start of its own children, which would wait for itself (actors.ErrCallingSelf).
type DynamicSupervisor struct{ handle }

// StartDynamic starts a dynamic supervisor. Within a process (ctx belongs to it) it is linked to that process and stops
// with it; otherwise it belongs to the system.
func StartDynamic(ctx context.Context, system *System, config DynamicConfig) (*DynamicSupervisor, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	pid, err := process.Spawn(ctx, system, newDynamic(system, config), process.Options{Name: config.Name, Via: config.Via, Link: true, TrapExit: true})
	if err != nil {
		return nil, err
	}
	return Dynamic(system, pid), nil
}

// Dynamic addresses the dynamic supervisor with this PID or name.
func Dynamic(system *System, target messages.Target) *DynamicSupervisor {
	return &DynamicSupervisor{handle{system, target}}
}

type terminateChild struct{ pid messages.PID }

// StartChild starts a child and answers when it has started. The error is that of the child's Start; a
// *MaxChildrenError; messages.NoProc if the supervisor is not there; or the cause of ctx, and then the child may have been
// started all the same.
func (d *DynamicSupervisor) StartChild(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	if err := spec.validateDynamic(); err != nil {
		return messages.PID{}, err
	}
	return ask[messages.PID](ctx, d.handle, startChild{spec})
}

// TerminateChild stops a child, waits until it is gone and does not start it again. A child that is not there (any more) is
// ErrNotFound.
func (d *DynamicSupervisor) TerminateChild(ctx context.Context, pid messages.PID) error {
	_, err := ask[any](ctx, d.handle, terminateChild{pid})
	return err
}

// WhichChildren lists the children, in no order.
func (d *DynamicSupervisor) WhichChildren(ctx context.Context) ([]Child, error) {
	return ask[[]Child](ctx, d.handle, whichChildren{})
}
