package actors_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
	"github.com/taskrunner-go/taskrunner/supervisor"
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

// TestRunFromAnEndedProcess: a context that outlived its task is as good as any.
func TestRunFromAnEndedProcess(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		leaked := make(chan context.Context, 1)
		first, err := actors.RunFunc(ctx, r, func(ctx context.Context) (int, error) { leaked <- context.WithoutCancel(ctx); return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.Await(ctx); err != nil {
			t.Fatal(err)
		}
		ended := <-leaked
		task, err := actors.Run[int](ended, r, "double", 21)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); got != 42 || err != nil {
			t.Errorf("Await: %d, %v", got, err)
		}
		waiting, err := actors.Run[string](ended, r, "sleep", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := waiting.Cancel(ended); err != nil {
			t.Error(err)
		}
		if _, err := waiting.Await(ctx); !errors.Is(err, actors.ErrTaskCancelled) {
			t.Errorf("the cancelled one: %v", err)
		}
	})
}

// goexits is an error whose methods end the goroutine of whoever asks.
type goexits struct{}

func (goexits) Error() string { runtime.Goexit(); return "" }
func (goexits) As(any) bool   { runtime.Goexit(); return false }
func (goexits) Is(error) bool { panic("asked") }

// hangs is an error whose As never answers.
type hangs struct{ free <-chan struct{} }

func (hangs) Error() string { return "hangs" }
func (h hangs) As(any) bool { <-h.free; return false }

// TestErrorsThatMisbehave: what a task's error and decision do, they do in its own process, and to nobody else.
func TestErrorsThatMisbehave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		decide := func(how func()) actors.Option {
			return actors.WithDecide(func(err error, _ int) error { how(); return err })
		}
		returns := func(err error) func(context.Context, string) (int, error) {
			return func(context.Context, string) (int, error) { return 0, err }
		}
		once := actors.WithMaxAttempts(1)
		var r *actors.TaskRunner
		all := append(kinds(),
			actors.Kind("goexits", returns(goexits{}), once),
			actors.Kind("hangs", returns(hangs{free}), once, actors.WithTimeout(time.Second)),
			actors.Kind("decides by Goexit", returns(errBoom), once, decide(runtime.Goexit)),
			actors.Kind("decides by panic", returns(errBoom), once, decide(func() { panic("undecided") })),
			actors.Kind("decides by cancelling", func(ctx context.Context, _ string) (int, error) { return 0, errBoom }, once,
				decide(func() {
					tasks, err := actors.RunMany[int](context.Background(), r, "double", []int{1})
					if err == nil {
						_, err = tasks[0].Await(context.Background())
					}
					if err != nil {
						t.Error(err)
					}
				})),
		)
		for _, db := range []store.Store{nil, store.NewMemory()} {
			r = start(t, actors.TaskRunnerConfig{Kinds: all, Store: db, MaxChildren: 8})
			server := r.Server().PID()
			for kind, want := range map[string]string{
				"goexits": "runtime.Goexit", "hangs": "did not stop", "decides by Goexit": "runtime.Goexit",
				"decides by panic": "panicked: undecided", "decides by cancelling": "boom",
			} {
				task, err := actors.Run[int](t.Context(), r, kind, "")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := task.Await(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", kind, err, want)
				}
			}
			task, err := actors.Run[int](t.Context(), r, "double", 2)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := task.Await(t.Context()); got != 4 || err != nil || r.Server().PID() != server {
				t.Errorf("another task: %d, %v; the runner is the same: %v", got, err, r.Server().PID() == server)
			}
			stop(t, r)
		}
		close(free)
	})
}

