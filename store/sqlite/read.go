package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"github.com/taskrunner-go/taskrunner/store"
)

// Get implements store.Reader. It takes some 40 µs for any number of tasks.
func (s *Store) Get(ctx context.Context, id string) (store.Task, error) {
	if err := store.ValidID("id", id); err != nil {
		return store.Task{}, err
	}
	return s.one(ctx, notFound(id), func(c *conn) ([]store.Task, error) {
		return c.load(ctx, tasksByID, []driver.Value{key(id)})
	})
}

// Last implements store.Reader.
func (s *Store) Last(ctx context.Context, kind, key string) (store.Task, error) {
	if err := errors.Join(store.ValidName("kind", kind), store.ValidName("key", key)); err != nil {
		return store.Task{}, err
	}
	none := fmt.Errorf("%w: none of kind %q and key %q is completed", store.ErrNotFound, kind, key)
	return s.one(ctx, none, func(c *conn) ([]store.Task, error) {
		seq, err := c.number(selectLast, kind, key)
		if err != nil || seq == 0 {
			return nil, err
		}
		return c.load(ctx, tasksBySeq, []driver.Value{seq})
	})
}

// one reads the task that find finds, with its history, or answers none.
func (s *Store) one(ctx context.Context, none error, find func(*conn) ([]store.Task, error)) (store.Task, error) {
	var found []store.Task
	err := s.read(ctx, func(c *conn) (err error) {
		if found, err = find(c); err != nil {
			return err
		}
		return c.loadHistories(ctx, found)
	})
	switch {
	case err != nil:
		return store.Task{}, err
	case len(found) == 0:
		return store.Task{}, none
	}
	return found[0], nil
}

// List implements store.Reader. A page by state costs the same whatever else the table holds. Kind and Runner have no
// index: rows that do not match are passed over at about a million a second, newest first.
func (s *Store) List(ctx context.Context, query store.Query) (tasks []store.Task, err error) {
	if err := query.Validate(); err != nil {
		return nil, err
	}
	err = s.read(ctx, func(c *conn) error {
		seqs, err := c.page(ctx, query)
		if err != nil {
			return err
		}
		keys := make([]driver.Value, len(seqs))
		for i, seq := range seqs {
			keys[i] = seq
		}
		if tasks, err = c.load(ctx, tasksBySeq, keys); err != nil {
			return err
		}
		slices.SortFunc(tasks, func(a, b store.Task) int { return cmp.Compare(b.Seq, a.Seq) })
		return c.loadHistories(ctx, tasks)
	})
	if err != nil {
		return nil, err
	}
	return tasks, nil
}

// page finds the tasks of the query, newest first. Each state is read for itself, because one index scan in the order
// of seq serves only one state.
func (c *conn) page(ctx context.Context, query store.Query) (seqs []int64, err error) {
	before := query.Before
	if before == 0 {
		before = 1<<63 - 1
	}
	filters := []driver.Value{before, query.Kind, query.Kind, query.Runner, query.Runner, int64(query.Size())}
	collect := func(row []driver.Value) error {
		c := columns{row: row}
		seqs = append(seqs, next[int64](&c))
		return c.err
	}
	rare, err := c.rareKind(ctx, query.Kind)
	switch {
	case err != nil:
		return nil, err
	case len(query.States) == 0 && query.Kind != "":
		return seqs, c.query(ctx, selectKindPage, collect, append([]driver.Value{query.Kind}, filters...)...)
	case len(query.States) == 0:
		return seqs, c.query(ctx, selectPage, collect, filters...)
	}
	for _, state := range slices.Compact(slices.Sorted(slices.Values(query.States))) {
		switch {
		case rare:
			err = c.query(ctx, selectKindState, collect, append([]driver.Value{stateCode(state), query.Kind}, filters...)...)
		case state == store.Running:
			err = c.query(ctx, selectRunPage, collect, filters...)
		default:
			err = c.query(ctx, selectStatePage, collect, append([]driver.Value{stateCode(state)}, filters...)...)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(seqs, func(a, b int64) int { return cmp.Compare(b, a) })
	return seqs[:min(len(seqs), query.Size())], nil
}

// rareTasks is how few tasks of a kind there are for all of them to be looked at rather than those of a state.
const rareTasks = 1000

// rareKind reports whether there are few tasks of a kind. Without it, who asks for the tasks in some state of a kind that
// does not exist would have all tasks of that state read.
func (c *conn) rareKind(ctx context.Context, kind string) (bool, error) {
	if kind == "" {
		return false, nil
	}
	var found int64
	err := c.query(ctx, countKind, func(row []driver.Value) error {
		c := columns{row: row}
		found = next[int64](&c)
		return c.err
	}, kind, int64(rareTasks+1))
	return found <= rareTasks, err
}

// Counts implements store.Reader. The numbers are kept with each write, so that this costs the same for any number of
// tasks.
func (s *Store) Counts(ctx context.Context, runner string) (counts map[store.State]int64, err error) {
	text, args := selectCounts, []driver.Value{runner}
	if runner == "" {
		text, args = selectAllCounts, nil
	}
	counts = map[store.State]int64{}
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, text, func(row []driver.Value) error {
			c := columns{row: row}
			state, n := c.state(), next[int64](&c)
			if n > 0 {
				counts[state] = n
			}
			return c.err
		}, args...)
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// CancelRequests implements store.Worker. It may be asked often: it reads an index that holds running tasks only, and of
// these only what was asked for.
func (s *Store) CancelRequests(ctx context.Context, runner, node string) (ids []string, err error) {
	if err := errors.Join(store.ValidName("runner", runner), store.ValidName("node", node)); err != nil {
		return nil, err
	}
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, selectCancelRequests, func(row []driver.Value) error {
			c := columns{row: row}
			ids = append(ids, c.id())
			return c.err
		}, runner, node)
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}
