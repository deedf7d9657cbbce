package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// TestOneBadTaskTouchesNoOther runs 100 tasks at once, of which one misbehaves.
func TestOneBadTaskTouchesNoOther(t *testing.T) {
	for name, bad := range map[string]struct {
		do   func() (int, error)
		want string
	}{
		"panic":        {func() (int, error) { panic("ouch") }, "panic: ouch"},
		"nil map":      {func() (int, error) { noMap()[1]++; return 0, nil }, "nil map"},
		"goexit":       {func() (int, error) { runtime.Goexit(); return 0, nil }, "Goexit"},
		"hang":         {func() (int, error) { time.Sleep(24 * time.Hour); return 0, nil }, "did not stop"},
		"10 MB error":  {func() (int, error) { return 0, errors.New(strings.Repeat("x", 10<<20)) }, "xxxx"},
		"error panics": {func() (int, error) { return 0, badError{} }, "badError"},
	} {
		t.Run(name, func(t *testing.T) {
			const tasks, culprit = 100, 57
			kind := actors.Kind("work", func(ctx context.Context, n int) (int, error) {
				time.Sleep(time.Minute)
				if n == culprit {
					return bad.do()
				}
				return n, nil
			}, actors.WithMaxAttempts(1), actors.WithTimeout(time.Hour))
			bothWays(t, actors.TaskRunnerConfig{Kinds: actors.Kinds{kind}, MaxChildren: tasks}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
				server := r.Server().PID()
				numbers := make([]int, tasks)
				for i := range numbers {
					numbers[i] = i
				}
				handles, err := actors.RunMany[int](ctx, r, "work", numbers)
				if err != nil {
					t.Fatal(err)
				}
				for i, handle := range handles {
					got, err := handle.Await(ctx)
					switch {
					case i != culprit && (got != i || err != nil):
						t.Errorf("task %d: %d, %v", i, got, err)
					case i == culprit:
						failed, ok := errors.AsType[*actors.TaskError](err)
						if !ok || failed.State != store.Discarded {
							t.Fatalf("the culprit's outcome is of type %T", err)
						}
						text := "badError"
						if name != "error panics" || handle.Task().State != "" {
							text = err.Error()
						}
						if !strings.Contains(text, bad.want) {
							t.Errorf("the culprit's outcome: %.200s, want %q", text, bad.want)
						}
					}
				}
				if r.Server().PID() != server {
					t.Error("the runner was restarted")
				}
				time.Sleep(48 * time.Hour)
			})
		})
	}
}

func noMap() map[int]int { return nil }

type badError struct{}

func (badError) Error() string { panic("no text") }

// TestHooksThatMisbehave checks that HandleInfo is an observer.
func TestHooksThatMisbehave(t *testing.T) {
	for name, hook := range map[string]func(){
		"panic":  func() { panic("ouch") },
		"goexit": runtime.Goexit,
		"slow":   func() { time.Sleep(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			box := &inbox{}
			config := actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: func(ctx context.Context, message any) {
				box.HandleInfo(ctx, message)
				hook()
			}}
			bothWays(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
				box.all = nil
				for i := range 3 {
					task, err := actors.Run[int](ctx, r, "double", i)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := task.Await(ctx); got != 2*i || err != nil {
						t.Fatalf("task %d: %d, %v", i, got, err)
					}
					time.Sleep(10 * time.Second)
				}
				time.Sleep(time.Hour)
				if n := len(box.messages()); n != 3 {
					t.Errorf("%d outcomes were told, want 3", n)
				}
			})
		})
	}
}

