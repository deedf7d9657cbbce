package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox is a HandleInfo hook that keeps what it is told.
type inbox struct {
	mu  sync.Mutex
	all []any
}

func (i *inbox) HandleInfo(_ context.Context, message any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, message)
}

func (i *inbox) messages() []any {
	synctest.Wait()
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]any(nil), i.all...)
}

// withRunner runs the test in a bubble, with a runner that is stopped at the end.
func withRunner(t *testing.T, config actors.TaskRunnerConfig, test func(t *testing.T, ctx context.Context, r *actors.TaskRunner)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config)
		test(t, t.Context(), r)
		stop(t, r)
	})
}

// bothWays runs the test without a store and with one.
func bothWays(t *testing.T, config actors.TaskRunnerConfig, test func(t *testing.T, ctx context.Context, r *actors.TaskRunner)) {
	t.Helper()
	t.Run("without a store", func(t *testing.T) { withRunner(t, config, test) })
	t.Run("with a store", func(t *testing.T) {
		config.Store = store.NewMemory()
		withRunner(t, config, test)
	})
}

func start(t *testing.T, config actors.TaskRunnerConfig) *actors.TaskRunner {
	t.Helper()
	if config.Name == "" {
		config.Name = "test"
	}
	r, err := actors.StartTaskRunner(t.Context(), config)
	if err != nil {
		t.Fatalf("StartTaskRunner: %v", err)
	}
	return r
}

func stop(t *testing.T, r *actors.TaskRunner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

var errBoom = errors.New("boom")

// kinds are what the tests run.
func kinds() actors.Kinds {
	quick := actors.Backoff{Base: time.Second, Jitter: actors.NoJitter}
	return actors.Kinds{
		actors.Kind("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
		actors.Kind("fail", func(context.Context, string) (int, error) { return 0, errBoom }, actors.WithMaxAttempts(3), actors.WithBackoff(quick)),
		actors.Kind("discard", func(context.Context, string) (int, error) { return 0, messages.Discard(errBoom) }),
		actors.Kind("panic", func(context.Context, string) (int, error) { panic("ouch") }, actors.WithMaxAttempts(1)),
		actors.Kind("goexit", func(context.Context, string) (int, error) { runtime.Goexit(); return 0, nil }, actors.WithMaxAttempts(1)),
		actors.Kind("nil", func(context.Context, string) (*int, error) { return nil, nil }),
		actors.Kind("sleep", func(ctx context.Context, d time.Duration) (string, error) {
			select {
			case <-time.After(d):
				return "slept", nil
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		}, actors.WithBackoff(quick)),
		actors.Kind("deaf", func(_ context.Context, d time.Duration) (string, error) { time.Sleep(d); return "late", nil },
			actors.WithMaxAttempts(1), actors.WithBackoff(quick)),
	}
}

func TestRunReturnsBeforeTheTaskIsDone(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		began := time.Now()
		task, err := actors.Run[string](ctx, r, "sleep", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Run took %s", took)
		}
		got, err := task.Await(ctx)
		if got != "slept" || err != nil {
			t.Errorf("Await: %q, %v", got, err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the task took %s", took)
		}
	})
}

func TestOutcomes(t *testing.T) {
	for kind, want := range map[string]struct {
		state store.State
		is    error
		text  string
	}{
		"fail":    {store.Discarded, errBoom, "boom"},
		"discard": {store.Discarded, errBoom, "boom"},
		"panic":   {store.Discarded, nil, "panic: ouch"},
		"goexit":  {store.Discarded, messages.ErrGoexit, "Goexit"},
	} {
		t.Run(kind, func(t *testing.T) {
			bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
				task, err := actors.Run[int](ctx, r, kind, "")
				if err != nil {
					t.Fatal(err)
				}
				_, err = task.Await(ctx)
				failed, ok := errors.AsType[*actors.TaskError](err)
				if !ok || failed.State != want.state || failed.TaskID != task.ID() {
					t.Fatalf("Await: %v", err)
				}
				if !strings.Contains(err.Error(), want.text) {
					t.Errorf("Await: %v, want it with %q", err, want.text)
				}
				if stored := task.Task().State != ""; !stored && want.is != nil && !errors.Is(err, want.is) {
					t.Errorf("Await: %v, want %v", err, want.is)
				}
			})
		})
	}
}

func TestANilValueIsAValue(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		task, err := actors.Run[*int](ctx, r, "nil", "")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); got != nil || err != nil {
			t.Errorf("Await: %v, %v", got, err)
		}
	})
}

func TestEveryOutcomeIsToldOnce(t *testing.T) {
	box := &inbox{}
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: box.HandleInfo, MaxChildren: 7},
		func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
			box.all = nil
			const n = 200
			for i := range n {
				if _, err := actors.Run[int](ctx, r, "double", i); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second) // outcomes that nobody waits for are recorded a few at a time
			seen := map[string]int{}
			for _, message := range box.messages() {
				seen[message.(messages.Completed).TaskID]++
			}
			for id, times := range seen {
				if times != 1 {
					t.Errorf("task %s was told %d times", id, times)
				}
			}
			if len(seen) != n {
				t.Errorf("%d outcomes, want %d", len(seen), n)
			}
		})
}

