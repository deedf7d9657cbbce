package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// stateCodes are the numbers of the states in the database. They are kept for ever; the partial indices know them.
var stateCodes = [...]store.State{
	store.Scheduled, store.Available, store.Retryable, store.Running, store.Completed, store.Cancelled, store.Discarded,
}

// stateCode is the number of a valid state; of another it would be -1, which the table's CHECK refuses.
func stateCode(s store.State) int64 { return int64(slices.Index(stateCodes[:], s)) }

// key is the UUID of a canonical id, which the caller has checked.
func key(id string) uuid.UUID {
	u, err := uuid.Parse(id)
	if err != nil {
		return uuid.Nil // equals no id
	}
	return u
}

// moment is a time as it is stored: microseconds, or NULL. An integer sorts as the times do, and takes a third of a text.
func moment(t time.Time) driver.Value {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// blob is NULL for no bytes: the driver reads an empty blob as nil too.
func blob(b []byte) driver.Value {
	if len(b) == 0 {
		return nil
	}
	return b
}

// text is NULL for none: then it is in no index.
func text(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

func flag(b bool) driver.Value {
	if b {
		return int64(1)
	}
	return int64(0)
}

// columns takes the values of a row one after the other. What is of another type than the schema says comes from a
// damaged file: the first such value is remembered as the error.
type columns struct {
	row []driver.Value
	err error
}

// next takes the next value. NULL is the zero value.
func next[T any](c *columns) (value T) {
	v := c.row[0]
	c.row = c.row[1:]
	value, ok := v.(T)
	if !ok && v != nil && c.err == nil {
		c.err = errColumn(v, value)
	}
	return value
}

func (c *columns) id() (id uuid.UUID) {
	if b := next[[]byte](c); copy(id[:], b) != len(id) && c.err == nil {
		c.err = errColumn(b, id)
	}
	return id
}

func (c *columns) state() store.State {
	code := next[int64](c)
	if code < 0 || code >= int64(len(stateCodes)) {
		c.err = errColumn(code, store.Running)
		return ""
	}
	return stateCodes[code]
}

func (c *columns) time() time.Time {
	if c.row[0] == nil {
		c.row = c.row[1:]
		return time.Time{}
	}
	return time.UnixMicro(next[int64](c)).UTC()
}

// record is a task with what only the store knows of it.
type record struct {
	store.Task
	key        uuid.UUID
	kind       int64
	hasHistory bool // in taskrunner_attempts
	superseded bool
}

// complete makes a task of a row. names are those of the kinds.
func (r row) complete(names []kindName, state store.State) (rec record, err error) {
	if r.kind < 1 || r.kind > int64(len(names)) {
		return rec, fmt.Errorf("%w: task %v has the kind %d, there are %d", store.ErrCorrupt, r.id, r.kind, len(names))
	}
	name := names[r.kind-1]
	rec = record{key: r.id, kind: r.kind, Task: store.Task{
		ID: r.id.String(), Seq: r.seq, Runner: name.runner, Kind: name.kind, Key: r.key, State: state,
		Result: slices.Clone(r.result),
	}}
	if rec.hasHistory, err = readBody(r.body, &rec.Task); err != nil {
		err = fmt.Errorf("task %v, the one with the seq %d: %w", r.id, r.seq, err)
	}
	return rec, err
}

func (c *columns) task() (row, store.State) {
	return row{
		id: c.id(), seq: next[int64](c), kind: next[int64](c), key: next[string](c), body: next[[]byte](c), result: next[[]byte](c),
	}, c.state()
}

// decodeTask reads taskColumns, or finishedColumns.
func decodeTask(names []kindName, values []driver.Value) (rec record, err error) {
	c := columns{row: values}
	r, state := c.task()
	if c.err != nil {
		return rec, c.err
	}
	if rec, err = r.complete(names, state); err != nil || len(c.row) == 0 {
		return rec, err
	}
	rec.Pos, rec.FinishedAt, rec.superseded = next[int64](&c), c.time(), next[int64](&c) != 0
	if history := next[[]byte](&c); rec.superseded && c.err == nil {
		rec.History, c.err = readHistory(history)
	}
	return rec, c.err
}

// lookUpAll runs the statement for all keys, a chunk at a time, and gives the rows to each. A chunk that is not full is
// filled up with NULL: that costs at most 7 µs, to prepare a statement for each number of keys up to a hundred.
func (c *conn) lookUpAll(ctx context.Context, k keyed, keys []driver.Value, each func([]driver.Value) error) error {
	for text, part := range k.parts(keys) {
		if err := c.query(ctx, text, each, part...); err != nil {
			return err
		}
	}
	return nil
}

// parts cuts keys into what the statements take.
func (k keyed) parts(keys []driver.Value) func(yield func(string, []driver.Value) bool) {
	return func(yield func(string, []driver.Value) bool) {
		for part := range slices.Chunk(keys, chunk) {
			text := k.one
			if len(part) > 1 {
				text = k.many
				part = append(slices.Clip(part), make([]driver.Value, chunk-len(part))...)
			}
			if !yield(text, part) {
				return
			}
		}
	}
}

// load gives the tasks of these keys, in no order; what does not exist is left out.
func (c *conn) load(ctx context.Context, names []kindName, k keyed, keys []driver.Value) ([]record, error) {
	found := make([]record, 0, len(keys))
	err := c.lookUpAll(ctx, k, keys, collectTasks(names, &found))
	return found, err
}

func collectTasks(names []kindName, found *[]record) func([]driver.Value) error {
	return func(values []driver.Value) error {
		rec, err := decodeTask(names, values)
		*found = append(*found, rec)
		return err
	}
}

// loadHistories reads what earlier runs left of these tasks. A superseded outcome has its own history.
func (c *conn) loadHistories(ctx context.Context, tasks []record) error {
	var keys []driver.Value
	byKey := map[uuid.UUID]*store.Task{}
	for i := range tasks {
		if tasks[i].hasHistory && !tasks[i].superseded {
			keys = append(keys, tasks[i].key[:])
			byKey[tasks[i].key] = &tasks[i].Task
		}
	}
	return c.lookUpAll(ctx, histories, keys, func(values []driver.Value) error {
		c := columns{row: values}
		task := byKey[c.id()]
		if task == nil {
			return cmp.Or(c.err, errColumn(values[0], uuid.UUID{}))
		}
		task.History = append(task.History, store.Attempt{
			Attempt: int(next[int64](&c)), Run: next[int64](&c), Node: next[string](&c), State: c.state(), StartedAt: c.time(),
			FinishedAt: c.time(), Error: next[string](&c), Stack: next[string](&c),
		})
		return c.err
	})
}
