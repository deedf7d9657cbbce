package remote_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// both runs a test against a runner that records its tasks, and against one that does not.
func both(t *testing.T, config actors.TaskRunnerConfig, test func(t *testing.T, ctx context.Context, r *remote.Runner, w *world)) {
	for _, durable := range []bool{false, true} {
		name := "without a store"
		if durable {
			name = "with a store"
		}
		t.Run(name, func(t *testing.T) {
			config := config
			if durable {
				db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{})
				must(t, err)
				t.Cleanup(func() { must(t, db.Close()) })
				config.Store = db
			}
			w := start(t, config)
			test(t, t.Context(), w.client.Runner(config.Name), w)
		})
	}
}

// world is a runner, a listener and a client.
type world struct {
	runner   *actors.TaskRunner
	listener *remote.Listener
	client   *remote.Client
}

func start(t *testing.T, config actors.TaskRunnerConfig) *world {
	t.Helper()
	w := &world{}
	var err error
	w.runner, err = actors.StartTaskRunner(t.Context(), config)
	must(t, err)
	t.Cleanup(func() { must(t, w.runner.Stop(context.Background())) })
	w.listener, err = remote.Listen(t.Context(), "127.0.0.1:0", remote.ListenConfig{Runners: []*actors.TaskRunner{w.runner}})
	must(t, err)
	t.Cleanup(func() { must(t, w.listener.Stop(context.Background())) })
	w.client, err = remote.Dial(t.Context(), w.listener.Addr().String(), remote.DialConfig{})
	must(t, err)
	t.Cleanup(func() { must(t, w.client.Close(context.Background())) })
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func kinds() actors.Kinds {
	return actors.Kinds{
		actors.Kind("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
		actors.Kind("fail", func(_ context.Context, text string) (string, error) { return "", messages.Discard(errors.New(text)) }),
		actors.Kind("panic", func(context.Context, string) (string, error) { panic("boom") }, actors.WithMaxAttempts(1)),
		actors.Kind("hang", func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", context.Cause(ctx)
		}),
	}
}

func TestRunElsewhere(t *testing.T) {
	both(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *remote.Runner, w *world) {
		task, err := remote.Run[int](ctx, r, "double", 21)
		must(t, err)
		if got, err := task.Await(ctx); got != 42 || err != nil {
			t.Fatalf("got %d, %v", got, err)
		}
		if got, err := remote.Await[int](ctx, r, task.ID()); w.runner.Store() != nil && (got != 42 || err != nil) {
			t.Errorf("awaited again: %d, %v", got, err)
		}
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				task, err := remote.Run[int](ctx, r, "double", i)
				if err != nil {
					t.Errorf("task %d: %v", i, err)
					return
				}
				if got, err := task.Await(ctx); got != 2*i || err != nil {
					t.Errorf("task %d: %d, %v", i, got, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestFailuresTravel(t *testing.T) {
	both(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *remote.Runner, w *world) {
		task, err := remote.Run[string](ctx, r, "fail", "no such file")
		must(t, err)
		_, err = task.Await(ctx)
		if ended, ok := errors.AsType[*actors.TaskError](err); !ok || ended.State != store.Discarded || ended.Err.Error() != "no such file" {
			t.Errorf("a failed task: %v", err)
		}
		task, err = remote.Run[string](ctx, r, "panic", "")
		must(t, err)
		_, err = task.Await(ctx)
		if ended, ok := errors.AsType[*actors.TaskError](err); !ok || ended.Err.Error() != "panic: boom" {
			t.Errorf("a panic: %v", err)
		}
		if p, ok := errors.AsType[*messages.PanicError](err); w.runner.Store() == nil && (!ok || fmt.Sprint(p.Value) != "boom" || len(p.Stack) == 0) {
			t.Errorf("a panic: %v", err) // one that is recorded may have ended before it was asked for: then only its text is known
		}
		for name, run := range map[string]struct {
			err  error
			want error
		}{
			"unknown kind":   {runErr(ctx, r, "none", 1), actors.ErrUnknownKind},
			"unknown runner": {runErr(ctx, w.client.Runner("nobody"), "double", 1), remote.ErrUnknownRunner},
			"bad arguments":  {runErr(ctx, r, "double", "x"), remote.ErrInvalid},
		} {
			if !errors.Is(run.err, run.want) {
				t.Errorf("%s: %v, want %v", name, run.err, run.want)
			}
		}
	})
}

func runErr[A any](ctx context.Context, r *remote.Runner, kind string, args A) error {
	_, err := remote.Run[string](ctx, r, kind, args)
	return err
}

func TestCancel(t *testing.T) {
	both(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *remote.Runner, _ *world) {
		task, err := remote.Run[string](ctx, r, "hang", "")
		must(t, err)
		downs := make(chan messages.Down, 1)
		monitor := r.MonitorTask(task.ID(), func(down messages.Down) { downs <- down })
		must(t, task.Cancel(ctx))
		_, err = task.Await(ctx)
		if ended, ok := errors.AsType[*actors.TaskError](err); !ok || ended.State != store.Cancelled {
			t.Errorf("a cancelled task: %v", err)
		}
		if down := <-downs; down.Ref != monitor.Ref() || down.Reason == nil {
			t.Errorf("its down: %+v", down)
		}
	})
}

func TestMonitorOfARunner(t *testing.T) {
	w := start(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()})
	downs := make(chan messages.Down, 3)
	r := w.client.Runner("numbers")
	r.Monitor(func(down messages.Down) { downs <- down })
	w.client.Runner("nobody").Monitor(func(down messages.Down) { downs <- down })
	if down := <-downs; down.Reason != messages.NoProc {
		t.Errorf("of nobody: %v", down.Reason)
	}
	must(t, w.client.Ready(t.Context()))
	if _, err := remote.Run[int](t.Context(), r, "double", 1); err != nil {
		t.Fatal(err)
	}
	must(t, w.listener.Stop(t.Context()))
	select {
	case down := <-downs:
		if down.Reason != messages.NoConnection {
			t.Errorf("when the listener stops: %v", down.Reason)
		}
	case <-time.After(5 * time.Second):
		t.Error("no down when the listener stops")
	}
}

func TestOutcomes(t *testing.T) {
	both(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *remote.Runner, w *world) {
		if w.runner.Store() == nil {
			for _, err := range r.Outcomes(ctx, store.FromOldest) {
				if !errors.Is(err, actors.ErrNoStore) {
					t.Errorf("without a store: %v", err)
				}
			}
			return
		}
		for i := range 10 {
			task, err := remote.Run[int](ctx, r, "double", i)
			must(t, err)
			_, err = task.Await(ctx)
			must(t, err)
		}
		seen, last := 0, int64(0)
		for task, err := range r.Outcomes(ctx, store.FromOldest) {
			must(t, err)
			if task.State != store.Completed || string(task.Result) != fmt.Sprint(2*seen) || task.Pos <= last {
				t.Errorf("outcome %d: %+v", seen, task)
			}
			if seen, last = seen+1, task.Pos; seen == 10 {
				break
			}
		}
		for _, err := range r.Outcomes(ctx, last+1000) {
			if !errors.Is(err, store.ErrCursorAhead) {
				t.Errorf("ahead of all: %v", err)
			}
		}
		for _, err := range w.client.Runner("nobody").Outcomes(ctx, 0) {
			if !errors.Is(err, remote.ErrUnknownRunner) {
				t.Errorf("of nobody: %v", err)
			}
		}
	})
}

func TestWhatASubscriberHasNotAcknowledgedComesAgain(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "tasks.db"), t.Context()
	p := startAt(t, path, "127.0.0.1:0")
	client, err := remote.Dial(ctx, p.address, remote.DialConfig{})
	must(t, err)
	defer func() { must(t, client.Close(ctx)) }()
	r := client.Runner("numbers")
	mailer := r.Subscribe("mailer", store.FromOldest)
	handles, err := remote.RunMany[int](ctx, r, "double", []int{1, 2, 3, 4})
	must(t, err)
	seen := map[string]int{}
	for task, err := range mailer.Outcomes(ctx) {
		must(t, err)
		if seen[task.ID]++; len(seen) == 2 {
			must(t, mailer.Acknowledge(ctx, task.Pos))
			break
		}
	}
	p.stop(t)
	p = startAt(t, path, p.address)
	defer p.stop(t)
	for task, err := range mailer.Outcomes(ctx) {
		must(t, err)
		if seen[task.ID]++; len(seen) == 4 {
			break
		}
	}
	for _, h := range handles {
		if seen[h.ID()] != 1 {
			t.Errorf("task %s was told of %d times, want once: all before were acknowledged", h.ID(), seen[h.ID()])
		}
	}
	if err := mailer.Acknowledge(ctx, 1000); !errors.Is(err, store.ErrCursorAhead) {
		t.Errorf("acknowledged what has not been: %v", err)
	}
}

