//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package assets

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What an os.Root does not offer is done here with its handle, so that no path is looked up a second time: a link on the
// way can be pointed elsewhere between two looks.

// lockFile opens a file of a root, and locks it for as long as it is open. It fails if somebody else has it locked.
func lockFile(root *os.Root, name string, flag int) (fileLock, error) {
	file, err := root.OpenFile(name, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, &os.PathError{Op: "flock", Path: name, Err: err}
	}
	return file, nil
}

// renameInto renames a temporary file to the last element of name in the folder to. The root, in which both lie, is for
// systems without such a call.
func renameInto(_ *os.Root, t *temporary, to *os.Root, name string) (err error) {
	from, err := t.in.folder.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	target, err := to.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	for {
		err = unix.Renameat(int(from.Fd()), t.name, int(target.Fd()), filepath.Base(name))
		if !errors.Is(err, unix.EINTR) { // network file systems can be interrupted
			break
		}
	}
	if err != nil {
		return &os.LinkError{Op: "renameat", Old: t.name, New: name, Err: err}
	}
	return nil
}
