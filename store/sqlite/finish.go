package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// Finish implements store.Worker.
func (s *Store) Finish(ctx context.Context, outcomes []store.Outcome) (refused []error, err error) {
	keys := make([]uuid.UUID, len(outcomes))
	invalid := make([]error, len(outcomes))
	for i := range outcomes {
		if invalid[i] = outcomes[i].Validate(); invalid[i] == nil {
			keys[i] = key(outcomes[i].TaskID)
		}
	}
	err = s.write(ctx, len(outcomes), func(x *tx) error {
		refused = slices.Clone(invalid)
		return x.finish(outcomes, keys, refused)
	})
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// finish records the outcomes that are not refused yet, in their order.
func (x *tx) finish(outcomes []store.Outcome, keys []uuid.UUID, refused []error) (err error) {
	var found map[uuid.UUID]*record
	for i := range outcomes {
		if refused[i] != nil {
			continue
		}
		if y := x.youngOf(keys[i]); y != nil {
			if refused[i], err = x.finishYoung(y, &outcomes[i]); err != nil {
				return err
			}
			continue
		}
		if _, known := found[keys[i]]; !known {
			if found, err = x.findEnding(keys[i:], refused[i:]); err != nil {
				return err
			}
		}
		if refused[i], err = x.finishFound(found[keys[i]], &outcomes[i]); err != nil {
			return err
		}
	}
	return nil
}

// findEnding loads all tasks at once that are not young, nil for those that there are not. One that is young now and not when its
// second outcome comes makes it be called again.
func (x *tx) findEnding(keys []uuid.UUID, refused []error) (map[uuid.UUID]*record, error) {
	var ids []uuid.UUID
	for i, id := range keys {
		if refused[i] == nil && x.youngOf(id) == nil {
			ids = append(ids, id)
		}
	}
	found, err := x.lookUp(ids, false)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if found[id] == nil {
			found[id] = nil // known not to exist
		}
	}
	return found, nil
}

// finishYoung is short for the commonest end of a task: that it completed changes nothing but what has a column of its own.
func (x *tx) finishYoung(y *young, o *store.Outcome) (refused, err error) {
	if o.To == store.Completed {
		t := store.Task{ID: o.TaskID, Run: y.run, State: store.Running}
		if _, refused := store.ApplyOutcome(&t, *o); refused != nil {
			return refused, nil
		}
		x.leave(y)
		x.move(y.kind, store.Running, store.Completed)
		x.toldAll |= store.SignalOutcomes
		x.pos++
		return nil, x.putEnded(&y.row, t.Result, store.Completed, x.pos, t.FinishedAt)
	}
	rec, err := x.complete(y)
	if err != nil {
		return nil, err
	}
	return x.change(rec, y, applying(o))
}

func applying(o *store.Outcome) rule {
	return func(t *store.Task) (bool, error) { return store.ApplyOutcome(t, *o) }
}

func (x *tx) finishFound(rec *record, o *store.Outcome) (refused, err error) {
	if rec == nil {
		return notFound(o.TaskID), nil
	}
	if refused, err = x.change(rec, nil, applying(o)); refused != nil || err != nil {
		return refused, err
	}
	return store.AsAsked(rec.State, *o), nil
}

func notFound(id string) error { return fmt.Errorf("%w: task %s", store.ErrNotFound, id) }