func TestAnIDMakesRunIdempotent(t *testing.T) {
	withRunner(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: store.NewMemory()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		id := uuid.NewString()
		for i := range 3 {
			task, err := actors.Run[int](ctx, r, "double", 21, actors.WithID(id))
			if err != nil {
				t.Fatal(err)
			}
			if task.ID() != id || task.Existed() != (i > 0) {
				t.Errorf("call %d: id %s, existed %v", i, task.ID(), task.Existed())
			}
			if got, err := task.Await(ctx); got != 42 || err != nil {
				t.Errorf("call %d: %d, %v", i, got, err)
			}
		}
		stats, err := r.Stats(ctx)
		if err != nil || stats.States[store.Completed] != 1 || stats.Running != 0 || stats.Waiting != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

func TestBadInput(t *testing.T) {
	checked := actors.Kind("checked", func(context.Context, int) (int, error) { return 0, nil },
		actors.WithCheck(func(n int) error {
			if n < 0 {
				panic("negative")
			}
			return fmt.Errorf("never %d", n)
		}))
	unjson := actors.Kind("unjson", func(context.Context, any) (int, error) { return 0, nil })
	config := actors.TaskRunnerConfig{Kinds: append(kinds(), checked, unjson), Store: store.NewMemory()}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for name, c := range map[string]struct {
			run  func() error
			want error
			text string
		}{
			"unknown kind":  {func() error { _, err := actors.Run[int](ctx, r, "nope", 1); return err }, actors.ErrUnknownKind, "nope"},
			"wrong type":    {func() error { _, err := actors.Run[int](ctx, r, "double", "1"); return err }, nil, "want int"},
			"undecodable":   {func() error { _, err := actors.Run[int](ctx, r, "double", json.RawMessage(`{`)); return err }, nil, "JSON"},
			"more than one": {func() error { _, err := actors.Run[int](ctx, r, "double", json.RawMessage(`1 2`)); return err }, nil, "after top-level value"},
			"too large": {func() error {
				_, err := actors.Run[int](ctx, r, "fail", strings.Repeat("x", store.MaxArgs))
				return err
			}, nil, "at most 1048576"},
			"too large, raw": {func() error {
				_, err := actors.Run[int](ctx, r, "fail", json.RawMessage(strings.Repeat(" ", store.MaxArgs+1)))
				return err
			}, nil, "at most 1048576"},
			"checked":      {func() error { _, err := actors.Run[int](ctx, r, "checked", 7); return err }, nil, "never 7"},
			"check panics": {func() error { _, err := actors.Run[int](ctx, r, "checked", -7); return err }, nil, "negative"},
			"not JSON":     {func() error { _, err := actors.Run[int](ctx, r, "unjson", func() {}); return err }, nil, "func()"},
			"bad id":       {func() error { _, err := actors.Run[int](ctx, r, "double", 1, actors.WithID("x")); return err }, store.ErrInvalid, "WithID"},
			"one id for many": {func() error {
				_, err := actors.RunMany[int](ctx, r, "double", []int{1, 2}, actors.WithID(uuid.NewString()))
				return err
			}, nil, "WithID"},
			"negative timeout": {func() error { _, err := actors.Run[int](ctx, r, "double", 1, actors.WithTimeout(-1)); return err }, nil, "WithTimeout"},
			"no attempts":      {func() error { _, err := actors.Run[int](ctx, r, "double", 1, actors.WithMaxAttempts(0)); return err }, nil, "WithMaxAttempts is 0,"},
			"negative attempts": {func() error {
				_, err := actors.Run[int](ctx, r, "double", 1, actors.WithMaxAttempts(-3))
				return err
			}, nil, "WithMaxAttempts is -3,"},
			"a kind's option": {func() error {
				_, err := actors.Run[int](ctx, r, "double", 1, actors.WithBackoff(actors.Backoff{}))
				return err
			}, nil, "not an option of Run"},
			"an empty option":  {func() error { _, err := actors.Run[int](ctx, r, "double", 1, actors.Option{}); return err }, nil, "empty"},
			"nil func":         {func() error { _, err := actors.RunFunc[int](ctx, r, nil); return err }, nil, "nil"},
			"await of nobody":  {func() error { _, err := actors.Await[int](ctx, r, uuid.NewString()); return err }, store.ErrNotFound, ""},
			"cancel of nobody": {func() error { _, err := r.Cancel(ctx, uuid.NewString()); return err }, store.ErrNotFound, ""},
			"retry of nobody":  {func() error { _, err := r.Retry(ctx, uuid.NewString()); return err }, store.ErrNotFound, ""},
		} {
			err := c.run()
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: got %.200v, want %v with %q", name, err, c.want, c.text)
			}
		}
		stats, err := r.Stats(ctx)
		if err != nil || len(stats.States) != 0 || stats.Running != 0 || stats.Waiting != 0 {
			t.Errorf("bad input left %+v, %v", stats, err)
		}
		if got, err := actors.RunMany[int](ctx, r, "double", []int{}); len(got) != 0 || err != nil {
			t.Errorf("no tasks: %v, %v", got, err)
		}
		task, err := actors.Run[int](ctx, r, "double", json.RawMessage(` 21 `))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); got != 42 || err != nil {
			t.Errorf("raw arguments: %d, %v", got, err)
		}
	})
}

