package supervisor_test

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// The rules of OTP once more, for a tree in which one thing happens after the other. They are written down from OTP's
// documents and know nothing of our code; where the two differ, one of them is wrong.

type kind int

const (
	aWorker kind = iota
	aSupervisor
	aDynamic
)

// plan is a child spec, and a config if the child is a supervisor.
type plan struct {
	id          string
	kind        kind
	restart     supervisor.Restart
	significant bool
	brutal      bool

	strategy    supervisor.Strategy
	auto        supervisor.AutoShutdown
	maxRestarts int // 0 allows none
	span        time.Duration
	maxChildren int // 0 is no limit
	backoff     supervisor.Backoff
	first       []plan
}

type state int

const (
	down state = iota
	up
	waiting // to be started again, when it is due
)

// node is a child in the tree.
type node struct {
	plan
	state    state
	due      time.Duration
	above    *node
	children []*node // in the order of their start
	restarts []time.Duration
}

// rules is the tree, and what its members did.
type rules struct {
	top     *node
	now     time.Duration
	did     []string
	answers map[string][]error // of the next starts of a child, by id
}

func (r *rules) record(sign string, n *node) { r.did = append(r.did, sign+n.id) }

// start starts a child; a supervisor with the children of its config. The error is boom or ErrIgnore.
func (r *rules) start(n *node) error {
	err := r.answer(n.id)
	if err == nil {
		n.children, n.restarts = nil, nil
		for _, p := range n.first {
			n.children = append(n.children, &node{plan: p, above: n})
		}
		if failed := r.startAll(n, n.children); failed != nil {
			r.stopAll(n)
			err = errBoom
		}
	}
	n.state = down
	switch {
	case err == nil:
		n.state = up
		r.record("+", n)
	case errors.Is(err, supervisor.ErrIgnore):
		r.record("~", n)
	default:
		r.record("!", n)
	}
	return err
}

func (r *rules) answer(id string) (err error) {
	if list := r.answers[id]; len(list) > 0 {
		err, r.answers[id] = list[0], list[1:]
	}
	return err
}

// startAll starts those that do not run, up to the first that fails.
func (r *rules) startAll(s *node, children []*node) (failed *node) {
	for _, c := range slices.Clone(children) {
		if c.state == up {
			continue
		}
		switch err := r.start(c); {
		case err == errBoom:
			return c
		case err != nil && c.restart == supervisor.Temporary:
			s.drop(c)
		}
	}
	return nil
}

func (s *node) drop(c *node) {
	s.children = slices.DeleteFunc(s.children, func(o *node) bool { return o == c })
}

// stop stops a child, and first those below it.
func (r *rules) stop(n *node) {
	if n.state == up {
		r.stopAll(n)
		if n.kind == aWorker && !n.brutal {
			r.record("-", n)
		}
	}
	n.state = down
}

func (r *rules) stopAll(s *node) {
	for _, c := range slices.Backward(s.children) {
		r.stop(c)
	}
}

// ended is the end of a child by itself, which has happened.
func (r *rules) ended(c *node, clean bool) {
	s := c.above
	c.state = down
	if s == nil {
		return // the top
	}
	if c.restart == supervisor.Permanent || c.restart == supervisor.Transient && !clean {
		r.restart(s, c)
		return
	}
	if c.restart == supervisor.Temporary || s.kind == aDynamic {
		s.drop(c)
	}
	if !c.significant {
		return
	}
	others := slices.ContainsFunc(s.children, func(o *node) bool { return o.significant && o.state != down })
	if s.auto == supervisor.AnySignificant || s.auto == supervisor.AllSignificant && !others {
		r.giveUp(s)
	}
}

func (r *rules) giveUp(s *node) {
	r.stopAll(s)
	r.ended(s, true) // with shutdown
}

// restart counts one more restart.
func (r *rules) restart(s, c *node) {
	s.restarts = slices.DeleteFunc(append(s.restarts, r.now), func(at time.Duration) bool { return r.now-at > s.span })
	if len(s.restarts) > s.maxRestarts {
		c.state = down
		r.giveUp(s)
		return
	}
	if s.backoff.Initial > 0 {
		wait := float64(s.backoff.Initial) * math.Pow(2, float64(len(s.restarts)-1))
		c.state, c.due = waiting, r.now+time.Duration(min(wait, float64(s.backoff.Max)))
		return
	}
	r.again(s, c)
}

