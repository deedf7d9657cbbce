package sqlite_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

const benchRunner = "bench"

func subscribe(t *testing.T, s *sqlite.Store, name string, after int64) (cursor int64) {
	t.Helper()
	cursor, err := s.Subscribe(t.Context(), benchTime, benchRunner, name, after)
	if err != nil {
		t.Error(err)
	}
	return cursor
}

// wantCursor looks at the only subscriber.
func wantCursor(t *testing.T, s *sqlite.Store, want int64) {
	t.Helper()
	all, err := s.Subscribers(t.Context(), benchRunner)
	if err != nil || len(all) != 1 || all[0].Cursor != want {
		t.Errorf("the subscribers are %+v, %v; want one at %d", all, err, want)
	}
}

func wantPruned(t *testing.T, s *sqlite.Store, want int) {
	t.Helper()
	n, err := s.Prune(t.Context(), store.Expiry{Runner: benchRunner, Completed: benchTime.Add(time.Hour)})
	if n != want || err != nil {
		t.Errorf("deleted %d, %v; want %d", n, err, want)
	}
}

// TestSubscribersAfterCrash: what a subscriber has acknowledged survives the process, and what it has not is kept by the next one.
func TestSubscribersAfterCrash(t *testing.T) {
	s := open(t, tempFile(t))
	subscribe(t, s, "s", store.FromOldest)
	var places []int64
	for _, task := range begin(t, s, 6) {
		places = append(places, end(t, s, task, store.Completed).Pos)
	}
	for i, pos := range places {
		if _, err := s.Acknowledge(t.Context(), benchTime, benchRunner, "s", pos); err != nil {
			t.Fatal(err)
		}
		s = crashed(t, s.Path())
		wantCursor(t, s, pos)
		if again := subscribe(t, s, "s", store.FromOldest); again != pos {
			t.Errorf("it goes on at %d, it has acknowledged %d", again, pos)
		}
		wantPruned(t, s, 1)
		countsAreTrue(t, s)
		found, err := s.Outcomes(t.Context(), store.OutcomeQuery{Runner: benchRunner, After: pos, Gapless: true})
		if left := len(places) - 1 - i; err != nil || len(found.Tasks) != left {
			t.Errorf("behind %d there are %d, %v; want %d", pos, len(found.Tasks), err, left)
		}
	}
}

// TestSubscriberComesBetween: one that comes when the outcomes to be deleted were found, but not deleted yet, keeps those behind it.
func TestSubscriberComesBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		var last int64
		for _, task := range begin(t, s, 3) {
			last = end(t, s, task, store.Completed).Pos
		}
		h := holdWriter(s)
		var wg sync.WaitGroup
		wg.Go(func() { subscribe(t, s, "s", last-1) })
		synctest.Wait()
		wg.Go(func() { wantPruned(t, s, 2) })
		synctest.Wait()
		if n := s.Queued(); n != 2 {
			t.Fatalf("%d operations wait, want 2", n)
		}
		h.end(t)
		wg.Wait()
		wantCounts(t, s, map[store.State]int64{store.Completed: 1})
		countsAreTrue(t, s)
		wantPruned(t, s, 0)
	})
}

// TestKeptOutcomesCostNothing: a Prune that finds nothing but what subscribers keep does not trouble the writer.
func TestKeptOutcomesCostNothing(t *testing.T) {
	s := open(t, tempFile(t))
	fill(t, s, 100)
	subscribe(t, s, "s", 50)
	wantPruned(t, s, 50)
	var writes atomic.Int64
	if err := s.Inject(func(_ string, run func() error) error {
		writes.Add(1)
		return run()
	}); err != nil {
		t.Fatal(err)
	}
	before := writes.Load()
	for range 3 {
		wantPruned(t, s, 0)
	}
	if n := writes.Load() - before; n != 0 {
		t.Errorf("the writer has run %d statements", n)
	}
}

// TestAcknowledgeFails has one COMMIT fail in each of the ways that there are: a cursor is raised or not as the answer says, and if that
// does not know, as the file has it.
func TestAcknowledgeFails(t *testing.T) {
	for _, c := range faults() {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, tempFile(t))
			before := subscribe(t, s, "s", store.FromNow)
			pos := end(t, s, begin(t, s, 1)[0], store.Completed).Pos
			quiet := atomic.Bool{}
			quiet.Store(true)
			if err := s.Inject(func(text string, run func() error) error {
				if quiet.Load() {
					return run()
				}
				return c.fault(text, run)
			}); err != nil {
				t.Fatal(err)
			}
			quiet.Store(false)
			plug := s.Unplug()
			_, err := s.Acknowledge(t.Context(), benchTime, benchRunner, "s", pos)
			if recorded := err == nil; recorded != (c.committed && c.known) || err != nil && !errors.Is(err, errDisk) {
				t.Errorf("the answer is %v", err)
			}
			want := before
			if c.committed {
				want = pos
			}
			wantCursor(t, s, want)
			plug()
			quiet.Store(true)
			if again, err := s.Acknowledge(t.Context(), benchTime, benchRunner, "s", pos); again != pos || err != nil {
				t.Errorf("later the cursor is %d, %v; want %d", again, err, pos)
			}
			wantCursor(t, crashed(t, s.Path()), pos)
		})
	}
}

// TestMigrateSubscribers: the schema before knows of no subscribers, and has all the rest.
func TestMigrateSubscribers(t *testing.T) {
	path, id := filled(t)
	s := open(t, path)
	subscribe(t, s, "s", store.FromOldest)
	_ = s.Close()
	_, newest, _ := schema(t, path)
	for _, version := range []int{3, newest} {
		if err := sqlite.Migrate(t.Context(), path, version); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, path)
	get(t, s, id)
	countsAreTrue(t, s)
	if all, err := s.Subscribers(t.Context(), benchRunner); len(all) != 0 || err != nil {
		t.Errorf("there are %+v, %v", all, err)
	}
	wantCursor(t, s, subscribe(t, s, "again", store.FromNow))
}

// TestCursorsByHand: whatever somebody makes of the numbers, no outcome gets a place before the cursor of a subscriber, or before what was
// deleted.
func TestCursorsByHand(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		path := tempFile(t)
		s := open(t, path)
		tasks := begin(t, s, 5)
		for _, task := range tasks[:4] {
			end(t, s, task, store.Completed)
		}
		cursor := store.FromOldest
		if keeps {
			cursor = subscribe(t, s, "s", store.FromNow)
		}
		wantPruned(t, s, 4)
		_ = s.Close()
		change := "DELETE FROM taskrunner_pruned"
		if !keeps {
			change = "SELECT 1"
		}
		raw(t, path, "UPDATE taskrunner_meta SET pos = 1", change)
		s = open(t, path)
		later := end(t, s, tasks[4], store.Completed)
		found, err := s.Outcomes(t.Context(), store.OutcomeQuery{Runner: benchRunner, After: cursor})
		if err != nil || len(found.Tasks) != 1 || found.Tasks[0].ID != later.ID {
			t.Errorf("keeps %v: behind %d there are %+v, %v", keeps, cursor, found, err)
		}
	}
}
