package assets

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
)

const (
	// scratchPrefix begins the names of our folders of temporary files. No asset can have such a name.
	scratchPrefix = ".taskrunner-assets-"
	// lockName is the file, in such a folder, that its living owner keeps locked.
	lockName = "lock"
	// unlockedAge is how long a folder without a lock file is left alone: its owner may be about to make one.
	unlockedAge = time.Hour
)

// scratch is a folder of temporary files that belongs to one mover for as long as it lives. The lock is the kernel's,
// so it ends with the process however that ends; which process it was does not matter, and numbers of processes, which
// are used again, are not asked.
type scratch struct {
	root *os.Root // the folder in which ours lies
	dir  string   // the name of ours
	lock *flock.Flock
	next atomic.Uint64
}

// newScratch makes a folder of our own in root.
func newScratch(root *os.Root) (*scratch, error) {
	// Somebody who sweeps can take our lock file between its making and its locking, and remove the folder. That shows,
	// and the next folder is as good as this one.
	const tries = 10
	var err error
	for range tries {
		s := &scratch{root: root, dir: scratchPrefix + strings.ToLower(rand.Text())}
		if err = s.claim(); err == nil {
			return s, nil
		}
	}
	return nil, &scratchError{fmt.Errorf("making a folder in %s: %w", root.Name(), err)}
}

// claim makes the folder and locks it. Nobody else may look into it: what is downloaded may be private.
func (s *scratch) claim() error {
	if err := s.root.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	s.lock = flock.New(filepath.Join(s.root.Name(), s.dir, lockName))
	locked, err := s.lock.TryLock()
	if err == nil && locked && s.holdsLock() {
		return nil
	}
	_ = s.lock.Close()
	_ = s.root.RemoveAll(s.dir)
	return errors.Join(err, errors.New("the lock was taken away"))
}

// holdsLock reports whether the file that we have locked is still the one that others see.
func (s *scratch) holdsLock() bool {
	ours, err := s.lock.Stat()
	if err != nil {
		return false
	}
	seen, err := s.root.Lstat(filepath.Join(s.dir, lockName))
	return err == nil && os.SameFile(ours, seen)
}

// create makes a new file for reading and writing, and gives its name within the root. The folder keeps strangers
// out, so the file can have the permissions that it is to have at its destination.
func (s *scratch) create() (*os.File, string, error) {
	name := filepath.Join(s.dir, strconv.FormatUint(s.next.Add(1), 36))
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, "", &scratchError{err}
	}
	return f, name, nil
}

// remove takes a file of ours away. One that was renamed to its destination is no longer there, which is no error.
func (s *scratch) remove(name string) error {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &scratchError{err}
	}
	return nil
}

// close removes the folder with all that is in it.
func (s *scratch) close() error {
	err := s.root.RemoveAll(s.dir)
	return errors.Join(err, s.lock.Close())
}

// sweep removes the folders in root whose owners are dead, and gives their number. What cannot be removed, because
// somebody else owns it, is left to its owner.
func sweep(root *os.Root, now time.Time) (removed int, err error) {
	folder, err := root.Open(".")
	if err != nil {
		return 0, &scratchError{err}
	}
	defer func() { _ = folder.Close() }()
	for {
		// In batches, and unsorted: there may be a million assets beside our folders.
		entries, err := folder.ReadDir(1000)
		for _, entry := range entries {
			if entry.IsDir() && strings.HasPrefix(entry.Name(), scratchPrefix) && sweepOne(root, entry.Name(), now) {
				removed++
			}
		}
		if err != nil || len(entries) == 0 {
			return removed, nil // a folder that cannot be listed cannot be swept; it may still be read from
		}
	}
}

// sweepOne removes one folder if nobody holds its lock. The lock is opened but never made: in a folder that strangers
// can write to, such as /tmp, a link of theirs could have us make a file elsewhere.
func sweepOne(root *os.Root, dir string, now time.Time) bool {
	info, err := root.Lstat(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		info, err = root.Lstat(dir)
		return err == nil && now.Sub(info.ModTime()) > unlockedAge && root.RemoveAll(dir) == nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	lock := flock.New(filepath.Join(root.Name(), dir, lockName), flock.SetFlag(os.O_RDWR))
	locked, err := lock.TryLock()
	defer func() { _ = lock.Close() }()
	return err == nil && locked && root.RemoveAll(dir) == nil
}
