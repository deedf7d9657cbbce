package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// What can be checked and computed without the database is done by the caller's goroutine, before the operation is
// handed to the writer: all others wait for that one.

// Insert implements store.Inserter. 100,000 tasks take one transaction of about a second, during which other writers
// wait and readers do not.
func (s *Store) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) (inserted []store.Inserted, err error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidateAll(tasks)); err != nil {
		return nil, err
	}
	rows := make([]store.Task, len(tasks))
	for i, n := range tasks {
		rows[i] = store.ApplyInsert(now, n)
	}
	err = s.write(ctx, len(rows), func(x *tx) (err error) {
		inserted, err = x.insert(rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return inserted, nil
}

// Claim implements store.Worker.
func (s *Store) Claim(ctx context.Context, now time.Time, claim store.Claim) (claimed store.Claimed, err error) {
	if err := errors.Join(store.ValidTime("now", now), claim.Validate()); err != nil {
		return claimed, err
	}
	err = s.write(ctx, min(claim.Limit, batchRows), func(x *tx) (err error) {
		claimed, err = x.claim(now, claim)
		return err
	})
	if err != nil {
		return store.Claimed{}, err
	}
	return claimed, nil
}

// Finish implements store.Worker.
func (s *Store) Finish(ctx context.Context, outcomes []store.Outcome) (refused []error, err error) {
	refused = make([]error, len(outcomes))
	keys := make([]driver.Value, 0, len(outcomes))
	for i := range outcomes {
		if refused[i] = outcomes[i].Validate(); refused[i] == nil {
			keys = append(keys, key(outcomes[i].TaskID))
		}
	}
	invalid := slices.Clone(refused)
	err = s.write(ctx, len(keys), func(x *tx) error {
		copy(refused, invalid)
		return x.finish(outcomes, keys, refused)
	})
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// finish records the outcomes that are not refused yet. It loads all their tasks first and applies one outcome after the
// other, so that two outcomes of one task in a batch are judged in their order.
func (x *tx) finish(outcomes []store.Outcome, keys []driver.Value, refused []error) error {
	found, err := x.load(context.Background(), runsByID, keys)
	if err != nil {
		return err
	}
	byID := make(map[string]*store.Task, len(found))
	for i := range found {
		byID[found[i].ID] = &found[i]
	}
	for i, o := range outcomes {
		if refused[i] != nil {
			continue
		}
		task, ok := byID[o.TaskID]
		if !ok {
			refused[i] = notFound(o.TaskID)
			continue
		}
		refused[i], err = x.end(task, func(t *store.Task) (bool, error) { return store.ApplyOutcome(t, o) })
		if err != nil {
			return err
		}
		if refused[i] == nil {
			refused[i] = store.AsAsked(task.State, o)
		}
	}
	return nil
}

func notFound(id string) error { return fmt.Errorf("%w: %s", store.ErrNotFound, id) }

// Report implements store.Worker. What is not the current run matches no row.
func (s *Store) Report(ctx context.Context, progress []store.Progress) error {
	var invalid []error
	valid := make([]store.Progress, 0, len(progress))
	for _, p := range progress {
		if err := p.Validate(); err != nil {
			invalid = append(invalid, err)
			continue
		}
		valid = append(valid, p)
	}
	err := s.write(ctx, len(valid), func(x *tx) error {
		for _, p := range valid {
			if _, err := x.exec(updateProgress, p.Fraction, key(p.TaskID), p.Run); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(append(invalid, err)...)
}

// Recover implements store.Worker.
func (s *Store) Recover(
	ctx context.Context, now time.Time, runner string, alive []string,
) (recovered int, err error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidName("runner", runner)); err != nil {
		return 0, err
	}
	err = s.write(ctx, 1, func(x *tx) (err error) {
		recovered, err = x.recoverOrphans(now, runner, alive)
		return err
	})
	if err != nil {
		return 0, err
	}
	return recovered, nil
}

func (x *tx) recoverOrphans(now time.Time, runner string, alive []string) (int, error) {
	var orphans []store.Task
	err := x.query(context.Background(), selectRunning, func(row []driver.Value) error {
		task, err := decodeTask(row)
		if !slices.Contains(alive, task.Node) {
			orphans = append(orphans, task)
		}
		return err
	}, runner)
	if err != nil {
		return 0, err
	}
	for i := range orphans {
		_, err := x.end(&orphans[i], func(t *store.Task) (bool, error) {
			store.ApplyOrphan(t, now)
			return true, nil
		})
		if err != nil {
			return 0, err
		}
	}
	return len(orphans), nil
}

// Cancel implements store.Controller.
func (s *Store) Cancel(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	return s.control(ctx, now, id, store.ApplyCancel)
}

// Retry implements store.Controller.
func (s *Store) Retry(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	return s.control(ctx, now, id, store.ApplyRetry)
}

func (s *Store) control(
	ctx context.Context, now time.Time, id string, rule func(*store.Task, time.Time) (bool, error),
) (moved store.Moved, err error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidID("id", id)); err != nil {
		return moved, err
	}
	var refused error
	err = s.write(ctx, 1, func(x *tx) error {
		found, err := x.tasks(key(id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			refused = notFound(id)
			return nil
		}
		moved = store.Moved{Task: found[0], From: found[0].State}
		refused, err = x.change(&moved.Task, func(t *store.Task) (bool, error) { return rule(t, now) })
		return err
	})
	if err = errors.Join(refused, err); err != nil {
		return store.Moved{}, err
	}
	return moved, nil
}

// Ping implements store.Store. It writes and syncs what is there already, the number of the schema's version, so that
// a disk that is full or read-only is noticed.
func (s *Store) Ping(ctx context.Context) error {
	return s.write(ctx, 1, func(x *tx) error { return x.rewriteVersion() })
}
