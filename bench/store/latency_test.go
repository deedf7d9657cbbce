package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// latency is something of which each single time counts.
type latency struct {
	title     string
	engine    engine
	load      string // callers and bytes, for the reader
	yardstick string // the title of what it is compared with; empty for a yardstick
	calls     int    // in one round
	sample    func(ctx context.Context, s *site, calls int) ([]time.Duration, error)
}

// The titles by which bars finds them. What this run has nothing of is passed over there.
const (
	appendTitle      = "append and fsync of a file"
	runOnSQLite      = "Run on SQLite"
	insertTitle      = "INSERT of a row through pgx"
	runOnPostgres    = "Run on PostgreSQL"
	handOffOnReplica = "from Run on a full replica to the start on another"
)

// latencies is all that is measured of one call at a time. A yardstick comes from the same run as what is compared with it,
// and stands before it.
func latencies() []latency {
	const calls = 500
	alone := "1 caller, one call after the other"
	runLoad := alone + ", 100 bytes of arguments; the tasks run meanwhile, and their completions are recorded"
	return []latency{
		{title: appendTitle, engine: onSQLite, load: alone + ", 100 bytes", calls: calls, sample: appendAndSync},
		{title: runOnSQLite, engine: onSQLite, load: runLoad,
			yardstick: appendTitle, calls: calls, sample: acceptOn(oursOnSQLite)},
		{title: insertTitle, engine: onPostgres, load: alone + ", 100 bytes", calls: calls, sample: insertRows},
		{title: runOnPostgres, engine: onPostgres, load: runLoad, yardstick: insertTitle, calls: calls, sample: acceptOn(oursOnPostgres)},
		{title: handOffOnReplica, engine: onPostgres, load: "1,000 calls a second, whether others have returned or not, 100 bytes of arguments",
			calls: 2000, sample: handOff},
	}
}

// inFolder samples in a folder of its own.
func (l latency) inFolder(ctx context.Context, s *site, calls int) ([]time.Duration, error) {
	inside := *s
	var err error
	if inside.dir, err = os.MkdirTemp(s.dir, "round"); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(inside.dir) }()
	return l.sample(ctx, &inside, calls)
}

// clock calls f, and gives how long each call took. The first ones, which no one counts, find caches and connections cold.
func clock(calls int, f func() error) ([]time.Duration, error) {
	const warm = 20
	took := make([]time.Duration, 0, calls)
	for i := range warm + calls {
		began := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		if i >= warm {
			took = append(took, time.Since(began))
		}
	}
	return took, nil
}

// appendAndSync is the least that a log on this disk can cost which promises to keep what it was given.
func appendAndSync(_ context.Context, s *site, calls int) (took []time.Duration, err error) {
	file, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	record := noopBytes()
	return clock(calls, func() error {
		if _, err := file.Write(record); err != nil {
			return err
		}
		return file.Sync()
	})
}

// acceptOn times Run, which returns when the task is recorded.
func acceptOn(open openStore) func(context.Context, *site, int) ([]time.Duration, error) {
	return func(ctx context.Context, s *site, calls int) (took []time.Duration, err error) {
		opened, err := openOurs(open)(ctx, s, 0)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, opened.close(ctx)) }()
		return clock(calls, func() error { return opened.enqueue(ctx, 1) })
	}
}

// insertRows is the least that a task costs on PostgreSQL: its row, in a table with a key, in a transaction of its own.
func insertRows(ctx context.Context, s *site, calls int) (took []time.Duration, err error) {
	database, drop, err := newDatabase(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	pool, err := openPool(ctx, database, 1)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, `CREATE TABLE tasks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, args bytea NOT NULL)`)
	if err != nil {
		return nil, err
	}
	args := noopBytes()
	return clock(calls, func() error {
		_, err := pool.Exec(ctx, `INSERT INTO tasks (args) VALUES ($1)`, args)
		return err
	})
}
