package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Subscriptions knows who follows the outcomes of a runner and must not miss one, and up to where each has dealt with them. Prune keeps
// what they have not acknowledged. A subscriber is a name: it is the same one in whatever process it asks, before a restart and after it.
type Subscriptions interface {
	// Subscribe gives the cursor of the runner's subscriber of this name, which is the largest that it has acknowledged. If there is no
	// such subscriber, there is from now on, and it begins at after: behind a cursor, at FromOldest, or at FromNow, of which it is given
	// every outcome that is recorded after Subscribe has returned. ErrCursorExpired, ErrCursorAhead and ErrSubscribers are for new ones
	// alone: of one that exists, after is only checked to be valid. Either way the subscriber is seen now.
	Subscribe(ctx context.Context, now time.Time, runner, name string, after int64) (cursor int64, err error)

	// Acknowledge says that the subscriber has dealt with all outcomes up to pos, and gives its cursor as it is then: one that is larger
	// already stays. So FromOldest only says that the subscriber is there, since it is seen now in any case. ErrNotFound if there is none
	// of the name, ErrCursorAhead if pos is beyond the last outcome of all.
	Acknowledge(ctx context.Context, now time.Time, runner, name string, pos int64) (cursor int64, err error)

	// Unsubscribe forgets the subscriber. That there is none of the name is no error.
	Unsubscribe(ctx context.Context, runner, name string) error

	// Subscribers gives all of the runner's in the order of their names, also those that were not seen for long.
	Subscribers(ctx context.Context, runner string) ([]Subscriber, error)
}

// MaxSubscribers is how many subscribers a runner may have, which bounds what it costs to ask how much of its outcomes is still needed.
const MaxSubscribers = 100

// ErrSubscribers says that the runner has MaxSubscribers subscribers already.
var ErrSubscribers = errors.New("store: the runner has no room for another subscriber")

// Subscriber is one of a runner's.
type Subscriber struct {
	Name      string
	Cursor    int64     // what stands behind it, it has not acknowledged; FromOldest if it began before the first outcome of all
	CreatedAt time.Time // when it subscribed first
	SeenAt    time.Time // when it subscribed or acknowledged last
}

// ApplySubscribe is the subscriber that begins at after, given how many others the runner has, the largest Pos of its outcomes that were
// deleted, and where the order of all ends. FromOldest becomes the cursor behind which nothing was deleted, so that what is deleted later
// can be told. It is for those who write a store, and so are the functions below; what they are given must be valid.
func ApplySubscribe(now time.Time, name string, after int64, others int, deleted, end int64) (Subscriber, error) {
	if others >= MaxSubscribers {
		return Subscriber{}, fmt.Errorf("%w: MaxSubscribers is %d; Unsubscribe one that nobody needs", ErrSubscribers, MaxSubscribers)
	}
	if after == FromNow {
		after = end
	}
	cursor, err := OutcomeQuery{After: after}.Start(deleted, end)
	if err != nil {
		return Subscriber{}, err
	}
	return Subscriber{Name: name, Cursor: cursor, CreatedAt: Micro(now), SeenAt: Micro(now)}, nil
}

// ApplyAcknowledge raises the subscriber's cursor to pos, given where the order of outcomes ends.
func ApplyAcknowledge(s *Subscriber, now time.Time, pos, end int64) error {
	if err := NotAhead(pos, end); err != nil {
		return err
	}
	s.Cursor, s.SeenAt = max(s.Cursor, pos), Micro(now)
	return nil
}

// NotAhead is ErrCursorAhead if pos is beyond the end.
func NotAhead(pos, end int64) error {
	_, err := OutcomeQuery{After: pos}.Start(0, end)
	return err
}

// NoSubscriber is the ErrNotFound of a subscriber.
func NoSubscriber(runner, name string) error {
	return fmt.Errorf("%w: runner %q has no subscriber %q", ErrNotFound, runner, name)
}

// ValidSubscribe reports why nobody can subscribe so; the error wraps ErrInvalid.
func ValidSubscribe(now time.Time, runner, name string, after int64) error {
	if err := errors.Join(ValidTime("now", now), ValidSubscriber(runner, name)); err != nil {
		return err
	}
	if after < FromNow {
		return invalid("after", after, "must be a cursor, FromOldest or FromNow")
	}
	return nil
}

// ValidAcknowledge reports why nothing can be acknowledged so; the error wraps ErrInvalid.
func ValidAcknowledge(now time.Time, runner, name string, pos int64) error {
	if err := errors.Join(ValidTime("now", now), ValidSubscriber(runner, name)); err != nil {
		return err
	}
	if pos < FromOldest {
		return invalid("pos", pos, "must be the Pos of an outcome, or FromOldest")
	}
	return nil
}

// ValidSubscriber reports whether a runner can have a subscriber of this name: both are names as ValidName wants them.
func ValidSubscriber(runner, name string) error {
	return errors.Join(ValidName("runner", runner), ValidName("name", name))
}
