package storetest

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// outcomesAhead: a cursor of another database, or of this one before a backup was restored, must not miss what comes.
func outcomesAhead(e *env) {
	e.refusesAhead(0)
	e.ended(store.Completed, store.Discarded)
	other := onNode(newTask())
	other.Runner = "other"
	e.finished(e.outcome(e.insert(other)[0], store.Completed)) // the last, and not the runner's
	end := e.outcomesAfter(store.FromNow).Next
	e.refusesAhead(end)
	e.pass(time.Hour)
	for _, name := range []string{runner, "other"} {
		_, err := e.Prune(ctx(), store.Expiry{Runner: name, Completed: e.now, Discarded: e.now})
		check(e.T, err)
	}
	e.refusesAhead(end)
	if now := e.outcomesAfter(store.FromNow).Next; now != end {
		e.Errorf("the order ends at %d, and after all was deleted at %d", end, now)
	}
	want := e.ended(store.Completed)
	sameIDs(e.T, "behind the end", ids(e.outcomesAfter(end).Tasks), want)
}

// refusesAhead: the end of the order is a cursor, and what is behind it is none.
func (e *env) refusesAhead(end int64) {
	e.Helper()
	for _, name := range []string{"", runner, "other"} {
		found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: name, After: end})
		if check(e.T, err); found.Next < end {
			e.Errorf("from the end of %q, which is %d, it goes on at %d", name, end, found.Next)
		}
		for _, ahead := range []int64{end + 1, end + 1_000_000_000, math.MaxInt64} {
			_, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: name, After: ahead})
			refusedAs(e.T, "a cursor that is ahead", err, store.ErrCursorAhead)
		}
	}
}

// replicasCursors: what one has given another takes, at once, while outcomes are recorded and deleted.
func replicasCursors(r *replicas) {
	var given atomic.Int64
	var writing, reading sync.WaitGroup
	done := make(chan bool)
	for i, e := range r.envs {
		writing.Go(func() { e.endMany(60, i) })
		for range 2 {
			reading.Go(func() { e.handOn(&given, done) })
		}
	}
	reading.Go(func() { r.pruneUntil(done) })
	writing.Wait()
	close(done)
	reading.Wait()
}

// handOn reads from wherever anybody is, and passes on how far it came.
func (e *env) handOn(given *atomic.Int64, done <-chan bool) {
	for from := store.FromNow; ; {
		found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: from, Limit: 3})
		if err != nil && !errors.Is(err, store.ErrCursorExpired) {
			e.Errorf("a cursor that was given: %v", err)
			return
		}
		for last := given.Load(); found.Next > last && !given.CompareAndSwap(last, found.Next); {
			last = given.Load()
		}
		select {
		case <-done:
			return
		default:
		}
		if from = given.Load(); from%2 == 0 && from == found.Next {
			from = store.FromNow
		}
	}
}

// pruneUntil deletes what there is.
func (e *env) pruneUntil(done <-chan bool) {
	for {
		select {
		case <-done:
			return
		default:
		}
		later := e.now.Add(24 * time.Hour)
		if _, err := e.Prune(ctx(), store.Expiry{Runner: runner, Completed: later, Cancelled: later, Discarded: later}); err != nil {
			e.Error(err)
			return
		}
	}
}
