package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
)

// sqliteDriver is one of the drivers that the other queues on SQLite can be used with.
type sqliteDriver struct {
	name     string // as database/sql knows it
	describe string
}

// open opens a fresh database for a queue of others, with the settings of our own store: in WAL mode a commit is
// durable only if synchronous is FULL, and the larger cache and the longer log are good for them too.
//
// One connection is what the documentation of River and of goqite says; with more, writers wait for each other in SQLite's
// busy handler, which sleeps.
func (d sqliteDriver) open(ctx context.Context, s *site) (*sql.DB, error) {
	db, err := sql.Open(d.name, "file:"+filepath.Join(s.dir, "tasks.db")+"?_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, pragma := range []string{
		"busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL",
		"cache_size = -65536", "wal_autocheckpoint = 4000", "temp_store = MEMORY",
	} {
		if _, err := db.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return nil, errors.Join(fmt.Errorf("PRAGMA %s: %w", pragma, err), db.Close())
		}
	}
	if err := checkDurable(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkDurable asks whether a commit is synced: SQLite passes over a pragma that it does not know.
func checkDurable(ctx context.Context, db *sql.DB) error {
	const full = 2
	var mode string
	synchronous, err := count(ctx, db, "PRAGMA synchronous")
	err = errors.Join(err, db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode))
	if err == nil && (synchronous != full || mode != "wal") {
		err = fmt.Errorf("PRAGMA synchronous is %d and journal_mode %s, want %d and wal", synchronous, mode, full)
	}
	return err
}

// count gives the one number that a query answers.
func count(ctx context.Context, db *sql.DB, query string) (n int, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}
