package actors_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// TestNobodyWaitsForThemselves: in a handler for its own task, in HandleInfo for the runner.
func TestNobodyWaitsForThemselves(t *testing.T) {
	var r *actors.TaskRunner
	answers := make(chan error, 10)
	self := actors.Kind("self", func(ctx context.Context, _ int) (int, error) {
		ref, _ := actors.CurrentTask(ctx)
		_, err := actors.Await[int](ctx, r, ref.TaskID)
		return 0, messages.Discard(err)
	})
	config := actors.TaskRunnerConfig{Kinds: actors.Kinds{self}, Store: store.NewMemory(), HandleInfo: func(ctx context.Context, m any) {
		_, err := actors.Await[int](ctx, r, m.(messages.Failed).TaskID)
		answers <- err
		answers <- r.Stop(ctx)
	}}
	withRunner(t, config, func(t *testing.T, ctx context.Context, started *actors.TaskRunner) {
		r = started
		task, err := actors.Run[int](ctx, r, "self", 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := task.Await(ctx); err == nil || !strings.Contains(err.Error(), actors.ErrCallingSelf.Error()) {
			t.Errorf("the handler got %v", err)
		}
		for range 2 {
			if err := <-answers; !errors.Is(err, actors.ErrCallingSelf) {
				t.Errorf("the hook got %v", err)
			}
		}
	})
}

// TestRunnersOfOneStoreLeaveEachOtherAlone.
func TestRunnersOfOneStoreLeaveEachOtherAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := store.NewMemory()
		a := start(t, actors.TaskRunnerConfig{Name: "a", Kinds: kinds(), Store: db})
		b := start(t, actors.TaskRunnerConfig{Name: "b", Kinds: kinds(), Store: db})
		task, err := actors.Run[int](t.Context(), b, "double", 1, actors.WithDelay(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func() error{
			"Cancel": func() error { _, err := a.Cancel(t.Context(), task.ID()); return err },
			"Retry":  func() error { _, err := a.Retry(t.Context(), task.ID()); return err },
			"Await":  func() error { _, err := actors.Await[int](t.Context(), a, task.ID()); return err },
		} {
			if err := call(); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), `belongs to runner "b"`) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := task.Await(t.Context()); got != 2 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		stop(t, a)
		stop(t, b)
	})
}

// TestAwaitAfterRetryIsForTheNewOutcome, and a handler that runs again sees what it brought before.
func TestAwaitAfterRetryIsForTheNewOutcome(t *testing.T) {
	count := actors.Kind("count", func(ctx context.Context, _ int) (int, error) {
		n, _, err := actors.Previous[int](ctx)
		return n + 1, err
	}, actors.WithKey(func(int) string { return "all" }))
	for _, hook := range []func(){func() {}, func() { time.Sleep(time.Second) }} {
		config := actors.TaskRunnerConfig{Kinds: actors.Kinds{count}, Store: store.NewMemory(), HandleInfo: func(context.Context, any) { hook() }}
		withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
			task, err := actors.Run[int](ctx, r, "count", 1)
			if err != nil {
				t.Fatal(err)
			}
			for want := 1; want < 5; want++ {
				if got, err := task.Await(ctx); got != want || err != nil {
					t.Fatalf("got %d, %v; want %d", got, err, want)
				}
				if _, err := r.Retry(ctx, task.ID()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
