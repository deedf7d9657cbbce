package postgres

import (
	"context"
	"slices"

	"github.com/taskrunner-go/taskrunner/store"
)

// List implements store.Reader. All of one call is read as of one moment.
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

	states map[store.State]bool
	active bool // whether those are to be listed that have not ended
	ended  int  // how many of those that have ended there are to be listed at most
	failed bool // whether of these only those that did not complete
	l      *link
}

func (s *Store) list(ctx context.Context, t *txn, query store.Query) ([]store.Task, error) {
	if err := t.l.run(ctx, snapshot.with(), s.sql.inOrder.with()); err != nil {
		return nil, err
	}
	counts, err := s.count(ctx, t.l, query.Runner, query.Kind)
	if err != nil {
		return nil, err
	}
	q := newListing(query, counts, t.l)
	rows, err := s.listActive(ctx, q)
	if err == nil && len(rows) < q.Size() && q.ended > 0 {
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

// newListing finds out what need not be looked for, because there is none.
func newListing(query store.Query, counts map[store.State]int64, l *link) *listing {
	q := &listing{Query: query, states: map[store.State]bool{}, l: l, failed: true}
	for _, state := range store.States {
		if len(query.States) > 0 && !slices.Contains(query.States, state) || counts[state] == 0 {
			continue
		}
		q.states[state] = true
		if state.Final() {
			q.ended += int(counts[state])
			q.failed = q.failed && state != store.Completed
		}
		// What was completed in a caller's transaction is among the active until it has its place.
		q.active = q.active || !state.Final() || state == store.Completed
	}
	q.active = q.active && query.After.Pos == 0
	return q
}

func (q *listing) stateNames() []byte {
	var names []string
	for state := range q.states {
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
	if err != nil || !q.states[store.Running] {
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
	// No more than there are: to look for one more would be to look through all.
	limit := min(q.Size()-len(rows), q.ended)
	call := statement.with(bigint(q.After.Pos), q.stateNames(), text(q.Kind), text(q.Runner), int4(limit))
	err := q.l.run(ctx, call.each(func(c *columns) {
		pos := c.int64()
		r := s.sql.scan(c)
		r.Pos = pos
		rows = append(rows, r)
	}))
	return rows, err
}
