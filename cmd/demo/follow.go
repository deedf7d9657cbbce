package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// followBatch is how many moves the database is asked about at once.
	followBatch = 256
	// followRest is how long outcomes gather before they are read. Where each has a commit of its own, to read each by a
	// question of its own would cost the database as much again.
	followRest = 25 * time.Millisecond
	// followAgain is how long the follower waits before it asks a database again that did not answer.
	followAgain = 500 * time.Millisecond
)

// follower reads how the moves end that it is to follow, counts that, and has each one that failed named with its reason. It is
// one goroutine: to await each of some thousands of moves in one of its own takes 60 MB for their stacks.
type follower struct {
	*ledger
	db     store.Reader
	slots  chan struct{}           // one for each move that is followed
	cancel context.CancelCauseFunc // ends the reading
	gone   chan struct{}           // closed when nothing is read any more
	ended  sync.WaitGroup          // the moves that are followed

	mu   sync.Mutex
	open map[string]followed // by id; nil when nothing is read any more
}

// followed is a move whose end is not known.
type followed struct {
	move assets.Move
	name string
}

// newFollower makes a follower that follows at most so many moves at a time, and followBatch at least; whoever adds more
// waits.
func newFollower(screen *screen, limit int) *follower {
	return &follower{
		ledger: newLedger(screen), slots: make(chan struct{}, max(limit, followBatch)), gone: make(chan struct{}),
		open: make(map[string]followed),
	}
}

// start begins to read the outcomes of a runner that come from now on. Whoever starts it calls settle.
func (f *follower) start(ctx context.Context, db store.Reader, runner *actors.TaskRunner) error {
	now, err := db.Outcomes(ctx, store.OutcomeQuery{Runner: runner.Name(), After: store.FromNow})
	if err != nil {
		return err
	}
	// ctx may be a signal's, and what runs then may still finish.
	reading, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f.db, f.cancel = db, cancel
	go func() {
		defer close(f.gone)
		f.giveUp(f.read(reading, runner, now.Next))
	}()
	return nil
}

// settle returns when all that a stopped runner has recorded is counted, or ctx ends. The database must be open until then.
func (f *follower) settle(ctx context.Context) error {
	if f.cancel == nil {
		return nil // never started
	}
	defer f.cancel(nil)
	select {
	case <-f.gone:
		return nil
	case <-ctx.Done():
		f.cancel(context.Cause(ctx))
		<-f.gone
		return context.Cause(ctx)
	}
}

// read counts outcomes until no more will come, and gives why. A database that does not answer is asked again.
func (f *follower) read(ctx context.Context, runner *actors.TaskRunner, after int64) error {
	for {
		var err error
		after, err = f.countFrom(ctx, runner.Name(), after)
		if err == nil {
			err = awaitNext(ctx, runner, after)
		}
		rest := followRest
		switch {
		case errors.Is(err, actors.ErrStopping), errors.Is(err, store.ErrCursorExpired), errors.Is(err, store.ErrCursorAhead):
			return err
		case err != nil:
			rest = followAgain
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// countFrom counts the outcomes that there are behind the cursor, and gives the new one.
func (f *follower) countFrom(ctx context.Context, runner string, after int64) (int64, error) {
	for {
		page, err := f.db.Outcomes(ctx, store.OutcomeQuery{Runner: runner, After: after, Limit: store.MaxList})
		if err != nil || page.Next == after {
			return after, err
		}
		for _, task := range page.Tasks {
			f.count(task)
		}
		after = page.Next
	}
}

// awaitNext returns when there is an outcome behind the cursor, or an error when there will be none.
func awaitNext(ctx context.Context, runner *actors.TaskRunner, after int64) error {
	for _, err := range runner.Outcomes(ctx, after) {
		return err
	}
	return nil
}

// giveUp lets go of the moves whose outcomes will not be known.
func (f *follower) giveUp(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.open) > 0 && why != actors.ErrStopping { //nolint:errorlint // more than that: something kept the last outcomes from being read
		f.breaks(why)
	}
	for range f.open {
		<-f.slots
		f.ended.Done()
	}
	f.open = nil
}

// follow has the ends of recorded moves counted, of those too that have ended already. With ctx ends only the waiting for room.
func (f *follower) follow(ctx context.Context, moves []recorded, nameOf func(assets.Move) string) error {
	for batch := range slices.Chunk(moves, followBatch) {
		ids := f.addAll(ctx, batch, nameOf)
		// Only now: what ends later is read.
		ended, err := f.db.Ended(context.WithoutCancel(ctx), ids)
		for _, task := range ended {
			f.count(task)
		}
		if err != nil || len(ids) < len(batch) {
			return err
		}
	}
	return nil
}

// addAll gives the ids of those that it has added before ctx ended.
func (f *follower) addAll(ctx context.Context, moves []recorded, nameOf func(assets.Move) string) (ids []string) {
	for _, m := range moves {
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return ids
		}
		f.add(m, nameOf(m.move))
		ids = append(ids, m.id)
	}
	return ids
}

// add follows one more move. Its end need not be known yet.
func (f *follower) add(m recorded, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, twice := f.open[m.id]; twice || f.open == nil {
		<-f.slots
		return
	}
	f.ended.Add(1)
	f.open[m.id] = followed{move: m.move, name: name}
}

// wait returns when every move has ended, or the runner has stopped.
func (f *follower) wait() tally {
	f.ended.Wait()
	return f.now()
}

// count counts the end of a task, if it is a move that is followed.
func (f *follower) count(t store.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.open[t.ID]
	if !ok {
		return // another process's, or counted already
	}
	delete(f.open, t.ID)
	<-f.slots
	defer f.ended.Done()
	switch t.State {
	case store.Completed:
		f.arrive(m.name, t.Result)
	case store.Cancelled:
		f.withdraw(m.name)
	default:
		f.fail(m.name, reason(lastError(t), m.move))
	}
}

// lastError is what the last attempt of a task has failed with, as it was recorded.
func lastError(t store.Task) string {
	if len(t.History) == 0 {
		return ""
	}
	return t.History[len(t.History)-1].Error
}
