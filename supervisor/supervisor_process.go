package supervisor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// static is the process of a Supervisor. It starts and stops its children itself, one after the other, and handles nothing
// else meanwhile: so the order is the one that it promises.
type static struct {
	system   *System
	config   Config
	window   window
	children []*child // in the order of their start
	reports  reports
	placed   func(id string, pid messages.PID) // is told whom each start has given, zero if nobody; nil: nobody is
}

func newStatic(system *System, config Config) *static {
	s := &static{system: system, config: config, window: newWindow(config.MaxRestarts, config.MaxSeconds)}
	s.reports = reports{system, string(config.Name)}
	return s
}

// ProcessTitle says what it is, for those who look at the process.
func (s *static) ProcessTitle() string { return "supervisor " + s.config.Strategy.String() }

// State is what System.State shows.
func (s *static) State() any {
	var list []Child
	for _, c := range s.children {
		list = append(list, c.entry())
	}
	return list
}

type startAgain struct { // to itself: a child waits to be started again
	id   string
	turn int // which of its waits
}

func (s *static) Init(ctx context.Context) error {
	specs, err := s.specs(ctx)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		s.children = append(s.children, &child{spec: spec})
	}
	if c, err := s.startFrom(ctx, slices.Clone(s.children)); err != nil { // a clone: temporary ones that do not want to start go
		s.stop(ctx, s.children)
		return &StartError{ID: c.spec.ID, Err: err}
	}
	return nil
}

func (s *static) specs(ctx context.Context) ([]ChildSpec, error) {
	if s.config.Init == nil {
		return s.config.Children, nil
	}
	specs, err := s.config.Init(ctx)
	if err != nil {
		return nil, err
	}
	return specs, s.config.validChildren(specs)
}

func (s *static) Handle(ctx context.Context, message any) error {
	switch m := message.(type) {
	case *process.Request:
		s.answer(ctx, m)
	case startAgain:
		return s.tryAgain(ctx, m)
	}
	return nil // SV-37: what is not for a supervisor does no harm
}

// Terminate stops all children, newest first, each gone before the next is told (SH-01).
func (s *static) Terminate(ctx context.Context, _ error) { s.stop(ctx, s.children) }

func (s *static) answer(ctx context.Context, r *process.Request) {
	switch m := r.Message.(type) {
	case startChild:
		r.From.Reply(s.add(ctx, m.spec))
	case terminateID:
		r.From.Reply(nil, s.terminateChild(ctx, m.id))
	case restartID:
		r.From.Reply(s.restartChild(ctx, m.id))
	case deleteID:
		r.From.Reply(nil, s.deleteChild(m.id))
	case specOf:
		r.From.Reply(s.spec(m.id))
	case whichChildren:
		r.From.Reply(s.which(), nil)
	case countChildren:
		r.From.Reply(s.count(), nil)
	default:
		r.From.Reply(nil, fmt.Errorf("supervisor: unknown request %T", r.Message))
	}
}

// find gives the place of a child in the order, or -1.
func (s *static) find(is func(c *child) bool) int { return slices.IndexFunc(s.children, is) }

func byID(id string) func(c *child) bool { return func(c *child) bool { return c.spec.ID == id } }

// HandleEnd handles the end of a child by itself. That of anybody else is none of its business (SV-37), nor is the late news of
// a child that it has stopped.
func (s *static) HandleEnd(ctx context.Context, pid messages.PID, end process.Ending) error {
	i := s.find(func(c *child) bool { return c.running() && c.pid == pid })
	if i < 0 {
		return nil
	}
	c := s.children[i]
	s.reports.ended(c, end.Shown())
	c.lastExit = end.Reason()
	e := ending{restart: c.spec.Restart, reason: end.Shown(), significant: c.spec.Significant, auto: s.config.AutoShutdown}
	e.others = s.find(func(o *child) bool { return o != c && o.spec.Significant && (o.running() || o.restarting) }) >= 0
	switch decide(e) {
	case again:
		return s.restart(ctx, c)
	case stay:
		s.halt(c)
	case forget:
		s.children = slices.Delete(s.children, i, i+1)
	case giveUp:
		s.children = slices.Delete(s.children, i, i+1)
		return messages.Shutdown
	}
	return nil
}

// restart counts one restart, however many children it touches (SV-17), and starts the child and its group again, now or
// after the Backoff.
func (s *static) restart(ctx context.Context, c *child) error {
	if !s.window.add(time.Now()) {
		s.reports.report("too many restarts", c, messages.Shutdown)
		s.halt(c)
		return messages.Shutdown // SV-21: Terminate stops the others
	}
	if wait := s.config.Backoff.delay(len(s.window.restarts)); wait > 0 {
		s.later(ctx, c, wait)
		return nil
	}
	s.restartGroup(ctx, c)
	return nil
}

// later has the supervisor told, by itself, to start a child again.
func (s *static) later(ctx context.Context, c *child, wait time.Duration) {
	self, _ := process.Self(ctx)
	c.retry = s.system.SendAfter(wait, self, c.awaiting())
}

// awaiting notes that a child is to be started again, and gives the message that says when.
func (c *child) awaiting() startAgain {
	c.restarting = true
	c.turn++
	return startAgain{c.spec.ID, c.turn}
}