func TestRetryBacksOff(t *testing.T) {
	box := &inbox{}
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: box.HandleInfo}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		box.all = nil
		began := time.Now()
		task, err := actors.Run[int](ctx, r, "fail", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := task.Await(ctx); !errors.Is(err, errBoom) {
			t.Fatal(err)
		}
		var log []string
		for _, message := range box.messages() {
			failed := message.(messages.Failed)
			log = append(log, fmt.Sprintf("attempt %d run %d at %s discarded %v", failed.Attempt, failed.Run, failed.FinishedAt.Sub(began), failed.Discarded()))
		}
		want := "attempt 1 run 1 at 0s discarded false; attempt 2 run 2 at 1s discarded false; attempt 3 run 3 at 3s discarded true"
		if got := strings.Join(log, "; "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestPlainFunc(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		task, err := actors.RunFunc(ctx, r, func(ctx context.Context) (string, error) {
			ref, ok := actors.CurrentTask(ctx)
			return fmt.Sprintf("%d %v %s", ref.Attempt, ok, ref.Runner), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); got != "1 true test" || err != nil {
			t.Errorf("Await: %q, %v", got, err)
		}
	})
}

func TestConcurrencyIsLimitedAndEverybodyGetsATurn(t *testing.T) {
	var running, most atomic.Int64
	slow := actors.Kind("slow", func(context.Context, int) (int, error) {
		most.Store(max(most.Load(), running.Add(1)))
		time.Sleep(time.Second)
		running.Add(-1)
		return 0, nil
	})
	bothWays(t, actors.TaskRunnerConfig{Kinds: actors.Kinds{slow}, MaxChildren: 5}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		began := time.Now()
		tasks, err := actors.RunMany[int](ctx, r, "slow", make([]int, 50))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if _, err := task.Await(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 10*time.Second || took > 10*time.Second+10*5*time.Millisecond { // claims are 5 ms apart
			t.Errorf("50 tasks of 1 s, 5 at a time, took %s", took)
		}
		if most.Load() != 5 {
			t.Errorf("%d ran at once, want 5", most.Load())
		}
	})
}

func TestAFullRunnerSaysSo(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), MaxChildren: 1, MaxWaiting: 2}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for range 3 {
			if _, err := actors.Run[string](ctx, r, "sleep", time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		_, err := actors.Run[string](ctx, r, "sleep", time.Minute)
		full, ok := errors.AsType[*actors.FullError](err)
		if !ok || !errors.Is(err, actors.ErrFull) || full.Limit != "MaxWaiting" || full.Max != 2 {
			t.Fatalf("got %v, want a FullError of MaxWaiting", err)
		}
		hurried, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := actors.Run[string](hurried, r, "sleep", time.Minute, actors.WithWait()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting with a short context: %v", err)
		}
		began := time.Now()
		if _, err := actors.Run[string](ctx, r, "sleep", time.Minute, actors.WithWait()); err != nil {
			t.Errorf("waiting: %v", err)
		}
		if waited := time.Since(began); waited != 59*time.Second {
			t.Errorf("waited %s for room, want 59s", waited)
		}
		if _, err := actors.RunMany[string](ctx, r, "sleep", make([]time.Duration, 4), actors.WithWait()); !errors.Is(err, actors.ErrFull) {
			t.Errorf("more than ever fits: %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), MaxChildren: 1, Grace: time.Second}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		running, err := actors.Run[string](ctx, r, "sleep", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := actors.Run[string](ctx, r, "sleep", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		for _, task := range []*actors.Handle[string]{waiting, running} {
			if err := task.Cancel(ctx); err != nil {
				t.Fatal(err)
			}
			_, err := task.Await(ctx)
			if failed, ok := errors.AsType[*actors.TaskError](err); !ok || failed.State != store.Cancelled {
				t.Errorf("Await: %v", err)
			}
			if err := task.Cancel(ctx); err != nil {
				t.Errorf("cancelling again: %v", err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("cancelling took %s", took)
		}
	})
}

func TestTimeout(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), Grace: time.Second}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		began := time.Now()
		task, err := actors.Run[string](ctx, r, "sleep", time.Hour, actors.WithTimeout(time.Minute), actors.WithMaxAttempts(2))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := task.Await(ctx); !strings.Contains(fmt.Sprint(err), "timed out") {
			t.Errorf("Await: %v", err)
		}
		if took := time.Since(began); took != 2*time.Minute+time.Second {
			t.Errorf("two attempts took %s", took)
		}
	})
}

