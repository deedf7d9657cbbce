package remote

import (
	"context"
	"errors"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// wanted is a run that was looked at and found good.
type wanted struct {
	request *frame
	until   time.Time // the deadline; zero if there is none
	debt    *debt     // nil: its outcome is not wanted, or too many are owed
}

// runAll hands over runs that are for one runner.
func (s *session) runAll(requests []frame) {
	now := time.Now()
	var served *served
	for i := range requests {
		at, err := s.served(&requests[i])
		var run messages.Run
		var w wanted
		if err == nil {
			served = at
			run, w, err = s.want(served, &requests[i], now)
		}
		if err != nil {
			s.refuse(requests[i].number, err)
			continue
		}
		s.good, s.runs = append(s.good, w), append(s.runs, run)
	}
	if len(s.runs) > 0 {
		ctx, cancel := context.WithTimeout(s.ctx, s.listener.limits.AcceptTimeout)
		defer cancel()
		for i, a := range served.submit(ctx, s.peer.name, s.runs) {
			s.accepted(ctx, served, &s.runs[i], s.good[i], a)
		}
	}
	clear(s.runs)
	clear(s.good)
	s.runs, s.good = s.runs[:0], s.good[:0]
}

// want looks at one run.
func (s *session) want(served *served, r *frame, now time.Time) (run messages.Run, w wanted, err error) {
	w.request = r
	parcel, err := messages.ParseParcel(r.payload)
	if err == nil {
		run, err = parcel.Run()
	}
	if err == nil {
		err = validPriority(run.Priority)
	}
	if err != nil {
		return run, w, s.listener.refuse(s.peer, refusedBadRun, err)
	}
	if err := s.peer.may(actionRun, served.runner.Name(), run.Kind); err != nil {
		return run, w, err
	}
	select {
	case <-s.listener.leaving:
		if !served.has(s.peer.name, run.TaskID) {
			return run, w, actors.ErrStopping
		}
	default:
	}
	if w.until = parcel.Deadline; !w.until.IsZero() && !w.until.After(now) {
		return run, w, ErrTooLate
	}
	if err := s.mayCancelLater(served, &run, &w); err != nil || r.withoutOutcome {
		return run, w, err
	}
	d := &debt{served: served, taskID: run.TaskID}
	switch err := s.owe(r.number, d); {
	case err == nil:
		w.debt = d
	case served.inbox != nil:
		return run, w, err // nobody could keep it
	}
	return run, w, nil
}

// mayCancelLater says whether a run may be cancelled at its deadline, if that is asked for: whoever may not cancel may not do so in this way
// either, and what waits for a deadline is in memory until then.
func (s *session) mayCancelLater(served *served, run *messages.Run, w *wanted) error {
	if !w.cancels() {
		return nil
	}
	name := served.runner.Name()
	if limit := s.listener.limits.MaxUnacknowledged; s.listener.timers.of(s.peer.name) >= limit {
		return &actors.FullError{Runner: name, Limit: "MaxUnacknowledged", Max: limit}
	}
	return s.peer.may(actionCancel, name, run.Kind)
}

// cancels is whether the task is to be cancelled at its deadline.
func (w *wanted) cancels() bool { return w.request.cancelAtDeadline && !w.until.IsZero() }

// mayRepeat says whether a client may know of the task that was there already when it asked for one with the same id. That may be of another
// kind than it has said, or of another runner.
func (s *session) mayRepeat(ctx context.Context, served *served, taskID string, w *wanted) error {
	a := actionRead
	if w.cancels() {
		a = actionCancel
	}
	_, err := s.listener.mayDo(ctx, a, s.peer, served, taskID)
	return err
}

// accepted answers a run, and has its outcome told.
func (s *session) accepted(ctx context.Context, served *served, run *messages.Run, w wanted, a accepted) {
	number := w.request.number
	if a.existed && a.err == nil {
		a.err = s.mayRepeat(ctx, served, run.TaskID, &w)
	}
	if a.err != nil {
		s.settle(number, false)
		s.refuse(number, a.err)
		return
	}
	s.out.put(answer{frame: frame{number: number, what: isAccepted, payload: acceptedPayload(a.existed, w.debt == nil)}})
	if w.debt != nil {
		if leave := served.follow(s.peer.name, run.TaskID, a, follower{s, number}); leave != nil {
			s.holds(number, w.debt, leave)
		}
	}
	if w.cancels() {
		s.listener.cancelAt(s.peer.name, served, run.TaskID, w.until, a)
	}
}

// await has the outcome of a task told.
func (s *session) await(r *frame, taskID string) error {
	served, task, err := s.look(r, taskID)
	if err != nil {
		return err
	}
	return s.follow(served, task, taskID, follower{s, r.number})
}

// look finds the runner, and the task if this client may know of it; where nothing is recorded, no more than its id.
func (s *session) look(r *frame, taskID string) (served *served, task store.Task, err error) {
	if served, err = s.served(r); err != nil {
		return nil, task, err
	}
	if err := validID("task_id", taskID); err != nil {
		return nil, task, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.listener.limits.AcceptTimeout)
	defer cancel()
	task, err = s.listener.mayDo(ctx, actionRead, s.peer, served, taskID)
	return served, task, err
}

// follow owes what becomes of a task. kept is the task's id if the outcome itself is owed.
func (s *session) follow(served *served, task store.Task, kept string, f follower) error {
	d := &debt{served: served, taskID: kept}
	if err := s.owe(f.number, d); err != nil {
		return err
	}
	leave, err := served.watch(s.ctx, s.peer.name, task, f)
	if err != nil {
		s.settle(f.number, false)
		return err
	}
	s.holds(f.number, d, leave)
	return nil
}

func (s *session) cancelTask(r *frame, taskID string) error {
	served, err := s.served(r)
	if err != nil {
		return err
	}
	if err := s.listener.cancel(s.ctx, s.peer, s.peer.name, served, taskID); err != nil {
		return err
	}
	s.put(r.number, isDone, &remotepb.Done{})
	return nil
}

// monitor has a down told: of a task when it ends, of a runner when its server does.
func (s *session) monitor(r *frame, taskID string) error {
	number := r.number
	if taskID != "" {
		served, task, err := s.look(r, taskID)
		if err != nil {
			return err
		}
		return s.follow(served, task, "", follower{(*downTeller)(s), number})
	}
	served, err := s.served(r)
	if err != nil {
		return err
	}
	d := &debt{served: served}
	if err := s.owe(number, d); err != nil {
		return err
	}
	leave := s.listener.monitors.watch(served.runner, func(down messages.Down) {
		down.Ref = messages.Ref(number)
		s.tell(number, down, nil)
	})
	s.holds(number, d, leave)
	return nil
}

// downTeller is a session for those who monitor a task.
type downTeller session

func (s *downTeller) tell(number uint64, outcome any, err error) {
	(*session)(s).tell(number, messages.Down{Ref: messages.Ref(number), Reason: reasonOf(outcome, err)}, nil)
}

// reasonOf is why a task has come to its end, as a Down says it.
func reasonOf(outcome any, err error) error {
	switch m := outcome.(type) {
	case messages.Completed:
		return messages.Normal
	case messages.Failed:
		return m.Reason
	case messages.Cancelled:
		return m.Reason
	}
	if errors.Is(err, actors.ErrStopping) {
		return messages.Shutdown
	}
	return err
}
