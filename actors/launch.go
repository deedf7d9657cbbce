package actors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// launchBatch is how many children the task supervisor is asked to start at once. The way to it and back costs as much as a start;
// the first of a batch runs while the last is started.
const launchBatch = 64

// startRuns has the server start runs that were accepted. They are entered already. It is from nobody: what a process says after its end is
// dropped, and the context of a caller may have ended.
func (r *TaskRunner) startRuns(runs ...*run) {
	if len(runs) > 0 && r.arrived.put(runs...) {
		r.server().Cast(context.Background(), runsAccepted{})
	}
}

// launch has the task supervisor start a child for each of the runs, and gives those whose turn it did not take: an earlier
// incarnation of the runner has started them, or they were cancelled. One that was told to stop before ends without a child.
func (s *runner) launch(ctx context.Context, runs []*run) (untaken []*run) {
	starting := make([]*run, 0, len(runs))
	for _, r := range runs {
		switch taken, ended := r.begin(time.Now()); {
		case !taken:
			untaken = append(untaken, r)
		case ended:
			s.ended(ctx, r, r.told)
		default:
			starting = append(starting, r)
		}
	}
	for batch := range slices.Chunk(starting, launchBatch) {
		s.startChildren(ctx, batch)
	}
	return untaken
}

// begin takes the run's turn. It reports false if that is over, and whether the run has ended with it.
func (r *run) begin(now time.Time) (taken, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage != accepted {
		return false, false
	}
	r.stage, r.slot, r.startedAt = started, true, now
	if r.told != nil {
		r.fail(r.told)
	}
	return true, r.told != nil
}

// fail is the end of a run that has no child. It is called with the lock.
func (r *run) fail(err error) {
	if r.ending == nil {
		r.ending = &ending{err: err, told: r.told, at: time.Now()}
		r.fate = decideFate(*r.ending, r.task.Attempt, policy{}, time.Now(), 0)
	}
}

// startChildren waits for the answer also if the server is killed meanwhile: children that nobody knows of would run beside the
// next try.
func (s *runner) startChildren(ctx context.Context, runs []*run) {
	request := process.StartWork{Work: make([]process.Work, len(runs)), Shutdown: s.config.Grace}
	for i, r := range runs {
		request.Work[i] = (*child)(r)
	}
	answer, err := process.Call(context.WithoutCancel(ctx), s.system, s.tasks.Load().Supervisor().PID(), request)
	answers, _ := answer.([]process.Started)
	for i, r := range runs {
		switch {
		case err != nil:
			s.notStarted(ctx, r, err)
		case answers[i].Err != nil:
			s.notStarted(ctx, r, answers[i].Err)
		}
	}
}

// notStarted puts off a run that has no child; one that has all the same ends with its child. If the server was killed in this
// moment, its next incarnation has seen a run that is about to be started, and is told that it is not.
func (s *runner) notStarted(ctx context.Context, r *run, err error) {
	r.mu.Lock()
	dead := ctx.Err() != nil
	switch {
	case r.stage != started || !r.pid.IsZero():
		r.mu.Unlock()
		return
	case dead:
		r.stage = accepted
	default:
		r.fail(fmt.Errorf("%w: %w", messages.Snooze(childPause), err))
	}
	r.mu.Unlock()
	if dead {
		s.startRuns(r)
		return
	}
	s.ended(ctx, r, err)
}

// childPause is how long a task is put off when the task supervisor could not start it: the system is stopping.
const childPause = time.Second

// child is a run as the task supervisor knows it.
type child run

var _ process.Work = (*child)(nil)

// ID is that of the task.
func (c *child) ID() string { return c.task.TaskID }

// ProcessTitle is what is shown of the run's process.
func (c *child) ProcessTitle() string { return "task " + c.task.Kind + " " + c.task.TaskID }

// Started notes the process, and passes on what the run was told before there was one.
func (c *child) Started(pid messages.PID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid = pid
	r := (*run)(c)
	switch {
	case c.told != nil:
		r.interrupt()
	case c.timeout > 0:
		r.killAfter(longer(c.timeout, c.runner.config.Grace))
	}
}

// Run is the life of the run.
func (c *child) Run(ctx context.Context) error { return (*run)(c).work(ctx) }

// Ended has the server told.
func (c *child) Ended(reason error) {
	if c.runner.departed.put(departure{(*run)(c), reason}) {
		c.runner.server().Info(context.Background(), childrenEnded{})
	}
}

// departure is a run whose process is gone.
type departure struct {
	run    *run
	reason error
}

// handleEnds deals with the runs whose processes are gone.
func (s *runner) handleEnds(ctx context.Context) {
	for _, d := range s.departed.take() {
		s.ended(ctx, d.run, d.reason)
	}
}
