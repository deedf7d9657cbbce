package actors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// TestTheMostUrgentRunsFirst among those that wait; what finds a free slot runs at once.
func TestTheMostUrgentRunsFirst(t *testing.T) {
	var mu sync.Mutex
	var ran []int
	note := func(_ context.Context, n int) (int, error) {
		mu.Lock()
		ran = append(ran, n)
		mu.Unlock()
		time.Sleep(time.Second)
		return n, nil
	}
	config := actors.TaskRunnerConfig{Store: store.NewMemory(), MaxChildren: 1, Kinds: actors.Kinds{
		actors.Kind("ordinary", note), actors.Kind("lazy", note, actors.WithPriority(7)),
	}}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		synctest.Wait() // until nobody looks any more whether tasks were left from before
		for _, c := range []struct {
			n     int
			kind  string
			given []actors.Option
		}{
			{7, "lazy", nil}, // finds a free slot
			{9, "ordinary", []actors.Option{actors.WithPriority(9)}},
			{8, "lazy", nil},
			{3, "ordinary", []actors.Option{actors.WithPriority(3)}},
			{1, "lazy", []actors.Option{actors.WithPriority(0)}},
			{2, "ordinary", nil},
		} {
			if _, err := actors.Run[int](ctx, r, c.kind, c.n, c.given...); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if want := []int{7, 1, 2, 3, 8, 9}; !slices.Equal(ran, want) {
			t.Errorf("ran %v, want %v", ran, want)
		}
		var last error
		for _, wrong := range []int{-1, store.MaxPriority + 1} {
			if _, last = actors.Run[int](ctx, r, "lazy", 1, actors.WithPriority(wrong)); last == nil || !strings.Contains(last.Error(), "WithPriority") {
				t.Errorf("priority %d: %v", wrong, last)
			}
		}
	})
}

