package actors_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// asked is a store that notes how often it was asked for its numbers, and gives none while it is stuck.
type asked struct {
	*shared
	exclusive bool
	times     atomic.Int64
	stuck     atomic.Bool
}

func (a *asked) Exclusive() bool { return a.exclusive }

func (a *asked) Counts(ctx context.Context, runner string) (map[store.State]int64, error) {
	a.times.Add(1)
	if a.stuck.Load() {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return a.shared.Counts(ctx, runner)
}

func frontAndWorker(maxWaiting, maxChildren int) []actors.TaskRunnerConfig {
	return []actors.TaskRunnerConfig{
		{Kinds: kinds(), MaxWaiting: maxWaiting, InsertOnly: true},
		{Kinds: kinds(), MaxWaiting: maxWaiting, MaxChildren: maxChildren},
	}
}

func TestNobodyIsRefusedByAnOldNumber(t *testing.T) {
	withReplicas(t, frontAndWorker(200, 50), func(t *testing.T, db *shared, r []*actors.TaskRunner) {
		for round := range 5 {
			tasks, err := actors.RunMany[int](t.Context(), r[0], "double", make([]int, 150))
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			for _, task := range tasks {
				if _, err := task.Await(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := actors.RunManyTx[int](t.Context(), r[0], &pendingTx{db: db.Memory}, "double", make([]int, 150)); err != nil {
			t.Errorf("in a transaction: %v", err)
		}
		if _, err := actors.RunMany[int](t.Context(), r[0], "double", make([]int, 201)); !errors.Is(err, actors.ErrFull) {
			t.Errorf("more than ever fits: %v", err)
		}
	})
}

func TestTasksOfOthersMakeNoRoom(t *testing.T) {
	withReplicas(t, frontAndWorker(200, 50), func(t *testing.T, db *shared, r []*actors.TaskRunner) {
		tasks, err := actors.RunMany[int](t.Context(), r[0], "double", make([]int, 150))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if _, err := task.Await(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		accepted := 0
		for ; err == nil && accepted < 1000; accepted += 10 {
			_, err = actors.RunMany[int](t.Context(), r[1], "double", make([]int, 10), actors.WithDelay(time.Hour))
		}
		if accepted -= 10; accepted != 200 || !errors.Is(err, actors.ErrFull) {
			t.Errorf("%d may wait, and %d were accepted: %v", 200, accepted, err)
		}
		if _, err := actors.Run[int](t.Context(), r[0], "double", 1, actors.WithDelay(time.Hour), actors.WithPriority(1)); err != nil {
			t.Errorf("with a number that is old: %v", err) // borne: see recounter
		}
		for i := range r {
			if stats, err := r[i].Stats(t.Context()); err != nil || stats.Waiting != 201 {
				t.Errorf("runner %d: %d wait, %v; want 201", i, stats.Waiting, err)
			}
		}
	})
}

func TestWhoWaitsGetsInWhenOthersHaveMadeRoom(t *testing.T) {
	withReplicas(t, frontAndWorker(5, 5), func(t *testing.T, _ *shared, r []*actors.TaskRunner) {
		time.Sleep(2 * time.Second) // not when the numbers are compared anyway
		began := time.Now()
		for range 2 { // five run, and five wait
			if _, err := actors.RunMany[string](t.Context(), r[0], "sleep", []time.Duration{time.Minute, time.Minute, time.Minute, time.Minute, time.Minute}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if _, err := actors.Run[string](t.Context(), r[0], "sleep", time.Minute); !errors.Is(err, actors.ErrFull) {
			t.Fatalf("five wait: %v", err)
		}
		if _, err := actors.Run[string](t.Context(), r[0], "sleep", time.Minute, actors.WithWait()); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(began) - time.Minute; late < 0 || late > 300*time.Millisecond {
			t.Errorf("it was let in %s after there was room", late)
		}
	})
}

// TestCountsAreShared: all that are to be refused ask once, a store that does not answer is not waited for, and one that nobody else has
// is not asked.
func TestCountsAreShared(t *testing.T) {
	for name, want := range map[string]struct {
		exclusive, stuck bool
		counts           int64
		took             time.Duration
	}{
		"shared":    {counts: 1},
		"stuck":     {stuck: true, counts: 1, took: time.Second},
		"exclusive": {exclusive: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &asked{shared: newShared(t), exclusive: want.exclusive}
				r := start(t, actors.TaskRunnerConfig{Name: sharedRunner, Store: db, Kinds: kinds(), MaxWaiting: 3})
				if _, err := actors.RunMany[int](t.Context(), r, "double", make([]int, 3), actors.WithDelay(time.Hour)); err != nil {
					t.Fatal(err)
				}
				before, began := db.times.Load(), time.Now()
				db.stuck.Store(want.stuck)
				var refused sync.WaitGroup
				for range 100 {
					refused.Go(func() {
						if _, err := actors.Run[int](t.Context(), r, "double", 1, actors.WithDelay(time.Hour)); !errors.Is(err, actors.ErrFull) {
							t.Errorf("three wait: %v", err)
						}
					})
				}
				impatient, cancel := context.WithTimeoutCause(t.Context(), 150*time.Millisecond, errBoom)
				defer cancel()
				_, err := actors.Run[int](impatient, r, "double", 1, actors.WithDelay(time.Hour))
				if wanted := map[bool]error{true: errBoom, false: actors.ErrFull}[want.stuck]; !errors.Is(err, wanted) {
					t.Errorf("without time: %v, want %v", err, wanted)
				}
				refused.Wait()
				if counts := db.times.Load() - before; counts < want.counts || counts > 3*want.counts {
					t.Errorf("the store was asked %d times, want about %d", counts, want.counts)
				}
				if took := time.Since(began); took < want.took || took > want.took+200*time.Millisecond {
					t.Errorf("it took %s, want %s", took, want.took)
				}
				db.stuck.Store(false)
				stop(t, r)
			})
		})
	}
}
