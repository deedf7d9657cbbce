package actors

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// seenInterval is how often a subscriber who reads is recorded as seen, also when there is nothing new: each time is a write.
const seenInterval = time.Minute

// Subscription is one who follows the outcomes of a runner, and whose cursor is kept in the store. Its methods are safe from any
// goroutine. It holds nothing: there is nothing to close, and any number may be had of one name.
type Subscription struct {
	runner *TaskRunner
	name   string
}

// Subscribe gives the subscriber of this name, which follows the outcomes of the runner's recorded tasks and keeps them from being deleted
// until it has acknowledged them, over restarts of every process. It is the same one in whatever process of the Store it is asked for,
// also where the runner is InsertOnly. At the first time it begins at after, a cursor, store.FromOldest, or store.FromNow, of which it
// is given every outcome that is recorded after Subscribe has returned; later after means nothing, and it goes on where it was.
//
// A subscriber that is neither read nor acknowledged for as long as Retention.Subscribers keeps nothing any more. Its cursor stays, and
// if something behind that was deleted, Outcomes says so. Unsubscribe when it is not needed any more: a runner has at most
// store.MaxSubscribers.
//
// The error is ErrNoStore, store.ErrInvalid for a name that is none, store.ErrSubscribers, store.ErrCursorExpired or
// store.ErrCursorAhead for a place where it cannot begin, or what else the store says.
func (r *TaskRunner) Subscribe(ctx context.Context, name string, after int64) (*Subscription, error) {
	if r.config.Store == nil {
		return nil, ErrNoStore
	}
	if _, err := r.config.Store.Subscribe(ctx, time.Now(), r.config.Name, name, after); err != nil {
		return nil, err
	}
	return &Subscription{runner: r, name: name}, nil
}

// Outcomes is TaskRunner.Outcomes from behind the last outcome that was acknowledged, each time that it is read, with the same errors.
// So what was given and not acknowledged is given again. While it is read, the subscriber counts as seen, also if nothing new comes, and
// if the caller takes long for an outcome.
//
// store.ErrCursorExpired says that outcomes were missed, because the subscriber was not seen for too long: Unsubscribe, and Subscribe
// with store.FromOldest to go on with those that are left. store.ErrNotFound says that somebody has called Unsubscribe; who reads at the
// time is told within a minute.
func (s *Subscription) Outcomes(ctx context.Context) iter.Seq2[store.Task, error] {
	return func(yield func(store.Task, error) bool) {
		cursor, err := s.see(ctx)
		if err != nil {
			if s.runner.gone() {
				err = errors.Join(ErrStopping, err)
			}
			yield(store.Task{}, causeOr(ctx, err))
			return
		}
		ctx, stop := s.keepSeen(ctx)
		defer stop()
		s.runner.follow(ctx, store.OutcomeQuery{After: cursor, Gapless: true})(yield)
	}
}

// see records that the subscriber is there, and gives its cursor.
func (s *Subscription) see(ctx context.Context) (cursor int64, err error) {
	return s.runner.config.Store.Acknowledge(ctx, time.Now(), s.runner.config.Name, s.name, store.FromOldest)
}

// keepSeen sees the subscriber now and then, until the func that it gives is called or ctx ends. It does so beside the reading, since a
// caller may take hours for one outcome. The context that it gives ends with the cause when there is no such subscriber any more. Another
// failure is left to the next time, of which there are several before Retention.Subscribers is over.
func (s *Subscription) keepSeen(ctx context.Context) (context.Context, func()) {
	reading, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(reading, seenInterval) {
			if _, err := s.see(reading); errors.Is(err, store.ErrNotFound) {
				cancel(err)
			}
		}
	}()
	return reading, func() {
		cancel(nil)
		<-done
	}
}

// Acknowledge says that all outcomes up to this Pos are dealt with: they are not given again, and need not be kept. That it is recorded
// is a write, so acknowledge several at once if there are many. A Pos that is not beyond the last one only says that the subscriber is
// there. The error is store.ErrCursorAhead for a Pos that no outcome has had yet, store.ErrNotFound after Unsubscribe, or what else the
// store says; then it may be called again.
func (s *Subscription) Acknowledge(ctx context.Context, pos int64) error {
	_, err := s.runner.config.Store.Acknowledge(ctx, time.Now(), s.runner.config.Name, s.name, pos)
	return err
}

// Unsubscribe forgets the subscriber, wherever it is read: what it has not acknowledged is not kept for it any more. It is idempotent.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	return s.runner.config.Store.Unsubscribe(ctx, s.runner.config.Name, s.name)
}
