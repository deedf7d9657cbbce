package sqlite

import (
	"context"
	"database/sql/driver"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// In schema version 1, one table held all tasks, with a column for each field. Version 2 keeps most fields as bytes, which SQL
// cannot make: so the rows go through here, up and down.

const (
	oldTasks = `SELECT t.id, t.seq, t.state, t.run, t.attempt, t.max_attempts, t.cancel_requested, t.runner, t.node,
		t.scheduled_at, t.progress, t.kind, t.key, t.timeout, t.inserted_at, t.started_at, t.finished_at, t.args, t.result,
		EXISTS (SELECT 1 FROM attempts a WHERE a.task = t.seq) FROM tasks t ORDER BY t.finished_at, t.seq`
	// What a run made of the task was not kept: the last one of a discarded task discarded it, the others were retried.
	oldAttempts = `INSERT INTO taskrunner_attempts (task, attempt, run, node, state, started_at, finished_at, error, stack)
		SELECT t.id, a.attempt, a.run, a.node, CASE WHEN t.state = 6 AND a.run = t.run THEN 6 ELSE 2 END, NULL, a.at, a.error, a.stack
		FROM attempts a JOIN tasks t ON t.seq = a.task ORDER BY a.id`
	oldLastSeq = `SELECT seq FROM sqlite_sequence WHERE name = 'tasks'`
)

// copyUp fills the tables of version 2. Outcomes get their order from the times of their ends.
func copyUp(c *conn) error {
	x, err := beginCopy(c)
	if err != nil {
		return err
	}
	if x.seq, err = c.number(oldLastSeq); err != nil {
		return err
	}
	err = c.query(context.Background(), oldTasks, func(row []driver.Value) error {
		rec, err := decodeOldTask(row)
		if err != nil {
			return err
		}
		if rec.kind, err = x.kind(rec.Runner, rec.Kind); err != nil {
			return err
		}
		x.move(rec.kind, "", rec.State)
		return x.put(&rec)
	})
	if err != nil {
		return err
	}
	if err := x.write(oldAttempts); err != nil {
		return err
	}
	return x.flush()
}

func beginCopy(c *conn) (*tx, error) {
	m, err := c.remember(context.Background())
	if err != nil {
		return nil, err
	}
	return newTx(c, m, time.Time{}), nil
}

func decodeOldTask(row []driver.Value) (rec record, err error) {
	c := columns{row: row}
	rec.key = c.id()
	rec.Task = store.Task{
		ID: rec.key.String(), Seq: next[int64](&c), State: c.state(), Run: next[int64](&c), Attempt: int(next[int64](&c)),
		MaxAttempts: int(next[int64](&c)), CancelRequested: next[int64](&c) != 0, Runner: next[string](&c), Node: next[string](&c),
		ScheduledAt: c.time(), Progress: next[float64](&c), Kind: next[string](&c), Key: next[string](&c),
		Timeout: time.Duration(next[int64](&c)) * time.Microsecond, InsertedAt: c.time(), StartedAt: c.time(), FinishedAt: c.time(),
		Args: next[[]byte](&c), Result: next[[]byte](&c),
	}
	rec.hasHistory = next[int64](&c) != 0
	return rec, c.err
}

const (
	insertOldTask = `INSERT INTO tasks (seq, id, state, run, attempt, max_attempts, cancel_requested, progress, runner, kind, key,
		node, timeout, inserted_at, scheduled_at, started_at, finished_at, args, result)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	newAttempts = `INSERT OR IGNORE INTO attempts (task, attempt, run, node, at, error, stack)
		SELECT t.seq, a.attempt, a.run, a.node, a.finished_at, a.error, a.stack
		FROM taskrunner_attempts a JOIN tasks t ON t.id = a.task WHERE a.state <> 4 ORDER BY a.id`
	newCounts = `INSERT INTO counts (runner, state, tasks)
		SELECT k.runner, c.state, sum(c.tasks) FROM taskrunner_counts c JOIN taskrunner_kinds k ON k.id = c.kind GROUP BY k.runner, c.state`
	newLastSeq = `INSERT INTO sqlite_sequence (name, seq) VALUES ('tasks', ?)`
)

// copyDown fills the tables of version 1 again. They have no place for superseded outcomes, priorities, and what a cancel or a
// retry by hand has left in a history.
func copyDown(c *conn) error {
	x, err := beginCopy(c)
	if err != nil {
		return err
	}
	if err := x.unbundleAll(); err != nil {
		return err
	}
	for _, text := range [...]string{
		`SELECT ` + taskColumns + ` FROM taskrunner_tasks t`,
		`SELECT ` + finishedColumns + ` FROM taskrunner_finished f WHERE ` + latest,
	} {
		err := c.query(context.Background(), text, func(row []driver.Value) error {
			rec, err := decodeTask(x.kindNames(), row)
			if err != nil {
				return err
			}
			return x.putOld(&rec)
		})
		if err != nil {
			return err
		}
	}
	for _, text := range [...]string{newAttempts, newCounts, `DELETE FROM sqlite_sequence WHERE name = 'tasks'`} {
		if err := x.write(text); err != nil {
			return err
		}
	}
	return x.write(newLastSeq, x.seq)
}

func (x *tx) putOld(rec *record) error {
	t := &rec.Task
	if t.State != store.Running {
		t.Node = ""
	}
	return x.write(insertOldTask, t.Seq, rec.key[:], stateCode(t.State), t.Run, int64(t.Attempt), int64(t.MaxAttempts),
		flag(t.CancelRequested), t.Progress, t.Runner, t.Kind, t.Key, t.Node, t.Timeout.Microseconds(), moment(t.InsertedAt),
		moment(t.ScheduledAt), moment(t.StartedAt), moment(t.FinishedAt), blob(t.Args), blob(t.Result))
}
