package supervisor

import (
	"context"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// tell tells a child to stop, once, and notes when its grace is over.
func (d *dynamic) tell(ctx context.Context, c *child) {
	if c.stopping {
		return
	}
	c.stopping = true
	grace := c.spec.grace()
	if grace == BrutalKill {
		d.system.Kill(c.pid)
		return
	}
	if grace != Infinity {
		c.deadline = time.Now().Add(grace)
	}
	d.system.Exit(ctx, c.pid, messages.Shutdown)
}

// awaitAll waits for children that were told to stop, for all together, so that it takes as long as the slowest and not as
// long as all (SH-02). Whoever is not gone at its deadline is declared dead. It waits on the records of the children and not
// on their messages, so none can keep it (SH-09). It ends early only if the supervisor itself is killed.
func awaitAll(ctx context.Context, system *System, children []*child) {
	slices.SortFunc(children, earlier)
	for _, c := range children {
		if !endsBefore(ctx, system.Done(c.pid), c.deadline) {
			system.Kill(c.pid)
		}
	}
}

// earlier orders children by deadline, so that one timer after the other serves all. Those that have none are last.
func earlier(a, b *child) int {
	switch {
	case a.deadline.Equal(b.deadline):
		return 0
	case a.deadline.IsZero():
		return 1
	case b.deadline.IsZero():
		return -1
	default:
		return a.deadline.Compare(b.deadline)
	}
}

// endsBefore reports whether done was closed before the deadline; a zero deadline is none.
func endsBefore(ctx context.Context, done <-chan struct{}, deadline time.Time) bool {
	var over <-chan time.Time
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return isClosed(done)
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-done:
		return true
	case <-over:
		return false
	case <-ctx.Done():
		return false
	}
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
