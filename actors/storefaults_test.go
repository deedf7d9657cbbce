package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// faulty is a store whose methods fail, or panic, for a while.
type faulty struct {
	store.Store
	mu     sync.Mutex
	broken bool
	panics bool
}

func (f *faulty) set(broken, panics bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken, f.panics = broken, panics
}

func (f *faulty) fail() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("the store is broken")
	}
	if f.broken {
		return errors.New("the store is away")
	}
	return nil
}

func (f *faulty) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Insert(ctx, now, tasks)
}

func (f *faulty) Claim(ctx context.Context, now time.Time, claim store.Claim) (store.Claimed, error) {
	if err := f.fail(); err != nil {
		return store.Claimed{}, err
	}
	return f.Store.Claim(ctx, now, claim)
}

func (f *faulty) Finish(ctx context.Context, outcomes []store.Outcome) ([]error, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Finish(ctx, outcomes)
}

func (f *faulty) Cancel(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	if err := f.fail(); err != nil {
		return store.Moved{}, err
	}
	return f.Store.Cancel(ctx, now, id)
}

func (f *faulty) Retry(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	if err := f.fail(); err != nil {
		return store.Moved{}, err
	}
	return f.Store.Retry(ctx, now, id)
}

func (f *faulty) Get(ctx context.Context, id string) (store.Task, error) {
	if err := f.fail(); err != nil {
		return store.Task{}, err
	}
	return f.Store.Get(ctx, id)
}

func (f *faulty) Counts(ctx context.Context, runner string) (map[store.State]int64, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Counts(ctx, runner)
}

// short is a store that answers less than it was asked, and gives what it was not asked for.
type short struct {
	store.Store
	wrong atomic.Bool
}

func (s *short) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	if s.wrong.Load() {
		return nil, nil
	}
	return s.Store.Insert(ctx, now, tasks)
}

func (s *short) Finish(ctx context.Context, outcomes []store.Outcome) ([]error, error) {
	if s.wrong.Load() {
		return nil, nil
	}
	return s.Store.Finish(ctx, outcomes)
}

func (s *short) Claim(ctx context.Context, now time.Time, claim store.Claim) (store.Claimed, error) {
	if s.wrong.Load() {
		return store.Claimed{Tasks: []store.Task{{ID: "x", Kind: "unheard of"}}}, nil
	}
	return s.Store.Claim(ctx, now, claim)
}

func TestAStoreThatAnswersWrongLosesNothing(t *testing.T) {
	db := &short{Store: store.NewMemory()}
	config := actors.TaskRunnerConfig{Kinds: kinds(), Store: db, MaxChildren: 1}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		synctest.Wait() // the slot is free: the store is not being asked for tasks
		tasks, err := actors.RunMany[string](ctx, r, "sleep", []time.Duration{time.Second, time.Second, time.Second})
		if err != nil {
			t.Fatal(err)
		}
		db.wrong.Store(true)
		if _, err := actors.Run[int](ctx, r, "double", 1); err == nil || !strings.Contains(err.Error(), "answered Insert of 1 tasks with 0") {
			t.Errorf("Run: %v", err)
		}
		time.Sleep(time.Minute)
		if stats, err := r.Stats(ctx); err != nil || stats.Unrecorded != 1 {
			t.Errorf("%+v, %v; want the outcome kept until the store takes it", stats, err)
		}
		db.wrong.Store(false)
		for _, task := range tasks {
			if got, err := task.Await(ctx); got != "slept" || err != nil {
				t.Errorf("Await: %q, %v", got, err)
			}
		}
	})
}

func TestAStoreThatIsAwayLosesNothing(t *testing.T) {
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprint("panics ", panics), func(t *testing.T) {
			db := &faulty{Store: store.NewMemory()}
			config := actors.TaskRunnerConfig{Kinds: kinds(), Store: db, MaxChildren: 4, MaxUnrecorded: 2}
			withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
				tasks, err := actors.RunMany[string](ctx, r, "sleep", []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
				if err != nil {
					t.Fatal(err)
				}
				db.set(true, panics)
				if _, err := actors.Run[int](ctx, r, "double", 1); err == nil {
					t.Error("a task was accepted that was not recorded")
				}
				for name, call := range map[string]func() error{
					"Cancel": func() error { _, err := r.Cancel(ctx, tasks[9].ID()); return err },
					"Retry":  func() error { _, err := r.Retry(ctx, tasks[9].ID()); return err },
					"Await":  func() error { _, err := tasks[9].Await(ctx); return err },
					"Stats":  func() error { _, err := r.Stats(ctx); return err },
				} {
					if err := call(); err == nil || !strings.Contains(err.Error(), "the store") {
						t.Errorf("%s: %v", name, err)
					}
				}
				time.Sleep(10 * time.Minute)
				db.set(false, false)
				for _, task := range tasks {
					if got, err := task.Await(ctx); got != "slept" || err != nil {
						t.Errorf("Await: %q, %v", got, err)
					}
				}
				synctest.Wait() // the store knows of an outcome a little before the runner does
				stats, err := r.Stats(ctx)
				if err != nil || stats.Running != 0 || stats.Waiting != 0 || stats.Unrecorded != 0 {
					t.Errorf("in the end %+v, %v", stats, err)
				}
			})
		})
	}
}