func TestBadConfig(t *testing.T) {
	handler := func(context.Context, int) (int, error) { return 0, nil }
	double := actors.Kind("double", handler)
	for text, config := range map[string]actors.TaskRunnerConfig{
		"Name":            {},
		"MaxChildren":     {Name: "r", MaxChildren: -1},
		"MaxWaiting":      {Name: "r", MaxWaiting: -1},
		"MaxUnrecorded":   {Name: "r", MaxUnrecorded: -1},
		"Grace is -2s":    {Name: "r", Grace: -2 * time.Second},
		"there twice":     {Name: "r", Kinds: actors.Kinds{double, double}},
		"Kinds[0]":        {Name: "r", Kinds: actors.Kinds{{}}},
		"Kind":            {Name: "r", Kinds: actors.Kinds{actors.Kind("", handler)}},
		"handler is nil":  {Name: "r", Kinds: actors.Kinds{actors.Kind[int, int]("x", nil)}},
		"WithTimeout":     {Name: "r", Kinds: actors.Kinds{actors.Kind("x", handler, actors.WithTimeout(-1))}},
		"Backoff.Max":     {Name: "r", Kinds: actors.Kinds{actors.Kind("x", handler, actors.WithBackoff(actors.Backoff{Base: 2, Max: 1}))}},
		"Backoff.Base":    {Name: "r", Kinds: actors.Kinds{actors.Kind("x", handler, actors.WithBackoff(actors.Backoff{Base: -1}))}},
		"Backoff.Jitter":  {Name: "r", Kinds: actors.Kinds{actors.Kind("x", handler, actors.WithBackoff(actors.Backoff{Jitter: 2}))}},
		"WithDelay":       {Name: "r", Kinds: actors.Kinds{actors.Kind("x", handler, actors.WithDelay(1))}},
		"WithCheck takes": {Name: "r", Kinds: actors.Kinds{actors.Kind("x", handler, actors.WithCheck(func(string) error { return nil }))}},
		"WithKey takes":   {Name: "r", Kinds: actors.Kinds{actors.Kind("x", handler, actors.WithKey(func(string) string { return "" }))}},
	} {
		r, err := actors.StartTaskRunner(t.Context(), config)
		if err == nil {
			stop(t, r)
		}
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want an error with %q", err, text)
		}
	}
}

func TestPreviousAndProgress(t *testing.T) {
	db := store.NewMemory()
	add := actors.Kind("add", func(ctx context.Context, key string) (int, error) {
		actors.ReportProgress(ctx, 0.25)
		time.Sleep(time.Minute)
		previous, _, err := actors.Previous[int](ctx)
		return previous + 1, err
	}, actors.WithKey(func(key string) string { return key }))
	withRunner(t, actors.TaskRunnerConfig{Kinds: actors.Kinds{add}, Store: db}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for i, key := range []string{"a", "a", "b", "a", ""} {
			want := []int{1, 2, 1, 3, 1}[i]
			task, err := actors.Run[int](ctx, r, "add", key)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
			if recorded, err := db.Get(ctx, task.ID()); recorded.Progress != 0.25 || err != nil {
				t.Errorf("progress %v, %v", recorded.Progress, err)
			}
			if got, err := task.Await(ctx); got != want || err != nil {
				t.Errorf("run %d of key %q: %d, %v; want %d", i, key, got, err, want)
			}
		}
	})
}

func TestSnoozeUsesNoAttempt(t *testing.T) {
	var runs int
	lazy := actors.Kind("lazy", func(ctx context.Context, _ int) (int, error) {
		if runs++; runs < 5 {
			return 0, messages.Snooze(time.Hour)
		}
		ref, _ := actors.CurrentTask(ctx)
		return ref.Attempt, nil
	}, actors.WithMaxAttempts(1))
	bothWays(t, actors.TaskRunnerConfig{Kinds: actors.Kinds{lazy}}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		runs = 0
		began := time.Now()
		task, err := actors.Run[int](ctx, r, "lazy", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); got != 1 || err != nil || time.Since(began) != 4*time.Hour {
			t.Errorf("attempt %d, %v, after %s", got, err, time.Since(began))
		}
	})
}

