// Package sqlite is the task store in a SQLite file: it lasts, needs no server, and no cgo.
//
// # Promises
//
// Besides those of package store:
//
//   - What Insert and Finish have answered is synced to the disk: it survives the death of the process and of the power.
//   - One process at a time has a file open; another one's Open answers store.ErrLocked at once. The lock ends with
//     the process, however that ends. Other programs may read the file meanwhile.
//   - Writers are served together: what gathers while a commit is under way is the next commit (group commit). Readers
//     wait for no writer. A read sees all that was answered before it began, and never an older moment than a read before it.
//   - The file grows its schema by itself. One that a newer version has written is refused, and so is one that is not
//     ours, or in which somebody has changed our tables (store.ErrSchema); none of them is changed.
//   - When the disk is full, what does not fit answers store.ErrFull, nothing that was recorded is lost, and writing
//     works again as soon as there is room. When a commit fails in another way, the store finds out what became of it before it
//     goes on.
//
// # How it is kept
//
// A task is written as few times as can be. Those that a node takes for itself in one commit are one row together, a bundle,
// until the last of them has ended; a task that ends while its bundle lives gets one row, that of its outcome. A task has a row of
// its own while it waits, and when it has been running for some seconds. While a task is in no table but a bundle, the process
// knows it by heart; after a crash, Open gives it a row.
//
// What no statement looks for is kept as bytes of our own encoding (codec.go), so that the columns of the tables are few: who
// looks into the file with other programs sees ids, kinds, states, keys, times, results and errors, but not arguments. Tables and
// indices have names that begin with taskrunner_.
//
// # The application's own tables
//
// An application may keep tables of its own in the same file. It writes to them in the transactions that Store.InTx lends, in which
// it can insert tasks and record completions too: they are committed together. To make the first table, it opens the store first:
// a file that has tables, and none of ours, is refused as somebody else's. Backup copies all.
//
// Beside the database lie its log (-wal), the log's index (-shm), which SQLite removes when the store closes, and the
// lock (.lock), which stays. The log has 17 MB from the start, or Config.MaxBytes or a quarter of what the disk has if that is less: commits
// that write over it are faster than those that make it longer. To copy a database that is open, use Backup, or SQLite's own means
// (VACUUM INTO, .backup), not a copy of the file.
//
// Because the log lies beside it, a database has one name. A file with several (hard links) is refused, and on Linux so is one that another
// process has open under another name. Mount the folder into a container and not the file: what is in the log of a mount of the
// file alone is gone with the container.
//
// # Changed by hand
//
// Open refuses tables and indices that are not as it has made them, and damaged pages: all of them are read in a file of up to 256 MiB,
// some in a larger one. It makes right the numbers that stand beside the tables. A row that cannot be read is store.ErrCorrupt with the
// id of its task when it is met; claims then pass it over.
package sqlite

import (
	"context"
	"fmt"
	"sync"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/internal/calls"
)

// Store is a store.Store in a SQLite file. All methods may be called from any goroutine.
type Store struct {
	cfg     Config
	steps   []migration
	file    *file
	memory  *memory
	writer  *writer
	readers *readers
	holders store.Holders
	places  places
	id      string // of the database

	calls *calls.Gate
	once  sync.Once
	err   error // of Close
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the file at path, which is made if it does not exist; its directory must. Any path will do,
// also one with spaces, percent or question marks; it is a path, not a URI. The error names the path, and is one of
// store.ErrLocked, ErrReadOnly, ErrCorrupt, ErrSchema, ErrNewerVersion or ErrFull where it applies. Close the store in the end.
func Open(ctx context.Context, path string, cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	steps, err := readMigrations()
	if err != nil {
		return nil, named(path, err)
	}
	f, err := openFile(ctx, path, cfg, steps)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, steps: steps, file: f, calls: calls.NewGate(),
		readers: newReaders(f.path, dsn(f.path, true, readerPragmas(cfg)...), cfg.Readers),
	}
	if err := s.makeReady(ctx, steps); err != nil {
		_ = f.close()
		return nil, err
	}
	return s, nil
}

// makeReady brings the schema up to date, has the memory know what the file does, and tries whether the file can be written to.
func (s *Store) makeReady(ctx context.Context, steps []migration) error {
	f := s.file
	if err := f.conn.migrate(steps, f.schema, len(steps)); err != nil {
		return fault(f.path, "migrating", err)
	}
	m, err := f.conn.remember(ctx)
	if err != nil {
		return fault(f.path, "reading", err)
	}
	if s.id, err = f.conn.identityOf(ctx); err != nil {
		return fault(f.path, "reading", err)
	}
	s.memory = m
	s.writer = newWriter(f, m, &s.holders, s.cfg.Queue)
	_, err = s.writer.transaction([]*operation{{run: func(x *tx) error {
		x.changed = true
		return x.unbundleAll()
	}}})
	if err == nil {
		_, err = s.writer.transaction([]*operation{{run: func(x *tx) error { return x.recount(!f.large) }}})
	}
	if err != nil {
		return err
	}
	_ = fillLog(f.path, filledBytes(f.logPages)) // without it commits take longer, that is all
	go s.writer.loop()
	return nil
}

// Migrate takes the schema of the file to the version, up or down, and closes the file again. Open does that by
// itself, to the newest version; this is for going back before an older program opens the file. Going down loses what
// the older schema cannot hold; version 0 has none of our tables, and a file in which those of an application are left is then not
// ours any more.
func Migrate(ctx context.Context, path string, version int) error {
	steps, err := readMigrations()
	if err != nil {
		return named(path, err)
	}
	if version < 0 || version > len(steps) {
		return fmt.Errorf("store/sqlite: %s: schema version %d: must be from 0 to %d", path, version, len(steps))
	}
	cfg, err := Config{}.withDefaults()
	if err != nil {
		return err
	}
	f, err := openFile(ctx, path, cfg, steps)
	if err != nil {
		return err
	}
	err = fault(f.path, "migrating", f.conn.migrate(steps, f.schema, version))
	if closing := f.close(); err == nil {
		err = closing
	}
	return err
}

// Close writes what was handed over, waits for the calls under way, and closes the file. It is idempotent.
func (s *Store) Close() error {
	s.once.Do(func() {
		<-s.calls.Close()
		s.writer.stop()
		s.readers.close()
		s.err = s.file.close()
	})
	return s.err
}

// write has run take part in a transaction of the writer. rows is about how many it writes.
func (s *Store) write(ctx context.Context, rows int, run func(*tx) error) error {
	return s.operate(ctx, &operation{rows: rows, run: run})
}

func (s *Store) operate(ctx context.Context, o *operation) error {
	if !s.calls.Enter() {
		return store.ErrClosed
	}
	defer s.calls.Leave()
	return s.writer.do(ctx, o)
}
