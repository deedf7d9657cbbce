package sqlite

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// Exclusive implements store.Exclusive: the file is locked.
func (s *Store) Exclusive() bool { return true }

// Hold implements store.Worker.
func (s *Store) Hold(holder store.Holder) (release func(), err error) { return s.holders.Hold(holder) }

// Report implements store.Worker. What is not the current run is passed over.
func (s *Store) Report(ctx context.Context, progress []store.Progress) error {
	var invalid []error
	var keys []uuid.UUID
	valid := make([]store.Progress, 0, len(progress))
	for _, p := range progress {
		if err := p.Validate(); err != nil {
			invalid = append(invalid, err)
			continue
		}
		valid, keys = append(valid, p), append(keys, key(p.TaskID))
	}
	err := s.write(ctx, len(valid), func(x *tx) error {
		_, _, err := x.changeAll(keys, false, func(i int) rule { return reporting(valid[i]) })
		return err
	})
	return errors.Join(append(invalid, err)...)
}

func reporting(p store.Progress) rule {
	return func(t *store.Task) (bool, error) {
		if t.State != store.Running || t.Run != p.Run || t.Progress == p.Fraction {
			return false, nil
		}
		t.Progress = p.Fraction
		return true, nil
	}
}

// Recover implements store.Worker. One process at a time has the file, so that every other node is dead.
func (s *Store) Recover(ctx context.Context, now time.Time, runner string) (recovered int, err error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidName("runner", runner)); err != nil {
		return 0, err
	}
	err = s.write(ctx, 1, func(x *tx) (err error) {
		recovered, err = x.recoverOrphans(now, runner, s.holders.Alive)
		return err
	})
	if err != nil {
		return 0, err
	}
	return recovered, nil
}

func (x *tx) recoverOrphans(now time.Time, runner string, alive func(runner, node string) bool) (int, error) {
	running, err := x.runningOf(runner)
	if err != nil {
		return 0, err
	}
	orphans := slices.DeleteFunc(running, func(rec record) bool { return alive(runner, rec.Node) })
	for i := range orphans {
		_, err := x.change(&orphans[i], x.youngOf(orphans[i].key), func(t *store.Task) (bool, error) {
			store.ApplyOrphan(t, now)
			return true, nil
		})
		if err != nil {
			return 0, err
		}
	}
	return len(orphans), nil
}

// runningOf gives all that runs of a runner.
func (x *tx) runningOf(runner string) (running []record, err error) {
	if err := x.settle(); err != nil {
		return nil, err
	}
	kinds := x.mem.filter(runner, "")
	err = x.query(context.Background(), selectRunning, collectTasks(x.kindNames(), &running), kinds.value())
	if err != nil {
		return nil, err
	}
	for y := range x.allYoung() {
		if !kinds.has(y.kind) {
			continue
		}
		rec, err := x.complete(y)
		if err != nil {
			return nil, err
		}
		running = append(running, *rec)
	}
	return running, nil
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
	ctx context.Context, now time.Time, id string, apply func(*store.Task, time.Time) (bool, error),
) (moved store.Moved, err error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidID("id", id)); err != nil {
		return moved, err
	}
	var refused []error
	err = s.write(ctx, 1, func(x *tx) (err error) {
		var changed []*record
		changed, refused, err = x.changeAll([]uuid.UUID{key(id)}, true, func(int) rule {
			return func(t *store.Task) (bool, error) {
				moved.From = t.State
				return apply(t, now)
			}
		})
		if err == nil && refused[0] == nil {
			moved.Task = changed[0].Task
		}
		return err
	})
	switch {
	case err != nil:
		return store.Moved{}, err
	case refused[0] != nil:
		return store.Moved{}, refused[0]
	}
	return moved, nil
}

// Ping implements store.Store. It writes and syncs what changes nothing, the number of the transaction, so that a disk that
// is full or read-only is noticed.
func (s *Store) Ping(ctx context.Context) error {
	return s.write(ctx, 1, func(x *tx) error {
		x.changed = true
		return nil
	})
}
