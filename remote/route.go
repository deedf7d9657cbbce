package remote

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// candidate is a link as one call sees it.
type candidate struct {
	known   bool  // it reaches the runner
	may     bool  // the call may go there
	stopped bool  // the runner takes nothing, or the listener is leaving
	full    bool  // the runner has refused a task for want of room
	free    int64 // how much room there is, less what was sent since that was told
}

// pick gives the candidate with the most room, of those that can take the call; -1: none.
func pick(candidates []candidate) int {
	best := -1
	for i, c := range candidates {
		if !c.known || !c.may || c.stopped || c.full {
			continue
		}
		if best < 0 || c.free > candidates[best].free {
			best = i
		}
	}
	return best
}

// verdict is what becomes of a call that nobody can take now.
type verdict int

const (
	keepWaiting   verdict = iota // somebody may come who can
	nobodyHas                    // all are here, and none has the runner
	allStopped                   // all are here, and the runner is stopped everywhere
	everybodyFull                // it is full everywhere
)

// judge says what becomes of a call that nobody can take. allUp is whether there is a connection to everybody.
func judge(candidates []candidate, allUp bool) verdict {
	may, stopped, full := 0, 0, 0
	for _, c := range candidates {
		if !c.known || !c.may {
			continue
		}
		may++
		switch {
		case c.stopped:
			stopped++
		case c.full:
			full++
		}
	}
	switch {
	case full > 0:
		return everybodyFull
	case !allUp:
		return keepWaiting
	case may == 0:
		return nobodyHas
	case stopped == may:
		return allStopped
	}
	return keepWaiting
}

// allows says whether a call that was sent somewhere may go to a place: to the database that may have it already, or to the same address,
// if nothing was recorded. There, if it is another node by now, the task is gone with the one before.
func (bound place) allows(other place) bool {
	switch {
	case bound == place{}:
		return true
	case bound.database != "":
		return bound.database == other.database
	}
	return bound.address == other.address && other.database == ""
}

// candidates is called with the lock.
func (c *Client) candidates(a *call) (candidates []candidate, allUp bool) {
	c.looked = slices.Grow(c.looked[:0], len(c.links))[:len(c.links)]
	clear(c.looked)
	candidates, allUp = c.looked, true
	for i, l := range c.links {
		if !l.up {
			allUp = allUp && l.unwanted
			continue
		}
		r := l.rooms[a.runner]
		if r == nil {
			continue
		}
		candidates[i] = candidate{
			known: true, may: a.bound.allows(l.placeOf(r)) && !a.lackedBy(l), stopped: a.isRun() && (l.leaving || r.GetStopped()),
			full: a.isRun() && (a.waits && r.full || a.wasTurnedAway(l)), free: r.GetFree() - r.given,
		}
	}
	return candidates, allUp && len(c.links) > 0
}

// placeOf gives where a call is that is sent now. Without a room nothing is known of the runner.
func (l *link) placeOf(r *room) place {
	p := place{address: l.address, node: l.node}
	if r != nil {
		p.database = r.GetDatabase()
	}
	return p
}

// isUnknownEverywhere is called with the lock.
func (c *Client) isUnknownEverywhere() bool {
	known := func(l *link) bool { return !l.unwanted && (l.up || !errors.Is(l.err, ErrUnauthenticated)) }
	return len(c.links) > 0 && !slices.ContainsFunc(c.links, known)
}

// route gives a call to a link, or has it wait for one, or ends it. It is called with the lock.
func (c *Client) route(a *call, now time.Time) {
	candidates, allUp := c.candidates(a)
	if best := pick(candidates); best >= 0 {
		c.give(c.links[best], a)
		return
	}
	if a.since.IsZero() {
		a.since = now
	}
	v := judge(candidates, allUp)
	if a.lacking != nil && !a.sent && v != everybodyFull { // who is away may know the kind, but most often it is a slip, of which one learns at once
		c.fail(a, a.lacking.err)
		return
	}
	if !a.sent && c.isUnknownEverywhere() {
		c.fail(a, c.noConnectionLocked())
		return
	}
	switch v {
	case nobodyHas:
		if a.bound == (place{}) { // else somebody had it, who may come back
			c.giveToAnyone(a)
			return
		}
	case allStopped:
		if !a.sent && a.isRun() {
			c.fail(a, actors.ErrStopping)
			return
		}
	case everybodyFull:
		if !a.waits {
			c.fail(a, a.maybe(a.crowded.err))
			return
		}
		a.full = true
	}
	c.hold(a)
}

