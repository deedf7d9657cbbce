package supervisor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// stopping is a child that is to stop, and how long it may take.
type stopping struct {
	pid   messages.PID
	grace time.Duration
}

// stopAll tells all children at once and waits for them together, so that it takes as long as the slowest and not as long
// as all (SH-02). Whoever is not gone when its grace is over is declared dead. It waits on the records of the children and
// not on their messages, so none can keep it (SH-09). It ends early only if the supervisor itself is killed.
func stopAll(ctx context.Context, system *System, children []stopping) {
	for _, c := range children {
		if c.grace != BrutalKill {
			system.Exit(ctx, c.pid, messages.Shutdown)
		}
	}
	// Shortest grace first, so that one timer after the other serves all. Infinity is last.
	slices.SortFunc(children, func(a, b stopping) int { return cmp.Compare(patience(a.grace), patience(b.grace)) })
	start := time.Now()
	for _, c := range children {
		if !waitUntil(ctx, system.Done(c.pid), start, c.grace) {
			system.Kill(c.pid)
		}
	}
}

// patience orders graces: BrutalKill first, Infinity last.
func patience(grace time.Duration) time.Duration {
	switch grace {
	case BrutalKill:
		return 0
	case Infinity:
		return 1<<63 - 1
	}
	return grace
}

// waitUntil reports whether done was closed before the grace, counted from start, was over.
func waitUntil(ctx context.Context, done <-chan struct{}, start time.Time, grace time.Duration) bool {
	if grace == BrutalKill {
		return false
	}
	var over <-chan time.Time
	if grace != Infinity {
		timer := time.NewTimer(time.Until(start.Add(grace)))
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
