package sqlite_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

var errDisk = errors.New("disk I/O error")

// faults are what can happen to a COMMIT.
var faults = []struct {
	name      string
	fault     sqlite.Fault
	committed bool // what became of the transaction
	known     bool // whether that can be read at once
}{
	{name: "it fails", known: true, fault: func(text string, run func() error) error {
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
	for _, c := range faults {
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
			for _, task := range old[2:] {
				end(t, s, task, store.Completed)
			}
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
