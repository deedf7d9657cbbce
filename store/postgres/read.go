package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// read has f read with a connection of the pool.
func (s *Store) read(ctx context.Context, doing string, f work) error {
	return s.callJoined(ctx, doing, func(ctx context.Context) error { return s.persist(ctx, lent{s}, f) })
}

// Get implements store.Reader.
func (s *Store) Get(ctx context.Context, id string) (task store.Task, err error) {
	if err := store.ValidID("id", id); err != nil {
		return task, err
	}
	err = s.read(ctx, "reading", func(ctx context.Context, l *link) error {
		r, err := s.get(ctx, l, parseID(id))
		if err != nil {
			return err
		}
		task = r.Task
		return nil
	})
	return task, err
}

// get looks first where most tasks are. What it does not find there may be in a bundle, or have moved meanwhile.
func (s *Store) get(ctx context.Context, l *link, id uuid) (r row, err error) {
	there := false
	err = l.run(ctx, s.sql.getTask.with(id[:]).each(func(c *columns) {
		pos, claim := c.int64(), c.int64()
		r = s.sql.scan(c)
		r.Pos, r.claim, there = pos, claim, true
	}))
	if err == nil && !there {
		var all map[uuid]found
		if all, err = s.locate(ctx, l, []uuid{id}); err == nil && all[id].place == nowhere {
			err = notFound(id)
		}
		r = all[id].row
	}
	if err != nil {
		return row{}, err
	}
	return r, s.loadHistories(ctx, l, &r)
}

// Last implements store.Reader.
func (s *Store) Last(ctx context.Context, kind, key string) (task store.Task, err error) {
	if err := errors.Join(store.ValidName("kind", kind), store.ValidName("key", key)); err != nil {
		return task, err
	}
	err = s.read(ctx, "reading", func(ctx context.Context, l *link) error {
		var last row
		err := l.run(ctx, s.sql.last.with(text(kind), text(key)).each(func(c *columns) {
			pos := c.int64()
			if r := s.sql.scan(c); last.ID == "" || pos == 0 { // one that has no place yet comes behind all that have
				last = r
				last.Pos = pos
			}
		}))
		if err == nil && last.ID == "" {
			return fmt.Errorf("%w: none of kind %q and key %q is completed", store.ErrNotFound, kind, key)
		}
		if err != nil {
			return err
		}
		err = s.loadHistories(ctx, l, &last)
		task = last.Task
		return err
	})
	return task, err
}

// Counts implements store.Reader. The numbers are kept by what changes the tasks, and not counted: somebody who changes tables by hand
// changes them too, or they stay wrong. To compare them when a store is opened would be to read all tasks.
func (s *Store) Counts(ctx context.Context, runner string) (counts map[store.State]int64, err error) {
	err = s.read(ctx, "counting", func(ctx context.Context, l *link) error {
		counts = map[store.State]int64{}
		return l.run(ctx, s.sql.counts.with(text(runner)).each(func(c *columns) {
			for _, state := range store.States {
				if n := c.int64(); n > 0 {
					counts[state] = n
				}
			}
		}))
	})
	return counts, err
}

// Running implements store.Worker.
func (s *Store) Running(ctx context.Context, runner, node string) (runs []store.RunID, err error) {
	if err := errors.Join(store.ValidName("runner", runner), store.ValidName("node", node)); err != nil {
		return nil, err
	}
	err = s.read(ctx, "reading", func(ctx context.Context, l *link) error {
		runs, err = s.running(ctx, l, runner, node)
		return err
	})
	return runs, err
}

// running asks the database which bundles there are: of ours, we know what is left in them.
func (s *Store) running(ctx context.Context, l *link, runner, node string) (runs []store.RunID, err error) {
	var strange []uuid
	err = l.run(ctx, s.sql.running.with(text(runner), text(node)).each(func(c *columns) {
		id, run := c.uuid(), c.int64()
		if run > 0 {
			runs = append(runs, store.RunID{TaskID: id.String(), Run: run})
			return
		}
		left, known := s.young.left(id)
		for _, id := range left {
			runs = append(runs, store.RunID{TaskID: id.String(), Run: 1})
		}
		if !known {
			strange = append(strange, id)
		}
	}))
	if err != nil || len(strange) == 0 {
		return runs, err
	}
	rows, err := s.rowsIn(ctx, l, strange, func(*row) bool { return true })
	for i := range rows {
		runs = append(runs, store.RunID{TaskID: rows[i].ID, Run: rows[i].Run})
	}
	return runs, err
}

