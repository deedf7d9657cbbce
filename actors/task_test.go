package actors_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// withTasks gives a task supervisor, and checks that it is still the same process in the end.
func withTasks(t *testing.T, config actors.TaskSupervisorConfig, test func(ctx context.Context, system *actors.System, s *actors.TaskSupervisor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		system := actors.NewSystem(actors.SystemConfig{})
		s, err := actors.StartTaskSupervisor(ctx, system, config)
		if err != nil {
			t.Fatal(err)
		}
		test(ctx, system, s)
		if err := s.Stop(ctx); err != nil && !errors.Is(err, messages.NoProc) {
			t.Errorf("Stop: %v", err)
		}
		if err := system.Stop(ctx); err != nil {
			t.Errorf("the system: %v", err)
		}
	})
}

// TestTaskEnds: each way out of a function is what Await gives, and none of them stops the supervisor or restarts anything.
func TestTaskEnds(t *testing.T) {
	t.Parallel()
	var panicked *messages.PanicError
	for _, test := range []struct {
		name string
		f    func(ctx context.Context) (string, error)
		want func(value string, err error) bool
	}{
		{"a value", func(context.Context) (string, error) { return "moved", nil }, func(v string, err error) bool { return v == "moved" && err == nil }},
		{"nothing", func(context.Context) (string, error) { return "", nil }, func(v string, err error) bool { return v == "" && err == nil }},
		{"an error", func(context.Context) (string, error) { return "", errBoom }, func(_ string, err error) bool { return errors.Is(err, errBoom) }},
		{"a panic", func(context.Context) (string, error) { panic("boom") }, func(_ string, err error) bool {
			return errors.As(err, &panicked) && panicked.Value == "boom" && strings.Contains(string(panicked.Stack), "TestTaskEnds")
		}},
		{"a Goexit", func(context.Context) (string, error) { runtime.Goexit(); return "", nil }, func(_ string, err error) bool { return errors.Is(err, messages.ErrGoexit) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			withTasks(t, actors.TaskSupervisorConfig{}, func(ctx context.Context, system *actors.System, s *actors.TaskSupervisor) {
				before := s.Supervisor().PID()
				for range 50 { // TS-06
					task, err := actors.AsyncNoLink(ctx, s, test.f)
					if err != nil {
						t.Fatal(err)
					}
					if value, err := task.Await(ctx); !test.want(value, err) {
						t.Fatalf("got %q, %v", value, err)
					}
				}
				synctest.Wait()
				counts, err := s.Supervisor().CountChildren(ctx)
				if err != nil || counts.Specs != 0 || !system.Alive(before) {
					t.Errorf("%+v (%v), the supervisor lives: %v", counts, err, system.Alive(before))
				}
			})
		})
	}
}

// TestTaskShutdown: a task that heeds its context, one that returns a value all the same, one that ignores it, and one that
// had ended before.
func TestTaskShutdown(t *testing.T) {
	t.Parallel()
	withTasks(t, actors.TaskSupervisorConfig{Shutdown: time.Second}, func(ctx context.Context, system *actors.System, s *actors.TaskSupervisor) {
		free := make(chan struct{})
		for _, test := range []struct {
			name  string
			f     func(ctx context.Context) (int, error)
			value int
			ended bool
			err   error
			took  time.Duration
		}{
			{"heeds", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, 0, false, nil, 0},
			{"finishes", func(ctx context.Context) (int, error) { <-ctx.Done(); return 7, nil }, 7, true, nil, 0},
			{"ignores", func(context.Context) (int, error) { <-free; return 8, nil }, 0, true, messages.Killed, time.Second},
			{"over", func(context.Context) (int, error) { return 9, nil }, 9, true, nil, 0},
		} {
			task, err := actors.AsyncNoLink(ctx, s, test.f)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			began := time.Now()
			value, ended, err := task.Shutdown(ctx, time.Second)
			if value != test.value || ended != test.ended || !errors.Is(err, test.err) || time.Since(began) != test.took {
				t.Errorf("%s: %d, %v after %s; want %d, %v after %s", test.name, value, err, time.Since(began), test.value, test.err, test.took)
			}
			if test.err == messages.Killed {
				if system.Abandoned() != 1 {
					t.Errorf("%d abandoned", system.Abandoned())
				}
				close(free)
				synctest.Wait()
				if value, err := task.Await(ctx); value != 0 || !errors.Is(err, actors.ErrConsumed) || system.Abandoned() != 0 {
					t.Errorf("then %d, %v; %d abandoned", value, err, system.Abandoned())
				}
			}
		}
	})
}

// TestTaskSupervisorRefuses: what is refused is the caller's error, and starts nothing (TS-09, TS-13).
func TestTaskSupervisorRefuses(t *testing.T) {
	t.Parallel()
	withTasks(t, actors.TaskSupervisorConfig{MaxChildren: 1}, func(ctx context.Context, system *actors.System, s *actors.TaskSupervisor) {
		wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
		pid, err := s.StartChild(ctx, wait)
		if err != nil || !system.Alive(pid) {
			t.Fatalf("StartChild: %v, alive: %v", err, system.Alive(pid))
		}
		if _, err := actors.AsyncNoLink(ctx, s, func(context.Context) (int, error) { return 1, nil }); !errors.Is(err, supervisor.ErrMaxChildren) {
			t.Errorf("beyond MaxChildren: %v", err)
		}
		if err := s.Stop(ctx); err != nil || system.Alive(pid) {
			t.Errorf("Stop: %v; the task lives: %v", err, system.Alive(pid))
		}
		if _, err := s.StartChild(ctx, wait); !errors.Is(err, messages.NoProc) {
			t.Errorf("after Stop: %v", err)
		}
		if _, err := actors.StartTaskSupervisor(ctx, system, actors.TaskSupervisorConfig{Shutdown: -3}); err == nil || !strings.Contains(err.Error(), "Shutdown is -3") {
			t.Errorf("a wrong Grace: %v", err)
		}
	})
}

// TestTaskKeepsItsWordUnderRace has tasks killed in the moment in which they end: Shutdown gives the value or
// nothing.
func TestTaskKeepsItsWordUnderRace(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	system := actors.NewSystem(actors.SystemConfig{})
	s, err := actors.StartTaskSupervisor(ctx, system, actors.TaskSupervisorConfig{Shutdown: supervisor.BrutalKill})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		task, err := actors.AsyncNoLink(ctx, s, func(context.Context) (int, error) { return 1, nil })
		if err != nil {
			t.Fatal(err)
		}
		value, ended, err := task.Shutdown(ctx, supervisor.BrutalKill)
		if ended != (value == 1) || err != nil {
			t.Fatalf("%d, %v, %v", value, ended, err)
		}
	}
	if err := system.Stop(ctx); err != nil {
		t.Error(err)
	}
}