// giveToAnyone gives a call to a listener that does not have its runner, or not for this client. Which of the two, the listener says, and there
// it is seen. A monitor has its answer: there is no process. It is called with the lock.
func (c *Client) giveToAnyone(a *call) {
	for _, l := range c.links {
		if l.up && !l.leaving && !a.closes {
			c.queue(l, a)
			return
		}
	}
	c.fail(a, unknownRunner(a.runner))
}

func unknownRunner(name string) error {
	return &travelled{fmt.Sprintf("%v: %q", ErrUnknownRunner, name), ErrUnknownRunner}
}

// hold puts a call among those that wait, where its turn is. It is called with the lock.
func (c *Client) hold(a *call) {
	at, _ := slices.BinarySearchFunc(c.waiting, a, func(x, y *call) int { return cmp.Compare(x.seq, y.seq) })
	c.waiting = slices.Insert(c.waiting, at, a)
}

// give queues a call on a link. It is called with the lock.
func (c *Client) give(l *link, a *call) {
	r := l.rooms[a.runner]
	if a.isRun() && !a.sent {
		r.given++
	}
	if lost := a.isRun() && a.yes; lost || a.sent && a.bound.database == "" && a.bound.node != l.node {
		c.giveAgain(l, a)
		if a.isOver() {
			return
		}
	}
	c.queue(l, a)
}

// queue is called with the lock.
func (c *Client) queue(l *link, a *call) {
	a.link, a.since, a.full = l, time.Time{}, false
	l.queue = append(l.queue, a)
	if len(l.queue) == 1 {
		poke(l.wake)
	}
}

// giveAgain makes of a call what it is when it is asked anew: a run that was accepted is awaited. Where nothing was recorded and the
// program is another one by now, a task that was accepted is lost, and one of which that is not known is new.
func (c *Client) giveAgain(l *link, a *call) {
	if a.bound.database == "" && a.bound.node != l.node {
		if a.yes || !a.isRun() {
			c.fail(a, ErrLost)
			return
		}
		a.unbind()
		return
	}
	if a.isRun() && a.yes {
		a.frame = frame{runner: a.frame.runner, what: askAwait, payload: payloadOf(&remotepb.Await{TaskId: a.taskID})}
	}
}

// routeAll tries again for those that wait, in their order. It is called with the lock.
func (c *Client) routeAll(now time.Time) {
	waiting := c.waiting
	c.waiting = nil
	for _, a := range waiting {
		if !a.left {
			c.route(a, now)
		}
	}
}

// unbind has a run go anywhere: nobody has it.
func (c *call) unbind() { c.sent, c.bound, c.unsure = false, place{}, false }

// fail ends a call without what it was for. It is called with the lock.
func (c *Client) fail(a *call, err error) {
	c.release(a)
	a.unhooked()
	if a.wanted && !a.over {
		a.end(nil, err)
	}
	if !isClosed(a.answered) {
		a.err = err
		close(a.answered)
	}
	c.tellDown(a, err)
}

// awayError is what a call is answered when nobody could be reached for too long. It is called with the lock.
func (c *Client) awayError(a *call) error {
	err := c.noConnectionLocked()
	if a.lacking != nil {
		err = fmt.Errorf("%w: %w", err, a.lacking.err)
	}
	return a.maybe(err)
}

// maybe says of a run that is not answered, if it is so, that it may have been accepted all the same.
func (c *call) maybe(err error) error {
	if c.isRun() && c.sent && !c.yes {
		return &mayBeError{err}
	}
	return err
}

// mayBeError says that a run may have been accepted all the same.
type mayBeError struct{ err error }

func (e *mayBeError) Error() string {
	return e.err.Error() + "; the task may have been accepted all the same"
}
func (e *mayBeError) Unwrap() []error { return []error{store.ErrUnavailable, e.err} }
