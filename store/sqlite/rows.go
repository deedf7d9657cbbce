package sqlite

import (
	"context"
	"database/sql/driver"
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

// key is the 16 bytes of a canonical UUID, which the caller has checked.
func key(id string) driver.Value {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil // equals no id
	}
	return u[:]
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

func flag(b bool) driver.Value {
	if b {
		return int64(1)
	}
	return int64(0)
}

// taskRow is a task as insertTasks takes it.
func taskRow(t *store.Task) [insertColumns]driver.Value {
	return [insertColumns]driver.Value{
		key(t.ID), stateCode(t.State), t.Run, int64(t.Attempt), int64(t.MaxAttempts), t.Runner, t.Kind, t.Key, t.Node,
		t.Timeout.Microseconds(), moment(t.InsertedAt), moment(t.ScheduledAt), moment(t.StartedAt), blob(t.Args),
	}
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

func (c *columns) id() string {
	var u uuid.UUID
	copy(u[:], next[[]byte](c))
	return u.String()
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

// decodeTask reads allColumns, or runColumns: then the other fields stay empty.
func decodeTask(row []driver.Value) (t store.Task, err error) {
	c := columns{row: row}
	t = store.Task{
		ID: c.id(), Seq: next[int64](&c), State: c.state(), Run: next[int64](&c), Attempt: int(next[int64](&c)),
		MaxAttempts: int(next[int64](&c)), CancelRequested: next[int64](&c) != 0,
		Runner: next[string](&c), Node: next[string](&c), ScheduledAt: c.time(),
	}
	if len(c.row) == 0 {
		return t, c.err
	}
	t.Progress, t.Kind, t.Key = next[float64](&c), next[string](&c), next[string](&c)
	t.Timeout = time.Duration(next[int64](&c)) * time.Microsecond
	t.InsertedAt, t.StartedAt, t.FinishedAt = c.time(), c.time(), c.time()
	t.Args, t.Result = next[[]byte](&c), next[[]byte](&c)
	return t, c.err
}

// lookUpAll runs the statement for all keys, a chunk at a time, and gives the rows to each. A chunk that is not full is
// filled up with NULL: that costs at most 7 µs, to prepare a statement for each number of keys up to a hundred.
func (c *conn) lookUpAll(ctx context.Context, k keyed, keys []driver.Value, each func([]driver.Value) error) error {
	for part := range slices.Chunk(keys, chunk) {
		text := k.one
		if len(part) > 1 {
			text = k.many
			part = append(slices.Clip(part), make([]driver.Value, chunk-len(part))...)
		}
		if err := c.query(ctx, text, each, part...); err != nil {
			return err
		}
	}
	return nil
}

// load gives the tasks of these keys, in no order; what does not exist is left out.
func (c *conn) load(ctx context.Context, k keyed, keys []driver.Value) ([]store.Task, error) {
	tasks := make([]store.Task, 0, len(keys))
	err := c.lookUpAll(ctx, k, keys, func(row []driver.Value) error {
		task, err := decodeTask(row)
		tasks = append(tasks, task)
		return err
	})
	return tasks, err
}

// loadHistories reads what earlier runs left of these tasks.
func (c *conn) loadHistories(ctx context.Context, tasks []store.Task) error {
	keys := make([]driver.Value, len(tasks))
	bySeq := make(map[int64]*store.Task, len(tasks))
	for i := range tasks {
		keys[i] = tasks[i].Seq
		bySeq[tasks[i].Seq] = &tasks[i]
	}
	return c.lookUpAll(ctx, histories, keys, func(row []driver.Value) error {
		c := columns{row: row}
		task := bySeq[next[int64](&c)]
		if task == nil {
			return errColumn(row[0], int64(0))
		}
		task.Errors = append(task.Errors, store.AttemptError{
			Attempt: int(next[int64](&c)), Run: next[int64](&c), Node: next[string](&c), At: c.time(),
			Error: next[string](&c), Stack: next[string](&c),
		})
		return c.err
	})
}
