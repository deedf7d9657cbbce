package actors_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// TestDelayedFuncsOutliveACrash and run at their time, not before.
func TestDelayedFuncsOutliveACrash(t *testing.T) {
	withRunner(t, actors.TaskRunnerConfig{}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		began := time.Now()
		delayed, err := actors.RunFunc(ctx, r, func(context.Context) (time.Duration, error) { return time.Since(began), nil }, actors.WithDelay(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		failed := false
		retried, err := actors.RunFunc(ctx, r, func(context.Context) (time.Duration, error) {
			if !failed {
				failed = true
				return 0, messages.RetryAfter(2*time.Hour, errBoom)
			}
			return time.Since(began), nil
		}, actors.WithMaxAttempts(2))
		if err != nil {
			t.Fatal(err)
		}
		cancelled, err := actors.RunFunc(ctx, r, func(context.Context) (time.Duration, error) { return 0, errBoom }, actors.WithDelay(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := cancelled.Cancel(ctx); err != nil {
			t.Error(err)
		}
		r.Kill()
		for want, task := range map[time.Duration]*actors.Handle[time.Duration]{time.Hour: delayed, 2 * time.Hour: retried} {
			if got, err := task.Await(ctx); got.Round(time.Millisecond) != want || got < want || err != nil {
				t.Errorf("ran after %s, %v; want %s", got, err, want)
			}
		}
		if _, err := cancelled.Await(ctx); !errors.Is(err, actors.ErrTaskCancelled) {
			t.Errorf("the cancelled one: %v", err)
		}
	})
}

// TestMaxUnrecordedHoldsAtTheDoor, and plain funcs go on meanwhile.
func TestMaxUnrecordedHoldsAtTheDoor(t *testing.T) {
	db := &faulty{Store: store.NewMemory()}
	config := actors.TaskRunnerConfig{Kinds: kinds(), Store: &onlyFinish{faulty: db}, MaxChildren: 4, MaxUnrecorded: 10}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		db.set(true, false)
		var tasks []*actors.Handle[int]
		for i := range 100 {
			task, err := actors.Run[int](ctx, r, "double", i)
			if err != nil {
				t.Fatal(err)
			}
			tasks = append(tasks, task)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		stats, err := r.Stats(ctx)
		if err != nil || stats.Unrecorded > 10+4+1 || stats.Unrecorded+stats.Waiting != 100 {
			t.Errorf("%+v, %v", stats, err)
		}
		for range 10 {
			plain, err := actors.RunFunc(ctx, r, func(context.Context) (int, error) { return 1, nil })
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plain.Await(ctx); err != nil {
				t.Error(err)
			}
		}
		db.set(false, false)
		for i, task := range tasks {
			if got, err := task.Await(ctx); got != 2*i || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		}
	})
}

// onlyFinish is a store of which only Finish is broken.
type onlyFinish struct{ *faulty }

func (o *onlyFinish) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	return o.Store.Insert(ctx, now, tasks)
}

func (o *onlyFinish) Claim(ctx context.Context, now time.Time, claim store.Claim) (store.Claimed, error) {
	return o.Store.Claim(ctx, now, claim)
}

func (o *onlyFinish) Counts(ctx context.Context, runner string) (map[store.State]int64, error) {
	return o.Store.Counts(ctx, runner)
}

func (o *onlyFinish) Get(ctx context.Context, id string) (store.Task, error) {
	return o.Store.Get(ctx, id)
}

// blockedClaim is a store of which Claim hangs.
type blockedClaim struct {
	store.Store
	free chan struct{}
}

func (b *blockedClaim) Claim(ctx context.Context, now time.Time, claim store.Claim) (store.Claimed, error) {
	<-b.free
	return b.Store.Claim(ctx, now, claim)
}

// TestPlainFuncsGoOnWhileTheStoreHangs.
func TestPlainFuncsGoOnWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		db := &blockedClaim{store.NewMemory(), make(chan struct{})}
		r := start(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: db, MaxChildren: 4})
		recorded, err := actors.Run[int](ctx, r, "double", 1, actors.WithDelay(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for range 10 {
			plain, err := actors.RunFunc(ctx, r, func(context.Context) (int, error) { return 1, nil })
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plain.Await(ctx); err != nil {
				t.Error(err)
			}
		}
		close(db.free)
		if got, err := recorded.Await(ctx); got != 2 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		stop(t, r)
	})
}

// TestPlainFuncsStartInTheirOrder, also if callers wait at the door.
func TestPlainFuncsStartInTheirOrder(t *testing.T) {
	withRunner(t, actors.TaskRunnerConfig{MaxChildren: 1, MaxWaiting: 1}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		var order []int
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				task, err := actors.RunFunc(ctx, r, func(context.Context) (int, error) {
					order = append(order, i)
					time.Sleep(time.Second)
					return 0, nil
				}, actors.WithWait())
				if err == nil {
					_, err = task.Await(ctx)
				}
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		for i, started := range order {
			if started != i {
				t.Fatalf("started in the order %v", order)
			}
		}
	})
}

// TestDurationsWithoutEnd do not overflow.
func TestDurationsWithoutEnd(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), Grace: math.MaxInt64}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		task, err := actors.Run[string](ctx, r, "sleep", time.Hour, actors.WithTimeout(math.MaxInt64))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); got != "slept" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestRetryNeedsRoom as Run does.
func TestRetryNeedsRoom(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds(), Store: store.NewMemory(), MaxChildren: 1, MaxWaiting: 2}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		ended, err := actors.Run[int](ctx, r, "double", 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ended.Await(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := actors.RunMany[string](ctx, r, "sleep", []time.Duration{time.Minute, time.Minute, time.Minute}); err != nil {
			t.Fatal(err)
		}
		var full *actors.FullError
		if _, err := r.Retry(ctx, ended.ID()); !errors.As(err, &full) || full.Limit != "MaxWaiting" {
			t.Errorf("Retry: %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := r.Retry(ctx, ended.ID()); err != nil {
			t.Error(err)
		}
		if _, err := ended.Await(ctx); err != nil {
			t.Error(err)
		}
		stats, err := r.Stats(ctx)
		if err != nil || stats.Running != 0 || stats.Waiting != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}
