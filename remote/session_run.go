package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// wanted is a run that was looked at and found good.
type wanted struct {
	request *remotepb.Request
	run     messages.Run
	debt    *debt // nil: its outcome is not wanted, or too many are owed
}

// runAll hands over runs that are for one runner.
func (s *session) runAll(requests []*remotepb.Request) {
	served, err := s.listener.served(requests[0].GetRunner())
	if err != nil {
		for _, r := range requests {
			s.refuse(r.GetNumber(), err)
		}
		return
	}
	good := make([]wanted, 0, len(requests))
	runs := make([]messages.Run, 0, len(requests))
	now := time.Now()
	for _, r := range requests {
		w, err := s.want(served, r, now)
		if err != nil {
			s.refuse(r.GetNumber(), err)
			continue
		}
		good, runs = append(good, w), append(runs, w.run)
	}
	if len(runs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.listener.limits.AcceptTimeout)
	defer cancel()
	for i, a := range served.submit(ctx, s.peer.name, runs) {
		s.accepted(served, good[i], a)
	}
}

// want looks at one run.
func (s *session) want(served *served, r *remotepb.Request, now time.Time) (w wanted, err error) {
	message, err := messages.Decode(r.GetRun())
	if err != nil {
		return w, s.listener.refuse(s.peer, refusedBadRun, err)
	}
	run, ok := message.(messages.Run)
	if !ok || run.TaskID == "" {
		return w, s.listener.refuse(s.peer, refusedBadRun, fmt.Errorf("%w: run: a message of kind %q, want a run with a task id", ErrInvalid, cut(r.GetRun().GetKind(), 64)))
	}
	if err := s.peer.may(actionRun, served.runner.Name(), run.Kind); err != nil {
		return w, err
	}
	select {
	case <-s.listener.leaving:
		return w, actors.ErrStopping
	default:
	}
	if until := deadlineOf(r.GetRun()); !until.IsZero() && !until.After(now) {
		return w, ErrTooLate
	}
	w = wanted{request: r, run: run}
	if r.GetWithoutOutcome() {
		return w, nil
	}
	d := &debt{served: served, taskID: run.TaskID}
	switch err := s.owe(r.GetNumber(), d); {
	case err == nil:
		w.debt = d
	case served.inbox != nil:
		return w, err // nobody could keep it
	}
	return w, nil
}

// accepted answers a run, and has its outcome told.
func (s *session) accepted(served *served, w wanted, a accepted) {
	number := w.request.GetNumber()
	if a.err != nil {
		s.settle(number, false)
		s.refuse(number, a.err)
		return
	}
	s.put(number, &remotepb.Answer{What: &remotepb.Answer_Accepted{Accepted: &remotepb.Accepted{Existed: a.existed, Unwatched: w.debt == nil}}})
	if w.debt != nil {
		s.holds(number, w.debt, a.watch(func(outcome any, err error) { s.tell(number, outcome, err) }))
	}
	if until := deadlineOf(w.request.GetRun()); w.request.GetCancelAtDeadline() && !until.IsZero() {
		s.listener.cancelAt(s, served, w, until)
	}
}

// await has the outcome of a task told.
func (s *session) await(r *remotepb.Request, taskID string) error {
	served, err := s.look(r, taskID)
	if err != nil {
		return err
	}
	number := r.GetNumber()
	return s.follow(number, served, taskID, taskID, func(outcome any, err error) { s.tell(number, outcome, err) })
}

// look finds the runner, and whether this client may know of the task.
func (s *session) look(r *remotepb.Request, taskID string) (*served, error) {
	served, err := s.listener.served(r.GetRunner())
	if err != nil {
		return nil, err
	}
	if err := validID("task_id", taskID); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.listener.limits.AcceptTimeout)
	defer cancel()
	return served, s.listener.mayKnow(ctx, s.peer, served, taskID)
}

// follow owes what becomes of a task. kept is the task's id if the outcome itself is owed.
func (s *session) follow(number uint64, served *served, taskID, kept string, told func(outcome any, err error)) error {
	d := &debt{served: served, taskID: kept}
	if err := s.owe(number, d); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.listener.limits.AcceptTimeout)
	defer cancel()
	leave, err := served.watch(ctx, s.peer.name, taskID, told)
	if err != nil {
		s.settle(number, false)
		return err
	}
	s.holds(number, d, leave)
	return nil
}

func (s *session) cancelTask(r *remotepb.Request, taskID string) error {
	served, err := s.listener.served(r.GetRunner())
	if err != nil {
		return err
	}
	return s.listener.cancel(s.ctx, s.peer, s.peer.name, served, taskID)
}

// monitor has a down told: of a task when it ends, of a runner when its server does.
func (s *session) monitor(r *remotepb.Request, taskID string) error {
	number := r.GetNumber()
	if taskID != "" {
		served, err := s.look(r, taskID)
		if err != nil {
			return err
		}
		return s.follow(number, served, taskID, "", func(outcome any, err error) {
			s.tell(number, messages.Down{Ref: messages.Ref(number), Reason: reasonOf(outcome, err)}, nil)
		})
	}
	served, err := s.listener.served(r.GetRunner())
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