func TestADeafHandlerIsAbandonedAndCounted(t *testing.T) {
	system := func(t *testing.T, r *actors.TaskRunner) int {
		stats, err := r.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stats.Abandoned
	}
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), Grace: time.Second}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		began := time.Now()
		task, err := actors.Run[string](ctx, r, "deaf", time.Hour, actors.WithTimeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		_, err = task.Await(ctx)
		if !errors.Is(err, actors.ErrAbandoned) || !errors.Is(err, actors.ErrTaskTimeout) {
			t.Errorf("Await: %v", err)
		}
		if took := time.Since(began); took != 61*time.Second {
			t.Errorf("it took %s to give the handler up, want 61s", took)
		}
		if n := system(t, r); n != 1 {
			t.Errorf("Abandoned is %d, want 1", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := system(t, r); n != 0 {
			t.Errorf("Abandoned is %d after the handler returned, want 0", n)
		}
	})
}

func TestStopLetsFinishThenCancelsThenPutsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := store.NewMemory()
		config := actors.TaskRunnerConfig{Kinds: kinds(), Store: db, MaxChildren: 3, DrainTimeout: 10 * time.Second, Grace: time.Second}
		r := start(t, config)
		ids := map[string]string{}
		for name, d := range map[string]time.Duration{"finishes": 5 * time.Second, "is cancelled": time.Hour} {
			task, err := actors.Run[string](t.Context(), r, "sleep", d)
			if err != nil {
				t.Fatal(err)
			}
			ids[name] = task.ID()
		}
		deaf, err := actors.Run[string](t.Context(), r, "deaf", 2*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ids["is deaf"] = deaf.ID()
		waits, err := actors.Run[string](t.Context(), r, "sleep", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		ids["waits"] = waits.ID()
		synctest.Wait()
		began := time.Now()
		stop(t, r)
		if took := time.Since(began); took != 11*time.Second {
			t.Errorf("Stop took %s, want 11s", took)
		}
		if _, err := actors.Run[string](t.Context(), r, "sleep", time.Second); !errors.Is(err, actors.ErrStopping) {
			t.Errorf("Run after Stop: %v", err)
		}
		for name, want := range map[string]string{
			"finishes": "completed 1", "is cancelled": "available 0", "is deaf": "available 0", "waits": "available 0",
		} {
			task, err := db.Get(t.Context(), ids[name])
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(task.State, " ", task.Attempt); got != want {
				t.Errorf("the task that %s: %s, want %s", name, got, want)
			}
		}
		again := start(t, config)
		for _, name := range []string{"is cancelled", "waits"} {
			if _, err := actors.Await[string](t.Context(), again, ids[name]); err != nil {
				t.Errorf("after a restart, the task that %s: %v", name, err)
			}
		}
		time.Sleep(3 * time.Hour)
		stop(t, again)
	})
}

func TestACrashedRunnerTakesUpItsTasks(t *testing.T) {
	box := &inbox{}
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: box.HandleInfo, MaxChildren: 2}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		box.all = nil
		tasks, err := actors.RunMany[string](ctx, r, "sleep", []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 3 {
			r.Kill()
			time.Sleep(2 * time.Second)
		}
		for _, task := range tasks {
			if got, err := task.Await(ctx); got != "slept" || err != nil {
				t.Errorf("Await: %q, %v", got, err)
			}
		}
		if n := len(box.messages()); n != len(tasks) {
			t.Errorf("%d outcomes were told, want %d: %#v", n, len(tasks), box.messages())
		}
	})
}

// TestARunnerOutlivesItsTaskSupervisor: when the task supervisor dies, it and the server are started anew (SH-10). What ran is
// told, and tried again; what waited still runs; what comes later too.
func TestARunnerOutlivesItsTaskSupervisor(t *testing.T) {
	box := &inbox{}
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: box.HandleInfo, MaxChildren: 2}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		box.all = nil
		tasks, err := actors.RunMany[string](ctx, r, "sleep", []time.Duration{time.Second, 2 * time.Second, 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		server := r.Server().PID()
		r.KillTasks()
		synctest.Wait()
		if r.Server().PID() == server {
			t.Error("the server was not started anew behind its task supervisor")
		}
		for _, task := range tasks {
			if got, err := task.Await(ctx); got != "slept" || err != nil {
				t.Errorf("Await: %q, %v", got, err)
			}
		}
		completed, failed := 0, 0 // and perhaps one Snoozed: of a start in the moment between
		for _, message := range box.messages() {
			switch m := message.(type) {
			case messages.Completed:
				completed++
			case messages.Failed:
				if !m.Discarded() && errors.Is(m.Reason, messages.Killed) {
					failed++
				}
			}
		}
		if completed != len(tasks) || failed != 2 {
			t.Errorf("%d completed, %d runs cut short; want %d and 2: %+v", completed, failed, len(tasks), box.all)
		}
		if later, err := actors.Run[int](ctx, r, "double", 4); err != nil {
			t.Error(err)
		} else if got, err := later.Await(ctx); got != 8 || err != nil {
			t.Errorf("a later task: %d, %v", got, err)
		}
	})
}