// TestASubscriberGoesOn: in one sequence nothing comes twice, although the listener was gone meanwhile and nothing was acknowledged.
func TestASubscriberGoesOn(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "tasks.db"), t.Context()
	p := startAt(t, path, "127.0.0.1:0")
	client, err := remote.Dial(ctx, p.address, remote.DialConfig{})
	must(t, err)
	defer func() { must(t, client.Close(ctx)) }()
	r := client.Runner("numbers")
	_, err = remote.RunMany[int](ctx, r, "double", []int{1, 2, 3, 4})
	must(t, err)
	seen := 0
	var last int64
	for task, err := range r.Subscribe("mailer", store.FromOldest).Outcomes(ctx) {
		must(t, err)
		if task.Pos <= last {
			t.Errorf("the outcome at %d comes after that at %d", task.Pos, last)
		}
		last = task.Pos
		if seen++; seen == 4 {
			p.stop(t)
			p = startAt(t, path, p.address)
			_, err = remote.Run[int](ctx, r, "double", 5)
			must(t, err)
		}
		if seen == 5 {
			break
		}
	}
	p.stop(t)
}

// TestARestartInBetween is about a listener that is gone while tasks are under way, and comes back with its database.
func TestARestartInBetween(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "tasks.db"), t.Context()
	p := startAt(t, path, "127.0.0.1:0")
	client, err := remote.Dial(ctx, p.address, remote.DialConfig{})
	must(t, err)
	defer func() { must(t, client.Close(ctx)) }()
	r := client.Runner("numbers")
	running, err := remote.Run[int](ctx, r, "slow", 20)
	must(t, err)
	p.stop(t)
	type answer struct {
		value int
		err   error
	}
	late := make(chan answer, 1)
	go func() {
		task, err := remote.Run[int](ctx, r, "double", 4)
		if err != nil {
			late <- answer{err: err}
			return
		}
		value, err := task.Await(ctx)
		late <- answer{value, err}
	}()
	p = startAt(t, path, p.address)
	defer p.stop(t)
	if got, err := running.Await(ctx); got != 21 || err != nil {
		t.Errorf("the task that was cut short: %d, %v", got, err)
	}
	if got := <-late; got.value != 8 || got.err != nil {
		t.Errorf("the task that was asked for meanwhile: %+v", got)
	}
}

