package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	modernc "modernc.org/sqlite"

	"github.com/taskrunner-go/taskrunner/store"
)

// backupPages is how many pages are copied before the context is looked at again: 1 MiB.
const backupPages = 256

// Backup writes a copy of the whole file to path, also of the application's own tables, as of the moment when it begins, while
// others read and write. The copy is synced before it gets its name, so that there is never half a copy of that name; path must
// not exist yet (fs.ErrExist), its directory must. To restore, open the copy, or put it in the place of the file while no store
// has that open: with neither the log nor its index (-wal, -shm) of the old file beside it.
// Who follows the outcomes with a cursor from after the backup is told store.ErrCursorAhead, until the copy has grown past it.
//
// The log of the store grows while a backup is under way, because what the backup reads must stay in it: by what is written in
// that time. When ctx ends, the backup ends early and leaves nothing.
func (s *Store) Backup(ctx context.Context, path string) error {
	if !s.calls.Enter() {
		return store.ErrClosed
	}
	defer s.calls.Leave()
	if err := ended(ctx); err != nil {
		return err
	}
	path, err := resolve(path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("store/sqlite: %s: backing up to it: %w", path, fs.ErrExist)
	}
	return fault(path, "backing up to it", s.backupTo(ctx, path))
}

// backupTo makes the copy under another name beside the path. The temporary file is made by us, for its owner alone.
func (s *Store) backupTo(ctx context.Context, path string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial")
	if err != nil {
		return err
	}
	partial := file.Name()
	defer func() { err = errors.Join(err, removeAll(partial, partial+"-journal")) }()
	if err := file.Close(); err != nil {
		return err
	}
	c, err := dial(ctx, s.readers.dsn) // not one of the readers: it may take minutes
	if err != nil {
		return err
	}
	if err := errors.Join(c.reading(func(c *conn) error { return c.copyTo(ctx, partial) }), c.close()); err != nil {
		return err
	}
	if err := syncFile(partial); err != nil {
		return err
	}
	if err := giveName(partial, path); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // which syncs the name with the file, and no directory
		return nil
	}
	return syncFile(filepath.Dir(path))
}

// copyTo copies the pages of the moment that the transaction sees, which it has to hold: a copy that is made from moment to
// moment would begin anew at each commit.
func (c *conn) copyTo(ctx context.Context, path string) error {
	if _, err := c.numbers(ctx); err != nil { // the transaction begins with the first thing that is read
		return err
	}
	source, ok := c.raw.(interface {
		NewBackup(uri string) (*modernc.Backup, error)
	})
	if !ok {
		return fmt.Errorf("the driver's connection is a %T, which cannot copy", c.raw)
	}
	b, err := source.NewBackup(dsn(path, false, "journal_mode(OFF)", "synchronous(OFF)"))
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = ended(ctx); err == nil {
			more, err = b.Step(backupPages)
		}
	}
	return errors.Join(err, b.Finish())
}

// giveName gives a file another name that nobody else has taken meanwhile, which only a link can: to rename would replace. Where
// a file system has no links, it has to do.
func giveName(old, path string) error {
	err := os.Link(old, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, taken := os.Lstat(path); taken == nil {
		return fs.ErrExist
	}
	return os.Rename(old, path)
}

func removeAll(names ...string) error {
	var errs []error
	for _, name := range names {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncFile syncs a file, or the entries of a directory.
func syncFile(path string) error {
	file, err := os.Open(path) //nolint:gosec // beside what we were told to write
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
