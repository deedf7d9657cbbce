package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// riverTuning is what decides how fast River is.
type riverTuning struct {
	workers  int           // MaxWorkers
	cooldown time.Duration // FetchCooldown
	poll     time.Duration // FetchPollInterval
	conns    int           // of the pool, on PostgreSQL
}

func (r riverTuning) String() string {
	text := fmt.Sprintf("MaxWorkers %d, FetchCooldown %s, FetchPollInterval %s", r.workers, r.cooldown, r.poll)
	if r.conns > 0 {
		text += fmt.Sprintf(", %d connections", r.conns)
	}
	return text
}

const riverKept = `SELECT count(*) FROM river_job WHERE state = 'completed'`

func (r riverTuning) onPostgres(ctx context.Context, s *site, tasks int) (queue, error) {
	database, drop, err := newDatabase(ctx, s)
	if err != nil {
		return nil, err
	}
	pool, err := openPool(ctx, database, r.conns)
	if err != nil {
		return nil, errors.Join(err, drop())
	}
	kept := func(ctx context.Context) (n int, err error) {
		err = pool.QueryRow(ctx, riverKept).Scan(&n)
		return n, err
	}
	return startRiver(ctx, riverpgxv5.New(pool), r, tasks, kept, func() error { pool.Close(); return drop() })
}

func (r riverTuning) onSQLite(d sqliteDriver) func(context.Context, *site, int) (queue, error) {
	return func(ctx context.Context, s *site, tasks int) (queue, error) {
		db, err := d.open(ctx, s)
		if err != nil {
			return nil, err
		}
		kept := func(ctx context.Context) (int, error) { return count(ctx, db, riverKept) }
		var driver riverdriver.Driver[*sql.Tx] = riversqlite.New(db)
		return startRiver(ctx, driver, r, tasks, kept, db.Close)
	}
}

// Kind implements river.JobArgs.
func (noop) Kind() string { return noopKind }

type riverWorker struct{ river.WorkerDefaults[noop] }

// Work implements river.Worker.
func (riverWorker) Work(context.Context, *river.Job[noop]) error { return nil }

type riverQueue[T any] struct {
	*tally
	client *river.Client[T]
	rows   func(context.Context) (int, error)
	shut   func() error
}

// startRiver starts a client that works. A completion counts when its event comes, which River sends after the commit.
func startRiver[T any](
	ctx context.Context, driver riverdriver.Driver[T], r riverTuning, tasks int,
	rows func(context.Context) (int, error), shut func() error,
) (queue, error) {
	q := &riverQueue[T]{tally: newTally(tasks), rows: rows, shut: shut}
	if err := q.start(ctx, driver, r, tasks); err != nil {
		return nil, errors.Join(err, shut())
	}
	return q, nil
}

func (q *riverQueue[T]) start(ctx context.Context, driver riverdriver.Driver[T], r riverTuning, tasks int) error {
	complaints := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: complaints})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, riverWorker{})
	q.client, err = river.NewClient(driver, &river.Config{
		Logger: complaints, Workers: workers,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: r.workers}},
		FetchCooldown: r.cooldown, FetchPollInterval: r.poll,
	})
	if err != nil {
		return err
	}
	// An event for which the channel has no room is lost.
	events, _ := q.client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: tasks, Kinds: []river.EventKind{river.EventKindJobCompleted},
	})
	go func() { // ends when the client is stopped
		for range events {
			q.add(1)
		}
	}()
	return q.client.Start(ctx)
}

func (q *riverQueue[T]) enqueue(ctx context.Context, n int) error {
	if n == 1 {
		_, err := q.client.Insert(ctx, noopArgs(), nil)
		return err
	}
	params := make([]river.InsertManyParams, n)
	for i := range params {
		params[i].Args = noopArgs()
	}
	_, err := q.client.InsertManyFast(ctx, params)
	return err
}

func (q *riverQueue[T]) kept(ctx context.Context) (int, error) { return q.rows(ctx) }

func (q *riverQueue[T]) close(ctx context.Context) error {
	return errors.Join(q.client.Stop(ctx), q.shut())
}
