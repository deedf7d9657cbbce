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

// createIn makes a file in a folder of ours, for reading and writing.
func createIn(c *claim, name string) (*os.File, error) {
	return c.folder.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
}

// renameInto renames a temporary file to a name below root.
func renameInto(root *os.Root, t *temporary, _ *directory, name string) error {
	return root.Rename(filepath.Join(t.in.dir, t.name), name)
}
