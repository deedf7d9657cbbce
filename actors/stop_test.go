package actors_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// TestAHurriedStopPutsBack: whose context ends is not waited for, but what it cut short is put back, without an attempt.
func TestAHurriedStopPutsBack(t *testing.T) {
	for _, kind := range []string{"sleep", "deaf"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := store.NewMemory()
				config := actors.TaskRunnerConfig{Kinds: kinds(), Store: db, MaxChildren: 5}
				r := start(t, config)
				tasks, err := actors.RunMany[string](t.Context(), r, kind, make([]time.Duration, 0), actors.WithMaxAttempts(1))
				if err != nil || tasks != nil {
					t.Fatal(tasks, err)
				}
				hour := time.Hour
				if tasks, err = actors.RunMany[string](t.Context(), r, kind, []time.Duration{hour, hour, hour, hour, hour, hour, hour}, actors.WithMaxAttempts(1)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Stop: %v", err)
				}
				for _, task := range tasks {
					if got, err := db.Get(t.Context(), task.ID()); err != nil || got.State != store.Available || got.Attempt != 0 {
						t.Errorf("%s, attempt %d, %v; want it put back", got.State, got.Attempt, err)
					}
				}
				again := start(t, config)
				for _, task := range tasks {
					if got, err := actors.Await[string](t.Context(), again, task.ID()); got == "" || err != nil {
						t.Errorf("%q, %v", got, err)
					}
				}
				stop(t, again)
			})
		})
	}
}

// The same on SQLite, by the clock of the machine.
func TestAHurriedStopPutsBackOnDisk(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	r := start(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: db, MaxChildren: 5})
	if _, err := actors.RunMany[string](t.Context(), r, "sleep", []time.Duration{time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
	if counts, err := db.Counts(t.Context(), "test"); err != nil || counts[store.Available] != 6 {
		t.Errorf("%v, %v; want 6 available", counts, err)
	}
}

// TestEachStopMayHurry: a second caller's context cuts the first one's stop short.
func TestEachStopMayHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: store.NewMemory(), DrainTimeout: time.Hour})
		if _, err := actors.Run[string](t.Context(), r, "sleep", 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var stops sync.WaitGroup
		stops.Go(func() { _ = r.Stop(context.Background()) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		stops.Wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("stopped after %s", took)
		}
	})
}

// TestStopAfterTheStoreWasClosed ends although no outcome can be recorded any more.
func TestStopAfterTheStoreWasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := store.NewMemory()
		r := start(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: db})
		if _, err := actors.RunMany[string](t.Context(), r, "sleep", []time.Duration{time.Second, time.Hour}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		stop(t, r)
	})
}

// TestServerStopIsACrash: the runner goes on in another incarnation, which takes everything up.
func TestServerStopIsACrash(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		before, err := actors.Run[string](ctx, r, "sleep", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Server().Stop(ctx); err != nil {
			t.Error(err)
		}
		after, err := actors.Run[string](ctx, r, "sleep", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range []*actors.Handle[string]{before, after} {
			if got, err := task.Await(ctx); got != "slept" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
}

// TestADeadRunnerSaysSo: one that crashes too often refuses tasks and tells those who wait, instead of taking tasks that
// nobody runs.
func TestADeadRunnerSaysSo(t *testing.T) {
	for _, db := range []store.Store{nil, store.NewMemory()} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: db})
			task, err := actors.Run[string](t.Context(), r, "sleep", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			awaited := awaitBeside(task)
			for range 5 {
				synctest.Wait()
				r.Kill()
			}
			if err := <-awaited; !errors.Is(err, actors.ErrStopping) {
				t.Errorf("who waited got %v", err)
			}
			if _, err := actors.Run[int](t.Context(), r, "double", 1); !errors.Is(err, actors.ErrStopping) {
				t.Errorf("Run: %v", err)
			}
			stop(t, r)
		})
	}
}

// TestSystemStopTellsThoseWhoWait.
func TestSystemStopTellsThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := actors.NewSystem(actors.SystemConfig{})
		r := start(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: store.NewMemory(), System: system, DrainTimeout: -1})
		task, err := actors.Run[string](t.Context(), r, "sleep", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		awaited := awaitBeside(task)
		synctest.Wait()
		if err := system.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-awaited; !errors.Is(err, actors.ErrStopping) {
			t.Errorf("who waited got %v", err)
		}
		stop(t, r)
	})
}

// TestAnotherRunnerInTheSameSystem takes up what an earlier one of its name had to leave.
func TestAnotherRunnerInTheSameSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := actors.NewSystem(actors.SystemConfig{})
		config := actors.TaskRunnerConfig{Kinds: kinds(), Store: store.NewMemory(), System: system}
		r := start(t, config)
		task, err := actors.Run[string](t.Context(), r, "sleep", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: "test", Kinds: kinds(), Store: config.Store, System: system}); err == nil {
			t.Error("two runners of one name")
		}
		if _, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: "test", Kinds: kinds(), Store: config.Store}); !errors.Is(err, store.ErrHeld) {
			t.Errorf("two runners of one name on one store: %v", err)
		}
		r.Crash()
		synctest.Wait()
		again := start(t, config)
		if got, err := actors.Await[string](t.Context(), again, task.ID()); got != "slept" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		stop(t, again)
		stop(t, r)
		if err := system.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestARunnerOutlivesWhoeverStartedIt.
func TestARunnerOutlivesWhoeverStartedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := start(t, actors.TaskRunnerConfig{Name: "outer"})
		started, err := actors.RunFunc(t.Context(), outer, func(ctx context.Context) (*actors.TaskRunner, error) {
			return actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{Name: "inner", Kinds: kinds()})
		})
		if err != nil {
			t.Fatal(err)
		}
		inner, err := started.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		task, err := actors.Run[int](t.Context(), inner, "double", 21)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(t.Context()); got != 42 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		stop(t, inner)
		stop(t, outer)
	})
}

// awaitBeside awaits a task in a goroutine that ends with the task, or the runner.
func awaitBeside[R any](task *actors.Handle[R]) <-chan error {
	awaited := make(chan error, 1)
	go func() {
		_, err := task.Await(context.Background())
		awaited <- err
	}()
	return awaited
}
