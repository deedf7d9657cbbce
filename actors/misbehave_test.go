package actors_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// goexits is an error whose methods end the goroutine of whoever asks.
type goexits struct{}

func (goexits) Error() string { runtime.Goexit(); return "" }

func (goexits) As(any) bool { runtime.Goexit(); return false }

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

// badMethods is an error whose methods do what they should not.
type badMethods struct{ onError, onLogValue func() }

func (b *badMethods) Error() string { call(b.onError); return "bad methods" }

func (b *badMethods) LogValue() slog.Value {
	call(b.onLogValue)
	return slog.StringValue("its own words")
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// TestTheReportOfATask: a task ends with its error, and is logged once, whatever the error's methods do. Its LogValue is not asked:
// a logger would do so later, or elsewhere.
func TestTheReportOfATask(t *testing.T) {
	panics, hangs := func() { panic("ouch") }, func() { select {} }
	for name, c := range map[string]struct {
		err    *badMethods
		logged string
	}{
		"as it should":     {&badMethods{}, `reason="bad methods"`},
		"Error panics":     {&badMethods{onError: panics}, "whose Error method panics"},
		"LogValue panics":  {&badMethods{onLogValue: panics}, `reason="bad methods"`},
		"LogValue goexits": {&badMethods{onLogValue: runtime.Goexit}, `reason="bad methods"`},
		"LogValue hangs":   {&badMethods{onLogValue: hangs}, `reason="bad methods"`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				end := w.fail(t, ctx, actors.Unsupervised(w.System), c.err)
				if reason := end(); reason != error(c.err) {
					t.Errorf("it ended with a %T, want its error", reason)
				}
				log := w.logged()
				if checkLog(t, log, `msg="task failed"`, c.logged); strings.Count(log, "\n") != 1 {
					t.Errorf("logged: %s", log)
				}
			})
		})
	}
}

// TestATaskWhoseErrorHangs keeps nobody else: it can be killed, and its supervisor starts others.
func TestATaskWhoseErrorHangs(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		tasks, err := actors.StartTaskSupervisor(ctx, w.System, actors.TaskSupervisorConfig{Shutdown: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		free := make(chan struct{})
		hanging := w.fail(t, ctx, tasks, &badMethods{onError: func() { <-free }})
		if reason := w.fail(t, ctx, tasks, errBoom)(); reason != errBoom {
			t.Errorf("another ended with %v", reason)
		}
		children, err := tasks.Children(ctx)
		if err != nil || len(children) != 1 {
			t.Fatalf("%v live (%v), want the one that hangs", children, err)
		}
		if err := tasks.TerminateChild(ctx, children[0]); err != nil {
			t.Error(err)
		}
		if reason := hanging(); reason != messages.Killed {
			t.Errorf("it ended with a %T, want killed", reason)
		}
		close(free)
	})
}

// fail starts a task that fails with err, when its end is watched, and gives a func that tells how it ended.
func (w world) fail(t *testing.T, ctx context.Context, under actors.Starter, err error) func() error {
	t.Helper()
	begin := make(chan struct{})
	pid, failed := actors.StartTask(ctx, under, func(context.Context) error { <-begin; return err })
	if failed != nil {
		t.Fatal(failed)
	}
	end := w.end(t, ctx, pid)
	close(begin)
	return end
}

// TestAServerLivesWhateverTheLoggerDoes with the report of a message that nobody handles.
func TestAServerLivesWhateverTheLoggerDoes(t *testing.T) {
	for name, f := range map[string]func(){"panics": func() { panic("ouch") }, "goexits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				system := actors.NewSystem(actors.SystemConfig{Logger: slog.New(handles(f))})
				server := &onlyTerminate{make(chan error, 1)}
				g, err := actors.StartGenServer(t.Context(), system, server, actors.GenServerOptions{})
				if err != nil {
					t.Fatal(err)
				}
				g.Info(t.Context(), "unexpected")
				g.Info(t.Context(), &badMethods{onError: f, onLogValue: func() { panic("ouch") }})
				synctest.Wait()
				if !system.Alive(g.PID()) {
					t.Error("it ended")
				}
				if err := system.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// handles is a logger that does f.
type handles func()

func (handles) Enabled(context.Context, slog.Level) bool    { return true }
func (f handles) Handle(context.Context, slog.Record) error { f(); return nil }
func (f handles) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f handles) WithGroup(string) slog.Handler             { return f }

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
