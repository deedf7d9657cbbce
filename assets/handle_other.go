//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package assets

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lockFile locks a file of a root by its path, for as long as it is open. It fails if somebody else has it locked.
func lockFile(root *os.Root, name string, flag int) (fileLock, error) {
	lock := flock.New(filepath.Join(root.Name(), name), flock.SetFlag(os.O_RDWR|flag))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		err = errors.New("somebody else has the lock")
	}
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return lock, nil
}

// renameInto renames a temporary file to a name below root.
func renameInto(root *os.Root, t *temporary, _ *os.Root, name string) error {
	return root.Rename(filepath.Join(t.in.dir, t.name), name)
}
