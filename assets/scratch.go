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
	"sync"
	"sync/atomic"
	"time"
)

const (
	// scratchPrefix begins the names of our folders of temporary files. No asset can have such a name.
	scratchPrefix = ".taskrunner-assets-"
	// lockName is the file, in such a folder, that its living owner keeps locked.
	lockName = "lock"
	// unlockedAge is how long a folder without a lock file is left alone: its owner may be about to make one.
	unlockedAge = time.Hour
)

// scratch makes temporary files below a folder, for one mover for as long as it lives.
type scratch struct {
	root *os.Root // the folder in which ours lies
	next atomic.Uint64

	mu  sync.Mutex
	own *claim // the folder that is in use
}

// claim is a folder of ours. Its lock is the kernel's, so it ends with the process however that ends; which process it
// was does not matter, and numbers of processes, which are used again, are not asked.
type claim struct {
	dir    string   // its name
	folder *os.Root // the folder itself
	handle *os.File // and once more, for what an os.Root does not offer
	lock   fileLock
}

// fileLock is a file that is locked until it is closed.
type fileLock interface {
	Stat() (fs.FileInfo, error)
	Close() error
}

// temporary is a file of ours.
type temporary struct {
	*os.File
	in   *claim
	name string // empty when it is no longer ours to remove
}

// newScratch makes a folder of our own in root.
func newScratch(root *os.Root) (*scratch, error) {
	own, err := newClaim(root)
	if err != nil {
		return nil, err
	}
	return &scratch{root: root, own: own}, nil
}

// newClaim makes a folder and locks it.
func newClaim(root *os.Root) (*claim, error) {
	// Somebody who sweeps can take our lock file between its making and its locking, and remove the folder. That shows,
	// and the next folder is as good as this one.
	const tries = 10
	var err error
	for range tries {
		c := &claim{dir: scratchPrefix + strings.ToLower(rand.Text())}
		if err = c.take(root); err == nil {
			return c, nil
		}
	}
	return nil, &scratchError{fmt.Errorf("making a folder in %s: %w", root.Name(), err)}
}

// take makes the folder and locks it. Nobody else may look into it: what is downloaded may be private.
func (c *claim) take(root *os.Root) error {
	err := root.Mkdir(c.dir, 0o700)
	if err != nil {
		return err
	}
	if c.folder, _, err = openPlain(root, c.dir); err == nil {
		c.handle, err = c.folder.Open(".")
	}
	if err == nil {
		c.lock, err = lockFile(c.folder, lockName, os.O_CREATE)
	}
	if err == nil && c.holdsLock(root) {
		return nil
	}
	return errors.Join(err, errors.New("the lock was taken away"), c.close(root))
}

// holdsLock reports whether the file that we have locked is still the one that others see.
func (c *claim) holdsLock(root *os.Root) bool {
	ours, err := c.lock.Stat()
	if err != nil {
		return false
	}
	seen, err := root.Lstat(filepath.Join(c.dir, lockName))
	return err == nil && os.SameFile(ours, seen)
}

// create makes a new file for reading and writing. The folder keeps strangers out, so the file can have the permissions
// that it is to have at its destination.
func (s *scratch) create() (*temporary, error) {
	s.mu.Lock()
	own := s.own
	s.mu.Unlock()
	t, err := own.create(s.next.Add(1))
	if gone(err) {
		if own, err = s.renew(own); err == nil {
			t, err = own.create(s.next.Add(1))
		}
	}
	if err != nil {
		return nil, &scratchError{err}
	}
	return t, nil
}

// gone reports whether a file could not be made because there is no folder any more: whoever cleans up behind others
// (systemd-tmpfiles, rsync --delete) has removed it, or another move has found that before us.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) }

// renew gives a folder in place of one that is gone.
func (s *scratch) renew(old *claim) (*claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own != old {
		return s.own, nil
	}
	own, err := newClaim(s.root)
	if err != nil {
		return nil, err
	}
	_ = old.close(s.root) // there is nothing in it that could be missed
	s.own = own
	return own, nil
}

func (c *claim) create(number uint64) (*temporary, error) {
	t := &temporary{in: c, name: strconv.FormatUint(number, 36)}
	var err error
	t.File, err = createIn(c, t.name)
	return t, err
}

// close closes the file, and takes it away unless it has been renamed to its destination.
func (t *temporary) close() error {
	err := t.Close()
	if t.name != "" {
		err = errors.Join(err, t.in.folder.Remove(t.name))
	}
	if err == nil || gone(err) {
		return nil
	}
	return &scratchError{err}
}

// close removes the folder with all that is in it.
func (s *scratch) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own.close(s.root)
}

// close gives up the folder as far as it was made.
func (c *claim) close(root *os.Root) error {
	var errs []error
	if c.folder != nil {
		errs = append(errs, c.folder.Close())
	}
	if c.handle != nil {
		errs = append(errs, c.handle.Close())
	}
	errs = append(errs, root.RemoveAll(c.dir))
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	return errors.Join(errs...)
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
	lock, err := lockFile(root, filepath.Join(dir, lockName), 0)
	if err != nil {
		return false
	}
	defer func() { _ = lock.Close() }()
	return root.RemoveAll(dir) == nil
}
