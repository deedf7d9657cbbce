package actors

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// Submission is the answer to one of the messages that Submit was given.
type Submission struct {
	TaskID  string
	Seq     int64 // the order in which it was recorded; zero if it is not
	Existed bool  // a task of this id was there already, so that nothing was recorded
	Err     error // why it was refused; then the rest is zero

	runner  *TaskRunner
	promise *promise // of a task that is not recorded
}

// Submit is Run for tasks that come as messages, from those who have no Go types for them, such as another machine. They may be of any
// kinds; each is accepted or refused by itself, with the errors of Run, and those that are recorded are so in their order, many with one
// commit. The answers are in the order of the runs. Once one is refused because the runner is full, so are all that come behind it.
//
// Each needs a TaskID. A runner with a store accepts it once; one without knows of no earlier ones: there it is the caller who answers
// for each being new. Nobody waits for room here.
func (r *TaskRunner) Submit(ctx context.Context, runs []messages.Run) []Submission {
	answers := make([]Submission, len(runs))
	for first := 0; first < len(runs); {
		next := first + 1
		for next < len(runs) && runs[next].ScheduledAt.Equal(runs[first].ScheduledAt) {
			next++
		}
		r.submitAt(ctx, runs[first:next], answers[first:next])
		first = next
	}
	return answers
}

// submitAt is Submit for runs that are due at the same time.
func (r *TaskRunner) submitAt(ctx context.Context, runs []messages.Run, answers []Submission) {
	good := make([]*run, 0, len(runs))
	places := make([]*Submission, 0, len(runs)) // of the good ones
	for i, m := range runs {
		made, err := r.runOf(m)
		if err != nil {
			answers[i].Err = err
			continue
		}
		good, places = append(good, made), append(places, &answers[i])
	}
	if len(good) > 0 {
		_ = r.submit(ctx, good, places, notBefore(runs[0].ScheduledAt))
	}
}

// runOf checks a message and makes the run.
func (r *TaskRunner) runOf(m messages.Run) (*run, error) {
	o := options{
		id: m.TaskID, at: m.ScheduledAt, maxAttempts: m.MaxAttempts, timeout: m.Timeout, priority: m.Priority, prioritized: m.Priority != 0,
		trace: m.TraceContext,
	}
	if err := o.validate("Run"); err != nil {
		return nil, err
	}
	if err := store.ValidID("TaskID", m.TaskID); err != nil {
		return nil, err
	}
	runs, err := newRuns(r, m.Kind, []json.RawMessage{m.Args}, o)
	if err != nil {
		return nil, err
	}
	return runs[0], nil
}

// submit accepts the runs: all of them, if that can be, and else each half by itself. It gives the error of the last one that was
// refused for want of room.
func (r *TaskRunner) submit(ctx context.Context, runs []*run, places []*Submission, at time.Time) error {
	inserted, err := r.accept(ctx, runs, options{at: at})
	switch {
	case err == nil:
		for i, place := range places {
			*place = Submission{TaskID: runs[i].task.TaskID, runner: r, promise: runs[i].promise}
			if inserted != nil {
				place.Seq, place.Existed = inserted[i].Seq, inserted[i].Existed
			}
		}
		return nil
	case len(runs) == 1 || errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrStopping) || ctx.Err() != nil:
		refuse(places, err)
		return onlyFull(err)
	}
	half := len(runs) / 2
	if err := r.submit(ctx, runs[:half], places[:half], at); err != nil {
		refuse(places[half:], err)
		return err
	}
	return r.submit(ctx, runs[half:], places[half:], at)
}

func refuse(places []*Submission, err error) {
	for _, place := range places {
		place.Err = err
	}
}

func onlyFull(err error) error {
	if errors.Is(err, ErrFull) {
		return err
	}
	return nil
}

// Outcome waits for the final outcome of the task, and gives it as HandleInfo is told of it: messages.Completed, Failed or Cancelled.
// The errors are those of Handle.Await for want of an outcome: ErrStopping, the cause of ctx.
func (s Submission) Outcome(ctx context.Context) (message any, err error) {
	if s.promise == nil {
		return s.runner.Outcome(ctx, s.TaskID)
	}
	if err := s.promise.wait(ctx); err != nil {
		return nil, err
	}
	return s.promise.message()
}

// Notify has told called with the task's id and what Outcome gives, once, from any goroutine; it must wait for nothing, and ask the
// runner nothing.
func (s Submission) Notify(told func(id string, message any, err error)) Notification {
	r, w := s.runner, watcher{s.TaskID, told}
	if s.promise != nil {
		return r.promises.whenDone(s.promise, w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ask := func() {
		message, err := r.Outcome(ctx, w.id)
		if ctx.Err() == nil {
			told(w.id, message, err)
		}
	}
	if n, ok := r.notifyHere(w, ask); ok {
		leave := n.leave
		n.leave = func() { cancel(); leave() }
		return n
	}
	go ask()
	return Notification{leave: cancel}
}

// notifyHere is for a recorded task that runs in this process, of whose end there will be told without a goroutine that waits for it. If the
// store refuses what it has come to, it is to be asked.
func (r *TaskRunner) notifyHere(w watcher, ask func()) (n Notification, ok bool) {
	p, err := r.promises.join(w.id)
	if err != nil {
		return n, false
	}
	leave := sync.OnceFunc(func() { r.promises.leave(w.id, p) })
	run := r.runs.get(w.id)
	if run == nil || !run.willTell() {
		leave()
		return n, false
	}
	r.promises.raise(p, run.task.Run)
	r.writer.hurry()
	told := w.told
	w.told = func(id string, message any, err error) {
		if err == errLookAgain { //nolint:errorlint // it is ours, unwrapped
			go ask()
			return
		}
		told(id, message, err)
	}
	n = r.promises.whenDone(p, w)
	n.leave = leave
	return n, true
}

// Outcome waits for the final outcome of a recorded task, by its id, and gives it as HandleInfo is told of it: messages.Completed,
// Failed or Cancelled; see [Await].
func (r *TaskRunner) Outcome(ctx context.Context, id string) (message any, err error) {
	if r.config.Store == nil {
		return nil, ErrNoStore
	}
	if err := r.refuseSelfAwait(ctx, id); err != nil {
		return nil, err
	}
	p, err := r.awaitRecorded(ctx, id)
	if err != nil {
		return nil, err
	}
	return p.message()
}

// OutcomeOf is the final outcome of a recorded task that has ended, as [TaskRunner.Outcome] gives it. What the task must have is a final State.
func OutcomeOf(t store.Task) any {
	ref := refOf(t)
	switch t.State {
	case store.Completed:
		return messages.Completed{TaskRef: ref, Result: t.Result, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt}
	case store.Cancelled:
		return messages.Cancelled{TaskRef: ref, Reason: lastError(t), FinishedAt: t.FinishedAt}
	default:
		return messages.Failed{TaskRef: ref, Reason: lastError(t), StartedAt: t.StartedAt, FinishedAt: t.FinishedAt}
	}
}
