//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package assets

import (
	"errors"
	"io/fs"
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

// newFileMode is for files that others may read, as far as the umask lets them.
const newFileMode = 0o666

// createIn makes a file in a folder of ours, for reading and writing. An os.Root asks six times as much of the kernel, to find
// out whether one can wait for the file.
func createIn(c *claim, name string) (*os.File, error) {
	var file int
	err := lend(c.handle, func(folder int) (err error) {
		file, err = unix.Openat(folder, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, newFileMode)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: name, Err: err}
	}
	return os.NewFile(uintptr(file), name), nil
}

// renameInto renames a temporary file to the last element of name in the folder to. The root, in which both lie, is for
// systems without such a call.
func renameInto(_ *os.Root, t *temporary, to *directory, name string) error {
	err := lend(t.in.handle, func(from int) error {
		return lend(to.handle, func(target int) error { return unix.Renameat(from, t.name, target, filepath.Base(name)) })
	})
	if err != nil {
		return &os.LinkError{Op: "renameat", Old: t.name, New: name, Err: err}
	}
	return nil
}

// lend gives f the number of a handle, which is not closed meanwhile. Network file systems can be interrupted: then it is
// called again.
func lend(handle *os.File, f func(number int) error) error {
	raw, err := handle.SyscallConn()
	if err != nil {
		return fs.ErrClosed
	}
	var failed error
	err = raw.Control(func(number uintptr) {
		for failed = f(int(number)); errors.Is(failed, unix.EINTR); {
			failed = f(int(number))
		}
	})
	if err != nil {
		return fs.ErrClosed // it can say nothing else
	}
	return failed
}
