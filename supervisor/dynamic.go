package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// System is where the processes live; see actors.NewSystem.
type System = process.System

// What callers branch on.
var (
	// ErrMaxChildren says that the supervisor has as many children as it may (DS-08). Use errors.As with
	// *MaxChildrenError for the number.
	ErrMaxChildren = errors.New("supervisor: max_children reached")
	// ErrNotFound says that the supervisor has no such child (DS-15).
	ErrNotFound = errors.New("supervisor: no such child")
	// ErrIgnore is answered by a Start that does not want its child, without that being a failure: the start gives
	// ErrIgnore and nothing is kept (DS-05).
	ErrIgnore = errors.New("supervisor: the child is to be ignored")
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

// Unlimited is a MaxChildren without a limit.
const Unlimited = 0

// NoChildren is a MaxChildren that forbids all, OTP's 0 (DS-08).
const NoChildren = -1

// NoRestarts is a MaxRestarts that allows none, OTP's 0 (SV-19).
const NoRestarts = -1

// DynamicConfig configures a DynamicSupervisor. Its zero value works.
type DynamicConfig struct {
	Name        messages.Name // registers the supervisor's process; empty, it has no name
	MaxChildren int           // how many children at once, those that wait for a restart included; zero is Unlimited, NoChildren allows none
	MaxRestarts int           // how many restarts within MaxSeconds, over all children; zero is DefaultMaxRestarts, NoRestarts allows none
	MaxSeconds  time.Duration // how long a restart counts: a duration, not a number of seconds; zero is DefaultMaxSeconds
}

func (c DynamicConfig) withDefaults() DynamicConfig {
	switch c.MaxRestarts {
	case 0:
		c.MaxRestarts = DefaultMaxRestarts
	case NoRestarts:
		c.MaxRestarts = 0
	}
	if c.MaxSeconds == 0 {
		c.MaxSeconds = DefaultMaxSeconds
	}
	return c
}

func (c DynamicConfig) validate() error {
	switch {
	case c.MaxChildren < NoChildren:
		return fmt.Errorf("supervisor: MaxChildren is %d, want a number, Unlimited or NoChildren", c.MaxChildren)
	case c.MaxRestarts < NoRestarts:
		return fmt.Errorf("supervisor: MaxRestarts is %d, want a number or NoRestarts", c.MaxRestarts)
	case c.MaxSeconds < 0:
		return fmt.Errorf("supervisor: MaxSeconds is %s, want a positive duration", c.MaxSeconds)
	}
	return nil
}

// DynamicSupervisor addresses a running dynamic supervisor. It may be copied, and its methods are safe from any goroutine
// except within a Start of its own children, which would wait for itself (process.ErrCallingSelf).
type DynamicSupervisor struct {
	system *System
	target messages.Target
}

// StartDynamic starts a dynamic supervisor. Within a process (ctx belongs to it) it is linked to that process and stops
// with it; otherwise it belongs to the system.
func StartDynamic(ctx context.Context, system *System, config DynamicConfig) (*DynamicSupervisor, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	d := &dynamic{
		system:   system,
		config:   config,
		window:   window{limit: config.MaxRestarts, span: config.MaxSeconds},
		children: map[messages.PID]*child{},
	}
	pid, err := process.Spawn(ctx, system, d, process.Options{Name: config.Name, Link: true, TrapExit: true})
	if err != nil {
		return nil, err
	}
	return &DynamicSupervisor{system: system, target: pid}, nil
}

// Dynamic addresses the dynamic supervisor with this PID or name.
func Dynamic(system *System, target messages.Target) *DynamicSupervisor {
	return &DynamicSupervisor{system: system, target: target}
}

// PID is the process of the supervisor, or the zero PID if there is none.
func (d *DynamicSupervisor) PID() messages.PID {
	switch t := d.target.(type) {
	case messages.PID:
		return t
	case messages.Name:
		pid, _ := d.system.Whereis(t)
		return pid
	}
	return messages.PID{}
}

type (
	startChild     struct{ spec ChildSpec }
	terminateChild struct{ pid messages.PID }
	whichChildren  struct{}
	countChildren  struct{}
)

// StartChild starts a child and answers when it has started. The error is that of the child's Start; a
// *MaxChildrenError; messages.NoProc if the supervisor is not there; or the cause of ctx, and then the child may have been
// started all the same.
func (d *DynamicSupervisor) StartChild(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	if err := spec.validate(); err != nil {
		return messages.PID{}, err
	}
	answer, err := process.Call(ctx, d.system, d.target, startChild{spec})
	pid, _ := answer.(messages.PID)
	return pid, err
}

// TerminateChild stops a child, waits until it is gone and does not start it again. A child that is not there (any more) is
// ErrNotFound.
func (d *DynamicSupervisor) TerminateChild(ctx context.Context, pid messages.PID) error {
	_, err := process.Call(ctx, d.system, d.target, terminateChild{pid})
	return err
}

// WhichChildren lists the children, in no order.
func (d *DynamicSupervisor) WhichChildren(ctx context.Context) ([]Child, error) {
	answer, err := process.Call(ctx, d.system, d.target, whichChildren{})
	children, _ := answer.([]Child)
	return children, err
}

// CountChildren counts the children.
func (d *DynamicSupervisor) CountChildren(ctx context.Context) (Counts, error) {
	answer, err := process.Call(ctx, d.system, d.target, countChildren{})
	counts, _ := answer.(Counts)
	return counts, err
}

// Stop stops the supervisor and all its children and waits until they are gone, or ctx ends.
func (d *DynamicSupervisor) Stop(ctx context.Context) error {
	return process.Stop(ctx, d.system, d.target, messages.Shutdown)
}

// child is one child of a dynamic supervisor.
type child struct {
	spec       ChildSpec
	pid        messages.PID // of the process, or of the last one while restarting (DS-15)
	restarting bool
	stopping   bool           // told to stop: however it ends, it is not started again
	deadline   time.Time      // when its grace is over, once it was told; zero without a limit
	waiting    []process.From // who asked for its end
	killTimer  func() bool
}

// dynamic is the process.
type dynamic struct {
	system   *System
	config   DynamicConfig
	window   window
	children map[messages.PID]*child
}

type (
	tryRestart struct{ pid messages.PID } // to itself: the child's start failed, try again
	killChild  struct{ pid messages.PID } // to itself: its grace is over
)

func (d *dynamic) Init(context.Context) error { return nil }

func (d *dynamic) Handle(ctx context.Context, message any) error {
	switch m := message.(type) {
	case *process.Request:
		d.answer(ctx, m)
	case messages.Exit:
		return d.childEnded(ctx, m.From, m.Reason)
	case tryRestart:
		if c := d.children[m.pid]; c != nil && c.restarting {
			return d.restart(ctx, c)
		}
	case killChild:
		d.system.Kill(m.pid)
	}
	return nil // SV-37: what is not for a supervisor does no harm
}

func (d *dynamic) answer(ctx context.Context, r *process.Request) {
	switch m := r.Message.(type) {
	case startChild:
		r.From.Reply(d.start(ctx, m.spec))
	case terminateChild:
		d.terminateChild(ctx, m.pid, r.From)
	case whichChildren:
		r.From.Reply(d.which(), nil)
	case countChildren:
		r.From.Reply(d.count(), nil)
	default:
		r.From.Reply(nil, fmt.Errorf("supervisor: unknown request %T", r.Message))
	}
}

func (d *dynamic) start(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	if d.full() {
		return messages.PID{}, &MaxChildrenError{Limit: max(d.config.MaxChildren, 0)}
	}
	c := &child{spec: spec}
	if err := d.startChild(ctx, c); err != nil {
		return messages.PID{}, err
	}
	return c.pid, nil
}

// startChild runs the Start of a child and enters it under its new PID. It is linked whatever Start did, so that its end is
// heard of and it does not outlive its supervisor; of one that is dead already an Exit follows.
func (d *dynamic) startChild(ctx context.Context, c *child) error {
	pid, err := startSafely(ctx, c.spec)
	if err != nil {
		return err
	}
	if other := d.children[pid]; other != nil && other != c || pid == d.self(ctx) {
		return fmt.Errorf("supervisor: child %q: Start gave %s, want a process of its own", c.spec.ID, pid)
	}
	delete(d.children, c.pid)
	c.pid, c.restarting = pid, false
	d.children[pid] = c
	process.Adopt(ctx, d.system, pid, process.Place{ID: c.spec.ID})
	return nil
}

// full counts those that wait to be restarted as well (DS-09).
func (d *dynamic) full() bool {
	switch limit := d.config.MaxChildren; limit {
	case Unlimited:
		return false
	case NoChildren:
		return true
	default:
		return len(d.children) >= limit
	}
}

// startSafely runs a Start, which is the user's code (DS-06), in a goroutine of its own: a Goexit ends that goroutine, and
// in the supervisor's it would end the supervisor.
func startSafely(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	var pid messages.PID
	err := messages.ErrGoexit // unless Start returns or panics
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if value := recover(); value != nil {
				err = &messages.PanicError{Value: value, Stack: debug.Stack()}
			}
		}()
		pid, err = callStart(ctx, spec)
	}()
	<-ended
	return pid, err
}

