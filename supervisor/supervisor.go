package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// Config configures a Supervisor. Strategy is needed, and either Children or Init.
type Config struct {
	Name messages.Name // registers the supervisor's process; empty, it has no name
	Via  messages.Via  // registers it in a registry; the zero Via does not

	Strategy Strategy    // whom the end of one child concerns
	Children []ChildSpec // in the order of their start
	// Init gives the children in place of Children, within the supervisor's process, each time it starts. ErrIgnore says
	// that the supervisor is not wanted (SV-06); another error is that of the start.
	Init func(ctx context.Context) ([]ChildSpec, error)

	MaxRestarts int           // how many restarts within MaxSeconds, over all children; zero is DefaultMaxRestarts, NoRestarts allows none
	MaxSeconds  time.Duration // how long a restart counts: a duration, not a number of seconds; zero is DefaultMaxSeconds
	Backoff     Backoff       // between restarts; the zero value is OTP's way, at once

	AutoShutdown AutoShutdown // whether it ends when significant children have; the zero value is Never
}

func (c Config) validate() error {
	switch {
	case c.Strategy == 0:
		return errors.New("supervisor: Strategy is missing, want OneForOne, OneForAll or RestForOne")
	case !c.Strategy.valid():
		return fmt.Errorf("supervisor: Strategy is %d, want OneForOne, OneForAll or RestForOne", int(c.Strategy))
	case !c.AutoShutdown.valid():
		return fmt.Errorf("supervisor: AutoShutdown is %d, want Never, AnySignificant or AllSignificant", int(c.AutoShutdown))
	case c.Init != nil && c.Children != nil:
		return errors.New("supervisor: Children and Init are both set, want one of them")
	}
	if err := validIntensity(c.MaxRestarts, c.MaxSeconds); err != nil {
		return err
	}
	if err := c.Backoff.validate(); err != nil {
		return err
	}
	return c.validChildren(c.Children)
}

// validChildren checks all specs before the first child is started (SV-03).
func (c Config) validChildren(specs []ChildSpec) error {
	seen := map[string]bool{}
	for i, spec := range specs {
		if err := c.validChild(spec); err != nil {
			return err
		}
		if seen[spec.ID] {
			return fmt.Errorf("supervisor: child %d: ID is %q, want one that no other child has", i, spec.ID)
		}
		seen[spec.ID] = true
	}
	return nil
}

func (c Config) validChild(spec ChildSpec) error {
	switch {
	case spec.ID == "":
		return errors.New("supervisor: a child's ID is empty, want one that no other child has")
	case spec.Significant && c.AutoShutdown == Never:
		return fmt.Errorf("supervisor: child %q: Significant is true, want an AutoShutdown of AnySignificant or AllSignificant with it", spec.ID)
	}
	return spec.validate()
}

// ChildSpec makes a child spec of the config, for a supervisor under another: permanent, stopped without limit. Its ID is
// the Name or, without one, "supervisor". Each start of the child starts a supervisor anew, with the children of the config:
// those that were added at run time are lost (SV-33).
func (c Config) ChildSpec(system *System) ChildSpec {
	return ChildSpec{
		ID: idOr(c.Name, "supervisor"), Type: TypeSupervisor,
		Start: func(ctx context.Context) (messages.PID, error) { return started(Start(ctx, system, c)) },
	}
}

func idOr(name messages.Name, other string) string {
	if name == "" {
		return other
	}
	return string(name)
}

// started is what a Start of a ChildSpec gives of a supervisor.
func started[S interface{ PID() messages.PID }](s S, err error) (messages.PID, error) {
	if err != nil {
		return messages.PID{}, err
	}
	return s.PID(), nil
}

// Supervisor addresses a running supervisor. It may be copied, and its methods are safe from any goroutine except within a
// Start of its own children, which would wait for itself (actors.ErrCallingSelf).
//
// While it starts or stops a child it does nothing else: requests wait, and the ends of other children too (DS-10, SH-01).
// Each method fails with messages.NoProc if the supervisor is not there, and with the cause of ctx when that ends first;
// then what was asked for may be done all the same.
type Supervisor struct{ handle }

