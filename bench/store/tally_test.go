package store

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// argsBytes is how many bytes the arguments of every task have, as they are recorded.
const argsBytes = 100

// noop is the arguments of every task. As JSON, it has argsBytes.
type noop struct {
	Payload string `json:"payload"`
}

func noopArgs() noop {
	return noop{Payload: strings.Repeat("x", argsBytes-len(`{"payload":""}`))}
}

// noopBytes is the arguments of a queue that takes bytes.
func noopBytes() []byte { return []byte(strings.Repeat("x", argsBytes)) }

// tally counts up to a number that is known before.
type tally struct {
	goal    int64
	count   atomic.Int64
	reached chan struct{}
}

func newTally(goal int) *tally { return &tally{goal: int64(goal), reached: make(chan struct{})} }

func (t *tally) add(n int) {
	now := t.count.Add(int64(n))
	if now >= t.goal && now-int64(n) < t.goal {
		close(t.reached)
	}
}

func (t *tally) await(ctx context.Context) error {
	select {
	case <-t.reached:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d tasks came through: %w", t.count.Load(), t.goal, context.Cause(ctx))
	}
}

// pollInterval is how often a queue that tells nobody is asked whether it is empty, once its last handler has begun. To ask
// earlier would take from it what is measured.
const pollInterval = time.Millisecond

// awaitEmpty is await for a queue that tells nobody of completions: when all handlers have run, it looks until nothing is left.
func (t *tally) awaitEmpty(ctx context.Context, left func(context.Context) (int, error)) error {
	if err := t.await(ctx); err != nil {
		return err
	}
	for {
		if n, err := left(ctx); err != nil || n == 0 {
			return err
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