// callStart checks what Start gives. It asks here whether an error is ErrIgnore, since its methods are the user's code too.
func callStart(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	pid, err := spec.Start(ctx)
	switch {
	case messages.Is(err, ErrIgnore):
		return messages.PID{}, ErrIgnore
	case err == nil && pid.IsZero():
		return messages.PID{}, fmt.Errorf("supervisor: child %q: Start gave neither a PID nor an error", spec.ID)
	}
	return pid, err
}

// childEnded handles the end of a child; that of anybody else is none of its business (SV-37), nor is an Exit that somebody
// made up.
func (d *dynamic) childEnded(ctx context.Context, pid messages.PID, reason error) error {
	c := d.children[pid]
	if c == nil || c.restarting || d.system.Alive(pid) {
		return nil
	}
	if c.stopping || decide(c.spec.Restart, reason) == forget {
		d.forget(c)
		return nil
	}
	return d.restart(ctx, c)
}

// restart starts a child again. That its start fails is one more restart, tried by a message to itself, so that others are
// served in between (DS-13).
func (d *dynamic) restart(ctx context.Context, c *child) error {
	if !d.window.add(time.Now()) {
		d.forget(c)
		return messages.Shutdown // SV-21: Terminate stops the others
	}
	switch err := d.startChild(ctx, c); err {
	case nil:
	case ErrIgnore: //nolint:errorlint // callStart has asked what the error wraps
		d.forget(c) // DS-14
	default:
		c.restarting = true
		d.system.Send(ctx, d.self(ctx), tryRestart{c.pid})
	}
	return nil
}

