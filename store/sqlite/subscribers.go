package sqlite

import (
	"context"
	"database/sql/driver"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Subscribe implements store.Subscriptions.
func (s *Store) Subscribe(ctx context.Context, now time.Time, runner, name string, after int64) (cursor int64, err error) {
	if err := store.ValidSubscribe(now, runner, name, after); err != nil {
		return 0, err
	}
	return s.changeSubscriber(ctx, func(x *tx) (int64, error, error) { return x.subscribe(now, runner, name, after) })
}

// Acknowledge implements store.Subscriptions. Each is a commit, or a share of one.
func (s *Store) Acknowledge(ctx context.Context, now time.Time, runner, name string, pos int64) (cursor int64, err error) {
	if err := store.ValidAcknowledge(now, runner, name, pos); err != nil {
		return 0, err
	}
	return s.changeSubscriber(ctx, func(x *tx) (int64, error, error) { return x.acknowledge(now, runner, name, pos) })
}

// changeSubscriber answers with a cursor, or with what was refused.
func (s *Store) changeSubscriber(ctx context.Context, change func(*tx) (cursor int64, refused, err error)) (cursor int64, err error) {
	var refused error
	err = s.write(ctx, 1, func(x *tx) (err error) {
		cursor, refused, err = change(x)
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return 0, err
	}
	return cursor, nil
}

func (x *tx) subscribe(now time.Time, runner, name string, after int64) (cursor int64, refused, err error) {
	all, err := x.subscribers(context.Background(), runner)
	if err != nil {
		return 0, nil, err
	}
	if i := slices.IndexFunc(all, func(s store.Subscriber) bool { return s.Name == name }); i >= 0 {
		all[i].SeenAt = store.Micro(now)
		return all[i].Cursor, nil, x.putSubscriber(runner, all[i])
	}
	deleted, err := x.pruned(runner)
	if err != nil {
		return 0, nil, err
	}
	s, refused := store.ApplySubscribe(now, name, after, len(all), deleted, x.pos)
	if refused != nil {
		return 0, refused, nil
	}
	return s.Cursor, nil, x.putSubscriber(runner, s)
}

func (x *tx) acknowledge(now time.Time, runner, name string, pos int64) (cursor int64, refused, err error) {
	var found []store.Subscriber
	if err := x.query(context.Background(), selectSubscriber, collectSubscribers(&found), runner, name); err != nil {
		return 0, nil, err
	}
	if len(found) == 0 {
		return 0, store.NoSubscriber(runner, name), nil
	}
	if refused := store.ApplyAcknowledge(&found[0], now, pos, x.pos); refused != nil {
		return 0, refused, nil
	}
	return found[0].Cursor, nil, x.putSubscriber(runner, found[0])
}

func (x *tx) putSubscriber(runner string, s store.Subscriber) error {
	return x.write(upsertSubscriber, runner, s.Name, s.Cursor, moment(s.CreatedAt), moment(s.SeenAt))
}

// Unsubscribe implements store.Subscriptions.
func (s *Store) Unsubscribe(ctx context.Context, runner, name string) error {
	if err := store.ValidSubscriber(runner, name); err != nil {
		return err
	}
	return s.write(ctx, 1, func(x *tx) error { return x.write(deleteSubscriber, runner, name) })
}

// Subscribers implements store.Subscriptions.
func (s *Store) Subscribers(ctx context.Context, runner string) (all []store.Subscriber, err error) {
	if err := store.ValidName("runner", runner); err != nil {
		return nil, err
	}
	err = s.read(ctx, nil, func(c *conn) (err error) {
		all, err = c.subscribers(ctx, runner)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (c *conn) subscribers(ctx context.Context, runner string) (all []store.Subscriber, err error) {
	err = c.query(ctx, selectSubscribers, collectSubscribers(&all), runner)
	return all, err
}

func collectSubscribers(all *[]store.Subscriber) func([]driver.Value) error {
	return func(values []driver.Value) error {
		c := columns{row: values}
		*all = append(*all, store.Subscriber{Name: next[string](&c), Cursor: next[int64](&c), CreatedAt: c.time(), SeenAt: c.time()})
		return c.err
	}
}

// acknowledged is up to where all subscribers have acknowledged that count: what stands behind it is not to be deleted.
func (c *conn) acknowledged(expiry store.Expiry) (int64, error) {
	return c.number(selectAcknowledged, expiry.Runner, moment(store.Micro(expiry.Subscribers)))
}
