package actors

import (
	"context"
	"errors"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// Starter is under whom tasks run: a *[TaskSupervisor], or [Unsupervised].
type Starter interface {
	startTask(ctx context.Context, t taskStart, link bool) (messages.PID, error)
	taskOptions(given []TaskOption) (taskOptions, error)
	taskSystem() *System
}

// errNoStarter says that a program has forgotten under whom its task is to run.
var errNoStarter = errors.New("actors: under is nil, want a TaskSupervisor or Unsupervised")

func (s *TaskSupervisor) startTask(ctx context.Context, t taskStart, link bool) (messages.PID, error) {
	if link {
		before := t.process.Before
		t.process.Before = func(pid messages.PID) {
			s.system.Link(ctx, pid) // to the caller; to the supervisor it is as its child (TS-02)
			if before != nil {
				before(pid)
			}
		}
	}
	return s.start(ctx, t)
}

func (s *TaskSupervisor) taskOptions(given []TaskOption) (taskOptions, error) {
	return newTaskOptions(s.shutdown, given)
}

func (s *TaskSupervisor) taskSystem() *System { return s.system }

// Unsupervised has tasks run under nobody: a linked one belongs to its starter, any other to the system, which stops it
// when it stops. Prefer a TaskSupervisor: it gives them time to stop, and shows them. WithShutdown means nothing here.
func Unsupervised(system *System) Starter { return unsupervised{system} }

type unsupervised struct{ system *System }

func (u unsupervised) startTask(ctx context.Context, t taskStart, link bool) (messages.PID, error) {
	if ctx.Err() != nil {
		return messages.PID{}, context.Cause(ctx) // as under a supervisor
	}
	t.process.Link = link
	return process.SpawnFunc(ctx, u.system, t.run, t.process)
}

func (u unsupervised) taskOptions(given []TaskOption) (taskOptions, error) {
	return newTaskOptions(0, given)
}

func (u unsupervised) taskSystem() *System { return u.system }

// StartTask starts f and tells nobody how it ends (OTP: Task.start). ctx is for the start alone. That it ends for another
// reason than a clean one is logged, once, with its function and its starter (TK-23). The errors are those of StartChild.
func StartTask(ctx context.Context, under Starter, f func(ctx context.Context) error) (messages.PID, error) {
	return startTask(ctx, under, f, false)
}

// StartTaskLink is StartTask with a link to the process that ctx belongs to (OTP: Task.start_link): when one of them ends for
// another reason than messages.Normal, so does the other. A process that traps exits gets a messages.Exit instead, however the
// task ends.
func StartTaskLink(ctx context.Context, under Starter, f func(ctx context.Context) error) (messages.PID, error) {
	return startTask(ctx, under, f, true)
}

func startTask(ctx context.Context, under Starter, f func(ctx context.Context) error, link bool) (messages.PID, error) {
	switch {
	case under == nil:
		return messages.PID{}, errNoStarter
	case f == nil:
		return messages.PID{}, errors.New("actors: StartTask: the func is nil")
	}
	o, err := under.taskOptions(nil)
	if err == nil && link {
		err = process.Local(ctx, under.taskSystem())
	}
	if err != nil {
		return messages.PID{}, err
	}
	return under.startTask(ctx, taskStart{
		options: o, run: asTask(ctx, under.taskSystem(), f, f), process: process.Options{What: f},
	}, link)
}

// TaskSpec makes a child spec of a task under a supervisor, which does not wait for it to finish. It is temporary (TK-24).
func TaskSpec(system *System, id string, f func(ctx context.Context) error) supervisor.ChildSpec {
	return supervisor.ChildSpec{ID: id, Restart: supervisor.Temporary, Start: func(ctx context.Context) (messages.PID, error) {
		return StartTaskLink(ctx, Unsupervised(system), f)
	}}
}