// Start starts a supervisor and then its children, one after the other in their order, and returns when the last has
// started (SV-01). If one does not start, those before it are stopped, newest first, and the answer is a *StartError (SV-02).
// Within a process (ctx belongs to it) the supervisor is linked to that process and stops with it, however that ends
// (SV-34); otherwise it belongs to the system.
func Start(ctx context.Context, system *System, config Config) (*Supervisor, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	pid, err := process.Spawn(ctx, system, newStatic(system, config), process.Options{Name: config.Name, Via: config.Via, Link: true, TrapExit: true})
	if err != nil {
		return nil, err
	}
	return Static(system, pid), nil
}

// Static addresses the supervisor with this PID or name.
func Static(system *System, target messages.Target) *Supervisor {
	return &Supervisor{handle{system, target}}
}

// StartChild adds a child, as the last in order (SV-30), and answers when it has started. If there is one of this ID, the
// answer is an *AlreadyStartedError or ErrAlreadyPresent (SV-27); if it does not start, a *StartError, and the spec is not
// kept (SV-28); if its Start answers ErrIgnore, the zero PID without an error, and the spec is kept unless it is temporary
// (SV-29).
func (s *Supervisor) StartChild(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	if err := spec.validate(); err != nil {
		return messages.PID{}, err
	}
	return ask[messages.PID](ctx, s.handle, startChild{spec})
}

// TerminateChild stops a child and waits until it is gone. It is not started again and nothing is counted; its spec stays
// unless it is temporary, so that RestartChild can start it. One that does not run is terminated already; an unknown ID is
// ErrNotFound (SV-31).
func (s *Supervisor) TerminateChild(ctx context.Context, id string) error {
	_, err := ask[any](ctx, s.handle, terminateID{id})
	return err
}

// RestartChild starts a child that does not run. If it runs, the answer is ErrRunning; if the supervisor is about to start it
// again itself, ErrRestarting; an unknown ID is ErrNotFound. If it does not start, the answer is what its Start gave, and
// the spec stays.
func (s *Supervisor) RestartChild(ctx context.Context, id string) (messages.PID, error) {
	return ask[messages.PID](ctx, s.handle, restartID{id})
}

// DeleteChild drops the spec of a child that does not run. The errors are those of RestartChild.
func (s *Supervisor) DeleteChild(ctx context.Context, id string) error {
	_, err := ask[any](ctx, s.handle, deleteID{id})
	return err
}

// ChildSpec gives the spec of a child; an unknown ID is ErrNotFound.
func (s *Supervisor) ChildSpec(ctx context.Context, id string) (ChildSpec, error) {
	return ask[ChildSpec](ctx, s.handle, specOf{id})
}

// WhichChildren lists the children, newest first (SV-32).
func (s *Supervisor) WhichChildren(ctx context.Context) ([]Child, error) {
	return ask[[]Child](ctx, s.handle, whichChildren{})
}

// handle addresses a supervisor of any kind.
type handle struct {
	system *System
	target messages.Target
}

type (
	startChild    struct{ spec ChildSpec }
	terminateID   struct{ id string }
	restartID     struct{ id string }
	deleteID      struct{ id string }
	specOf        struct{ id string }
	whichChildren struct{}
	countChildren struct{}
)

func ask[A any](ctx context.Context, h handle, request any) (A, error) {
	answer, err := process.Call(ctx, h.system, h.target, request)
	typed, _ := answer.(A)
	return typed, err
}

// PID is the process of the supervisor, or the zero PID if a name is addressed that nobody holds.
func (h handle) PID() messages.PID {
	if pid, ok := h.target.(messages.PID); ok {
		return pid
	}
	return process.PIDOf(h.system, h.target)
}

// CountChildren counts the children.
func (h handle) CountChildren(ctx context.Context) (Counts, error) {
	return ask[Counts](ctx, h, countChildren{})
}

// Stop stops the supervisor and all its children and waits until they are gone, or ctx ends.
func (h handle) Stop(ctx context.Context) error { return h.StopWith(ctx, messages.Shutdown) }

// StopWith is Stop with a reason of the caller's, which decides whether a supervisor above starts this one again; nil is
// messages.Normal. Its children are told messages.Shutdown all the same (SH-06).
func (h handle) StopWith(ctx context.Context, reason error) error {
	return process.Stop(ctx, h.system, h.target, reason)
}
