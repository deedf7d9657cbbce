package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// dynamic is the process of a DynamicSupervisor. Its children do not depend on each other, so it stops them without waiting
// for one before the next.
type dynamic struct {
	system   *System
	config   DynamicConfig
	window   window
	children map[messages.PID]*child
	reports  reports
}

func newDynamic(system *System, config DynamicConfig) *dynamic {
	d := &dynamic{
		system: system, config: config,
		window: newWindow(config.MaxRestarts, config.MaxSeconds), children: map[messages.PID]*child{},
	}
	d.reports = reports{system, string(config.Name)}
	return d
}

// ProcessTitle says what it is, for those who look at the process.
func (d *dynamic) ProcessTitle() string { return "dynamic supervisor" }

// State is what System.State shows.
func (d *dynamic) State() any { return d.which() }

type (
	tryRestart struct{ pid messages.PID } // to itself: the child waits to be started again
	killChild  struct{ pid messages.PID } // to itself: its grace is over
)

func (d *dynamic) Init(context.Context) error { return nil }

func (d *dynamic) Handle(ctx context.Context, message any) error {
	switch m := message.(type) {
	case *process.Request:
		d.answer(ctx, m)
	case tryRestart:
		return d.tryAgain(ctx, m)
	case killChild:
		d.system.Kill(m.pid)
	}
	return nil // SV-37: what is not for a supervisor does no harm
}

func (d *dynamic) answer(ctx context.Context, r *process.Request) {
	switch m := r.Message.(type) {
	case startChild:
		r.From.Reply(d.start(ctx, m.spec))
	case process.StartWork:
		r.From.Reply(d.startWork(ctx, m), nil)
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
	if d.config.Extra != nil {
		spec.Start = withExtra(d.config.Extra, spec.Start)
	}
	c := &child{spec: spec}
	if err := d.startChild(ctx, c); err != nil {
		return messages.PID{}, err
	}
	return c.pid, nil
}

// startWork starts work. It is none of the user's specs, so Extra is not for it.
func (d *dynamic) startWork(ctx context.Context, m process.StartWork) []process.Started {
	answers := make([]process.Started, len(m.Work))
	for i, work := range m.Work {
		if d.full() {
			answers[i].Err = &MaxChildrenError{Limit: max(d.config.MaxChildren, 0)}
			continue
		}
		c := &child{spec: ChildSpec{ID: work.ID(), Restart: Temporary, Shutdown: m.Shutdown}}
		c.pid, c.ending, answers[i].Err = process.SpawnWork(ctx, d.system, work)
		if answers[i].Err == nil {
			d.children[c.pid] = c
			answers[i].PID = c.pid
		}
	}
	return answers
}

// withExtra asks for the Start anew at each start, within it: it is the user's code, and may fail.
func withExtra(extra func(StartFunc) StartFunc, start StartFunc) StartFunc {
	return func(ctx context.Context) (messages.PID, error) { return extra(start)(ctx) }
}

// startChild runs the Start of a child and enters it under its new PID.
func (d *dynamic) startChild(ctx context.Context, c *child) error {
	pid, err := c.start(ctx, d.system, func(pid messages.PID) bool { return d.children[pid] != nil })
	if err != nil {
		return err
	}
	delete(d.children, c.pid)
	c.pid, c.restarting = pid, false
	d.children[pid] = c
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

// HandleEnd handles the end of a child; that of anybody else is none of its business (SV-37).
func (d *dynamic) HandleEnd(ctx context.Context, pid messages.PID, end process.Ending) error {
	c := d.children[pid]
	if c == nil || c.restarting {
		return nil
	}
	if c.stopping {
		d.reports.stopped(c)
		d.forget(c)
		return nil
	}
	d.reports.ended(c, end.Shown())
	c.lastExit = end.Reason()
	if decide(ending{restart: c.spec.Restart, reason: end.Shown()}) == again {
		return d.restart(ctx, c)
	}
	d.forget(c) // a dynamic supervisor keeps no specs of children that do not run
	return nil
}

// restart counts one restart and starts the child again, now or after the Backoff.
func (d *dynamic) restart(ctx context.Context, c *child) error {
	if !d.window.add(time.Now()) {
		d.reports.report("too many restarts", c, messages.Shutdown)
		d.forget(c)
		return messages.Shutdown // SV-21: Terminate stops the others
	}
	if wait := d.config.Backoff.delay(len(d.window.restarts)); wait > 0 {
		d.later(ctx, c, wait)
		return nil
	}
	d.startAgain(ctx, c)
	return nil
}

func (d *dynamic) later(ctx context.Context, c *child, wait time.Duration) {
	c.restarting = true
	c.retry = d.system.SendAfter(wait, d.self(ctx), tryRestart{c.pid})
}

// startAgain starts the child again. That its start fails is one more restart, tried by a message to itself, so that others
// are served in between (DS-13).
func (d *dynamic) startAgain(ctx context.Context, c *child) {
	c.restarts++
	err := d.startChild(ctx, c)
	switch {
	case err == nil:
	case isIgnore(err):
		d.forget(c) // DS-14
	default:
		d.reports.startFailed(c)
		c.restarting = true
		d.system.Send(ctx, d.self(ctx), tryRestart{c.pid})
	}
}

// tryAgain comes after a Backoff, and after a failed start. The latter counts as one more restart.
func (d *dynamic) tryAgain(ctx context.Context, m tryRestart) error {
	c := d.children[m.pid]
	if c == nil { // it was terminated
		return nil
	}
	if c.retry != nil {
		c.retry = nil
		d.startAgain(ctx, c)
		return nil
	}
	return d.restart(ctx, c)
}

func (d *dynamic) self(ctx context.Context) messages.PID {
	pid, _ := process.Self(ctx)
	return pid
}

// forget drops a child that is gone, and tells those who asked for its end.
func (d *dynamic) forget(c *child) {
	delete(d.children, c.pid)
	d.forgetTimers(c)
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
	if c.stopping {
		return // somebody else has asked before
	}
	d.system.Monitor(ctx, c.pid) // of one that has unlinked itself no Exit comes (SH-09)
	tell(ctx, d.system, c)
	if !c.deadline.IsZero() {
		c.killTimer = d.system.SendAfter(time.Until(c.deadline), d.self(ctx), killChild{c.pid})
	}
}

func (d *dynamic) which() []Child {
	list := make([]Child, 0, len(d.children))
	for _, c := range d.children {
		list = append(list, c.entry())
	}
	return list
}

func (d *dynamic) count() Counts {
	var counts Counts
	for _, c := range d.children {
		counts.count(c)
	}
	return counts
}

// Terminate stops all children together (SH-02): each is told, unless it was before, and waited for until its own grace is
// over. None of them is started again (SH-08).
func (d *dynamic) Terminate(ctx context.Context, _ error) {
	var told []*child
	for _, c := range d.children {
		if c.running() {
			tell(ctx, d.system, c)
			told = append(told, c)
		}
		d.forgetTimers(c)
	}
	awaitAll(ctx, d.system, told, d.reports.stopped)
}

func (d *dynamic) forgetTimers(c *child) {
	if c.killTimer != nil {
		c.killTimer()
	}
	if c.retry != nil {
		c.retry()
	}
}
