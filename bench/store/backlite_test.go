package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/mikestefanello/backlite"
)

// backliteTuning is what decides how fast backlite is.
type backliteTuning struct {
	driver  sqliteDriver
	workers int
}

func (b backliteTuning) String() string {
	return fmt.Sprintf("NumWorkers %d, no retention, %s", b.workers, b.driver.describe)
}

// Config implements backlite.Task.
func (noop) Config() backlite.QueueConfig {
	return backlite.QueueConfig{Name: noopKind, MaxAttempts: 3}
}

type backliteQueue struct {
	*tally
	db     *sql.DB
	client *backlite.Client
}

// open starts a client that works. backlite tells nobody of a completion; it deletes the row.
func (b backliteTuning) open(ctx context.Context, s *site, tasks int) (queue, error) {
	db, err := b.driver.open(ctx, s)
	if err != nil {
		return nil, err
	}
	q := &backliteQueue{tally: newTally(tasks), db: db}
	if err := q.start(ctx, b.workers); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return q, nil
}

func (q *backliteQueue) start(ctx context.Context, workers int) (err error) {
	q.client, err = backlite.NewClient(backlite.ClientConfig{
		DB: q.db, Logger: backliteComplaints{slog.New(slog.NewTextHandler(os.Stderr, nil))},
		NumWorkers: workers, ReleaseAfter: time.Hour,
	})
	if err != nil {
		return err
	}
	if err := q.client.Install(); err != nil {
		return err
	}
	q.client.Register(backlite.NewQueue(func(context.Context, noop) error {
		q.add(1)
		return nil
	}))
	q.client.Start(ctx)
	return nil
}

func (q *backliteQueue) enqueue(ctx context.Context, n int) error {
	tasks := make([]backlite.Task, n)
	for i := range tasks {
		tasks[i] = noopArgs()
	}
	_, err := q.client.Add(tasks...).Ctx(ctx).Save()
	return err
}

func (q *backliteQueue) left(ctx context.Context) (int, error) {
	return count(ctx, q.db, `SELECT count(*) FROM backlite_tasks`)
}

func (q *backliteQueue) await(ctx context.Context) error { return q.awaitEmpty(ctx, q.left) }

func (q *backliteQueue) kept(ctx context.Context) (int, error) {
	return count(ctx, q.db, `SELECT count(*) FROM backlite_tasks_completed`)
}

func (q *backliteQueue) close(ctx context.Context) error {
	q.client.Stop(ctx)
	return q.db.Close()
}

// backliteComplaints shows what goes wrong, and not the line that backlite logs for each task.
type backliteComplaints struct{ log *slog.Logger }

// Info implements backlite.Logger.
func (backliteComplaints) Info(string, ...any) {}

// Error implements backlite.Logger.
func (b backliteComplaints) Error(message string, params ...any) { b.log.Error(message, params...) }
