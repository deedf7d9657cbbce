package assets

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// folder is a place on the local disk, the home of file:// URLs. It reads and writes the format of
// gocloud.dev/blob/fileblob, but not through it: fileblob opens paths by name, so that whoever can put a symbolic link
// below the root leads it anywhere, and no check before opening helps, because the link can come between the two. An
// os.Root opens each element of a path relative to the one before and refuses what leads out, also then.
type folder struct {
	root     *os.Root
	skip     int // how many elements of a location's path are the root's
	dirMode  fs.FileMode
	sidecars bool
	sync     bool

	mu    sync.Mutex
	stage *scratch // made when the first asset is written, so that nothing is made in a folder that is only read
}

// openFolder opens what a prefix with file: names.
func openFolder(p prefix, syncFiles bool) (*folder, error) {
	f := &folder{skip: len(p.at.path), dirMode: 0o777, sidecars: true, sync: syncFiles}
	create, err := f.options(p.params)
	if err != nil {
		return nil, err
	}
	dir := "/" + p.at.key()
	if runtime.GOOS == "windows" {
		dir = p.at.key() // file:///C:/assets is C:/assets
	}
	dir = filepath.FromSlash(dir)
	if create {
		if err := os.MkdirAll(dir, f.dirMode); err != nil {
			return nil, err
		}
	}
	f.root, err = os.OpenRoot(dir)
	return f, err
}

// options reads the query parameters, which are fileblob's.
func (f *folder) options(params string) (create bool, err error) {
	query, err := url.ParseQuery(params)
	if err != nil {
		return false, errors.New("has parameters that cannot be read")
	}
	for name, values := range query {
		switch value := values[0]; name {
		case "create_dir":
			create = value != ""
		case "no_tmp_dir": // always so: temporary files lie on the same file system, or they could not be renamed
		case "metadata":
			if value != "" && value != "skip" {
				return false, fmt.Errorf("has metadata=%q, want skip or nothing", value)
			}
			f.sidecars = value == ""
		case "dir_file_mode":
			mode, err := strconv.ParseUint(value, 0, 32)
			if err != nil || mode > 0o777 {
				return false, fmt.Errorf("has dir_file_mode=%q, want a number such as 0755", value)
			}
			f.dirMode = fs.FileMode(mode)
		default:
			return false, fmt.Errorf("has the parameter %q, want create_dir, dir_file_mode, metadata or no_tmp_dir", name)
		}
	}
	return create, nil
}

// name is the path below the root.
func (f *folder) name(l location) string {
	return filepath.FromSlash(path.Join(l.path[f.skip:]...))
}

// check refuses names that are ours or fileblob's, and those that no file system takes.
func (f *folder) check(l location) error {
	if len(l.path) == f.skip || l.dir {
		return errors.New("names a folder, not an asset")
	}
	for _, element := range l.path[f.skip:] {
		if len(element) > maxSegment {
			return fmt.Errorf("has a name that is longer than %d bytes", maxSegment)
		}
		// Case does not tell names apart on every file system.
		if hasPrefixFold(element, scratchPrefix) {
			return fmt.Errorf("has a name that starts with %s, which is kept for temporary files", scratchPrefix)
		}
	}
	if len(f.name(l)) > maxKey {
		return fmt.Errorf("has a path that is longer than %d bytes", maxKey)
	}
	if last := l.path[len(l.path)-1]; isSidecar(last) {
		return fmt.Errorf("ends with %s, which is kept for the content types of other files", sidecarExt)
	}
	return nil
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// open opens a regular file. Opening a pipe would wait for a writer, and opening a device can do things, so the flag
// says not to wait, and what was opened is looked at, rather than what was there before.
func (f *folder) open(name string) (*os.File, fs.FileInfo, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, f.explain(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is a %s", ErrNotAFile, kindOfFile(info.Mode()))
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func kindOfFile(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	default:
		return "device"
	}
}

// explain turns the refusal of an os.Root into ours. It has no error value of its own to ask for, but unlike all other
// errors about a path it does not come from the operating system.
func (f *folder) explain(err error) error {
	var number syscall.Errno
	var about *fs.PathError
	var link *os.LinkError
	if (errors.As(err, &about) || errors.As(err, &link)) && !errors.As(err, &number) && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("%w: a symbolic link leads out of the folder (%w)", ErrNotAllowed, err)
	}
	return err
}

// get opens a file to be moved.
func (f *folder) get(_ context.Context, l location, since *Validators) (*original, error) {
	name := f.name(l)
	file, info, err := f.open(name)
	if err != nil {
		return nil, err
	}
	now := Validators{LastModified: info.ModTime(), Size: info.Size()}
	if since != nil && since.match(now) {
		_ = file.Close()
		return &original{unchanged: true, validators: *since}, nil
	}
	headers, err := f.readSidecar(name)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	now.LastModified = settled(info.ModTime(), time.Now())
	return &original{body: file, size: info.Size(), headers: headers, validators: now}, nil
}

// list walks the folder. Links to folders are not followed, which keeps loops out; links to files are listed, and
// whether they may be read is found out when they are moved.
func (f *folder) list(ctx context.Context, l location) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		start := path.Join(append([]string{"."}, l.path[f.skip:]...)...)
		visit := func(name string, entry fs.DirEntry, err error) error {
			relative := strings.TrimPrefix(strings.TrimPrefix(name, start), "/")
			if start == "." {
				relative = name
			}
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && name == start:
				return f.explain(err)
			case name == start && !entry.IsDir():
				return fmt.Errorf("%w: it is a file and not a folder", ErrIndex)
			case err != nil:
				return stopUnless(yield(relative, f.explain(err)))
			case entry.IsDir() && strings.HasPrefix(entry.Name(), scratchPrefix):
				return fs.SkipDir
			case !f.isAsset(name, entry):
				return nil
			}
			return stopUnless(yield(relative, nil))
		}
		if err := fs.WalkDir(f.root.FS(), start, visit); err != nil && !errors.Is(err, errStopped) {
			yield("", err)
		}
	}
}

// errStopped ends a walk whose consumer wants no more.
var errStopped = errors.New("assets: stopped")

func stopUnless(more bool) error {
	if more {
		return nil
	}
	return errStopped
}

// isAsset tells assets from folders, sidecar files, pipes and devices.
func (f *folder) isAsset(name string, entry fs.DirEntry) bool {
	switch {
	case entry.Type().IsRegular():
		return !isSidecar(entry.Name())
	case entry.Type()&fs.ModeSymlink != 0:
		info, err := f.root.Stat(name)
		return err != nil || info.Mode().IsRegular()
	default:
		return false
	}
}

// holds reads the file and compares. The time of a local file is easily set, so it proves nothing here.
func (f *folder) holds(ctx context.Context, l location, object Object, sha256 string) (bool, error) {
	file, info, err := f.open(f.name(l))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotAFile) || err == nil && info.Size() != object.Size {
		if file != nil {
			_ = file.Close()
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	sum, err := hashAll(ctx, file)
	return sum == sha256, err
}

// hashAll gives the SHA-256 of everything that r has.
func hashAll(ctx context.Context, r io.Reader) (string, error) {
	sums := newHashes(false, nil)
	_, err := io.Copy(sums, &endingReader{ctx, r})
	return hex.EncodeToString(sums.sum(algSHA256)), err
}

// endingReader ends with its context.
type endingReader struct {
	ctx  context.Context
	from io.Reader
}

func (r *endingReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// close removes the temporary folder and lets go of the root.
func (f *folder) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.stage != nil {
		err = f.stage.close()
		f.stage = nil
	}
	return errors.Join(err, f.root.Close())
}
