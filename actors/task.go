package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TaskSupervisorConfig configures a TaskSupervisor. Its zero value works.
type TaskSupervisorConfig struct {
	Name        messages.Name // registers the supervisor's process
	MaxChildren int           // how many tasks at once: supervisor.Unlimited (the zero value), NoChildren or a number
	// Grace is how long a task that was told to stop may take before it is declared dead. Zero is
	// supervisor.DefaultShutdown; supervisor.BrutalKill does not ask (TS-11).
	Grace time.Duration
}

// TaskSupervisor supervises tasks: functions, each in a process of its own that ends with the function. They are temporary
// children, so none is ever started again, and no number of failures stops the supervisor (TS-06). Its methods are safe
// from any goroutine.
//
// It is OTP's Task.Supervisor, and what a [TaskRunner] starts its children with. By itself it keeps nothing, limits no
// waiting and tries nothing again.
type TaskSupervisor struct {
	system   *System
	children *supervisor.DynamicSupervisor
	grace    time.Duration
}

// StartTaskSupervisor starts a task supervisor. Within a process (ctx belongs to it) it is linked to that process and stops
// with it; otherwise it belongs to the system.
func StartTaskSupervisor(ctx context.Context, system *System, config TaskSupervisorConfig) (*TaskSupervisor, error) {
	if config.Grace < supervisor.Infinity {
		return nil, fmt.Errorf("actors: TaskSupervisorConfig: Grace is %d, want a duration, supervisor.BrutalKill or Infinity", config.Grace)
	}
	children, err := supervisor.StartDynamic(ctx, system, supervisor.DynamicConfig{Name: config.Name, MaxChildren: config.MaxChildren})
	if err != nil {
		return nil, err
	}
	return &TaskSupervisor{system: system, children: children, grace: config.Grace}, nil
}

// Children is the supervisor itself, which lists, counts and terminates its tasks.
func (s *TaskSupervisor) Children() *supervisor.DynamicSupervisor { return s.children }

// StartChild starts f and tells nobody how it ends, unless somebody monitors the PID (TS-05). ctx is for the start alone;
// the context that f gets ends when the task is told to stop. The error is a *supervisor.MaxChildrenError,
// messages.NoProc if the supervisor is not there, or the cause of ctx.
func (s *TaskSupervisor) StartChild(ctx context.Context, f func(ctx context.Context) error) (messages.PID, error) {
	if f == nil {
		return messages.PID{}, errors.New("actors: StartChild: the func is nil")
	}
	return s.start(ctx, "", f)
}

func (s *TaskSupervisor) start(ctx context.Context, id string, f func(ctx context.Context) error) (messages.PID, error) {
	return s.children.StartChild(ctx, supervisor.ChildSpec{
		ID: id,
		Start: func(ctx context.Context) (messages.PID, error) {
			return process.SpawnFunc(ctx, s.system, f, process.Options{Link: true})
		},
		Restart:  supervisor.Temporary,
		Shutdown: s.grace,
	})
}

// Stop tells all tasks to stop, waits for each at most its grace, and ends the supervisor.
func (s *TaskSupervisor) Stop(ctx context.Context) error { return s.children.Stop(ctx) }

// Task is a function that runs under a TaskSupervisor. Its methods are safe from any goroutine, and may be called by anybody
// and repeatedly, where OTP lets only the owner ask once (TK-11, TK-12).
type Task[R any] struct {
	supervisor *TaskSupervisor
	pid        messages.PID

	once  sync.Once
	ended chan struct{} // closed when value and err are there
	value R
	err   error
}

// AsyncNoLink starts f under the supervisor and gives a handle to wait for its value. However the task ends, the caller
// lives on (TS-03), and however the caller ends, the task does (TS-04): ctx is for the start alone. The errors are those of
// StartChild.
func AsyncNoLink[R any](ctx context.Context, s *TaskSupervisor, f func(ctx context.Context) (R, error)) (*Task[R], error) {
	if f == nil {
		return nil, errors.New("actors: AsyncNoLink: the func is nil")
	}
	t := &Task[R]{supervisor: s, ended: make(chan struct{})}
	var err error
	t.pid, err = s.StartChild(ctx, func(ctx context.Context) error { return t.run(ctx, f) })
	if err != nil {
		return nil, err
	}
	return t, nil
}

// run keeps how f ends before its process does, so that whoever sees that end finds it. The deferred part sees every way out.
func (t *Task[R]) run(ctx context.Context, f func(ctx context.Context) (R, error)) (reason error) {
	var value R
	err := messages.ErrGoexit
	defer func() {
		if value := recover(); value != nil {
			err = &messages.PanicError{Value: value, Stack: debug.Stack()}
		}
		if messages.Is(err, context.Canceled) && ctx.Err() != nil {
			err = context.Cause(ctx) // it ended because it was told to: the reason is why
		}
		if self, _ := process.Self(ctx); t.supervisor.system.Alive(self) {
			t.end(value, err) // one that was declared dead has ended already
		}
		reason = err
	}()
	value, err = f(ctx)
	return nil
}

func (t *Task[R]) end(value R, err error) {
	t.once.Do(func() {
		t.value, t.err = value, err
		close(t.ended)
	})
}

// PID is the task's process.
func (t *Task[R]) PID() messages.PID { return t.pid }

// Await waits for the task's value. The error is the one that f returned; a *messages.PanicError; messages.ErrGoexit;
// messages.Shutdown if f stopped as it was told to; messages.Killed if it did not and was declared dead; or the cause of
// ctx, and then the task goes on (TK-08).
func (t *Task[R]) Await(ctx context.Context) (R, error) {
	var none R
	select {
	case <-t.ended:
	case <-t.supervisor.system.Done(t.pid):
		t.end(none, messages.Killed) // unless it has left its end
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	return t.value, t.err
}

// Shutdown tells the task to stop, waits at most its grace, and gives how it ended, as Await does: a value that it returned
// all the same is not lost (TK-19, TK-20). When ctx ends first, the task still stops.
func (t *Task[R]) Shutdown(ctx context.Context) (R, error) {
	if err := t.supervisor.children.TerminateChild(ctx, t.pid); err != nil && !errors.Is(err, supervisor.ErrNotFound) && !errors.Is(err, messages.NoProc) {
		var none R
		return none, err
	}
	return t.Await(ctx)
}
