package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// What can be checked and computed without the database is done by the caller's goroutine, before the operation is
// handed to the writer: all others wait for that one.

// Insert implements store.Inserter. 100,000 tasks take one transaction of about a second, during which other writers
// wait and readers do not.
func (s *Store) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) (inserted []store.Inserted, err error) {
	rows, err := newRows(now, tasks)
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, len(rows), func(x *tx) (err error) {
		inserted, err = x.insert(rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return inserted, nil
}

// newRow is a task that is to be inserted.
type newRow struct {
	task  store.Task
	key   uuid.UUID
	body  []byte
	known bool // somebody may know its id
}

func newRows(now time.Time, tasks []store.NewTask) ([]newRow, error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidateAll(tasks)); err != nil {
		return nil, err
	}
	rows := make([]newRow, len(tasks))
	bodies := make([]byte, 0, bodiesSize(tasks))
	for i := range tasks {
		r := &rows[i]
		r.task = store.ApplyInsert(now, tasks[i])
		r.key, r.known = key(r.task.ID), !tasks[i].Fresh
		start := len(bodies)
		bodies = appendBody(bodies, &r.task, false)
		r.body = bodies[start:len(bodies):len(bodies)]
	}
	return rows, nil
}

// bodiesSize is more than the bodies need, in most cases: one allocation is enough for all.
func bodiesSize(tasks []store.NewTask) (n int) {
	const numbers = 48
	for i := range tasks {
		n += numbers + len(tasks[i].Node) + len(tasks[i].Args)
	}
	return n
}

// insert records the rows, but for those whose id exists, and answers for each, in their order.
func (x *tx) insert(rows []newRow) ([]store.Inserted, error) {
	existing, err := x.existing(rows)
	if err != nil {
		return nil, err
	}
	answers := make([]store.Inserted, len(rows))
	slab := make([]young, 0, len(rows)) // one allocation for all
	for i := range rows {
		r := &rows[i]
		rec := existing[r.key]
		if y := x.mem.young[r.key]; y != nil && !y.leaving && rec == nil { // though it was to be fresh: somebody asks again
			if rec, err = x.complete(y); err != nil {
				return nil, err
			}
		}
		if rec != nil {
			answers[i] = store.Inserted{Task: cloned(rec.Task), Existed: true}
			continue
		}
		x.seq++
		answers[i].Task = r.task
		answers[i].Seq = x.seq
		if err := x.insertOne(r, &answers[i].Task, &slab); err != nil {
			return nil, err
		}
		if r.known { // it may come again in these rows
			existing[r.key] = &record{Task: answers[i].Task}
		}
	}
	return answers, nil
}

func (x *tx) insertOne(r *newRow, t *store.Task, slab *[]young) error {
	kind, err := x.kind(t.Runner, t.Kind)
	if err != nil {
		return err
	}
	x.move(kind, "", t.State)
	if t.State != store.Running {
		x.announce(t)
		return x.add(x.waiting, t.Seq, r.key[:], kind, stateCode(t.State), int64(t.Priority), moment(t.ScheduledAt),
			flag(false), text(t.Key), r.body, nil)
	}
	*slab = append(*slab, young{
		row: row{id: r.key, seq: t.Seq, kind: kind, key: t.Key, body: r.body}, run: t.Run, node: t.Node,
	})
	return x.bear(&(*slab)[len(*slab)-1])
}

// existing looks up the ids that somebody may know.
func (x *tx) existing(rows []newRow) (map[uuid.UUID]*record, error) {
	var ids []uuid.UUID
	for i := range rows {
		if rows[i].known {
			ids = append(ids, rows[i].key)
		}
	}
	if ids == nil {
		return nil, nil
	}
	return x.lookUp(ids, true)
}

// cloned shares nothing with the task, which is the answer to several.
func cloned(t store.Task) store.Task {
	t.Args, t.Result, t.History = append([]byte(nil), t.Args...), append([]byte(nil), t.Result...), append([]store.Attempt(nil), t.History...)
	return t
}