// again starts a child again, with those that its supervisor's strategy puts together with it.
func (r *rules) again(s, c *node) {
	if s.kind == aDynamic {
		switch err := r.start(c); {
		case err == errBoom:
			r.restart(s, c)
		case err != nil:
			s.drop(c)
		}
		return
	}
	group := []*node{c}
	switch s.strategy {
	case supervisor.OneForAll:
		group = slices.Clone(s.children)
	case supervisor.RestForOne:
		group = slices.Clone(s.children[slices.Index(s.children, c):])
	}
	for _, o := range slices.Backward(group) {
		r.stop(o)
		if o.restart == supervisor.Temporary {
			s.drop(o)
		}
	}
	group = slices.DeleteFunc(group, func(o *node) bool { return o.restart == supervisor.Temporary })
	if failed := r.startAll(s, group); failed != nil {
		r.restart(s, failed)
	}
}

// pass lets time pass, and has those start again that are due meanwhile.
func (r *rules) pass(d time.Duration) {
	until := r.now + d
	for {
		var next *node
		for _, n := range r.living() {
			for _, c := range n.children {
				if c.state == waiting && c.due <= until && (next == nil || c.due < next.due) {
					next = c
				}
			}
		}
		if next == nil {
			r.now = until
			return
		}
		r.now = next.due
		r.again(next.above, next)
	}
}

// killed is the end of a supervisor of workers that was declared dead.
func (r *rules) killed(s *node) {
	for _, c := range s.children {
		if c.state == up {
			r.record("-", c) // told by the system, and not by the supervisor
		}
		c.state = down
	}
	r.ended(s, false)
}

// What can be asked of a supervisor. The answers are errors.

func (s *node) find(id string) *node {
	if i := slices.IndexFunc(s.children, func(c *node) bool { return c.id == id }); i >= 0 {
		return s.children[i]
	}
	return nil
}

func (r *rules) startChild(s *node, p plan) error {
	c := s.find(p.id)
	switch {
	case s.kind == aDynamic && s.maxChildren > 0 && len(s.children) >= s.maxChildren:
		return supervisor.ErrMaxChildren
	case c != nil && c.state == up:
		return supervisor.ErrAlreadyStarted
	case c != nil:
		return supervisor.ErrAlreadyPresent
	}
	c = &node{plan: p, above: s}
	err := r.start(c)
	if err == nil || err == supervisor.ErrIgnore && s.kind != aDynamic && p.restart != supervisor.Temporary {
		s.children = append(s.children, c)
	}
	if s.kind != aDynamic && err == supervisor.ErrIgnore {
		return nil
	}
	return err
}

func (r *rules) terminateChild(s *node, id string) error {
	c := s.find(id)
	if c == nil {
		return supervisor.ErrNotFound
	}
	r.stop(c)
	if c.restart == supervisor.Temporary || s.kind == aDynamic {
		s.drop(c)
	}
	return nil
}

func (s *node) idle(id string) (*node, error) {
	c := s.find(id)
	switch {
	case c == nil:
		return nil, supervisor.ErrNotFound
	case c.state == up:
		return nil, supervisor.ErrRunning
	case c.state == waiting:
		return nil, supervisor.ErrRestarting
	}
	return c, nil
}

func (r *rules) restartChild(s *node, id string) error {
	c, err := s.idle(id)
	if err != nil {
		return err
	}
	if err = r.start(c); err == supervisor.ErrIgnore {
		return nil
	}
	return err
}

func (r *rules) deleteChild(s *node, id string) error {
	c, err := s.idle(id)
	if err == nil {
		s.drop(c)
	}
	return err
}

// living gives the top and all below it that run, each before its children.
func (r *rules) living() []*node {
	var list []*node
	var walk func(n *node)
	walk = func(n *node) {
		if n.state == up {
			list = append(list, n)
			for _, c := range n.children {
				walk(c)
			}
		}
	}
	walk(r.top)
	return list
}

var modelReasons = []error{messages.Normal, messages.Shutdown, shutdownWith, errBoom, panicked, messages.Killed}
