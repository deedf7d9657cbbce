package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TaskSupervisorConfig configures a TaskSupervisor. Its zero value works.
type TaskSupervisorConfig struct {
	Name        messages.Name // registers the supervisor's process
	Via         messages.Via  // registers it in a registry; the zero Via does not (RG-02)
	MaxChildren int           // how many tasks at once: supervisor.Unlimited (the zero value), NoChildren or a number
	// Shutdown is how long a task that was told to stop may take before it is declared dead. Zero is
	// supervisor.DefaultShutdown; supervisor.BrutalKill does not ask (TS-11).
	Shutdown    time.Duration
	MaxRestarts int           // of children that WithRestart has started again; zero is supervisor.DefaultMaxRestarts
	MaxSeconds  time.Duration // how long such a restart counts; zero is supervisor.DefaultMaxSeconds
}

// ChildSpec makes a child spec of the config, for a task supervisor under a supervisor. Its ID is the Name or, without one,
// "task_supervisor", so that two without a name clash (TS-01).
func (c TaskSupervisorConfig) ChildSpec(system *System) supervisor.ChildSpec {
	id := string(c.Name)
	if id == "" {
		id = "task_supervisor"
	}
	return supervisor.ChildSpec{ID: id, Type: supervisor.TypeSupervisor, Start: func(ctx context.Context) (messages.PID, error) {
		s, err := StartTaskSupervisor(ctx, system, c)
		if err != nil {
			return messages.PID{}, err
		}
		return s.Supervisor().PID(), nil
	}}
}

// TaskSupervisor supervises tasks: functions, each in a process of its own that ends with the function. They are temporary
// children, unless WithRestart says otherwise, so that none is started again, and no number of failures stops the supervisor
// (TS-06). Its methods are safe from any goroutine.
//
// It is OTP's Task.Supervisor, and what a [TaskRunner] starts its children with. By itself it keeps nothing, limits no
// waiting and tries nothing again.
type TaskSupervisor struct {
	system   *System
	children *supervisor.DynamicSupervisor
	shutdown time.Duration
}

// StartTaskSupervisor starts a task supervisor. Within a process (ctx belongs to it) it is linked to that process and stops
// with it; otherwise it belongs to the system.
func StartTaskSupervisor(ctx context.Context, system *System, config TaskSupervisorConfig) (*TaskSupervisor, error) {
	if config.Shutdown < supervisor.Infinity {
		return nil, fmt.Errorf("actors: TaskSupervisorConfig: Shutdown is %d, want a duration, supervisor.BrutalKill or Infinity", config.Shutdown)
	}
	children, err := supervisor.StartDynamic(ctx, system, supervisor.DynamicConfig{
		Name: config.Name, Via: config.Via, MaxChildren: config.MaxChildren, MaxRestarts: config.MaxRestarts, MaxSeconds: config.MaxSeconds,
	})
	if err != nil {
		return nil, err
	}
	return &TaskSupervisor{system: system, children: children, shutdown: config.Shutdown}, nil
}

// Tasks addresses the task supervisor with this PID, name or Via; a name means whoever holds it at each use. The config is the one
// it was started with: its Shutdown is what tasks get that are started this way.
func Tasks(system *System, target messages.Target, config TaskSupervisorConfig) *TaskSupervisor {
	return &TaskSupervisor{system: system, children: supervisor.Dynamic(system, target), shutdown: config.Shutdown}
}

// Supervisor is the supervisor itself, which counts and terminates its tasks (TS-10).
func (s *TaskSupervisor) Supervisor() *supervisor.DynamicSupervisor { return s.children }

// Children gives the tasks that run, in no order; those that are about to be started again are left out (DS-16).
func (s *TaskSupervisor) Children(ctx context.Context) ([]messages.PID, error) {
	list, err := s.children.WhichChildren(ctx)
	var pids []messages.PID
	for _, child := range list {
		if !child.PID.IsZero() {
			pids = append(pids, child.PID)
		}
	}
	return pids, err
}

// TerminateChild stops a task, waits until it is gone and does not start it again: it is told to shut down, and declared dead when
// its time is over (TS-10). One that is not there (any more) is supervisor.ErrNotFound.
func (s *TaskSupervisor) TerminateChild(ctx context.Context, pid messages.PID) error {
	return s.children.TerminateChild(ctx, pid)
}

// Stop stops the supervisor: all tasks are told together, and declared dead when their time is over (TS-12).
func (s *TaskSupervisor) Stop(ctx context.Context) error { return s.children.Stop(ctx) }

// StartChild starts f and tells nobody how it ends, unless somebody monitors the PID (TS-05). ctx is for the start alone;
// the context that f gets ends when the task is told to stop. The error is a *supervisor.MaxChildrenError (TS-09),
// messages.NoProc if the supervisor is not there (TS-13), its reason if it ends meanwhile, or the cause of ctx; with an error, no
// task was started.
func (s *TaskSupervisor) StartChild(ctx context.Context, f func(ctx context.Context) error, options ...TaskOption) (messages.PID, error) {
	if f == nil {
		return messages.PID{}, errors.New("actors: StartChild: the func is nil")
	}
	o, err := s.taskOptions(options)
	if err != nil {
		return messages.PID{}, err
	}
	return s.start(ctx, taskStart{options: o, run: asTask(ctx, s.system, f, f), process: process.Options{What: f}})
}

// taskStart is a task that is to be started.
type taskStart struct {
	id      string
	options taskOptions
	run     func(ctx context.Context) error
	process process.Options
}

// start has the supervisor start a task.
func (s *TaskSupervisor) start(ctx context.Context, t taskStart) (messages.PID, error) {
	if ctx.Err() != nil {
		return messages.PID{}, context.Cause(ctx) // and not, by chance, a task
	}
	t.process.Link = true
	first := &firstStart{}
	pid, err := s.children.StartChild(ctx, supervisor.ChildSpec{
		ID: t.id, Restart: t.options.restart, Shutdown: t.options.shutdown,
		Start: func(supervised context.Context) (messages.PID, error) {
			return first.begin(func() (messages.PID, error) { return process.SpawnFunc(supervised, s.system, t.run, t.process) })
		},
	})
	if err != nil {
		return first.giveUp(err)
	}
	return pid, nil
}

// firstStart settles between a supervisor and a caller who does not wait for it any longer whether the task is started, so that
// none runs that nobody knows.
type firstStart struct {
	mu     sync.Mutex
	pid    messages.PID // once it has begun
	gaveUp error
}

// begin is called by the supervisor, again if the task is restarted, which is no affair of the caller's any more.
func (f *firstStart) begin(spawn func() (messages.PID, error)) (messages.PID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.pid.IsZero() {
		return spawn()
	}
	if f.gaveUp != nil {
		return messages.PID{}, f.gaveUp
	}
	var err error
	f.pid, err = spawn()
	return f.pid, err
}

// giveUp is called by the caller: there will be no task, unless it has begun.
func (f *firstStart) giveUp(err error) (messages.PID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.pid.IsZero() {
		return f.pid, nil
	}
	f.gaveUp = err
	return messages.PID{}, err
}
