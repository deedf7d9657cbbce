package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// recoverRows is how many tasks are taken back in one transaction.
const recoverRows = 500

// Recover implements store.Worker: it takes back what runs in nodes without a lease. The store does so by itself when a lease has
// ended; and, for the runners that hold here, what has run for a minute in a node that never had one.
func (s *Store) Recover(ctx context.Context, now time.Time, runner string) (recovered int, err error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidName("runner", runner)); err != nil {
		return 0, err
	}
	err = s.callJoined(ctx, "recovering", func(ctx context.Context) error {
		if err := s.recordLeases(ctx, lent{s}); err != nil { // so that what was released here counts
			return err
		}
		nodes, err := s.orphanNodes(ctx, runner)
		for _, node := range nodes {
			if err == nil {
				var n int
				n, err = s.recoverNode(ctx, now, runner, node)
				recovered += n
			}
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return recovered, nil
}

// orphanNodes gives the nodes in which tasks of the runner run, and which have no lease.
func (s *Store) orphanNodes(ctx context.Context, runner string) (nodes []string, err error) {
	err = s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		nodes = nil
		return l.run(ctx, s.sql.orphanNodes.with(text(runner)).each(func(c *columns) { nodes = append(nodes, c.text()) }))
	})
	return nodes, err
}

// recoverNode takes back what runs in a node that has no lease, and forgets the lease that has ended.
func (s *Store) recoverNode(ctx context.Context, now time.Time, runner, node string) (recovered int, err error) {
	var bundles []uuid
	err = s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		bundles = nil
		return l.run(ctx, s.sql.orphanBundles.with(text(runner), text(node)).each(func(c *columns) { bundles = append(bundles, c.uuid()) }))
	})
	if err == nil {
		_, err = s.unbundle(ctx, lent{s}, bundles...)
	}
	for n := recoverRows; err == nil && n == recoverRows; recovered += n {
		n, err = s.recoverSome(ctx, now, runner, node)
	}
	if err != nil {
		return recovered, err
	}
	return recovered, s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		return l.run(ctx, s.sql.forgetNode.with(text(runner), text(node)))
	})
}

func (s *Store) recoverSome(ctx context.Context, now time.Time, runner, node string) (n int, err error) {
	var c *changes
	err = s.transact(ctx, lent{s}, func(ctx context.Context, t *txn) error {
		c, n = &changes{}, 0
		var rows []row
		orphans := s.sql.lockOrphans.with(text(runner), text(node), int4(recoverRows))
		if err := t.run(ctx, orphans.each(func(c *columns) { rows = append(rows, s.scanLocked(c)) })); err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			store.ApplyOrphan(&rows[i].Task, now)
			c.record(&rows[i], store.Running)
			c.moved(&rows[i])
		}
		n = len(rows)
		return t.commit(ctx, c.calls(s.sql)...)
	})
	if err != nil {
		return 0, err
	}
	s.tellChanges(c)
	return n, nil
}

// scanLocked reads a row of tasks with its claim.
func (s *Store) scanLocked(c *columns) row {
	r := s.sql.scan(c)
	r.claim = c.int64()
	return r
}
