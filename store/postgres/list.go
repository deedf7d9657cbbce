package postgres

import (
	"context"
	"slices"

	"github.com/taskrunner-go/taskrunner/store"
)

// List implements store.Reader. All of one call is read as of one moment. Only the places of the tasks have an index, and the places of
// outcomes that did not complete: what does not match the query is passed over, newest first, at about three million rows a second. The counts
// are not asked how many there are to be found: what somebody does to them by hand must hide no task.
func (s *Store) List(ctx context.Context, query store.Query) (tasks []store.Task, err error) {
	if err := query.Validate(); err != nil {
		return nil, err
	}
	err = s.callJoined(ctx, "listing", func(ctx context.Context) error {
		return s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
			t := &txn{l: l, begun: true}
			defer t.end()
			tasks, err = s.list(ctx, t, query)
			return err
		})
	})
	return tasks, err
}

// listing is a query being answered.
type listing struct {
	store.Query

	states []store.State
	active bool // whether those are to be listed that have not ended
	ended  bool // whether those that have
	failed bool // whether of these only those that did not complete
	l      *link
}

func (s *Store) list(ctx context.Context, t *txn, query store.Query) ([]store.Task, error) {
	if err := t.l.run(ctx, snapshot.with(), s.sql.inOrder.with()); err != nil {
		return nil, err
	}
	q := newListing(query, t.l)
	rows, err := s.listActive(ctx, q)
	if err == nil && len(rows) < q.Size() && q.ended {
		rows, err = s.listEnded(ctx, q, rows)
	}
	if err != nil {
		return nil, err
	}
	tasks, err := s.withHistories(ctx, t.l, rows)
	if err != nil {
		return nil, err
	}
	return tasks, t.commit(ctx)
}

// newListing finds out where to look.
func newListing(query store.Query, l *link) *listing {
	q := &listing{Query: query, states: query.States, l: l, failed: true}
	if len(q.states) == 0 {
		q.states = store.States[:]
	}
	for _, state := range q.states {
		q.ended = q.ended || state.Final()
		q.failed = q.failed && state != store.Completed
		// What was completed in a caller's transaction is among the active until it has its place.
		q.active = q.active || !state.Final() || state == store.Completed
	}
	q.active = q.active && query.After.Pos == 0
	return q
}

func (q *listing) stateNames() []byte {
	var names []string
	for _, state := range q.states {
		names = append(names, string(state))
	}
	return texts(names...)
}

// listActive gives the first of those that have not ended.
func (s *Store) listActive(ctx context.Context, q *listing) (rows []row, err error) {
	if !q.active {
		return nil, nil
	}
	call := s.sql.listActive.with(bigint(q.After.Seq), q.stateNames(), text(q.Kind), text(q.Runner), int4(q.Size()))
	err = q.l.run(ctx, call.each(func(c *columns) { rows = append(rows, s.sql.scan(c)) }))
	if err != nil || !slices.Contains(q.states, store.Running) {
		return rows, err
	}
	return s.mergeYoung(ctx, q, rows)
}

// shelf is a bundle, as far as a list needs it to decide whether to look into it.
type shelf struct {
	id    uuid
	block int64
	n     int
}

// mergeYoung merges those into the rows that run in bundles. It looks into few: the newest, as long as there is room.
func (s *Store) mergeYoung(ctx context.Context, q *listing, rows []row) ([]row, error) {
	var shelves []shelf
	err := q.l.run(ctx, s.sql.listBundles.with(bigint(q.After.Seq), text(q.Kind), text(q.Runner)).each(func(c *columns) {
		shelves = append(shelves, shelf{id: c.uuid(), block: c.int64(), n: c.int32()})
	}))
	if err != nil {
		return nil, err
	}
	wanted := func(r *row) bool { return q.After.Seq == 0 || r.Seq < q.After.Seq }
	for len(shelves) > 0 && (len(rows) < q.Size() || shelves[0].block >= rows[q.Size()-1].Seq/blockSize) {
		var some []uuid
		for n := 0; len(shelves) > 0 && n < maxBundle; shelves = shelves[1:] {
			some = append(some, shelves[0].id)
			n += shelves[0].n
		}
		young, err := s.rowsIn(ctx, q.l, some, wanted)
		if err != nil {
			return nil, err
		}
		rows = append(rows, young...)
		slices.SortFunc(rows, func(a, b row) int { return int(min(max(b.Seq-a.Seq, -1), 1)) })
	}
	return rows[:min(len(rows), q.Size())], nil
}

// listEnded adds the first of those that have ended.
func (s *Store) listEnded(ctx context.Context, q *listing, rows []row) ([]row, error) {
	statement := s.sql.listEnded
	if q.failed {
		statement = s.sql.listFailed
	}
	call := statement.with(bigint(q.After.Pos), q.stateNames(), text(q.Kind), text(q.Runner), int4(q.Size()-len(rows)))
	err := q.l.run(ctx, call.each(func(c *columns) {
		pos := c.int64()
		r := s.sql.scan(c)
		r.Pos = pos
		rows = append(rows, r)
	}))
	return rows, err
}