// program is a runner on a database with a listener.
type program struct {
	address  string
	runner   *actors.TaskRunner
	listener *remote.Listener
	db       *sqlite.Store
}

func startAt(t *testing.T, path, address string) *program {
	t.Helper()
	p := &program{}
	var err error
	p.db, err = sqlite.Open(t.Context(), path, sqlite.Config{})
	must(t, err)
	began := make(chan struct{}, 1)
	slow := actors.Kind("slow", func(ctx context.Context, n int) (int, error) {
		select {
		case began <- struct{}{}:
		default:
		}
		if task, _ := actors.CurrentTask(ctx); task.Run > 1 {
			return n + 1, nil
		}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	p.runner, err = actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{
		Name: "numbers", Store: p.db, Kinds: append(kinds(), slow), DrainTimeout: -1, Grace: time.Second,
	})
	must(t, err)
	p.listener, err = remote.Listen(t.Context(), address, remote.ListenConfig{Runners: []*actors.TaskRunner{p.runner}, DrainTimeout: -1})
	must(t, err)
	p.address = p.listener.Addr().String()
	return p
}

func (p *program) stop(t *testing.T) {
	t.Helper()
	must(t, p.listener.Stop(context.Background()))
	must(t, p.runner.Stop(context.Background()))
	must(t, p.db.Close())
}

func TestACancelledCallerCancelsTheTask(t *testing.T) {
	both(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *remote.Runner, w *world) {
		for name, end := range map[string]func(cancel context.CancelFunc){
			"by its caller": func(cancel context.CancelFunc) { cancel() },
			"at the deadline, when the client is gone": func(context.CancelFunc) { must(t, w.client.Close(ctx)) },
		} {
			inner, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			if name == "by its caller" {
				inner, cancel = context.WithCancel(ctx)
				defer cancel()
			}
			client, err := remote.Dial(ctx, w.listener.Addr().String(), remote.DialConfig{})
			must(t, err)
			old := w.client
			w.client = client
			task, err := remote.Run[string](inner, client.Runner("numbers"), "hang", "", remote.WithCancel())
			must(t, err)
			end(cancel)
			other := old.Runner("numbers")
			_, err = remote.Await[string](ctx, other, task.ID())
			if ended, ok := errors.AsType[*actors.TaskError](err); !ok || ended.State != store.Cancelled {
				t.Errorf("%s: %v", name, err)
			}
			must(t, client.Close(ctx))
			w.client = old
		}
	})
}
