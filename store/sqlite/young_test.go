package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// crashed opens what a process would find if the one that has the store open died now: the file and its log, as they are.
func crashed(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	copied := tempFile(t)
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, copied)
}

// begin inserts tasks that run on node-1.
func begin(t *testing.T, s *sqlite.Store, n int) []store.Task {
	t.Helper()
	inserted, err := s.Insert(context.Background(), benchTime, plainTasks(0, n))
	if err != nil {
		t.Fatal(err)
	}
	tasks := make([]store.Task, n)
	for i := range inserted {
		tasks[i] = inserted[i].Task
	}
	return tasks
}

// end records an outcome of the current run.
func end(t *testing.T, s *sqlite.Store, task store.Task, to store.State) store.Task {
	t.Helper()
	o := completed(task)
	o.To, o.ScheduledAt = to, benchTime
	finish(t, s, []store.Outcome{o})
	return get(t, s, task.ID)
}

func get(t *testing.T, s *sqlite.Store, id string) store.Task {
	t.Helper()
	task, err := s.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func claimOne(t *testing.T, s *sqlite.Store) store.Task {
	t.Helper()
	claim := store.Claim{Runner: "bench", Node: "node-1", Kinds: []string{"bench.nothing"}, Limit: 1}
	claimed, err := s.Claim(context.Background(), benchTime, claim)
	if err != nil || len(claimed.Tasks) != 1 {
		t.Fatalf("claimed %v, %v", claimed, err)
	}
	return claimed.Tasks[0]
}

func wantYoung(t *testing.T, s *sqlite.Store, tasks, bundles int) {
	t.Helper()
	if gotTasks, gotBundles := s.Young(); gotTasks != tasks || gotBundles != bundles {
		t.Errorf("there are %d young tasks in %d bundles, want %d in %d", gotTasks, gotBundles, tasks, bundles)
	}
	if rows := number(t, s, `SELECT count(*) FROM taskrunner_bundles`); rows != int64(bundles) {
		t.Errorf("the file has %d bundles, want %d", rows, bundles)
	}
}

func number(t *testing.T, s *sqlite.Store, text string) (n int64) {
	t.Helper()
	err := s.Read(context.Background(), func(number func(string) (int64, error)) (err error) {
		n, err = number(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBundle: tasks that are taken at once are one row, until the last of them has ended; those that wait again get rows.
func TestBundle(t *testing.T) {
	s := open(t, tempFile(t))
	tasks := begin(t, s, 100)
	wantYoung(t, s, 100, 1)
	if rows := number(t, s, `SELECT count(*) FROM taskrunner_tasks`); rows != 0 {
		t.Errorf("%d young tasks have rows", rows)
	}
	for i, task := range tasks[:99] {
		end(t, s, task, []store.State{store.Completed, store.Discarded, store.Retryable, store.Available, store.Scheduled, store.Cancelled}[i%6])
	}
	wantYoung(t, s, 1, 1)
	end(t, s, tasks[99], store.Completed)
	wantYoung(t, s, 0, 0)
	countsAreTrue(t, s)
}

// TestClaimsAreBundled: what is claimed is written as what is taken at once.
func TestClaimsAreBundled(t *testing.T) {
	s := open(t, tempFile(t))
	task := end(t, s, begin(t, s, 1)[0], store.Available)
	wantYoung(t, s, 0, 0)
	again := claimOne(t, s)
	wantYoung(t, s, 1, 1)
	if got := get(t, s, task.ID); got.Run != 2 || got.State != store.Running || !got.InsertedAt.Equal(task.InsertedAt) {
		t.Errorf("the second run is %+v", got)
	}
	end(t, s, again, store.Completed)
	wantYoung(t, s, 0, 0)
}

// TestLongRunsGetRows: a bundle does not live as long as its longest run.
func TestLongRunsGetRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		tasks := begin(t, s, 10)
		for _, task := range tasks[3:] {
			end(t, s, task, store.Completed)
		}
		time.Sleep(5*time.Second - time.Millisecond)
		end(t, s, begin(t, s, 1)[0], store.Completed)
		wantYoung(t, s, 3, 1)
		time.Sleep(time.Millisecond)
		late := begin(t, s, 1)[0]
		wantYoung(t, s, 1, 1)
		if rows := number(t, s, `SELECT count(*) FROM taskrunner_tasks WHERE state = 3`); rows != 3 {
			t.Errorf("%d long runs have rows, want 3", rows)
		}
		runs, err := s.Running(context.Background(), "bench", "node-1")
		if err != nil || len(runs) != 4 {
			t.Errorf("running are %v, %v, want 3 old ones and a young one", runs, err)
		}
		for _, task := range append(tasks[:3], late) {
			if got := get(t, s, task.ID); got.State != store.Running || got.Run != 1 || got.Node != "node-1" {
				t.Errorf("a long run is %+v", got)
			}
			end(t, s, task, store.Completed)
		}
		wantYoung(t, s, 0, 0)
		countsAreTrue(t, s)
	})
}

// TestBigBundles: a bundle holds so much and no more, and a task that is larger has one for itself.
func TestBigBundles(t *testing.T) {
	s := open(t, tempFile(t))
	tasks := plainTasks(0, 2500)
	tasks[2400].Args = make([]byte, store.MaxArgs)
	if _, err := s.Insert(t.Context(), benchTime, tasks); err != nil {
		t.Fatal(err)
	}
	if large := number(t, s, `SELECT max(length(tasks)) FROM taskrunner_bundles`); large < store.MaxArgs || large > store.MaxArgs+1000 {
		t.Errorf("the largest bundle has %d bytes", large)
	}
	if rows := number(t, s, `SELECT count(*) FROM taskrunner_bundles`); rows < 4 || rows > 6 {
		t.Errorf("there are %d bundles", rows)
	}
	s = crashed(t, s.Path())
	if n := number(t, s, `SELECT count(*) FROM taskrunner_tasks`); n != 2500 {
		t.Errorf("after a crash there are %d tasks", n)
	}
}

// TestCrashWithYoungTasks: after a crash each task that was young runs, and nothing else does: not what has left its bundle for an
// outcome, for the queue, for a row or for another bundle.
func TestCrashWithYoungTasks(t *testing.T) {
	path := tempFile(t)
	s := open(t, path)
	tasks := begin(t, s, 8) // in one bundle
	end(t, s, tasks[0], store.Completed)
	end(t, s, tasks[1], store.Discarded)
	end(t, s, tasks[2], store.Scheduled)
	end(t, s, tasks[3], store.Available)
	claimOne(t, s) // one of these two, while the bundle says that it runs for the first time
	if _, err := s.Cancel(t.Context(), benchTime, tasks[4].ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Report(t.Context(), []store.Progress{{TaskID: tasks[5].ID, Run: 1, Fraction: 0.5}}); err != nil {
		t.Fatal(err)
	}
	retried := end(t, s, tasks[6], store.Completed)
	if _, err := s.Retry(t.Context(), benchTime, retried.ID); err != nil {
		t.Fatal(err)
	}
	claimOne(t, s)
	want := map[string]store.Task{}
	for _, task := range tasks {
		want[task.ID] = get(t, s, task.ID)
	}
	counts, err := s.Counts(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}

	for range 2 { // a crash after the crash changes nothing
		s = crashed(t, s.Path())
		wantYoung(t, s, 0, 0)
		for id, task := range want {
			if got := get(t, s, id); fmt.Sprint(got) != fmt.Sprint(task) {
				t.Errorf("after the crash %+v\nbefore %+v", got, task)
			}
		}
		if got, err := s.Counts(t.Context(), ""); err != nil || !maps.Equal(got, counts) {
			t.Errorf("after the crash the counts are %v, %v, before %v", got, err, counts)
		}
		countsAreTrue(t, s)
	}
}

// TestCrashAfterPruning: what was deleted while its bundle lived does not come back.
func TestCrashAfterPruning(t *testing.T) {
	s := open(t, tempFile(t))
	tasks := begin(t, s, 3)
	end(t, s, tasks[0], store.Completed)
	end(t, s, tasks[1], store.Discarded)
	wantYoung(t, s, 1, 1)
	later := benchTime.Add(time.Hour)
	if n, err := s.Prune(t.Context(), store.Expiry{Runner: "bench", Completed: later, Discarded: later}); n != 2 || err != nil {
		t.Fatalf("deleted %d, %v", n, err)
	}
	s = crashed(t, s.Path())
	for _, task := range tasks[:2] {
		if got, err := s.Get(t.Context(), task.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what was deleted is back: %+v, %v", got, err)
		}
	}
	if got := get(t, s, tasks[2].ID); got.State != store.Running {
		t.Errorf("the one that ran is %s", got.State)
	}
	countsAreTrue(t, s)
}

// TestReadsAreOfOneMoment has readers look at tasks that begin and end: whoever has seen a state never sees an earlier one, and what
// was answered is seen, by whichever way one looks.
func TestReadsAreOfOneMoment(t *testing.T) {
	s := open(t, tempFile(t))
	stop := make(chan struct{})
	var mu sync.Mutex
	known := map[string]store.State{} // at least so far
	var newest string
	var readers, writers sync.WaitGroup
	rank := map[store.State]int{store.Running: 1, store.Available: 2, store.Completed: 3}
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				id := newest
				least := rank[known[id]]
				mu.Unlock()
				if id == "" {
					continue
				}
				first, err := s.Get(context.Background(), id)
				if err != nil || rank[first.State] < least {
					t.Errorf("was %d, is %s, %v", least, first.State, err)
					return
				}
				list, err := s.List(context.Background(), store.Query{Limit: store.MaxList})
				if err != nil {
					t.Error(err)
					return
				}
				for _, task := range list {
					if task.ID == id && rank[task.State] < rank[first.State] {
						t.Errorf("was %s, is %s", first.State, task.State)
					}
				}
				counts, err := s.Counts(context.Background(), "")
				if err != nil || counts[store.Running] < 0 || counts[store.Running] > 8 {
					t.Errorf("counts are %v, %v", counts, err)
				}
			}
		})
	}
	for range 2 {
		writers.Go(func() {
			for range 30 {
				inserted, err := s.Insert(context.Background(), benchTime, plainTasks(0, 4))
				if err != nil {
					t.Error(err)
					return
				}
				task := inserted[3].Task
				note := func(state store.State) {
					mu.Lock()
					defer mu.Unlock()
					known[task.ID], newest = state, task.ID
				}
				note(store.Running)
				for i := range inserted {
					finish(t, s, []store.Outcome{completed(inserted[i].Task)})
				}
				note(store.Completed)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	wantYoung(t, s, 0, 0)
}

// TestNumbersAreNotUsedTwice: not after the newest rows are gone, and not after that in another process.
func TestNumbersAreNotUsedTwice(t *testing.T) {
	path := tempFile(t)
	seq, pos := int64(0), int64(0)
	for range 3 {
		s := open(t, path)
		done := end(t, s, begin(t, s, 1)[0], store.Completed)
		if done.Seq <= seq || done.Pos <= pos {
			t.Errorf("seq %d after %d, pos %d after %d", done.Seq, seq, done.Pos, pos)
		}
		seq, pos = done.Seq, done.Pos
		if n, err := s.Prune(t.Context(), store.Expiry{Runner: "bench", Completed: benchTime.Add(time.Hour)}); n != 1 || err != nil {
			t.Fatalf("deleted %d, %v", n, err)
		}
		if now, err := s.Outcomes(t.Context(), store.OutcomeQuery{After: store.FromNow}); err != nil || now.Next != pos {
			t.Errorf("the order ends at %d, %v, want %d", now.Next, err, pos)
		}
		_ = s.Close()
	}
	s := open(t, path)
	if _, err := s.Outcomes(t.Context(), store.OutcomeQuery{After: pos - 1}); !errors.Is(err, store.ErrCursorExpired) {
		t.Errorf("a cursor before what was deleted in another process: %v", err)
	}
}

// TestFreshAgain: who inserts a task again that was to be fresh, because the answer was lost, is told of the one that runs.
func TestFreshAgain(t *testing.T) {
	s := open(t, tempFile(t))
	tasks := plainTasks(0, 3)
	for round := range 2 {
		inserted, err := s.Insert(t.Context(), benchTime, tasks)
		if err != nil {
			t.Fatal(err)
		}
		for i := range inserted {
			if inserted[i].Existed != (round == 1) || inserted[i].Seq != int64(i+1) || inserted[i].State != store.Running {
				t.Errorf("round %d: %+v", round, inserted[i])
			}
		}
	}
	wantCounts(t, s, map[store.State]int64{store.Running: 3})
}

// TestEndAndClaimAtOnce has a young task given back and claimed again in one transaction, and one that begins, ends and is claimed.
func TestEndAndClaimAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		old := begin(t, s, 2)[0]
		h := holdWriter(s)
		var wg sync.WaitGroup
		next := func(f func()) {
			wg.Go(f)
			synctest.Wait()
		}
		back := func(task store.Task) {
			o := completed(task)
			o.To = store.Available
			finish(t, s, []store.Outcome{o})
		}
		fresh := plainTasks(0, 1)
		next(func() { back(old) })
		next(func() {
			if _, err := s.Insert(context.Background(), benchTime, fresh); err != nil {
				t.Error(err)
			}
		})
		next(func() { back(store.Task{ID: fresh[0].ID, Run: 1}) })
		next(func() { claimOne(t, s) })
		next(func() { claimOne(t, s) })
		h.end(t)
		wg.Wait()
		for _, id := range []string{old.ID, fresh[0].ID} {
			task := get(t, s, id)
			if task.State != store.Running || task.Run != 2 {
				t.Errorf("%s is %s in run %d", id, task.State, task.Run)
			}
			if got := get(t, crashed(t, s.Path()), id); got.State != store.Running || got.Run != 2 {
				t.Errorf("after a crash %s is %s in run %d", id, got.State, got.Run)
			}
			end(t, s, task, store.Completed)
		}
		countsAreTrue(t, s)
	})
}

// TestReportsTwiceAtOnce: the second report of a task in one call finds what the first has made of it.
func TestReportsTwiceAtOnce(t *testing.T) {
	s := open(t, tempFile(t))
	task := begin(t, s, 1)[0]
	for _, fractions := range [][2]float64{{0.1, 0.2}, {0.3, 0.4}} {
		err := s.Report(t.Context(), []store.Progress{
			{TaskID: task.ID, Run: 1, Fraction: fractions[0]}, {TaskID: task.ID, Run: 1, Fraction: fractions[1]},
		})
		if got := get(t, s, task.ID).Progress; got != fractions[1] || err != nil {
			t.Errorf("progress is %v, %v, want %v", got, err, fractions[1])
		}
	}
}
