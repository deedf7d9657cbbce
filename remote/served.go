package remote

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// served is a runner as a listener serves it: the same, whether it records its tasks or not.
type served struct {
	runner   *actors.TaskRunner
	inbox    *inbox                                  // nil if the runner records its tasks
	ended    func(id string, outcome any, err error) // into it
	limits   Limits
	database string
}

func newServed(r *actors.TaskRunner, limits Limits) *served {
	s := &served{runner: r, limits: limits}
	if db := r.Store(); db != nil {
		s.database = db.Identity()
		return s
	}
	s.inbox = newInbox(limits.MaxUnacknowledged, limits.MaxBytes)
	s.ended = func(id string, outcome any, err error) { s.inbox.end(id, outcome, err, time.Now()) }
	return s
}

// room is how much room the runner has.
func (s *served) room() *remotepb.Room {
	free, stopped := s.runner.Free()
	return &remotepb.Room{Runner: s.runner.Name(), Free: int64(free), Stopped: stopped, Database: s.database}
}

// accepted is the answer to one run.
type accepted struct {
	existed    bool
	err        error
	submission *actors.Submission // of a task that is recorded
}

// submit hands runs to the runner, in their order. The answers are in the order of the runs.
func (s *served) submit(ctx context.Context, owner string, runs []messages.Run) []accepted {
	if s.inbox != nil {
		return s.submitPlain(ctx, owner, runs)
	}
	answers := make([]accepted, len(runs))
	submissions := s.runner.Submit(ctx, runs)
	for i := range submissions {
		answers[i] = accepted{submissions[i].Existed, submissions[i].Err, &submissions[i]}
	}
	return answers
}

// submitPlain enters the runs into the inbox before the runner has them: of two that come at the same time with one id, the first counts.
func (s *served) submitPlain(ctx context.Context, owner string, runs []messages.Run) []accepted {
	answers := make([]accepted, len(runs))
	old, now := 0, time.Now()
	for i := range runs {
		a := &answers[i]
		if a.existed, a.err = s.inbox.enter(owner, runs[i].TaskID, len(runs[i].Args), now); a.existed || a.err != nil {
			old++
		}
	}
	places := make([]*accepted, 0, len(runs)) // of the new ones
	fresh := runs                             // which is mostly all of them
	if old > 0 {
		fresh = make([]messages.Run, 0, len(runs)-old)
	}
	for i := range answers {
		if a := &answers[i]; !a.existed && a.err == nil {
			places = append(places, a)
			if old > 0 {
				fresh = append(fresh, runs[i])
			}
		}
	}
	for i, submission := range s.runner.Submit(ctx, fresh) {
		if places[i].err = submission.Err; submission.Err != nil {
			s.inbox.refuse(fresh[i].TaskID)
			continue
		}
		submission.Notify(s.ended)
	}
	return answers
}

// follow has somebody told of the outcome of a task that was accepted a moment ago. leave is nil if the inbox is to be left.
func (s *served) follow(owner, id string, a accepted, f follower) (leave func()) {
	if s.inbox == nil {
		return a.submission.Notify(func(_ string, outcome any, err error) { f.to.tell(f.number, outcome, err) }).Stop
	}
	if err := s.inbox.follow(owner, id, f); err != nil {
		f.to.tell(f.number, nil, err)
	}
	return nil
}

// watch has somebody told of the outcome of a task that was looked up, at once if it is there. The error says that there is none.
func (s *served) watch(ctx context.Context, owner string, task store.Task, f follower) (leave func(), err error) {
	switch {
	case s.inbox != nil:
		return func() { s.inbox.leave(task.ID, f) }, s.inbox.follow(owner, task.ID, f)
	case task.State.Final():
		f.to.tell(f.number, actors.OutcomeOf(task), nil)
		return func() {}, nil
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		outcome, err := s.runner.Outcome(inner, task.ID)
		if inner.Err() == nil {
			f.to.tell(f.number, outcome, err)
		}
	}()
	return cancel, nil
}

// own gives a recorded task of this runner.
func (s *served) own(ctx context.Context, id string) (store.Task, error) {
	task, err := s.runner.Store().Get(ctx, id)
	if err == nil && task.Runner != s.runner.Name() {
		return task, fmt.Errorf("%w: task %s is not one of runner %q", store.ErrNotFound, id, s.runner.Name())
	}
	return task, err
}

// find gives a task, for those who ask whether a client may know of it. Where nothing is recorded it has no more than its id: the inbox
// knows whose it is.
func (s *served) find(ctx context.Context, id string) (store.Task, error) {
	if s.inbox != nil {
		return store.Task{ID: id}, nil
	}
	return s.own(ctx, id)
}

// has is whether a task of this client is here already, if the runner records nothing: where it does, others can tell.
func (s *served) has(owner, id string) bool { return s.inbox != nil && s.inbox.knows(owner, id) == nil }

// cancel says that a task is no longer wanted.
func (s *served) cancel(ctx context.Context, owner, id string) error {
	if s.inbox != nil {
		if err := s.inbox.knows(owner, id); err != nil {
			return err
		}
	}
	_, err := s.runner.Cancel(ctx, id)
	return err
}

// arrived says that an outcome has arrived at the client over a stream, over which it will not be asked for again.
func (s *served) arrived(owner, id string, forget bool) {
	if s.inbox != nil {
		s.inbox.arrive(owner, id, forget)
	}
}

// outcomes gives the outcomes that a client watches: behind a cursor, or as a subscriber of its own.
func (s *served) outcomes(ctx context.Context, owner string, r *remotepb.WatchRequest) (iter.Seq2[store.Task, error], error) {
	if r.GetSubscriber() == "" {
		return s.runner.Outcomes(ctx, r.GetAfter()), nil
	}
	if err := s.mayHaveSubscriber(ctx, owner, r.GetSubscriber()); err != nil {
		return nil, err
	}
	subscription, err := s.runner.Subscribe(ctx, subscriberOf(owner, r.GetSubscriber()), r.GetAfter())
	if errors.Is(err, store.ErrSubscribers) {
		err = &actors.FullError{Runner: s.runner.Name(), Limit: "MaxSubscribers", Max: store.MaxSubscribers}
	}
	if err != nil {
		return nil, err
	}
	return subscription.Outcomes(ctx), nil
}