// tryAgain comes after a Backoff, and after a failed start. The latter counts as one more restart (SV-23).
func (s *static) tryAgain(ctx context.Context, m startAgain) error {
	i := s.find(byID(m.id))
	if i < 0 || !s.children[i].restarting || s.children[i].turn != m.turn {
		return nil // it was terminated (SV-25), or stopped and started with its group
	}
	c := s.children[i]
	if c.retry != nil {
		c.retry = nil
		s.restartGroup(ctx, c)
		return nil
	}
	return s.restart(ctx, c)
}

// restartGroup stops those that the strategy stops with the child, and starts all of them that do not run (SV-15). If one
// does not start, that is tried again from there by a message to itself, so that others are served in between (SV-24,
// SV-26).
func (s *static) restartGroup(ctx context.Context, c *child) {
	from, to := group(s.config.Strategy, slices.Index(s.children, c), len(s.children))
	affected := slices.Clone(s.children[from:to])
	s.halt(c)
	s.stop(ctx, affected)
	s.dropTemporary(affected) // SV-14; one that is restarted is none
	affected = slices.DeleteFunc(affected, func(o *child) bool { return !slices.Contains(s.children, o) })
	for _, o := range affected {
		o.restarts++
	}
	if failed, err := s.startFrom(ctx, affected); err != nil {
		self, _ := process.Self(ctx)
		s.system.Send(ctx, self, failed.awaiting())
	}
}

// startFrom starts children, in order; none of them runs. It ends at the first that fails, and gives that. A supervisor that
// was killed meanwhile starts nobody.
func (s *static) startFrom(ctx context.Context, children []*child) (*child, error) {
	for _, c := range children {
		if ctx.Err() != nil {
			return c, context.Cause(ctx)
		}
		if err := s.start(ctx, c); err != nil {
			return c, err
		}
	}
	return nil, nil
}

// start starts one child. One that does not want to be is kept without a process, unless it is temporary (SV-29).
func (s *static) start(ctx context.Context, c *child) error {
	pid, err := c.start(ctx, s.system, func(pid messages.PID) bool { return s.find(func(o *child) bool { return o.pid == pid }) >= 0 })
	if s.placed != nil {
		s.placed(c.spec.ID, pid)
	}
	switch {
	case isIgnore(err):
		s.dropTemporary([]*child{c})
		return nil
	case err != nil:
		s.reports.startFailed(c)
		return err
	}
	c.pid = pid
	return nil
}

// halt notes that a child does not run and does not wait to be started.
func (s *static) halt(c *child) {
	if c.retry != nil {
		c.retry()
	}
	c.pid, c.ending, c.restarting, c.retry = messages.PID{}, process.Ending{}, false, nil
}

// dropTemporary drops the specs of those that are temporary and do not run.
func (s *static) dropTemporary(children []*child) {
	s.children = slices.DeleteFunc(s.children, func(c *child) bool {
		return c.spec.Restart == Temporary && c.pid.IsZero() && slices.Contains(children, c)
	})
}

// stop stops children, newest first.
func (s *static) stop(ctx context.Context, children []*child) {
	for _, c := range slices.Backward(children) {
		if c.running() {
			stopChild(ctx, s.system, c)
			s.reports.stopped(c)
			c.lastExit = c.ending.Reason()
		}
		s.halt(c)
	}
}

func (s *static) add(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	if i := s.find(byID(spec.ID)); i >= 0 {
		if c := s.children[i]; c.running() {
			return messages.PID{}, &AlreadyStartedError{ID: spec.ID, PID: c.pid}
		}
		return messages.PID{}, ErrAlreadyPresent
	}
	if err := s.config.validChild(spec); err != nil {
		return messages.PID{}, err
	}
	c := &child{spec: spec}
	s.children = append(s.children, c)
	if err := s.start(ctx, c); err != nil {
		s.children = s.children[:len(s.children)-1]
		return messages.PID{}, &StartError{ID: spec.ID, Err: err}
	}
	return c.pid, nil
}

func (s *static) terminateChild(ctx context.Context, id string) error {
	i := s.find(byID(id))
	if i < 0 {
		return ErrNotFound
	}
	c := s.children[i]
	s.stop(ctx, []*child{c})
	s.dropTemporary([]*child{c})
	return nil
}

// idle gives a child that does not run and is not about to (SV-31).
func (s *static) idle(id string) (int, error) {
	i := s.find(byID(id))
	switch {
	case i < 0:
		return i, ErrNotFound
	case s.children[i].restarting:
		return i, ErrRestarting
	case s.children[i].running():
		return i, ErrRunning
	}
	return i, nil
}

func (s *static) restartChild(ctx context.Context, id string) (messages.PID, error) {
	i, err := s.idle(id)
	if err != nil {
		return messages.PID{}, err
	}
	c := s.children[i]
	err = s.start(ctx, c)
	return c.pid, err
}

func (s *static) deleteChild(id string) error {
	i, err := s.idle(id)
	if err == nil {
		s.children = slices.Delete(s.children, i, i+1)
	}
	return err
}

func (s *static) spec(id string) (ChildSpec, error) {
	i := s.find(byID(id))
	if i < 0 {
		return ChildSpec{}, ErrNotFound
	}
	return s.children[i].spec, nil
}

func (s *static) which() []Child {
	list := make([]Child, 0, len(s.children))
	for _, c := range slices.Backward(s.children) {
		list = append(list, c.entry())
	}
	return list
}

func (s *static) count() Counts {
	var counts Counts
	for _, c := range s.children {
		counts.count(c)
	}
	return counts
}
