package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// settling is outcomes that go the ordinary way: their tasks are locked, the rules of package store are applied, and what has
// become of the tasks is written.
type settling struct {
	items []settler
}

// settler is one of them.
type settler struct {
	id      uuid
	outcome *store.Outcome
	answer  error
}

// errBusy is the answer where another transaction has locked the task. It is to be tried again.
var errBusy = errors.New("the task is locked by another transaction")

// settleRows is how many outcomes a transaction takes.
const settleRows = 500

// settle has the outcomes recorded. Each gets its answer, which may be errBusy; the error is for all.
func (s *Store) settle(ctx context.Context, items []settler, watch watcher) error {
	j, err := s.settles.hand(ctx, len(items), &settling{items: items})
	if err != nil {
		return s.given(ctx, nil)
	}
	return s.waited(ctx, j.wait(watch))
}

// writeSettles is the work of the lane.
func (s *Store) writeSettles(own source) func([]*job[*settling]) {
	return func(jobs []*job[*settling]) {
		err := s.settleAll(own, jobs)
		for _, j := range jobs {
			if err != nil && judge(err) == final && len(jobs) > 1 {
				j.finish(s.settleAll(own, []*job[*settling]{j}))
				continue
			}
			j.finish(err)
		}
	}
}

func (s *Store) settleAll(own source, jobs []*job[*settling]) (err error) {
	ctx, stop := anybody(s.life, jobs)
	defer stop()
	var items []*settler
	for _, j := range jobs {
		for i := range j.work.items {
			items = append(items, &j.work.items[i])
		}
	}
	for len(items) > 0 && err == nil {
		some := items[:min(len(items), settleRows)]
		items = items[len(some):]
		err = s.settleSome(ctx, own, some)
	}
	return err
}

// settleSome goes on as long as tasks have to be taken out of bundles first.
func (s *Store) settleSome(ctx context.Context, own source, items []*settler) error {
	for len(items) > 0 {
		var r *round
		err := s.transact(ctx, own, func(ctx context.Context, t *txn) error {
			r = &round{items: items}
			return s.settleRound(ctx, t, r)
		})
		if err != nil {
			return err
		}
		s.tellChanges(&r.changes)
		if _, err := s.unbundle(ctx, own, r.bundles...); err != nil {
			return err
		}
		items = r.postponed
	}
	return nil
}

// round is one transaction of settling.
type round struct {
	items     []*settler
	postponed []*settler // their tasks are in bundles
	bundles   []uuid
	changes   changes
}

func (s *Store) settleRound(ctx context.Context, t *txn, r *round) error {
	ids := make([]uuid, len(r.items))
	for i, item := range r.items {
		ids[i] = item.id
	}
	rows, elsewhere, err := s.lock(ctx, t, ids)
	if err != nil {
		return err
	}
	changed := map[uuid]bool{}
	for _, item := range r.items {
		if locked := rows[item.id]; locked != nil {
			changed[item.id] = r.apply(item, locked) || changed[item.id]
			continue
		}
		r.judge(item, elsewhere[item.id])
	}
	for _, item := range r.items {
		if changed[item.id] {
			changed[item.id] = false
			r.changes.moved(rows[item.id])
		}
	}
	if r.changes.empty() {
		return nil
	}
	return t.commit(ctx, r.changes.calls(s.sql)...)
}

// apply applies the outcome to a locked task.
func (r *round) apply(item *settler, locked *row) (changed bool) {
	from := locked.State
	changed, item.answer = store.ApplyOutcome(&locked.Task, *item.outcome)
	if item.answer == nil {
		item.answer = store.AsAsked(locked.State, *item.outcome)
	}
	if changed {
		r.changes.record(locked, from)
	}
	return changed
}

// judge answers an outcome whose task is not locked by us.
func (r *round) judge(item *settler, f found) {
	switch f.place {
	case nowhere:
		item.answer = notFound(item.id)
	case inTasks:
		item.answer = errBusy
	case inBundle:
		r.postponed = append(r.postponed, item)
		r.bundles = append(r.bundles, f.bundle)
	case inFinished:
		was := f.row.Task
		if _, item.answer = store.ApplyOutcome(&was, *item.outcome); item.answer == nil {
			item.answer = store.AsAsked(was.State, *item.outcome)
		}
	}
}

func notFound(id uuid) error { return fmt.Errorf("%w: task %s", store.ErrNotFound, id) }

// waited is the error of a call whose job was waited for.
func (s *Store) waited(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return s.given(ctx, reasonIn(err))
	}
	return err
}

// lock locks those rows of tasks that are there and that nobody else has locked, and finds out where the other tasks are.
func (s *Store) lock(ctx context.Context, t *txn, ids []uuid) (rows map[uuid]*row, elsewhere map[uuid]found, err error) {
	rows = make(map[uuid]*row, len(ids))
	err = t.run(ctx, s.sql.lockTasks.with(uuids(ids...)).each(func(c *columns) {
		r := s.sql.scan(c)
		r.claim = c.int64()
		rows[parseID(r.ID)] = &r
	}))
	if err != nil {
		return nil, nil, err
	}
	var missing []uuid
	for _, id := range ids {
		if rows[id] == nil {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return rows, nil, nil
	}
	elsewhere, err = s.locate(ctx, t.l, missing)
	return rows, elsewhere, err
}
