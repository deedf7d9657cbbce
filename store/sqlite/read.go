package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// read runs two functions on one moment of the store: seen on its memory, while the writer waits, and f on its file. seen
// copies what it needs, and must be short. Either may be nil.
func (s *Store) read(ctx context.Context, seen func(view), f func(*conn) error) error {
	if !s.calls.Enter() {
		return store.ErrClosed
	}
	defer s.calls.Leave()
	return s.readers.do(ctx, func(c *conn) error {
		if err := s.memory.look(ctx, c, seen); err != nil || f == nil {
			return err
		}
		return f(c)
	})
}

// look has the reader's transaction begin to see the file, and shows the memory of the same moment. While the memory is locked,
// the file can be ahead of it by the one transaction that is published, and its mark tells which of the two it is.
func (m *memory) look(ctx context.Context, c *conn, seen func(view)) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := c.numbers(ctx)
	if err != nil || seen == nil {
		return err
	}
	seen(view{memory: m, mark: n.mark, pos: n.pos})
	return nil
}

// numbers reads the one row of taskrunner_meta.
func (c *conn) numbers(ctx context.Context) (n numbers, err error) {
	found := false
	err = c.query(ctx, selectNumbers, func(values []driver.Value) error {
		c := columns{row: values}
		n = numbers{mark: next[int64](&c), seq: next[int64](&c), pos: next[int64](&c)}
		found = true
		return c.err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: taskrunner_meta is empty", store.ErrCorrupt)
	}
	return n, err
}

// identityOf reads the one row of taskrunner_identity.
func (c *conn) identityOf(ctx context.Context) (id string, err error) {
	err = c.query(ctx, selectIdentity, func(row []driver.Value) error {
		id, _ = row[0].(string)
		return errStop
	})
	if err == nil && id == "" {
		err = fmt.Errorf("%w: taskrunner_identity is empty", store.ErrCorrupt)
	}
	return id, err
}

// Identity implements store.Store: each file has one, which was made with its tables. A copy of the file has the same.
func (s *Store) Identity() string { return s.id }

// Get implements store.Reader. It takes some 40 µs for any number of tasks.
func (s *Store) Get(ctx context.Context, id string) (store.Task, error) {
	if err := store.ValidID("id", id); err != nil {
		return store.Task{}, err
	}
	u := key(id)
	var found []record
	var names []kindName
	var y *young
	err := s.read(ctx, func(v view) { names, y = v.names, v.find(u) }, func(c *conn) (err error) {
		if y != nil {
			rec, err := y.complete(names, store.Running)
			found = []record{rec}
			return errors.Join(err, c.loadHistories(ctx, found))
		}
		for _, from := range []keyed{tasksByID, finishedByID} {
			if found, err = c.load(ctx, names, from, []driver.Value{u[:]}); err != nil || len(found) > 0 {
				break
			}
		}
		return errors.Join(err, c.loadHistories(ctx, found))
	})
	return one(found, err, notFound(id))
}

// one gives the task that was found, or none.
func one(found []record, err, none error) (store.Task, error) {
	switch {
	case err != nil:
		return store.Task{}, err
	case len(found) == 0:
		return store.Task{}, none
	}
	return found[0].Task, nil
}

// Last implements store.Reader.
func (s *Store) Last(ctx context.Context, kind, key string) (store.Task, error) {
	if err := errors.Join(store.ValidName("kind", kind), store.ValidName("key", key)); err != nil {
		return store.Task{}, err
	}
	var names []kindName
	var kinds []int64
	var found []record
	err := s.read(ctx, func(v view) { names, kinds = v.names, v.matching("", kind) }, func(c *conn) (err error) {
		last := int64(0)
		for _, id := range kinds {
			pos, err := c.number(selectLast, id, key)
			if err != nil {
				return err
			}
			last = max(last, pos)
		}
		if last == 0 {
			return nil
		}
		if found, err = c.load(ctx, names, finishedByPos, []driver.Value{last}); err != nil {
			return err
		}
		return c.loadHistories(ctx, found)
	})
	return one(found, err, fmt.Errorf("%w: none of kind %q and key %q is completed", store.ErrNotFound, kind, key))
}

// Counts implements store.Reader. The numbers are kept with each write, so that this costs the same for any number of
// tasks.
func (s *Store) Counts(ctx context.Context, runner string) (counts map[store.State]int64, err error) {
	var kinds filter
	counts = map[store.State]int64{}
	err = s.read(ctx, func(v view) { kinds = v.filter(runner, "") }, func(c *conn) error {
		return c.countStates(ctx, kinds, counts)
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

func (c *conn) countStates(ctx context.Context, kinds filter, counts map[store.State]int64) error {
	return c.query(ctx, selectCounts, func(row []driver.Value) error {
		c := columns{row: row}
		state, n := c.state(), next[int64](&c)
		if n > 0 {
			counts[state] = n
		}
		return c.err
	}, kinds.value())
}

// Running implements store.Worker.
func (s *Store) Running(ctx context.Context, runner, node string) (runs []store.RunID, err error) {
	if err := errors.Join(store.ValidName("runner", runner), store.ValidName("node", node)); err != nil {
		return nil, err
	}
	err = s.runningOn(ctx, selectRunning, runner, node, func(v view, kinds filter) {
		for y := range v.all() {
			if y.node == node && kinds.has(y.kind) {
				runs = append(runs, store.RunID{TaskID: y.id.String(), Run: y.run})
			}
		}
	}, func(rec *record) { runs = append(runs, store.RunID{TaskID: rec.ID, Run: rec.Run}) })
	if err != nil {
		return nil, err
	}
	return runs, nil
}

// CancelRequests implements store.Worker. It may be asked often: it reads an index that holds running tasks only, and of
// these only what was asked for. A young task has no request, because that ends its youth.
func (s *Store) CancelRequests(ctx context.Context, runner, node string) (ids []string, err error) {
	if err := errors.Join(store.ValidName("runner", runner), store.ValidName("node", node)); err != nil {
		return nil, err
	}
	err = s.runningOn(ctx, selectCancels, runner, node, nil, func(rec *record) { ids = append(ids, rec.ID) })
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// runningOn shows the memory, and gives the running tasks of the node that the statement finds.
func (s *Store) runningOn(
	ctx context.Context, text, runner, node string, seen func(view, filter), each func(*record),
) error {
	var names []kindName
	var kinds filter
	return s.read(ctx, func(v view) {
		names, kinds = v.names, v.filter(runner, "")
		if seen != nil {
			seen(v, kinds)
		}
	}, func(c *conn) error {
		return c.query(ctx, text, func(row []driver.Value) error {
			rec, err := decodeTask(names, row)
			if err == nil && rec.Node == node {
				each(&rec)
			}
			return err
		}, kinds.value())
	})
}
