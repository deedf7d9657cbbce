package actors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// How old the number of waiting tasks may be by which somebody is not let in, on a store that other processes use too.
const (
	// recountPause is how long the store is left alone between two counts; it is also left alone for followShare times as long as one took.
	recountPause = 50 * time.Millisecond
	// recountEvery is how often it is counted while somebody waits for room.
	recountEvery = 250 * time.Millisecond
	// recountPatience is how long whoever is to be refused waits for the count of a store that does not answer.
	recountPatience = time.Second
)

// recounter counts what waits in the store before somebody is refused for it. A runner knows of its own tasks alone: others have run
// those that it has put there, and it those of others. That many may be let in by an old number is borne, for to ask at each Run would
// cost as much as Run does; that nobody is refused by one costs little, and is done here, once for all who are.
type recounter struct {
	runner       *TaskRunner
	wake         chan struct{}
	begun, ended atomic.Int64 // counts
	done         announcement // of each that has ended
}

func newRecounter(runner *TaskRunner) *recounter {
	return &recounter{runner: runner, wake: make(chan struct{}, 1)}
}

// run is the recounter's process. It ends when ctx does.
func (c *recounter) run(ctx context.Context) error {
	for failures := 0; c.sleep(ctx); {
		began := time.Now()
		rest := recountPause
		if err := c.count(ctx); err != nil && ctx.Err() == nil {
			failures++
			c.runner.config.Logger.Warn("waiting tasks cannot be counted", "runner", c.runner.config.Name, "failures", failures, "error", err)
			rest = storePause(failures)
		} else {
			failures = 0
		}
		if !pause(ctx, max(rest, followShare*time.Since(began))) {
			break
		}
	}
	return nil
}

func (c *recounter) sleep(ctx context.Context) bool {
	if c.runner.admission.crowded() {
		return pauseUntilWoken(ctx, c.wake, recountEvery)
	}
	return sleepUntilWoken(ctx, c.wake)
}

// count has failed also for those who wait for it: they are refused by what is known.
func (c *recounter) count(ctx context.Context) error {
	number := c.begun.Add(1)
	_, _, err := c.runner.countWaiting(ctx, true)
	c.ended.Store(number)
	c.done.announce()
	return err
}

// refresh returns when a count has ended that began after it was called, or it has taken too long.
func (c *recounter) refresh(ctx context.Context) {
	patience := time.NewTimer(recountPatience)
	defer patience.Stop()
	for asked := c.begun.Load(); ; {
		done := c.done.changed()
		if c.ended.Load() > asked {
			return
		}
		poke(c.wake)
		select {
		case <-done:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		case <-c.runner.watched:
			return
		}
	}
}

// countWaiting corrects how many tasks wait by what the store says, and gives that. With force that is done also while it changes; see
// admission.correct.
func (r *TaskRunner) countWaiting(ctx context.Context, force bool) (states map[store.State]int64, corrected bool, err error) {
	before := r.admission.storedNow()
	states, err = r.config.Store.Counts(ctx, r.config.Name)
	if err != nil {
		return nil, false, fmt.Errorf("actors: count waiting tasks: %w", err)
	}
	return states, r.admission.correct(before, waitingIn(states), force), nil
}

// waitingIn is how many tasks wait, of those in each state.
func waitingIn(states map[store.State]int64) (waiting int) {
	for state, n := range states {
		if state.Waiting() {
			waiting += int(n)
		}
	}
	return waiting
}

// admit is admission.admit, but on a store that others use too, nobody is refused by an old number.
func (r *TaskRunner) admit(ctx context.Context, t ticket) (start int, err error) {
	err = r.unlessStale(ctx, &t, func() (err error) {
		again := t
		start, err = r.admission.admit(ctx, &again)
		return err
	})
	return start, err
}

// mayWait is admission.mayWait, likewise.
func (r *TaskRunner) mayWait(ctx context.Context, tasks int) error {
	return r.unlessStale(ctx, &ticket{tasks: tasks, later: true}, func() error { return r.admission.mayWait(tasks) })
}

// unlessStale tries a second time, by a new number, what was refused, unless no number would let the tasks in.
func (r *TaskRunner) unlessStale(ctx context.Context, t *ticket, try func() error) error {
	err := try()
	if !errors.Is(err, ErrFull) || !r.shared || r.admission.neverFits(t) {
		return err
	}
	r.recounter.refresh(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return try()
}