func TestDelay(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		began := time.Now()
		late, err := actors.Run[int](ctx, r, "double", 1, actors.WithDelay(2*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		early, err := actors.Run[int](ctx, r, "double", 1, actors.WithScheduledAt(began.Add(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		for i, task := range []*actors.Handle[int]{early, late} {
			if _, err := task.Await(ctx); err != nil || time.Since(began) != time.Duration(i+1)*time.Hour {
				t.Errorf("task %d ran after %s, %v", i, time.Since(began), err)
			}
		}
	})
}

// TestADeadProcessLosesNothing starts a runner on the store that another one, which never stopped, has left.
func TestADeadProcessLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := store.NewMemory()
		config := actors.TaskRunnerConfig{Kinds: kinds(), Store: db, MaxChildren: 2}
		dead := start(t, config)
		tasks, err := actors.RunMany[string](t.Context(), dead, "sleep", []time.Duration{time.Hour, time.Hour, time.Hour, time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		poison, err := actors.Run[string](t.Context(), dead, "sleep", time.Hour, actors.WithMaxAttempts(1))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		dead.Crash()
		again := start(t, config)
		for _, task := range tasks {
			if got, err := actors.Await[string](t.Context(), again, task.ID()); got != "slept" || err != nil {
				t.Errorf("Await: %q, %v", got, err)
			}
			recorded, err := db.Get(t.Context(), task.ID())
			if err != nil {
				t.Fatal(err)
			}
			if recorded.Run > 2 || int64(recorded.Attempt) != recorded.Run {
				t.Errorf("run %d, attempt %d", recorded.Run, recorded.Attempt)
			}
		}
		if got, err := actors.Await[string](t.Context(), again, poison.ID()); got != "slept" || err != nil {
			t.Errorf("the task that had not started: %q, %v", got, err)
		}
		stop(t, again)
		stop(t, dead)
	})
}

// TestChaos has a runner with tasks of all kinds while its server is killed, tasks are cancelled, and the store fails: each
// task has one final outcome in the end, the store agrees with what was told, and all slots are free.
func TestChaos(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			db := &faulty{Store: store.NewMemory()}
			box := &inbox{}
			moody := actors.Kind("moody", func(ctx context.Context, n int) (int, error) {
				select {
				case <-time.After(time.Duration(n%7+1) * time.Second):
				case <-ctx.Done():
					return 0, ctx.Err()
				}
				switch ref, _ := actors.CurrentTask(ctx); (n + ref.Attempt) % 6 {
				case 0:
					panic("ouch")
				case 1:
					return 0, errBoom
				case 2:
					runtime.Goexit()
				case 3:
					return 0, messages.Discard(errBoom)
				}
				return n, nil
			}, actors.WithMaxAttempts(4))
			config := actors.TaskRunnerConfig{Kinds: actors.Kinds{moody}, Store: db, MaxChildren: 5, HandleInfo: box.HandleInfo}
			withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
				var tasks []*actors.Handle[int]
				var kills []time.Time
				for i := range 100 {
					if task, err := actors.Run[int](ctx, r, "moody", i, actors.WithDelay(time.Duration(random.IntN(3))*time.Second)); err == nil {
						tasks = append(tasks, task)
					}
					switch random.IntN(12) {
					case 0, 4:
						if now := time.Now(); len(kills) >= 3 && now.Sub(kills[len(kills)-3]) < 6*time.Second {
							break // one more would be the runner's death
						}
						kills = append(kills, time.Now())
						if random.IntN(2) == 0 {
							r.Kill()
						} else {
							r.KillTasks()
						}
					case 1:
						db.set(true, random.IntN(2) == 0)
					case 2:
						db.set(false, false)
					case 3:
						if len(tasks) > 0 {
							_ = tasks[random.IntN(len(tasks))].Cancel(ctx)
						}
					}
					time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
				}
				db.set(false, false)
				final := map[string]int{}
				patient, cancel := context.WithTimeout(ctx, 24*time.Hour)
				defer cancel()
				for _, task := range tasks {
					if _, err := task.Await(patient); errors.Is(err, context.DeadlineExceeded) {
						recorded, _ := db.Get(ctx, task.ID())
						t.Errorf("task %s has no outcome: %+v\n%s", task.ID(), recorded, r.Dump())
					}
				}
				for _, message := range box.messages() {
					switch m := message.(type) {
					case messages.Completed:
						final[m.TaskID]++
					case messages.Cancelled:
						final[m.TaskID]++
					case messages.Failed:
						if m.Discarded() {
							final[m.TaskID]++
						}
					}
				}
				for _, task := range tasks {
					recorded, err := db.Get(ctx, task.ID())
					if err != nil || !recorded.State.Final() {
						t.Errorf("task %s is %s, %v", task.ID(), recorded.State, err)
					}
					if final[task.ID()] != 1 {
						t.Errorf("task %s, %s: %d final outcomes were told", task.ID(), recorded.State, final[task.ID()])
						for _, message := range box.messages() {
							if strings.Contains(fmt.Sprintf("%+v", message), task.ID()) {
								t.Logf("%+v", message)
							}
						}
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
