package assets

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
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
	path     string        // of the root, without links
	nested   []fs.FileInfo // the folders below it for which another rule holds; see walk
	skip     int           // how many elements of a location's path are the root's
	dirMode  fs.FileMode
	sidecars bool
	sync     bool
	locks    *nameLocks
	logger   *slog.Logger

	last lastDirectory

	mu    sync.Mutex
	stage *scratch // made when the first asset is written, so that nothing is made in a folder that is only read
}

// openFolder opens what a prefix with file: names.
func openFolder(p prefix, c Config, locks *nameLocks) (*folder, error) {
	f := &folder{skip: len(p.at.path), dirMode: 0o777, sidecars: true, sync: c.SyncFiles, locks: locks, logger: c.Logger}
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
	if f.path, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	f.root, err = os.OpenRoot(f.path)
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
func (f *folder) check(l location, write bool) error {
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
		// A folder of that name would take the place of another asset's sidecar file.
		if write && isSidecar(element) {
			return fmt.Errorf("has a name that ends with %s, which is kept for the content types of other files", sidecarExt)
		}
	}
	if len(f.name(l)) > maxKey {
		return fmt.Errorf("has a path that is longer than %d bytes", maxKey)
	}
	last := l.path[len(l.path)-1]
	if isSidecar(last) {
		return fmt.Errorf("ends with %s, which is kept for the content types of other files", sidecarExt)
	}
	if longest := maxSegment - len(sidecarExt); write && f.sidecars && len(last) > longest {
		return fmt.Errorf("has a name that is longer than %d bytes, which leaves no room for that of its sidecar file", longest)
	}
	return nil
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// open opens a regular file.
func (f *folder) open(name string) (*os.File, fs.FileInfo, error) {
	if len(f.nested) == 0 {
		file, info, err := openRegular(f.root, name)
		return file, info, explain(err)
	}
	parent, err := f.walk(filepath.Dir(name), false)
	if err != nil {
		return nil, nil, explain(err)
	}
	defer func() { _ = parent.Close() }()
	file, info, err := openPlainFile(parent, filepath.Base(name))
	return file, info, explain(err)
}

// openRegular opens a regular file. Opening a pipe would wait for a writer, and opening a device can do things, so the flag
// says not to wait, and what was opened is looked at, rather than what was there before.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = wantRegular(info)
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func wantRegular(info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return failure(ErrNotAFile, "it is a %s", kindOfFile(info.Mode()))
}

func kindOfFile(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
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
func explain(err error) error {
	var number syscall.Errno
	var about *fs.PathError
	var link *os.LinkError
	if (errors.As(err, &about) || errors.As(err, &link)) && !errors.As(err, &number) && !errors.Is(err, fs.ErrClosed) {
		return because(err, ErrNotAllowed, "a symbolic link leads out of the folder")
	}
	return err
}

// get opens a file to be moved. A move that replaces it in the meantime waits until its sidecar file is read.
func (f *folder) get(_ context.Context, l location, since *Validators) (*original, error) {
	name := f.name(l)
	lock := f.locks.of(filepath.Base(name))
	lock.RLock()
	defer lock.RUnlock()
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
	in, err := f.root.Stat(filepath.Dir(name))
	if err != nil {
		_ = file.Close()
		return nil, explain(err)
	}
	now.LastModified = settled(info.ModTime(), time.Now())
	id := &fileID{file: info, folder: in, base: filepath.Base(name)}
	return &original{body: file, size: info.Size(), headers: headers, validators: now, file: id}, nil
}

// list walks the folder. Links to folders are named and not followed, which keeps loops out; links to files are listed, and
// whether they may be read is found out when they are moved.
func (f *folder) list(ctx context.Context, l location) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		root, start := f.root, path.Join(append([]string{"."}, l.path[f.skip:]...)...)
		if len(f.nested) > 0 {
			walked, err := f.walk(filepath.FromSlash(start), false)
			if err != nil {
				yield("", explain(err))
				return
			}
			defer func() { _ = walked.Close() }()
			root, start = walked, "."
		}
		visit := func(name string, entry fs.DirEntry, err error) error {
			relative := strings.TrimPrefix(strings.TrimPrefix(name, start), "/")
			if start == "." {
				relative = name
			}
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && name == start:
				return explain(err)
			case name == start && !entry.IsDir():
				return failure(ErrIndex, "it is a file and not a folder")
			case err != nil:
				return stopUnless(yield(relative, explain(err)))
			case entry.IsDir() && strings.HasPrefix(entry.Name(), scratchPrefix):
				return fs.SkipDir
			}
			asset, err := isAsset(root, name, entry)
			if !asset && err == nil {
				return nil
			}
			return stopUnless(yield(relative, err))
		}
		if err := fs.WalkDir(root.FS(), start, visit); err != nil && !errors.Is(err, errStopped) {
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

// isAsset tells assets from folders, sidecar files, pipes and devices. The error is for what a person would take for assets
// and does not get.
func isAsset(root *os.Root, name string, entry fs.DirEntry) (bool, error) {
	switch {
	case entry.Type().IsRegular() && isSidecar(entry.Name()):
		if _, err := root.Lstat(strings.TrimSuffix(name, sidecarExt)); errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("ends with %s, which is kept for the headers of the asset beside it, and there is none", sidecarExt)
		}
		return false, nil
	case entry.Type().IsRegular():
		return true, nil
	case entry.Type()&fs.ModeSymlink != 0:
		info, err := root.Stat(name)
		if err == nil && info.IsDir() {
			return false, errors.New("is a link to a folder, which is not followed")
		}
		return err != nil || info.Mode().IsRegular(), nil //nolint:nilerr // why it cannot be read is found out when it is moved
	default:
		return false, nil
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
	f.last.keep("", nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.stage != nil {
		err = f.stage.close()
		f.stage = nil
	}
	return errors.Join(err, f.root.Close())
}
