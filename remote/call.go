package remote

import (
	"context"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// call is one thing that a client wants of a runner, from when it is asked for until there is nothing more to come. Its fields are guarded by
// the lock of the client, but those that are set before a channel is closed: those are read behind that.
type call struct {
	seq    uint64 // the order in which it was asked for
	frame  frame  // the request
	runner string
	taskID string // empty: it is about the runner
	waits  bool   // for room, when the runner is full
	closes bool   // it is a monitor: it ends with the connection

	link   *link  // that has it; nil: it waits for one
	number uint64 // on that link
	sent   bool   // it may have been dealt with
	bound  place  // where, if it was
	since  time.Time
	full   bool // it waits for room
	left   bool // nobody waits for it any more
	unsure bool // of a run: a connection was lost before its answer, so that it may be accepted, whatever others say of it

	lacking *lacking // of a run: who does not know its kind; nil: nobody has said so
	crowded *crowded // of a run: who had no room for it; nil: nobody has said so

	answered chan struct{} // closed when it is accepted, refused, or done
	existed  bool
	err      error
	yes      bool // it is accepted

	wanted   bool          // an outcome
	over     bool          // it is there, or there will be none
	ended    chan struct{} // closed then; nil as long as nobody waits: of short tasks the outcome comes with the answer
	outcome  []byte        // its envelope
	endErr   error
	told     func(messages.Down) // of a monitor
	inWindow bool                // it has a place there
	unhook   func() bool         // of WithCancel: the end of the caller's context means nothing any more; may be nil
}

// place is where a task was handed over: at a node, or at a database, which others may have too.
type place struct {
	address, node, database string
}

func (c *call) isRun() bool { return c.frame.what == askRun }

// isOver reports whether nothing more is to come.
func (c *call) isOver() bool {
	select {
	case <-c.answered:
		return c.err != nil || !c.wanted || c.over
	default:
		return c.over
	}
}

// lacking is who does not know a kind.
type lacking struct {
	nodes map[*link]string
	err   error // what the last of them has said
}

// lacks notes that a node does not know the kind of a run. Others may: an upgrade replaces one after the other.
func (c *call) lacks(l *link, err error) {
	if c.lacking == nil {
		c.lacking = &lacking{nodes: map[*link]string{}}
	}
	c.lacking.nodes[l], c.lacking.err = l.node, err
}

func (c *call) lackedBy(l *link) bool {
	if c.lacking == nil {
		return false
	}
	node, ok := c.lacking.nodes[l]
	return ok && node == l.node // another start of the program may be a newer version of it
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// end says that the outcome is there, or why there will be none. There is nothing to cancel any more.
func (c *call) end(outcome []byte, err error) {
	c.outcome, c.endErr, c.over = outcome, err, true
	if c.ended != nil {
		close(c.ended)
	}
	c.unhooked()
}

func (c *call) unhooked() {
	if c.unhook != nil {
		c.unhook()
	}
}

// wait waits until the outcome is there, or there will be none, and reports whether that was so already.
func (c *Client) wait(ctx context.Context, a *call) (already bool, err error) {
	c.mu.Lock()
	if a.over {
		c.unlock()
		return true, nil
	}
	if a.ended == nil {
		a.ended = make(chan struct{})
	}
	ended := a.ended
	c.unlock()
	select {
	case <-ended:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// crowded is who had no room for a run that does not wait for it.
type crowded struct {
	links []*link
	err   error // what the last of them has said
}

// turnedAway notes that a listener has no room.
func (c *call) turnedAway(l *link, err error) {
	if c.crowded == nil {
		c.crowded = &crowded{}
	}
	c.crowded.links, c.crowded.err = append(c.crowded.links, l), err
}

func (c *call) wasTurnedAway(l *link) bool {
	return c.crowded != nil && slices.Contains(c.crowded.links, l)
}