// rowsIn gives the tasks that still run of these bundles, if they are wanted, in no order.
func (s *Store) rowsIn(ctx context.Context, l *link, bundles []uuid, wanted func(*row) bool) (rows []row, err error) {
	var found []*bundle
	err = l.run(ctx, s.sql.bundlesOf.with(uuids(bundles...)).each(func(c *columns) { found = append(found, scanBundle(c)) }))
	for _, b := range found {
		if err == nil {
			rows, err = b.appendWanted(rows, wanted)
		}
	}
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	ids := make([]uuid, len(rows))
	for i := range rows {
		ids[i] = parseID(rows[i].ID)
	}
	ended := map[string]bool{}
	err = l.run(ctx, s.sql.endedOf.with(uuids(ids...)).each(func(c *columns) {
		ended[c.uuid().String()] = true
		c.int64()
	}))
	young := rows[:0]
	for i := range rows {
		if !ended[rows[i].ID] {
			young = append(young, rows[i])
		}
	}
	return young, err
}

func (b *bundle) appendWanted(rows []row, wanted func(*row) bool) ([]row, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	for i := range b.n {
		r, err := b.task(i)
		if err != nil {
			return nil, err
		}
		if wanted(&r) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// CancelRequests implements store.Worker.
func (s *Store) CancelRequests(ctx context.Context, runner, node string) (ids []string, err error) {
	if err := errors.Join(store.ValidName("runner", runner), store.ValidName("node", node)); err != nil {
		return nil, err
	}
	err = s.read(ctx, "reading", func(ctx context.Context, l *link) error {
		ids = nil
		return l.run(ctx, s.sql.cancels.with(text(runner), text(node)).each(func(c *columns) { ids = append(ids, c.uuid().String()) }))
	})
	return ids, err
}

// Ping implements store.Store. It writes a row that changes nothing. It does not wait for a server that is away.
func (s *Store) Ping(ctx context.Context) error {
	return s.callJoined(ctx, "trying to write", func(ctx context.Context) error {
		err := s.try(ctx, lent{s}, &backend{}, func(ctx context.Context, l *link) error { return l.run(ctx, s.sql.ping.with()) })
		if judge(err) != final && ctx.Err() == nil { // a connection that was broken long ago says nothing
			err = s.try(ctx, lent{s}, &backend{}, func(ctx context.Context, l *link) error { return l.run(ctx, s.sql.ping.with()) })
		}
		if ctx.Err() != nil {
			return s.given(ctx, nil)
		}
		return err
	})
}

// outcomesAtOnce is how many outcomes of all runners a call looks through for those of one.
const outcomesAtOnce = 5000

// Outcomes implements store.Reader.
func (s *Store) Outcomes(ctx context.Context, query store.OutcomeQuery) (found store.Outcomes, err error) {
	if err := query.Validate(); err != nil {
		return found, err
	}
	err = s.read(ctx, "reading outcomes", func(ctx context.Context, l *link) error {
		found = store.Outcomes{}
		if query.After == store.FromNow {
			return l.run(ctx, s.sql.end.with().each(func(c *columns) { found.Next = c.int64() }))
		}
		found, err = s.outcomes(ctx, l, query)
		return err
	})
	if err != nil {
		return store.Outcomes{}, err
	}
	return found, nil
}

func (s *Store) outcomes(ctx context.Context, l *link, query store.OutcomeQuery) (found store.Outcomes, err error) {
	window := query.Size()
	if query.Runner != "" {
		window = outcomesAtOnce
	}
	var rows []row
	var deleted, looked, end int64
	read := s.sql.outcomes.with(text(query.Runner), bigint(query.After), int4(query.Size()), int4(window)).each(func(c *columns) {
		deleted, looked, end = c.int64(), c.optional(), c.optional()
		if pos := c.optional(); pos > 0 {
			r := s.sql.scan(c)
			r.Pos = pos
			rows = append(rows, r)
		}
	})
	if err := l.run(ctx, read); err != nil {
		return found, err
	}
	start, err := query.Start(deleted, max(looked, end))
	if err != nil {
		return found, err
	}
	found.Next = max(start, looked)
	if len(rows) == query.Size() {
		found.Next = rows[len(rows)-1].Pos
	}
	found.Tasks, err = s.withHistories(ctx, l, rows)
	return found, err
}

// withHistories makes tasks of rows.
func (s *Store) withHistories(ctx context.Context, l *link, rows []row) ([]store.Task, error) {
	pointers := make([]*row, len(rows))
	for i := range rows {
		pointers[i] = &rows[i]
	}
	if err := s.loadHistories(ctx, l, pointers...); err != nil {
		return nil, err
	}
	tasks := make([]store.Task, len(rows))
	for i := range rows {
		tasks[i] = rows[i].Task
	}
	return tasks, nil
}
