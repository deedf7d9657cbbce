package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"maragu.dev/goqite"
	"maragu.dev/goqite/jobs"
)

// goqiteTuning is what decides how fast goqite is.
type goqiteTuning struct {
	driver sqliteDriver
	limit  int // of the job runner; 0: no runner, but transactions of so many messages as batch says
	batch  int
}

func (g goqiteTuning) String() string {
	if g.limit > 0 {
		return fmt.Sprintf("its job runner with Limit %d, PollInterval 1 ms, %s", g.limit, g.driver.describe)
	}
	return fmt.Sprintf("ReceiveTx and DeleteTx of up to %d messages in one transaction, %s", g.batch, g.driver.describe)
}

type goqiteQueue struct {
	*tally
	db    *sql.DB
	queue *goqite.Queue
	tx    bool
	stop  func()
}

// open starts a consumer. goqite tells nobody of a completion; it deletes the row.
func (g goqiteTuning) open(ctx context.Context, s *site, tasks int) (queue, error) {
	schema, err := goqiteSchema(ctx)
	if err != nil {
		return nil, err
	}
	db, err := g.driver.open(ctx, s)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	q := &goqiteQueue{
		tally: newTally(tasks), db: db, tx: g.limit == 0,
		queue: goqite.New(goqite.NewOpts{DB: db, Name: noopKind}),
	}
	q.start(ctx, g)
	return q, nil
}

// goqiteSchema reads the tables from the module: to make them is the user's business, and it embeds no file.
func goqiteSchema(ctx context.Context) (string, error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "maragu.dev/goqite").Output()
	if err != nil {
		return "", fmt.Errorf("where goqite is: %w", err)
	}
	schema, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema_sqlite.sql"))
	return string(schema), err
}

func (q *goqiteQueue) start(ctx context.Context, g goqiteTuning) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	q.stop = func() { cancel(); running.Wait() }
	if q.tx {
		running.Go(func() { q.consume(ctx, g.batch) })
		return
	}
	runner := jobs.NewRunner(jobs.NewRunnerOpts{Queue: q.queue, Limit: g.limit, PollInterval: time.Millisecond})
	runner.Register(noopKind, func(context.Context, []byte) error {
		q.add(1)
		return nil
	})
	running.Go(func() { runner.Start(ctx) })
}

// consume takes and deletes messages, in transactions of up to so many.
func (q *goqiteQueue) consume(ctx context.Context, batch int) {
	for ctx.Err() == nil {
		n, err := q.take(ctx, batch)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "goqite:", err)
			return
		}
		q.add(n)
		if n == 0 {
			time.Sleep(pollInterval)
		}
	}
}

func (q *goqiteQueue) take(ctx context.Context, batch int) (n int, err error) {
	err = q.inTx(ctx, func(tx *sql.Tx) error {
		for n < batch {
			m, err := q.queue.ReceiveTx(ctx, tx)
			if err != nil || m == nil {
				return err
			}
			if err := q.queue.DeleteTx(ctx, tx, m.ID); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (q *goqiteQueue) enqueue(ctx context.Context, n int) error {
	message := goqite.Message{Body: noopBytes()}
	if !q.tx {
		_, err := jobs.Create(ctx, q.queue, noopKind, message)
		return err
	}
	return q.inTx(ctx, func(tx *sql.Tx) error {
		for range n {
			if err := q.queue.SendTx(ctx, tx, message); err != nil {
				return err
			}
		}
		return nil
	})
}

func (q *goqiteQueue) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (q *goqiteQueue) left(ctx context.Context) (int, error) {
	return count(ctx, q.db, `SELECT count(*) FROM goqite`)
}

func (q *goqiteQueue) await(ctx context.Context) error { return q.awaitEmpty(ctx, q.left) }

// kept is what is left, which is nothing: goqite keeps no finished message.
func (q *goqiteQueue) kept(ctx context.Context) (int, error) { return q.left(ctx) }

func (q *goqiteQueue) close(context.Context) error {
	q.stop()
	return q.db.Close()
}
