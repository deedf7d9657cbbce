package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/store"
)

// tokens makes names for calls, which no other process makes.
type tokens struct {
	process string
	last    atomic.Int64
}

func (t *tokens) next() string { return fmt.Sprintf("%s.%d", t.process, t.last.Add(1)) }

// pace keeps the load below what the machine can do, however slow that is today: while more than a few tasks are available, most
// callers wait. Else the least urgent would wait for ever, and nobody could say whether what died runs again soon.
type pace struct{ behind atomic.Bool }

// Limits of the pace.
const (
	paceEvery = 25 * time.Millisecond
	paceLimit = 40
)

// keep looks how many tasks are available, until ctx ends.
func (p *pace) keep(ctx context.Context, s store.Reader) {
	for harness.Pause(ctx, paceEvery) {
		counts, err := s.Counts(ctx, runnerName)
		p.behind.Store(err == nil && counts[store.Available] > paceLimit)
	}
}

// accept has tasks accepted until the child is to rest.
func (c *child) accept(rng *rand.Rand) {
	defer c.asking.Done()
	for c.resting.Err() == nil {
		ctx, cancel := c.resting, context.CancelFunc(func() {})
		if rng.IntN(30) == 0 { // no time, so that nobody waits for the answer
			ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.Int64N(int64(2*time.Millisecond))))
		}
		switch rng.IntN(20) {
		case 0:
			c.askMany(ctx, rng)
		case 1, 2, 3, 4, 5, 6:
			c.ask(ctx, c.draw(rng), uuid.NewString())
		default:
			c.askOne(ctx, rng)
		}
		cancel()
		for harness.Pause(c.resting, time.Duration(rng.Int64N(int64(2*c.config.Load.Pause)))) && c.pace.behind.Load() && rng.IntN(20) > 0 {
			continue // one in twenty goes on, so that the runner is full now and then
		}
	}
}

func (c *child) draw(rng *rand.Rand) order {
	o := draw(rng, c.config.Load.Long)
	o.Token = c.tokens.next()
	return o
}

func (o order) kind() string {
	if o.Takes > 0 {
		return slow
	}
	return quick
}

func (o order) options() []actors.Option {
	options := []actors.Option{actors.WithMaxAttempts(o.MaxAttempts), actors.WithPriority(o.Priority)}
	if o.Delay > 0 {
		options = append(options, actors.WithDelay(o.Delay))
	}
	if o.Timeout > 0 {
		options = append(options, actors.WithTimeout(o.Timeout))
	}
	return options
}

// askOne asks for one task, whose id the runner makes; what is not answered stays so. Now and then it awaits the outcome.
func (c *child) askOne(ctx context.Context, rng *rand.Rand) {
	o := c.draw(rng)
	options := o.options()
	if rng.IntN(2) == 0 {
		options = append(options, actors.WithWait())
	}
	c.tell(event{What: isAsked, Token: o.Token, Order: &o})
	h, err := actors.Run[result](ctx, c.runner, o.kind(), o, options...)
	if !c.answered(ctx, o.Token, h, err) {
		return
	}
	if rng.IntN(6) == 0 {
		c.awaitHandle(c.resting, h)
	}
}

// askMany asks for many tasks in one call.
func (c *child) askMany(ctx context.Context, rng *rand.Rand) {
	orders := make([]order, 2+rng.IntN(60))
	first := c.draw(rng)
	for i := range orders {
		orders[i] = c.draw(rng)
		orders[i].MaxAttempts, orders[i].Priority, orders[i].Delay, orders[i].Timeout = first.MaxAttempts, first.Priority, first.Delay, first.Timeout
		c.tell(event{What: isAsked, Token: orders[i].Token, Order: &orders[i]})
	}
	handles, err := actors.RunMany[result](ctx, c.runner, first.kind(), orders, first.options()...)
	for i, o := range orders {
		var h *actors.Handle[result]
		if err == nil {
			h = handles[i]
		}
		c.answered(ctx, o.Token, h, err)
	}
}

// ask asks for a task by its id until it is accepted or refused for sure, and then now and then once more, which changes nothing.
func (c *child) ask(ctx context.Context, o order, id string) {
	for tries := 1; ; tries++ {
		c.tell(event{What: isAsked, Token: o.Token, ID: id, Order: &o})
		h, err := actors.Run[result](ctx, c.runner, o.kind(), o, append(o.options(), actors.WithID(id))...)
		c.answered(ctx, o.Token, h, err)
		again := err == nil && tries == 1 && id[0] < '4'
		if !again && (err == nil || !unsure(ctx, err)) || !harness.Pause(c.resting, 5*time.Millisecond) {
			return
		}
		ctx = c.resting // the first may have had little time
	}
}

// answered tells the answer to one call.
func (c *child) answered(ctx context.Context, token string, h *actors.Handle[result], err error) bool {
	if err != nil {
		c.tell(event{What: isRefused, Token: token, Text: err.Error(), Unsure: unsure(ctx, err)})
		return false
	}
	c.tell(event{What: isAccepted, Token: token, ID: h.ID(), Existed: h.Existed()})
	return true
}

// awaitTime is how long a caller awaits an outcome at most. It may be awaited again.
const awaitTime = time.Second

func (c *child) awaitHandle(ctx context.Context, h *actors.Handle[result]) {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	r, err := h.Await(ctx)
	c.awaited(h.ID(), r, err)
}

func (c *child) await(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	r, err := actors.Await[result](ctx, c.runner, id)
	c.awaited(id, r, err)
}

func (c *child) awaited(id string, r result, err error) {
	if err == nil {
		c.tell(event{What: isAwaited, ID: id, State: store.Completed, Result: encode(r)})
		return
	}
	if ended, ok := errors.AsType[*actors.TaskError](err); ok {
		c.tell(event{What: isAwaited, ID: id, State: ended.State})
	}
	c.mustKnow(doAwait, id, err)
}