// TestHooksNeverEndTheRunner, not even one after the other.
func TestHooksNeverEndTheRunner(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: func(context.Context, any) { runtime.Goexit() }}
	bothWays(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		server := r.Server().PID()
		for i := range 20 {
			task, err := actors.Run[int](ctx, r, "double", i)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := task.Await(ctx); got != 2*i || err != nil {
				t.Fatalf("%d, %v", got, err)
			}
			if _, err := r.Server().Call(ctx, "what?"); !errors.Is(err, actors.ErrNotHandled) {
				t.Errorf("a call: %v", err)
			}
			r.Server().Info(ctx, messages.Exit{Reason: errBoom})
		}
		synctest.Wait()
		if r.Server().PID() != server {
			t.Error("the runner was restarted")
		}
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
			awaited := make(chan error, 1)
			go func() {
				_, err := task.Await(context.Background())
				awaited <- err
			}()
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
		awaited := make(chan error, 1)
		go func() {
			_, err := task.Await(context.Background())
			awaited <- err
		}()
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

// slowInsert records after a second, or refuses.
type slowInsert struct {
	store.Store
	refuses bool
}

func (s *slowInsert) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	time.Sleep(time.Second)
	if s.refuses {
		return nil, errBoom
	}
	return s.Store.Insert(ctx, now, tasks)
}

// TestACrashWhileTasksAreRecorded: what is not accepted yet does not run, and what is then accepted does.
func TestACrashWhileTasksAreRecorded(t *testing.T) {
	for _, refuses := range []bool{true, false} {
		var runs atomic.Int64
		count := actors.Kind("count", func(context.Context, int) (int, error) { runs.Add(1); return 0, nil })
		config := actors.TaskRunnerConfig{Kinds: actors.Kinds{count}, Store: &slowInsert{store.NewMemory(), refuses}}
		withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
			time.AfterFunc(time.Second/2, r.Kill)
			task, err := actors.Run[int](ctx, r, "count", 1)
			if refuses {
				if !errors.Is(err, errBoom) {
					t.Errorf("Run: %v", err)
				}
			} else if _, err := task.Await(ctx); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			stats, err := r.Stats(ctx)
			if want := map[bool]int64{true: 0, false: 1}[refuses]; runs.Load() != want || stats.Running != 0 || stats.Waiting != 0 || err != nil {
				t.Errorf("%d runs, want %d; %+v, %v", runs.Load(), want, stats, err)
			}
		})
	}
}

// TestAnImpatientRun: its caller is told that its time was over, and what is recorded nevertheless runs.
func TestAnImpatientRun(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds(), Store: &slowInsert{Store: store.NewMemory()}}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		id := uuid.NewString()
		impatient, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := actors.Run[int](impatient, r, "double", 21, actors.WithID(id)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		if _, err := actors.Run[int](impatient, r, "double", 21); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that has ended: %v", err)
		}
		again, err := actors.Run[int](ctx, r, "double", 21, actors.WithID(id))
		if err != nil || !again.Existed() {
			t.Fatalf("asked again: %v, existed %v", err, again.Existed())
		}
		if got, err := again.Await(ctx); got != 42 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
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

// TestAShutdownOfAnotherIsAFailure: only the runner's own word that it stops is one that uses no attempt.
func TestAShutdownOfAnotherIsAFailure(t *testing.T) {
	var runs atomic.Int64
	kind := actors.Kind("linked", func(ctx context.Context, _ int) (int, error) {
		runs.Add(1)
		system := actors.NewSystem(actors.SystemConfig{})
		defer func() { _ = system.Stop(context.Background()) }()
		children, err := supervisor.StartDynamic(ctx, system, supervisor.DynamicConfig{MaxRestarts: supervisor.NoRestarts})
		if err != nil {
			return 0, err
		}
		_, err = children.StartChild(ctx, supervisor.ChildSpec{ID: "crashes", Start: func(ctx context.Context) (messages.PID, error) {
			server, err := actors.StartGenServer(ctx, system, crasher{}, actors.GenServerOptions{})
			if err != nil {
				return messages.PID{}, err
			}
			server.Cast(ctx, "crash")
			return server.PID(), nil
		}})
		if err != nil {
			return 0, err
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}, actors.WithMaxAttempts(3))
	bothWays(t, actors.TaskRunnerConfig{Kinds: actors.Kinds{kind}}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		runs.Store(0)
		task, err := actors.Run[int](ctx, r, "linked", 1)
		if err != nil {
			t.Fatal(err)
		}
		var ended *actors.TaskError
		if _, err := task.Await(ctx); !errors.As(err, &ended) || ended.State != store.Discarded || runs.Load() != 3 {
			t.Errorf("after %d runs: %v", runs.Load(), err)
		}
	})
}

type crasher struct{}

func (crasher) HandleCast(context.Context, any) error { return errBoom }

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

