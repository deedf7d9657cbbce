package store

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
)

// Subscribe implements Subscriptions.
func (m *Memory) Subscribe(ctx context.Context, now time.Time, runner, name string, after int64) (cursor int64, err error) {
	err = m.locked(ctx, func() error {
		if err := ValidSubscribe(now, runner, name, after); err != nil {
			return err
		}
		of := m.subscribers[runner]
		if s := of[name]; s != nil {
			s.SeenAt, cursor = Micro(now), s.Cursor
			return nil
		}
		s, err := ApplySubscribe(now, name, after, len(of), m.deletedUpTo(runner), m.pos)
		if err != nil {
			return err
		}
		if of == nil {
			of = map[string]*Subscriber{}
			m.subscribers[runner] = of
		}
		of[name], cursor = &s, s.Cursor
		return nil
	})
	return cursor, err
}

// Acknowledge implements Subscriptions.
func (m *Memory) Acknowledge(ctx context.Context, now time.Time, runner, name string, pos int64) (cursor int64, err error) {
	err = m.locked(ctx, func() error {
		if err := ValidAcknowledge(now, runner, name, pos); err != nil {
			return err
		}
		s := m.subscribers[runner][name]
		if s == nil {
			return NoSubscriber(runner, name)
		}
		if err := ApplyAcknowledge(s, now, pos, m.pos); err != nil {
			return err
		}
		cursor = s.Cursor
		return nil
	})
	return cursor, err
}

// Unsubscribe implements Subscriptions.
func (m *Memory) Unsubscribe(ctx context.Context, runner, name string) error {
	return m.locked(ctx, func() error {
		if err := ValidSubscriber(runner, name); err != nil {
			return err
		}
		delete(m.subscribers[runner], name)
		return nil
	})
}

// Subscribers implements Subscriptions.
func (m *Memory) Subscribers(ctx context.Context, runner string) (all []Subscriber, err error) {
	err = m.locked(ctx, func() error {
		if err := ValidName("runner", runner); err != nil {
			return err
		}
		for _, s := range m.subscribers[runner] {
			all = append(all, *s)
		}
		slices.SortFunc(all, func(a, b Subscriber) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	return all, err
}

// acknowledged is up to where all subscribers have acknowledged that count: what stands behind it is not to be deleted.
func (t *tables) acknowledged(expiry Expiry) int64 {
	upTo := int64(math.MaxInt64)
	for _, s := range t.subscribers[expiry.Runner] {
		if expiry.Keeps(*s) {
			upTo = min(upTo, s.Cursor)
		}
	}
	return upTo
}
