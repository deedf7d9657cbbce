package supervisor

import (
	"context"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// tell tells a child to stop, once, and notes when its grace is over.
func tell(ctx context.Context, system *System, c *child) {
	if c.stopping {
		return
	}
	c.stopping = true
	grace := c.spec.grace()
	if grace == BrutalKill {
		system.Kill(c.pid)
		return
	}
	if grace != Infinity {
		c.deadline = time.Now().Add(grace)
	}
	system.Exit(ctx, c.pid, messages.Shutdown)
}

// stopChild stops one child: it is told messages.Shutdown, however its supervisor ends (SH-06).
func stopChild(ctx context.Context, system *System, c *child) {
	tell(ctx, system, c)
	awaitAll(ctx, system, []*child{c}, nil)
	c.stopping, c.deadline = false, time.Time{}
}

// awaitAll waits for children that were told to stop, for all together, so that it takes as long as the slowest and not as
// long as all (SH-02). Whoever is not gone at its deadline is declared dead, and so are all if the supervisor itself is killed.
// It waits on the records of the children and not on their messages, so none can keep it (SH-09). Each is handed to report, if
// there is one.
func awaitAll(ctx context.Context, system *System, children []*child, report func(c *child)) {
	slices.SortFunc(children, earlier)
	for _, c := range children {
		if !endsBefore(ctx, c.ending.Done(), c.deadline) {
			system.Kill(c.pid)
			<-c.ending.Done() // it may be dead by somebody else, who frees its names just now
		}
		if report != nil {
			report(c)
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