// TestRunAsAMessage: cast to the runner, it is accepted as by Run; what is refused the hook is told.
func TestRunAsAMessage(t *testing.T) {
	box := &inbox{}
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: box.HandleInfo}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		box.all = nil
		r.Server().Cast(ctx, messages.Run{Kind: "double", Args: []byte("21")})
		synctest.Wait()
		r.Server().Cast(ctx, &messages.Run{Kind: "nobody's"})
		synctest.Wait()
		r.Server().Cast(ctx, messages.Run{Kind: "double", Args: []byte("{"), TaskID: uuid.NewString()})
		all := box.messages()
		if len(all) != 3 {
			t.Fatalf("told %v", all)
		}
		if m, ok := all[0].(messages.Completed); !ok || m.Value != 42 {
			t.Errorf("told %v", all[0])
		}
		if m, ok := all[1].(messages.Failed); !ok || !errors.Is(m.Reason, actors.ErrUnknownKind) || !m.Discarded() {
			t.Errorf("told %v", all[1])
		}
		var args *actors.ArgsError
		if m, ok := all[2].(messages.Failed); !ok || !errors.As(m.Reason, &args) {
			t.Errorf("told %v", all[2])
		}
	})
}

// TestSmallThings that a reader of the docs would expect.
func TestSmallThings(t *testing.T) {
	anything := actors.Kind("anything", func(_ context.Context, v any) (bool, error) { return v == nil, nil })
	bothWays(t, actors.TaskRunnerConfig{Kinds: append(kinds(), anything)}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		task, err := actors.Run[bool](ctx, r, "anything", any(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); !got || err != nil {
			t.Errorf("a nil argument: %v, %v", got, err)
		}
		for _, d := range []time.Duration{1, 1500, time.Second} {
			task, err := actors.Run[int](ctx, r, "double", 1, actors.WithDelay(d))
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			if _, err := task.Await(ctx); err != nil || time.Since(before) < d {
				t.Errorf("a delay of %s took %s, %v", d, time.Since(before), err)
			}
		}
	})
	withRunner(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		if _, err := actors.Run[int](ctx, r, "double", 1, actors.WithID(uuid.NewString())); !errors.Is(err, actors.ErrNoStore) {
			t.Errorf("WithID without a store: %v", err)
		}
		if _, err := r.Stats(ctx); err != nil {
			t.Error(err)
		}
		_, err := actors.RunFunc(ctx, r, func(context.Context) (int, error) { return 0, nil }, actors.WithBackoff(actors.Backoff{Jitter: math.NaN()}))
		if err == nil || !strings.Contains(err.Error(), "Jitter is NaN") {
			t.Errorf("a Jitter of NaN: %v", err)
		}
	})
}

// TestArgumentsAreUTF8: JSON would carry other ones to the second attempt.
func TestArgumentsAreUTF8(t *testing.T) {
	same := actors.Kind("same", func(_ context.Context, text string) (string, error) { return text, nil })
	withRunner(t, actors.TaskRunnerConfig{Kinds: actors.Kinds{same}, Store: store.NewMemory()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for text, valid := range map[string]bool{
			"\xff": false, "a\xc3": false, "\\\\\xff": false,
			"": true, "\ufffd": true, `\ufffd`: true, `\\ufffd`: true, "ü": true,
		} {
			task, err := actors.Run[string](ctx, r, "same", text)
			if (err == nil) != valid {
				t.Errorf("%q: %v", text, err)
			}
			if err != nil {
				continue
			}
			if got, err := task.Await(ctx); got != text || err != nil {
				t.Errorf("%q came back as %q, %v", text, got, err)
			}
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

// stopsWithNothing ends with a Stop of nil.
type stopsWithNothing struct{}

func (stopsWithNothing) HandleCall(context.Context, any, actors.From) (any, error) {
	return "bye", actors.Stop(nil)
}

func TestStopWithNilIsNormal(t *testing.T) {
	withServer(t, stopsWithNothing{}, func(ctx context.Context, system *actors.System, g *actors.GenServer) {
		if reply, err := g.Call(ctx, "stop"); reply != "bye" || err != nil {
			t.Errorf("%v, %v", reply, err)
		}
		synctest.Wait()
		if system.Alive(g.PID()) {
			t.Error("it lives")
		}
	})
}