// TestTasksAreForgottenInTheEnd: each outcome after its own time.
func TestTasksAreForgottenInTheEnd(t *testing.T) {
	db := store.NewMemory()
	config := actors.TaskRunnerConfig{Store: db, Kinds: kinds(), Retention: actors.Retention{
		Completed: time.Hour, Cancelled: 3 * time.Hour, Discarded: actors.KeepForever,
	}}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for range 2500 { // more than a page
			if _, err := actors.Run[int](ctx, r, "double", 1); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := actors.Run[int](ctx, r, "discard", ""); err != nil {
			t.Fatal(err)
		}
		waiting, err := actors.Run[int](ctx, r, "double", 1, actors.WithDelay(10*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		cancelled, err := actors.Run[int](ctx, r, "double", 1, actors.WithDelay(10*time.Hour))
		if err != nil || cancelled.Cancel(ctx) != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, c := range []struct {
			after time.Duration
			left  int64
		}{{59 * time.Minute, 2503}, {62 * time.Minute, 3}, {179 * time.Minute, 3}, {182 * time.Minute, 2}, {9 * time.Hour, 2}} {
			time.Sleep(c.after - time.Since(began))
			counts, err := db.Counts(ctx, r.Name())
			var left int64
			for _, n := range counts {
				left += n
			}
			if err != nil || left != c.left {
				t.Errorf("after %s: %v, want %d", c.after, counts, c.left)
			}
		}
		if _, err := waiting.Await(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestRetentionIsChecked(t *testing.T) {
	for name, retention := range map[string]actors.Retention{
		"Completed": {Completed: -2}, "Cancelled": {Cancelled: -time.Second}, "Discarded": {Discarded: -time.Hour},
		"Subscribers is -1s": {Subscribers: -time.Second}, "Subscribers is 4m59s, want at least 5m0s": {Subscribers: 5*time.Minute - time.Second},
	} {
		_, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: "r", Retention: retention})
		if err == nil || !strings.Contains(err.Error(), "Retention."+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInsertOnlyRunners(t *testing.T) {
	if _, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: "r", InsertOnly: true}); err == nil || !strings.Contains(err.Error(), "Store") {
		t.Errorf("without a store: %v", err)
	}
	noHandler := actors.Kinds{actors.Kind[int, int]("double", nil)}
	config := actors.TaskRunnerConfig{InsertOnly: true, Store: store.NewMemory(), Kinds: noHandler}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		if _, err := actors.RunFunc(ctx, r, func(context.Context) (int, error) { return 0, nil }); err == nil || !strings.Contains(err.Error(), "InsertOnly") {
			t.Errorf("RunFunc: %v", err)
		}
		task, err := actors.Run[int](ctx, r, "double", 21)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got, err := config.Store.Get(ctx, task.ID()); err != nil || got.State != store.Available {
			t.Errorf("%+v, %v", got, err)
		}
	})
	config.InsertOnly, config.Name = false, "r"
	if _, err := actors.StartTaskRunner(t.Context(), config); err == nil || !strings.Contains(err.Error(), "handler is nil") {
		t.Errorf("a runner that runs: %v", err)
	}
}

// pendingTx is a transaction in memory: what is done in it is done at its commit.
type pendingTx struct {
	db      *store.Memory
	inserts []func() error
	fails   error
}

func (x *pendingTx) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	if x.fails != nil {
		return nil, x.fails
	}
	inserted := make([]store.Inserted, len(tasks))
	for i, n := range tasks {
		inserted[i].Task = store.ApplyInsert(now, n)
	}
	x.inserts = append(x.inserts, func() error { _, err := x.db.Insert(ctx, now, tasks); return err })
	return inserted, nil
}

func (x *pendingTx) Complete(ctx context.Context, o store.Outcome) error {
	if x.fails != nil {
		return x.fails
	}
	x.inserts = append(x.inserts, func() error { _, err := x.db.Finish(ctx, []store.Outcome{o}); return err })
	return nil
}

func (x *pendingTx) commit(t *testing.T) {
	for _, do := range x.inserts {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
}

func TestRunInATransaction(t *testing.T) {
	db := store.NewMemory()
	withRunner(t, actors.TaskRunnerConfig{Store: db, Kinds: kinds(), MaxWaiting: 3}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		tx := &pendingTx{db: db}
		task, err := actors.RunTx[int](ctx, r, tx, "double", 21, actors.WithPriority(3))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := task.Await(ctx); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before the commit: %v", err)
		}
		tx.commit(t)
		if got, err := task.Await(ctx); got != 42 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		for name, err := range map[string]error{
			"WithWait":    errOf(actors.RunTx[int](ctx, r, tx, "double", 21, actors.WithWait())),
			"unknown":     errOf(actors.RunTx[int](ctx, r, tx, "nobody's", 21)),
			"arguments":   errOf(actors.RunTx[int](ctx, r, tx, "double", "x")),
			"tx is nil":   errOf(actors.RunTx[int](ctx, r, nil, "double", 21)),
			"MaxWaiting":  errOf(actors.RunManyTx[int](ctx, r, tx, "double", make([]int, 5))),
			"boom":        errOf(actors.RunTx[int](ctx, r, &pendingTx{fails: errBoom}, "double", 21)),
			"panic":       errOf(actors.RunTx[int](ctx, r, (*pendingTx)(nil), "double", 21)),
			"not for 2":   errOf(actors.RunManyTx[int](ctx, r, tx, "double", []int{1, 2}, actors.WithID("x"))),
			"must be a U": errOf(actors.RunTx[int](ctx, r, tx, "double", 21, actors.WithID("x"))),
		} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func errOf[T any](_ T, err error) error { return err }

// TestCompleteInATransaction: the outcome is there with the commit. A handler that forgets to commit has failed.
func TestCompleteInATransaction(t *testing.T) {
	db := store.NewMemory()
	attempts := 0
	sum := actors.Kind("sum", func(ctx context.Context, commits bool) (int, error) {
		attempts++
		tx := &pendingTx{db: db}
		if err := actors.CompleteTx(ctx, tx, attempts); err != nil {
			return 0, err
		}
		if commits || attempts == 2 {
			tx.commit(t)
			task, _ := actors.CurrentTask(ctx)
			if got, err := db.Get(ctx, task.TaskID); err != nil || got.State != store.Completed {
				t.Errorf("after the commit: %+v, %v", got, err)
			}
		}
		return attempts, nil
	})
	withRunner(t, actors.TaskRunnerConfig{Store: db, Kinds: actors.Kinds{sum}}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for commits, want := range map[bool]int{true: 1, false: 2} {
			attempts = 0
			task, err := actors.Run[int](ctx, r, "sum", commits)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := task.Await(ctx); got != want || err != nil {
				t.Errorf("commits %v: %d, %v", commits, got, err)
			}
			recorded, err := db.Get(ctx, task.ID())
			if err != nil || len(recorded.History) != want-1 {
				t.Errorf("commits %v: %+v, %v", commits, recorded, err)
			}
		}
		if err := actors.CompleteTx(ctx, &pendingTx{db: db}, 1); err == nil || !strings.Contains(err.Error(), "handler") {
			t.Errorf("outside of a handler: %v", err)
		}
		synctest.Wait()
	})
}