func (d *dynamic) self(ctx context.Context) messages.PID {
	pid, _ := process.Self(ctx)
	return pid
}

// forget drops a child that is gone, and tells those who asked for its end.
func (d *dynamic) forget(c *child) {
	delete(d.children, c.pid)
	if c.killTimer != nil {
		c.killTimer()
	}
	for _, from := range c.waiting {
		from.Reply(nil, nil)
	}
}

// terminateChild does not wait: the supervisor serves others until the child is gone.
func (d *dynamic) terminateChild(ctx context.Context, pid messages.PID, from process.From) {
	c := d.children[pid]
	if c == nil {
		from.Reply(nil, ErrNotFound)
		return
	}
	c.waiting = append(c.waiting, from)
	if c.restarting {
		d.forget(c)
		return
	}
	d.tell(ctx, c)
	if c.killTimer == nil && !c.deadline.IsZero() {
		c.killTimer = d.system.SendAfter(time.Until(c.deadline), d.self(ctx), killChild{c.pid})
	}
}

func (d *dynamic) which() []Child {
	list := make([]Child, 0, len(d.children))
	for _, c := range d.children {
		entry := Child{ID: c.spec.ID, PID: c.pid, Type: c.spec.Type, Restart: c.spec.Restart, Restarting: c.restarting}
		if c.restarting {
			entry.PID = messages.PID{}
		}
		list = append(list, entry)
	}
	return list
}

func (d *dynamic) count() Counts {
	counts := Counts{Specs: len(d.children)}
	for _, c := range d.children {
		if !c.restarting {
			counts.Active++
		}
		if c.spec.Type == Supervisor {
			counts.Supervisors++
		} else {
			counts.Workers++
		}
	}
	return counts
}

// Terminate stops all children together (SH-02): each is told, unless it was before, and waited for until its own grace is
// over.
func (d *dynamic) Terminate(ctx context.Context, _ error) {
	var told []*child
	for _, c := range d.children {
		if !c.restarting {
			d.tell(ctx, c)
			told = append(told, c)
		}
	}
	awaitAll(ctx, d.system, told)
}
