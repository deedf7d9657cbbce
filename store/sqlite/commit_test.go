package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

var errDisk = errors.New("disk I/O error")

type commitFault struct {
	name      string
	fault     sqlite.Fault
	committed bool // what became of the transaction
	known     bool // whether that is known at once
}

// faults are what can happen to a COMMIT.
func faults() []commitFault {
	failed := false
	return append(lastingFaults, commitFault{name: "it fails once", known: true, fault: func(text string, run func() error) error {
		if text == "COMMIT" && !failed {
			failed = true
			return errDisk
		}
		return run()
	}})
}

var lastingFaults = []commitFault{
	{name: "it fails, and so does the one that is to write over it", fault: func(text string, run func() error) error {
		if text == "COMMIT" {
			return errDisk
		}
		return run()
	}},
	{name: "its answer is lost", known: true, committed: true, fault: func(text string, run func() error) error {
		if text == "COMMIT" {
			return errors.Join(run(), errDisk)
		}
		return run()
	}},
	{name: "it fails, and all that follows", fault: func(text string, run func() error) error {
		if text == "COMMIT" || text == "ROLLBACK" || text == "BEGIN" {
			return errDisk
		}
		return run()
	}},
	{name: "its answer is lost, and all that follows fails", committed: true, fault: func(text string, run func() error) error {
		switch text {
		case "COMMIT":
			return errors.Join(run(), errDisk)
		case "ROLLBACK", "BEGIN":
			return errDisk
		}
		return run()
	}},
	{name: "its answer is lost, and the mark cannot be read", committed: true, fault: func(text string, run func() error) error {
		switch {
		case text == "COMMIT":
			return errors.Join(run(), errDisk)
		case strings.Contains(text, "FROM taskrunner_meta"):
			return errDisk
		}
		return run()
	}},
}

// TestCommitFails has one COMMIT fail in each of these ways. What is answered is true where it can be known, what is seen
// meanwhile is what the file has, and afterwards memory and file agree: as a crash shows, which leaves the file alone.
func TestCommitFails(t *testing.T) {
	for _, c := range faults() {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, tempFile(t))
			old := begin(t, s, 5)
			end(t, s, old[0], store.Completed)
			var quiet atomic.Bool
			var heard atomic.Int64
			release, err := s.Hold(store.Holder{Runner: "bench", Node: "node-1", Notify: func(store.Signal) { heard.Add(1) }})
			if err != nil {
				t.Fatal(err)
			}
			defer release()
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
			failInFinish(t, s, old, c.committed, c.known)
			quiet.Store(true)
			want := map[store.State]int64{store.Running: 4, store.Completed: 1}
			if c.committed {
				want = map[store.State]int64{store.Running: 3, store.Completed: 2}
			}
			if counts, err := s.Counts(t.Context(), ""); err != nil || !maps.Equal(counts, want) {
				t.Errorf("counts are %v, %v, want %v", counts, err, want)
			}
			if !c.committed && heard.Load() > 0 {
				t.Error("an outcome was told of that there is not")
			}
			finish(t, s, []store.Outcome{completed(old[1])}) // again: it is recorded, now or before
			if heard.Load() == 0 {
				t.Error("nobody was told of the outcome")
			}
			countsAreTrue(t, s)
			for _, task := range old[2:4] {
				end(t, s, task, store.Completed)
			}
			wantYoung(t, s, 1, 1) // its bundle is there for as long as it is needed
			if got := get(t, crashed(t, s.Path()), old[4].ID); got.State != store.Running {
				t.Errorf("after a crash the one that runs is %s", got.State)
			}
			end(t, s, old[4], store.Completed)
			wantYoung(t, s, 0, 0)
			countsAreTrue(t, crashed(t, s.Path()))
		})
	}
}

