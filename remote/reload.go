package remote

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// reloadInterval is how often files are looked at, at most. They are looked at when somebody comes in, so that no
	// goroutine has to.
	reloadInterval = time.Second
	// maxFile is the largest file that is read, in bytes: 4 MiB are 10,000 clients, and more authorities than anybody trusts.
	maxFile = 4 << 20
)

// namedFile is a file and the field of a configuration that names it.
type namedFile struct{ field, path string }

// reloaded is what was made of files, made again when they have changed. Any goroutine may use it.
//
// What is in the files is compared, not their times and sizes: two writes within one tick of the file system's clock, a clock
// that was set back and a link that leads elsewhere now need no thought then. Three files of certificates take 0.1 ms a second.
type reloaded[T any] struct {
	files  []namedFile
	parse  func(contents [][]byte) (T, error)
	logger *slog.Logger

	good    atomic.Pointer[T]
	began   time.Time    // what due counts from: a monotonic clock does not go back
	due     atomic.Int64 // nanoseconds after began
	looking sync.Mutex
	seen    [sha256.Size]byte // what was found when somebody looked last, good or bad
}

// loadFiles makes a T of the files, or says what is wrong with them.
func loadFiles[T any](logger *slog.Logger, now time.Time, files []namedFile, parse func([][]byte) (T, error)) (*reloaded[T], error) {
	contents, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	first, err := parse(contents)
	if err != nil {
		return nil, err
	}
	r := &reloaded[T]{files: files, parse: parse, logger: logger, began: now, seen: digest(contents, nil)}
	r.good.Store(&first)
	r.due.Store(int64(reloadInterval))
	return r, nil
}

// at gives what is good now. Who is the first after reloadInterval looks whether the files have changed; the others do
// not wait for that.
func (r *reloaded[T]) at(now time.Time) T {
	since, due := int64(now.Sub(r.began)), r.due.Load()
	if since >= due && r.due.CompareAndSwap(due, since+int64(reloadInterval)) && r.looking.TryLock() {
		r.look()
		r.looking.Unlock()
	}
	return *r.good.Load()
}

// look takes over what has changed, if it is good; if it is not, what was good before goes on. A file that is half written is
// seen again when the other half is there.
func (r *reloaded[T]) look() {
	contents, err := readFiles(r.files)
	found := digest(contents, err)
	if found == r.seen {
		return
	}
	r.seen = found
	var next T
	if err == nil {
		next, err = r.parse(contents)
	}
	if err != nil {
		r.logger.Warn("remote: a changed file is not used, what was read before goes on", "file", r.files[0].path, "error", err)
		return
	}
	r.good.Store(&next)
	r.logger.Info("remote: a changed file is used from now on", "file", r.files[0].path)
}

// digest is short where contents are long and secret.
func digest(contents [][]byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte(err.Error()))
	}
	var sums []byte
	for _, content := range contents {
		sum := sha256.Sum256(content)
		sums = append(sums, sum[:]...)
	}
	return sha256.Sum256(sums)
}

func readFiles(files []namedFile) ([][]byte, error) {
	contents := make([][]byte, len(files))
	for i, file := range files {
		content, err := readFile(file)
		if err != nil {
			return nil, err
		}
		contents[i] = content
	}
	return contents, nil
}

// readFile refuses what is no regular file before it opens it: to open a named pipe would hang.
func readFile(file namedFile) ([]byte, error) {
	info, err := os.Stat(file.path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("remote: %s is %q, want a file: %w", file.field, file.path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("remote: %s is %q, want a file, and this is a directory or a device", file.field, file.path)
	}
	f, err := os.Open(file.path)
	if err != nil {
		return nil, fmt.Errorf("remote: %s is %q, want a file that can be read: %w", file.field, file.path, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("remote: %s is %q, want a file that can be read: %w", file.field, file.path, err)
	case len(content) > maxFile:
		return nil, fmt.Errorf("remote: %s is %q, want a file of at most %d bytes", file.field, file.path, maxFile)
	}
	return content, nil
}
