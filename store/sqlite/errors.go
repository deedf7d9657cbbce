package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	modernc "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/taskrunner-go/taskrunner/store"
)

// fault makes of what went wrong an error that names the file and what was being done, and that is the sentinel which
// callers branch on. nil stays nil.
func fault(path, doing string, err error) error {
	if err == nil {
		return nil
	}
	if sentinel := sentinelOf(err); sentinel != nil && !errors.Is(err, sentinel) {
		return fmt.Errorf("store/sqlite: %s: %s: %w: %w", path, doing, sentinel, err)
	}
	return fmt.Errorf("store/sqlite: %s: %s: %w", path, doing, err)
}

// sentinelOf is the table from what SQLite and the operating system say to what the store says, or nil: then it is for a
// person to read, and no caller can do anything about it but try again.
func sentinelOf(err error) error {
	if errors.Is(err, store.ErrUnavailable) { // whatever the reason: others say that nothing was written
		return store.ErrUnavailable
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return store.ErrReadOnly
	}
	if errors.Is(err, syscall.ENOSPC) {
		return store.ErrFull
	}
	var failed *modernc.Error
	if !errors.As(err, &failed) {
		return nil
	}
	switch failed.Code() { // the extended codes that mean something else than their family
	case codes.SQLITE_IOERR_SHMSIZE: // the log's index could not grow; SQLite does not ask the system why
		return store.ErrFull
	case codes.SQLITE_IOERR_CORRUPTFS:
		return store.ErrCorrupt
	}
	switch failed.Code() & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return store.ErrLocked
	case codes.SQLITE_READONLY, codes.SQLITE_PERM:
		return store.ErrReadOnly
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return store.ErrCorrupt
	case codes.SQLITE_FULL:
		return store.ErrFull
	}
	return nil
}

// unwritten reports whether a commit failed while it wrote to the log. What makes it one is written last.
func unwritten(err error) bool {
	var failed *modernc.Error
	return errors.As(err, &failed) && (failed.Code() == codes.SQLITE_FULL || failed.Code() == codes.SQLITE_IOERR_WRITE)
}

// hasCode reports whether err is SQLite's, of this family.
func hasCode(err error, code int) bool {
	var failed *modernc.Error
	return errors.As(err, &failed) && failed.Code()&0xff == code
}

// ended is the error of a call whose context has ended.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store/sqlite: %w", err)
	}
	return nil
}
