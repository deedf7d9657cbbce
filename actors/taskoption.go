package actors

import (
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TaskOption is an option of a task.
type TaskOption func(*taskOptions)

type taskOptions struct {
	shutdown time.Duration
	restart  supervisor.Restart
}

// WithShutdown says how long the task may take to end when it is told to, in place of what its supervisor allows.
func WithShutdown(d time.Duration) TaskOption { return func(o *taskOptions) { o.shutdown = d } }

// WithRestart says whether a child is started again when it ends; the default is supervisor.Temporary. It is for StartChild
// alone: an asynchronous task is always temporary, and asking for anything else is an error (TS-08). A child that keeps
// failing takes the whole task supervisor along when its restarts exceed the limit, as any child does (TS-07).
func WithRestart(r supervisor.Restart) TaskOption { return func(o *taskOptions) { o.restart = r } }

// newTaskOptions gives the options over what the supervisor allows.
func newTaskOptions(shutdown time.Duration, given []TaskOption) (taskOptions, error) {
	o := taskOptions{shutdown: shutdown, restart: supervisor.Temporary}
	if len(given) == 0 {
		return o, nil // most have none, and then nothing of it is on the heap
	}
	return o.with(given)
}

func (o taskOptions) with(given []TaskOption) (taskOptions, error) {
	for i, option := range given {
		if option == nil {
			return o, fmt.Errorf("actors: TaskOption %d of %d is nil, want WithShutdown or WithRestart", i+1, len(given))
		}
		option(&o)
	}
	return o, o.validate()
}

func (o taskOptions) validate() error {
	switch {
	case o.shutdown < supervisor.Infinity:
		return fmt.Errorf("actors: WithShutdown is %d, want a duration, supervisor.BrutalKill or Infinity", o.shutdown)
	case o.restart < supervisor.Permanent || o.restart > supervisor.Temporary:
		return fmt.Errorf("actors: WithRestart is %d, want supervisor.Permanent, Transient or Temporary", int(o.restart))
	}
	return nil
}