func failInFinish(t *testing.T, s *sqlite.Store, tasks []store.Task, committed, known bool) {
	t.Helper()
	plug := s.Unplug()
	defer plug()
	_, err := s.Finish(context.Background(), []store.Outcome{completed(tasks[1])})
	if recorded := err == nil; recorded != (committed && known) {
		t.Errorf("the answer is %v", err)
	}
	if err != nil && !errors.Is(err, errDisk) {
		t.Errorf("the answer is %v, want %v", err, errDisk)
	}
	if unsure := errors.Is(err, store.ErrUnavailable); unsure != !known {
		t.Errorf("the answer is %v, which is not what is known", err)
	}
	want := store.Running
	if committed {
		want = store.Completed
	}
	if got := get(t, s, tasks[1].ID); got.State != want {
		t.Errorf("a reader sees %s, the file has %s", got.State, want)
	}
	list, err := s.List(t.Context(), store.Query{States: []store.State{store.Running}})
	if n := map[bool]int{true: 3, false: 4}[committed]; err != nil || len(list) != n {
		t.Errorf("a reader sees %d running, %v, want %d", len(list), err, n)
	}
	if !known { // and it does not go on before it knows
		if err := s.Ping(t.Context()); err == nil {
			t.Error("the next transaction begins although nobody knows what became of the last")
		}
	}
}

// TestReadsDuringCommit reads while the last statement of a transaction is under way: before it takes effect all looks as before, and
// afterwards as it will, although nobody was answered yet.
func TestReadsDuringCommit(t *testing.T) {
	s := open(t, tempFile(t))
	old := begin(t, s, 2)
	fresh := plainTasks(0, 1)
	fresh[0].Runner = "other" // whose kinds nobody has seen
	seen := func() string {
		var seen []any
		for _, id := range []string{old[0].ID, fresh[0].ID} {
			task, err := s.Get(context.Background(), id)
			seen = append(seen, task.State, err == nil)
		}
		list, err := s.List(context.Background(), store.Query{States: []store.State{store.Running}})
		counts, err2 := s.Counts(context.Background(), "")
		others, err3 := s.Counts(context.Background(), "other")
		runs, err4 := s.Running(context.Background(), "other", "node-1")
		ends, err5 := s.Outcomes(context.Background(), store.OutcomeQuery{})
		if err := errors.Join(err, err2, err3, err4, err5); err != nil {
			t.Error(err)
		}
		return fmt.Sprint(append(seen, len(list), counts, others, len(runs), len(ends.Tasks))...)
	}
	before := seen()
	var during, after []string
	err := s.Inject(func(text string, run func() error) error {
		if text != "COMMIT" {
			return run()
		}
		during = append(during, seen())
		err := run()
		after = append(after, seen())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	during, after = nil, nil
	if _, err := s.Insert(t.Context(), benchTime, fresh); err != nil {
		t.Fatal(err)
	}
	inserted := seen()
	finish(t, s, []store.Outcome{completed(old[0])})
	finished := seen()
	for i, want := range [][2]string{{before, inserted}, {inserted, finished}} {
		if during[i] != want[0] || after[i] != want[1] || want[0] == want[1] {
			t.Errorf("before the commit %s\nthen %s\nthen %s\nand in the end %s", want[0], during[i], after[i], want[1])
		}
	}
}

// TestCommitFailsWithNewKind: the number that a kind would have had is free again, also for those who look it up by heart.
func TestCommitFailsWithNewKind(t *testing.T) {
	s := open(t, tempFile(t))
	begin(t, s, 1)
	var failing atomic.Bool
	if err := s.Inject(func(text string, run func() error) error {
		if text == "COMMIT" && failing.Load() {
			return errDisk
		}
		return run()
	}); err != nil {
		t.Fatal(err)
	}
	insert := func(kind string) (string, error) {
		task := benchTask(0, "node-1")
		task.Kind = kind
		_, err := s.Insert(context.Background(), benchTime, []store.NewTask{task})
		return task.ID, err
	}
	failing.Store(true)
	if _, err := insert("lost"); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	failing.Store(false)
	found, err := insert("found")
	if err != nil {
		t.Fatal(err)
	}
	lost, err := insert("lost")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*sqlite.Store{s, crashed(t, s.Path())} {
		if a, b := get(t, s, found).Kind, get(t, s, lost).Kind; a != "found" || b != "lost" {
			t.Errorf("the kinds are %q and %q", a, b)
		}
	}
}
