package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Cancel implements store.Controller. When the answer of the server was lost, it is asked again, and then From may be the state after
// the cancel. While another transaction has locked the task, it waits.
func (s *Store) Cancel(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	return s.control(ctx, "cancelling", &controlling{now: now, apply: store.ApplyCancel}, id)
}

// Retry implements store.Controller. When the answer of the server was lost, and the task is no longer as it was, it counts as
// retried: to do it again could give it an outcome more.
func (s *Store) Retry(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	return s.control(ctx, "retrying", &controlling{now: now, apply: store.ApplyRetry, once: true}, id)
}

// rule changes a task, or refuses to; see store.ApplyCancel.
type rule func(t *store.Task, now time.Time) (changed bool, err error)

func (s *Store) control(ctx context.Context, doing string, c *controlling, id string) (moved store.Moved, err error) {
	if err := errors.Join(store.ValidTime("now", c.now), store.ValidID("id", id)); err != nil {
		return moved, err
	}
	c.id = parseID(id)
	err = s.callJoined(ctx, doing, func(ctx context.Context) error {
		for wait := firstBusy; ; wait = min(2*wait, longestBusy) {
			if err := s.controlOnce(ctx, c); !errors.Is(err, errBusy) {
				return err
			}
			pause(ctx, wait)
			if err := ctx.Err(); err != nil {
				return s.given(ctx, nil)
			}
		}
	})
	if err != nil {
		return store.Moved{}, err
	}
	s.tellControl(c)
	return c.moved, nil
}

// controlling is one task being changed by hand.
type controlling struct {
	id      uuid
	now     time.Time
	apply   rule
	once    bool  // it must not be applied to what it was applied to before
	sent    *seen // the task as it was when a commit was sent of which the answer is not known
	moved   store.Moved
	changes changes
	bundle  uuid // in which the task is; it must leave it first
	ended   bool // it has ended, in a caller's transaction, and must be given its place first
}

// seen tells whether somebody has done anything to a task.
type seen struct {
	state    store.State
	run, pos int64
	attempts int
}

func (r *row) seen() seen { return seen{r.State, r.Run, r.Pos, r.attempts} }

// controlOnce answers errBusy if it is to be called again.
func (s *Store) controlOnce(ctx context.Context, c *controlling) error {
	if err := s.growUp(ctx, c.id); err != nil {
		return err
	}
	err := s.transact(ctx, lent{s}, func(ctx context.Context, t *txn) error {
		*c = controlling{id: c.id, now: c.now, apply: c.apply, once: c.once, sent: c.sent}
		return s.controlIn(ctx, t, c)
	})
	switch {
	case err != nil:
		return err
	case c.ended:
		return busyUnless(s.placeEnded(ctx))
	case c.bundle != uuid{}:
		_, err := s.unbundle(ctx, lent{s}, c.bundle)
		return busyUnless(err)
	}
	return nil
}

func busyUnless(err error) error {
	if err != nil {
		return err
	}
	return errBusy
}

func (s *Store) controlIn(ctx context.Context, t *txn, c *controlling) error {
	rows, elsewhere, err := s.lock(ctx, t, []uuid{c.id})
	if err != nil {
		return err
	}
	if r := rows[c.id]; r != nil {
		if c.ended = r.State.Final(); c.ended {
			return nil
		}
		return s.controlRow(ctx, t, c, r, c.changes.moved)
	}
	switch f := elsewhere[c.id]; f.place {
	case inTasks:
		return &innerError{error: errBusy, verdict: final}
	case inBundle:
		c.bundle = f.bundle
		return nil
	case inFinished:
		return s.controlEnded(ctx, t, c, &f.row)
	}
	return notFound(c.id)
}

// controlEnded changes a task that has ended; if its outcome is locked, somebody else does that at the moment.
func (s *Store) controlEnded(ctx context.Context, t *txn, c *controlling, r *row) error {
	pos := int64(0)
	lock := s.sql.lockFinished.with(c.id[:]).each(func(c *columns) { pos = c.int64() })
	if err := t.run(ctx, lock); err != nil {
		return err
	}
	if pos != r.Pos {
		return &innerError{error: errBusy, verdict: final}
	}
	return s.controlRow(ctx, t, c, r, func(r *row) {
		c.changes.retried = append(c.changes.retried, c.id)
		c.changes.added = append(c.changes.added, *r)
	})
}

// controlRow applies the rule to a task that is locked, and writes what it has become.
func (s *Store) controlRow(ctx context.Context, t *txn, c *controlling, r *row, place func(*row)) error {
	if err := s.loadHistories(ctx, t.l, r); err != nil {
		return err
	}
	if c.once && c.sent != nil && *c.sent != r.seen() {
		c.moved = store.Moved{Task: r.Task, From: c.sent.state}
		return nil
	}
	before, as := r.History, r.seen()
	r.History = nil
	c.moved.From = r.State
	changed, err := c.apply(&r.Task, c.now)
	if err != nil {
		return err
	}
	history := append(before, r.History...)
	if changed {
		c.changes.record(r, c.moved.From)
		place(r)
		c.sent = &as
		if err := t.commit(ctx, c.changes.calls(s.sql)...); err != nil {
			return err
		}
	}
	c.moved.Task = r.Task
	c.moved.History = history[max(0, len(history)-store.MaxHistory):]
	if len(c.changes.finished) > 0 {
		c.moved.Pos = c.changes.finished[0].Pos
	}
	return nil
}

func (s *Store) tellControl(c *controlling) {
	s.tellChanges(&c.changes)
	if c.moved.State == store.Running && c.moved.CancelRequested {
		s.notify(c.moved.Runner, store.SignalCancels)
	}
}
