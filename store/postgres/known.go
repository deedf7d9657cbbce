package postgres

import (
	"context"
	"errors"

	"github.com/taskrunner-go/taskrunner/store"
)

// errVanished says that a task was there when its id was inserted, and was deleted before it could be read.
var errVanished = &innerError{error: errors.New("the task was deleted meanwhile"), verdict: again}

// errBlocked says that the id is being inserted in somebody's open transaction.
var errBlocked = &innerError{error: errors.New("the id is being inserted by another transaction"), verdict: final}

const lockTimeout = "55P03"

// writeKnown is the work of the lane for tasks whose ids callers have given. A call that has to wait for somebody's open transaction
// does so by itself.
func (s *Store) writeKnown(own source) func([]*job[*inserting]) {
	return func(jobs []*job[*inserting]) {
		err := s.insertKnown(own, jobs, true)
		if err == nil || judge(err) == absent {
			for _, j := range jobs {
				s.answer(j, err)
			}
			return
		}
		for _, j := range jobs {
			s.tasks.Go(func() { s.answer(j, s.insertKnown(lent{s}, []*job[*inserting]{j}, false)) })
		}
	}
}

// insertKnown inserts what does not exist. It makes rows of tasks of all, so that their ids are unique. In a hurry, it does not wait
// for the transactions of others.
func (s *Store) insertKnown(from source, jobs []*job[*inserting], hurry bool) error {
	ctx, stop := anybody(s.life, jobs)
	defer stop()
	batch := newBatch(jobs, false)
	var given []store.Inserted
	for _, b := range batch.blocks {
		for _, answer := range b.answers {
			given = append(given, *answer)
		}
	}
	err := s.persist(ctx, from, func(ctx context.Context, l *link) error {
		n := 0
		for _, b := range batch.blocks {
			for _, answer := range b.answers { // as an earlier try may have changed them
				*answer = given[n]
				n++
			}
		}
		err := s.tryKnown(ctx, l, batch)
		if hurry && codeOf(err) == lockTimeout {
			return errBlocked
		}
		return err
	})
	if err == nil {
		s.tellWork(batch.runners)
	}
	return err
}

func (s *Store) tryKnown(ctx context.Context, l *link, batch *batch) error {
	var ids []uuid
	for _, b := range batch.blocks {
		for i := range b.rows {
			ids = append(ids, parseID(b.rows[i].ID))
		}
	}
	gone := map[uuid]bool{}
	calls := append([]call{s.sql.lockKnown.with()}, batch.calls(s.sql)...)
	calls = append(calls, s.sql.undoKnown.with(uuids(ids...), bigint(batch.claim)).each(func(c *columns) { gone[c.uuid()] = true }))
	if err := l.run(ctx, calls...); err != nil {
		return err
	}
	for _, b := range batch.blocks {
		for i := range b.rows {
			b.added[i] = b.added[i] && !gone[parseID(b.rows[i].ID)]
		}
	}
	return s.resolve(ctx, l, batch)
}
