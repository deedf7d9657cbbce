package assets

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// directory is an open folder that assets are put into. Those who use it at the same time share it, and whoever is the last
// closes it.
type directory struct {
	*os.Root
	handle *os.File // once more, for what an os.Root does not offer
	info   fs.FileInfo
	users  atomic.Int64
}

// newDirectory takes a folder over, for one user.
func newDirectory(root *os.Root) (*directory, error) {
	d := &directory{Root: root}
	d.users.Store(1)
	var err error
	if d.handle, err = root.Open("."); err == nil {
		d.info, err = d.handle.Stat()
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// openDirectory takes what opening a folder gave.
func openDirectory(root *os.Root, err error) (*directory, error) {
	if err != nil {
		return nil, explain(err)
	}
	return newDirectory(root)
}

// Close ends one use.
func (d *directory) Close() error {
	if d.users.Add(-1) > 0 {
		return nil
	}
	err := d.Root.Close()
	if d.handle != nil {
		err = errors.Join(err, d.handle.Close())
	}
	return err
}

// lastDirectory keeps the folder that was used last open, since most assets go where the one before went.
type lastDirectory struct {
	mu   sync.Mutex
	name string
	kept *directory // nil if there is none
}

// get gives the folder of that name if it is the one that is kept, and still the one that has the name.
func (l *lastDirectory) get(root *os.Root, name string) *directory {
	l.mu.Lock()
	d := l.kept
	if d == nil || l.name != name {
		l.mu.Unlock()
		return nil
	}
	d.users.Add(1)
	l.mu.Unlock()
	if now, err := root.Stat(name); err != nil || !os.SameFile(now, d.info) {
		_ = d.Close()
		return nil
	}
	return d
}

// keep keeps another folder in place of the one before; nil is none.
func (l *lastDirectory) keep(name string, d *directory) {
	if d != nil {
		d.users.Add(1)
	}
	l.mu.Lock()
	before := l.kept
	l.name, l.kept = name, d
	l.mu.Unlock()
	if before != nil {
		_ = before.Close() // it was only looked into
	}
}
