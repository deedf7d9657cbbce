package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gofrs/flock"
	codes "modernc.org/sqlite/lib"

	"github.com/taskrunner-go/taskrunner/store"
)

// file is a database file that is ours alone: locked, known to be ours, and open for writing.
type file struct {
	path     string
	lock     *flock.Flock
	inode    *os.File // open for as long as the database is, with a lock of its own
	dsn      string   // of the writer
	conn     *conn    // the writer's
	schema   int      // its version
	large    bool     // it was not read whole
	logPages int      // how long the log may get
}

// openFile locks the file and opens it. It changes nothing in a file that is not ours.
func openFile(ctx context.Context, path string, cfg Config, steps []migration) (*file, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path}
	if err := f.open(ctx, cfg, steps); err != nil {
		_ = f.close()
		return nil, err
	}
	return f, nil
}

// open locks before it touches the database: what is read before the lock could be another process's half-done work.
func (f *file) open(ctx context.Context, cfg Config, steps []migration) (err error) {
	if err = ended(ctx); err != nil {
		return err
	}
	if err = f.takeLock(); err != nil {
		return err
	}
	if err = f.takeInode(); err != nil {
		return err
	}
	f.logPages = cfg.logPages(room(f.path))
	f.dsn = dsn(f.path, false, writerPragmas(cfg, f.logPages)...)
	if f.conn, err = dialGuarded(ctx, f.dsn); err == nil {
		err = f.examine(steps)
	}
	return fault(f.path, "opening", f.explain(err))
}

// reopen gives the writer a new connection. The old one is closed last, so that the file stays open meanwhile.
func (f *file) reopen(ctx context.Context) error {
	c, err := dialGuarded(ctx, f.dsn)
	if err != nil {
		return err
	}
	_ = f.conn.close() // whatever it complains of, it is over
	f.conn = c
	return nil
}

// takeInode opens the file for writing, and makes it if it is not there: for its owner alone, since arguments and results
// are in it; SQLite gives its log the same permissions. SQLite would open a read-only file for reading, and leave a log
// beside it that is read-only too and stays so. It stays open until SQLite has closed the file: closing a file drops the locks that this
// process has on it, also those taken by SQLite.
//
// The lock of the name is not enough: it can be deleted, and who opens the same file under another name (a hard link, a mount of the
// file) has another one, and another log, so that each would overwrite what the other has recorded.
func (f *file) takeInode() (err error) {
	if f.inode, err = os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fault(f.path, "opening", err)
	}
	if !lockInode(f.inode) {
		return fmt.Errorf("store/sqlite: %s: %w: it has the file open under another name, or its lock %s.lock was removed",
			f.path, store.ErrLocked, f.path)
	}
	info, err := f.inode.Stat()
	if err == nil && namesOf(info) > 1 {
		err = fmt.Errorf("the file has %d names (hard links), and only one may be used: SQLite's log lies beside the name, and what is in the "+
			"log of another would be lost; keep that one, and make copies with Backup", namesOf(info))
	}
	return fault(f.path, "opening", err)
}

// explain finds out why SQLite cannot open a file: most often it may not make the log in the directory.
func (f *file) explain(err error) error {
	if !hasCode(err, codes.SQLITE_CANTOPEN) {
		return err
	}
	probe := f.path + ".probe"
	file, reason := os.OpenFile(probe, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // beside the file that we were told to open
	if reason != nil {
		return fmt.Errorf("%w: %w", err, reason)
	}
	return errors.Join(err, file.Close(), os.Remove(probe))
}

// takeLock takes the lock that says that this process has the database open. It belongs to the living: the system
// releases it when the process ends, so that a lock file left behind is no obstacle. SQLite's own locks would let a
// second process in between two transactions; then two nodes would each believe that they alone hand out the tasks.
func (f *file) takeLock() error {
	f.lock = flock.New(f.path+".lock", flock.SetPermissions(0o600))
	locked, err := f.lock.TryLock()
	if err != nil {
		return fault(f.path, "locking", err)
	}
	if !locked {
		return fmt.Errorf("store/sqlite: %s: %w: its lock %s.lock is held", f.path, store.ErrLocked, f.path)
	}
	return nil
}

// close undoes what open has done, as far as that came. The lock goes last.
func (f *file) close() error {
	var errs []error
	if f.conn != nil {
		// SQLite copies the log into the database when the last connection closes, and removes it.
		errs = append(errs, f.conn.close())
	}
	if f.inode != nil {
		errs = append(errs, f.inode.Close())
	}
	if f.lock != nil {
		errs = append(errs, f.lock.Unlock())
	}
	return fault(f.path, "closing", errors.Join(errs...))
}

// examine finds out whose database it is, and makes sure that it can be read and written.
func (f *file) examine(steps []migration) error {
	id, err := f.conn.identity()
	if err != nil {
		return err
	}
	if err := id.judge(len(steps)); err != nil {
		return err
	}
	f.schema = int(id.version)
	if err := f.conn.checkSchema(steps, f.schema); err != nil {
		return err
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	f.large = info.Size() > checkedBytes
	if err := f.conn.checkHealth(id, f.large); err != nil {
		return err
	}
	if f.schema == 0 { // later it would do nothing; what it costs cannot be measured
		if err := f.conn.script(`PRAGMA auto_vacuum = INCREMENTAL`); err != nil {
			return err
		}
	}
	if err := f.conn.useLog(); err != nil {
		return err
	}
	// What a process that was killed has left in the log goes into the database now: on a disk that was full, the log may
	// have taken all the room, and whoever has made some must not see it taken again. That it fails is no reason not to open.
	_, _ = f.conn.truncateLog()
	return nil
}

const (
	// cacheKiB is the writer's page cache: enough for the inner pages of all indices at ten million tasks.
	cacheKiB = 64 << 10
	pageSize = 4096
)

func writerPragmas(cfg Config, logPages int) []string {
	pragmas := append(commonPragmas(cfg),
		"synchronous(FULL)", // in WAL mode: a sync at each commit, without which the last ones are lost with the power
		"foreign_keys(1)",   // for an application's own tables, which a lent transaction writes to
		fmt.Sprintf("cache_size(%d)", -cacheKiB),
		fmt.Sprintf("wal_autocheckpoint(%d)", logPages),
		fmt.Sprintf("journal_size_limit(%d)", logBytes))
	if cfg.MaxBytes > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", max(1, cfg.MaxBytes/pageSize)))
	}
	return pragmas
}

func commonPragmas(cfg Config) []string {
	return []string{fmt.Sprintf("busy_timeout(%d)", cfg.BusyTimeout.Milliseconds()), "temp_store(MEMORY)"}
}

// readerPragmas hold twice that a reader does not write: the file is opened with mode=ro too.
func readerPragmas(cfg Config) []string { return append(commonPragmas(cfg), "query_only(1)") }
