package assets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Where one allowed folder lies in another, with other rights, a symbolic link inside the outer one can lead into the
// inner one, past its rights: an os.Root only keeps links from leading out. In such an outer folder no link is followed.
// Whoever needs links there can have them below a prefix of their own.

// nest tells each folder which others, with other rights, lie below it. They are found on the disk and not by the text
// of the prefixes, since a prefix itself can go through a link.
func (list allowList) nest() error {
	for i := range list {
		inner, ok := list[i].place.(*folder)
		if !ok {
			continue
		}
		self, err := inner.root.Stat(".")
		if err != nil {
			return err
		}
		for dir := inner.path; filepath.Dir(dir) != dir; {
			dir = filepath.Dir(dir)
			above, err := os.Stat(dir)
			if err != nil {
				break // what we may not look into we may not have opened either
			}
			for j := range list {
				if outer, ok := list[j].place.(*folder); ok && (list[i].read != list[j].read || list[i].write != list[j].write) && outer.is(above) {
					outer.nested = append(outer.nested, self)
				}
			}
		}
	}
	return nil
}

// is reports whether info is that of the folder.
func (f *folder) is(info fs.FileInfo) bool {
	self, err := f.root.Stat(".")
	return err == nil && os.SameFile(self, info)
}

// errSwapped says that something was put in the place of what had been looked at. The next try sees what it is.
var errSwapped = errors.New("assets: changed while it was opened")

// walk opens a folder below the root, element by element, and follows no link. With create it makes what is missing.
func (f *folder) walk(dir string, create bool) (*os.Root, error) {
	at, err := openFolderIn(f.root, ".")
	if err != nil || dir == "." {
		return at, err
	}
	for _, name := range splitName(dir) {
		next, err := f.step(at, name, create)
		_ = at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// step opens a folder in a folder, unless it is one for which another rule holds: a name can differ from that rule's by
// case, where case does not tell names apart.
func (f *folder) step(at *os.Root, name string, create bool) (*os.Root, error) {
	next, info, err := openPlain(at, name)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err = at.Mkdir(name, f.dirMode); err == nil || errors.Is(err, fs.ErrExist) {
			next, info, err = openPlain(at, name)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, other := range f.nested {
		if os.SameFile(info, other) {
			return nil, errors.Join(failure(ErrNotAllowed, "it leads to where another rule holds"), next.Close())
		}
	}
	return next, nil
}

// openPlain opens a folder in a folder and follows no link, not even one that is put there between looking and opening.
func openPlain(at *os.Root, name string) (*os.Root, fs.FileInfo, error) {
	seen, err := lookPlain(at, name)
	if err != nil {
		return nil, nil, err
	}
	if !seen.IsDir() {
		return nil, nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	next, err := openFolderIn(at, name)
	if err != nil {
		return nil, nil, err
	}
	opened, err := next.Stat(".")
	if err == nil && !os.SameFile(seen, opened) {
		err = errSwapped
	}
	if err != nil {
		return nil, nil, errors.Join(err, next.Close())
	}
	return next, opened, nil
}

// openPlainFile opens a regular file in the same way.
func openPlainFile(at *os.Root, name string) (*os.File, fs.FileInfo, error) {
	seen, err := lookPlain(at, name)
	if err != nil {
		return nil, nil, err
	}
	file, opened, err := openRegular(at, name)
	if err == nil && !os.SameFile(seen, opened) {
		return nil, nil, errors.Join(errSwapped, file.Close())
	}
	return file, opened, err
}

// lookPlain says what has a name, and refuses a link.
func lookPlain(at *os.Root, name string) (fs.FileInfo, error) {
	info, err := at.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, failure(ErrNotAllowed, "a symbolic link is on the way, and none is followed in a folder of which a part has other rules")
	}
	return info, err
}

// openFolderIn opens a folder below a root. The dot has it opened as a folder only: opening a pipe would wait for a writer.
func openFolderIn(root *os.Root, name string) (*os.Root, error) {
	return root.OpenRoot(name + string(filepath.Separator) + ".")
}
