package sqlite

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockedByte is far behind those that SQLite locks, and behind the end of any file.
const lockedByte = 1 << 62

// lockInode locks the file itself, under whatever name it was opened, until it is closed. It reports false if somebody else has it
// locked. It is a lock of the open file and not of the process, which would lose it with the next file that it closes. Where
// the file system has no such locks, there is only the one of the name.
func lockInode(f *os.File) bool {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: lockedByte, Len: 1}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES)
}

// namesOf says how many names the file has.
func namesOf(info os.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Nlink) //nolint:unconvert // it has 32 bits on some processors
	}
	return 1
}

// freeBytes is how much may still be written to the file system that the file is in, and false if that is not known.
func freeBytes(path string) (int64, bool) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, false
	}
	return int64(stat.Bavail) * int64(stat.Bsize), true //nolint:unconvert // it has 32 bits on some processors
}
