package process

import (
	"context"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Work is a function that a supervisor starts, with what is to be told of its process. It is also what those see who look at the
// process.
type Work interface {
	// ID is that of the child.
	ID() string
	// Started is called when the process has its PID and is in the records, before Run.
	Started(pid messages.PID)
	// Run runs in the process, as in SpawnFunc.
	Run(ctx context.Context) error
	// Ended is told of the end, as Options.After is.
	Ended(reason error)
}

// StartWork asks a dynamic supervisor to start work, each as a temporary child of its own; it answers with one Started for each. A
// supervisor that is given a Start runs it in a goroutine of its own, since it is the user's code, and is asked once for each
// child. Here it starts the processes itself, so that a thousand tasks are a few messages.
type StartWork struct {
	Work     []Work
	Shutdown time.Duration // as in a child spec
}

// Started is the answer to one Work.
type Started struct {
	PID messages.PID
	Err error
}

// SpawnWork starts a process that runs the work, as a child of the process that ctx belongs to. It gives its end, too, which is to
// come.
func SpawnWork(ctx context.Context, s *System, work Work) (messages.PID, Ending, error) {
	p := s.newProc(Options{What: work})
	p.work = work
	p.place.Store(&Place{ID: work.ID()})
	if err := s.enter(ctx, p, Options{Link: true}); err != nil {
		return messages.PID{}, Ending{}, err
	}
	work.Started(p.pid)
	if parent := procOf(ctx); parent != nil {
		p.adopt(parent)
	}
	go func() {
		grow()
		p.run(work.Run)
	}()
	return p.pid, Ending{p}, nil
}
