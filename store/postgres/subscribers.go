package postgres

import (
	"context"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Subscribe implements store.Subscriptions.
func (s *Store) Subscribe(ctx context.Context, now time.Time, runner, name string, after int64) (cursor int64, err error) {
	if err := store.ValidSubscribe(now, runner, name, after); err != nil {
		return 0, err
	}
	err = s.callJoined(ctx, "subscribing", func(ctx context.Context) error {
		return s.transact(ctx, lent{s}, func(ctx context.Context, t *txn) (err error) {
			cursor, err = s.subscribeIn(ctx, t, now, runner, name, after)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	return cursor, nil
}

func (s *Store) subscribeIn(ctx context.Context, t *txn, now time.Time, runner, name string, after int64) (cursor int64, err error) {
	var known bool
	var others, deleted, end int64
	err = t.run(ctx,
		s.sql.pruneTurn.with(text(runner)),
		s.sql.subscriber.with(text(runner), text(name)).each(func(c *columns) {
			known = c.values[0] != nil
			cursor, others, deleted, end = c.optional(), c.int64(), c.int64(), c.int64()
		}))
	if err != nil {
		return 0, err
	}
	if !known {
		added, err := store.ApplySubscribe(now, name, after, int(others), deleted, end)
		if err != nil {
			return 0, err
		}
		cursor = added.Cursor
	}
	return cursor, t.commit(ctx, s.sql.addSubscriber.with(text(runner), text(name), bigint(cursor), moment(store.Micro(now))))
}

// Acknowledge implements store.Subscriptions. It is one round trip, and waits for nobody but a Prune or a Subscribe of the same runner
// that is about to commit.
func (s *Store) Acknowledge(ctx context.Context, now time.Time, runner, name string, pos int64) (cursor int64, err error) {
	if err := store.ValidAcknowledge(now, runner, name, pos); err != nil {
		return 0, err
	}
	var changed, end, known int64
	err = s.read(ctx, "acknowledging", func(ctx context.Context, l *link) error {
		return l.run(ctx,
			s.sql.pruneTurnShared.with(text(runner)),
			s.sql.acknowledge.with(text(runner), text(name), bigint(pos), moment(store.Micro(now))).each(func(c *columns) {
				changed, cursor, end, known = c.int64(), c.optional(), c.int64(), c.int64()
			}))
	})
	switch {
	case err != nil:
		return 0, err
	case changed > 0:
		return cursor, nil
	case known > 0:
		if err := store.NotAhead(pos, end); err != nil {
			return 0, err
		}
	}
	return 0, store.NoSubscriber(runner, name) // or it was forgotten in this very moment
}

// Unsubscribe implements store.Subscriptions.
func (s *Store) Unsubscribe(ctx context.Context, runner, name string) error {
	if err := store.ValidSubscriber(runner, name); err != nil {
		return err
	}
	return s.read(ctx, "unsubscribing", func(ctx context.Context, l *link) error {
		return l.run(ctx, s.sql.unsubscribe.with(text(runner), text(name)))
	})
}

// Subscribers implements store.Subscriptions.
func (s *Store) Subscribers(ctx context.Context, runner string) (all []store.Subscriber, err error) {
	if err := store.ValidName("runner", runner); err != nil {
		return nil, err
	}
	err = s.read(ctx, "reading subscribers", func(ctx context.Context, l *link) error {
		all = nil
		return l.run(ctx, s.sql.subscribers.with(text(runner)).each(func(c *columns) {
			all = append(all, store.Subscriber{Name: c.text(), Cursor: c.int64(), CreatedAt: c.time(), SeenAt: c.time()})
		}))
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
