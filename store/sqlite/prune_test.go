package sqlite_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// TestPruneAfterRestart: another process begins at the start, and finds the same.
func TestPruneAfterRestart(t *testing.T) {
	path := tempFile(t)
	hour := func(n int) time.Time { return benchTime.Add(time.Duration(n) * time.Hour) }
	s := open(t, path)
	for i, task := range begin(t, s, 8) {
		o := completed(task)
		o.FinishedAt = hour(i)
		if i%2 == 1 {
			o.To, o.Error = store.Discarded, "it failed"
		}
		finish(t, s, []store.Outcome{o})
	}
	for now := range 8 {
		for range 2 { // the second time there is nothing to do
			if _, err := s.Prune(t.Context(), store.Expiry{Runner: "bench", Completed: hour(now), Discarded: hour(now - 2)}); err != nil {
				t.Fatal(err)
			}
		}
		want := 0
		for i := range 8 {
			if i%2 == 0 && i >= now || i%2 == 1 && i >= now-2 {
				want++
			}
		}
		if n := number(t, s, `SELECT count(*) FROM taskrunner_finished`); n != int64(want) {
			t.Errorf("at %d there are %d outcomes, want %d", now, n, want)
		}
		countsAreTrue(t, s)
		_ = s.Close()
		s = open(t, path)
	}
	if n := number(t, s, `SELECT count(*) FROM taskrunner_attempts`); n != 2 {
		t.Errorf("there are %d entries of history, want those of the two tasks that are left", n)
	}
}

// TestPruneWithClockSetBack: one behind an outcome that is kept goes when that one does.
func TestPruneWithClockSetBack(t *testing.T) {
	s := open(t, tempFile(t))
	for i, task := range begin(t, s, 3) {
		o := completed(task)
		o.FinishedAt = benchTime.Add([]time.Duration{0, 2 * time.Hour, time.Hour}[i])
		finish(t, s, []store.Outcome{o})
	}
	for _, c := range []struct {
		before time.Duration
		want   int
	}{{90 * time.Minute, 1}, {90 * time.Minute, 0}, {3 * time.Hour, 2}} {
		if n, err := s.Prune(t.Context(), store.Expiry{Runner: "bench", Completed: benchTime.Add(c.before)}); n != c.want || err != nil {
			t.Errorf("before %v: deleted %d, %v, want %d", c.before, n, err, c.want)
		}
	}
}

// TestPruneMany deletes more than one transaction does.
func TestPruneMany(t *testing.T) {
	s := open(t, tempFile(t))
	fill(t, s, 2500)
	n, err := s.Prune(t.Context(), store.Expiry{Runner: "bench", Completed: benchTime.Add(time.Hour), Limit: 2400})
	if n != 2400 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	wantCounts(t, s, map[store.State]int64{store.Completed: 100})
}

func fill(t testing.TB, s *sqlite.Store, n int) {
	t.Helper()
	for done := 0; done < n; {
		inserted, err := s.Insert(t.Context(), benchTime, plainTasks(done, min(1000, n-done)))
		if err != nil {
			t.Fatal(err)
		}
		done += len(inserted)
		outcomes := make([]store.Outcome, len(inserted))
		for i := range inserted {
			outcomes[i] = completed(inserted[i].Task)
		}
		finish(t, s, outcomes)
	}
}

// TestPruneGivesBack: when most of it was deleted, the file becomes smaller; it does not while what is free will be needed again.
func TestPruneGivesBack(t *testing.T) {
	s := open(t, tempFile(t))
	fill(t, s, 5000)
	pages := func() int64 { return number(t, s, `PRAGMA page_count`) }
	prune := func(limit int) int {
		n, err := s.Prune(t.Context(), store.Expiry{Runner: "bench", Completed: benchTime.Add(time.Hour), Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := pages()
	prune(200)
	if now := pages(); now != before {
		t.Errorf("%d pages became %d although few are free", before, now)
	}
	for prune(500) > 0 {
	}
	if free, now := number(t, s, `PRAGMA freelist_count`), pages(); now > before/2 || free > now/2 {
		t.Errorf("%d pages became %d, of which %d are free", before, now, free)
	}
	path := s.Path()
	_ = s.Close()
	if info, err := os.Stat(path); err != nil || info.Size() > before/2*4096 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	open(t, path)
}

// TestPruneOfAnotherRunner: the cursors of others are not affected, nor their outcomes.
func TestPruneOfAnotherRunner(t *testing.T) {
	s := open(t, tempFile(t))
	tasks := plainTasks(0, 2)
	tasks[1].Runner = "other"
	inserted, err := s.Insert(t.Context(), benchTime, tasks)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, s, []store.Outcome{completed(inserted[0].Task), completed(inserted[1].Task)})
	for range 2 {
		if _, err := s.Prune(t.Context(), store.Expiry{Runner: "bench", Completed: benchTime.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.Outcomes(t.Context(), store.OutcomeQuery{Runner: "other"})
	if err != nil || len(found.Tasks) != 1 || found.Tasks[0].ID != inserted[1].ID {
		t.Errorf("outcomes of the other are %+v, %v", found, err)
	}
	if n, err := s.Prune(t.Context(), store.Expiry{Runner: "nobody", Completed: benchTime.Add(time.Hour)}); n != 0 || err != nil {
		t.Errorf("of nobody: %d, %v", n, err)
	}
	if _, err := s.Get(t.Context(), inserted[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was deleted: %v", err)
	}
}
