package assets

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// scratch gives the folder of temporary files below the root. A file there becomes the asset by being renamed, so an
// asset that was too large for memory is written once and not twice.
func (f *folder) scratch() (*scratch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stage == nil {
		stage, err := newScratch(f.root)
		if err != nil {
			return nil, err
		}
		f.stage = stage
	}
	return f.stage, nil
}

// prepare has a large body spooled where it only needs to be renamed. Sidecar files hold the MD5 of their asset. What is
// in the way at the destination is found before anything is downloaded.
func (f *folder) prepare(l location, asset *original) (preparation, error) {
	needed := f.sidecars && (asset.headers.ContentType == "" || needsSidecar(l, asset.headers))
	parent, err := f.parent(l, false)
	if err == nil {
		err = errors.Join(f.replaceable(parent, l, needed, asset.file), parent.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return preparation{}, err
	}
	stage, err := f.scratch()
	return preparation{scratch: stage, md5: needed}, err
}

// put makes the asset visible by renaming a complete and verified file.
func (f *folder) put(ctx context.Context, l location, body *spool, h Headers) (Object, error) {
	if body.inMemory {
		if err := body.append(body.memory()); err != nil {
			return Object{}, err
		}
	}
	if err := verifyFile(ctx, body); err != nil {
		return Object{}, err
	}
	if f.sync {
		if err := body.file.Sync(); err != nil {
			return Object{}, &scratchError{err}
		}
	}
	var side *temporary
	if f.sidecars && needsSidecar(l, h) {
		var err error
		if side, err = f.stageSidecar(h, body.sums.sum(algMD5)); err != nil {
			return Object{}, err
		}
		defer func() { _ = side.close() }() // renamed; or of no use any more, and Close removes the folder
	}
	parent, err := f.parent(l, true)
	if err != nil {
		return Object{}, err
	}
	defer func() { _ = parent.Close() }()
	if err := f.replace(parent, l, body.file, side); err != nil {
		return Object{}, err
	}
	return Object{Size: body.size}, f.syncFolders(f.name(l))
}

// parent opens the folder that an asset lies in, and with create makes it if it is missing: most assets follow others.
func (f *folder) parent(l location, create bool) (*directory, error) {
	dir := filepath.Dir(f.name(l))
	if len(f.nested) > 0 {
		return openDirectory(f.walk(dir, create))
	}
	if d := f.last.get(f.root, dir); d != nil {
		return d, nil
	}
	d, err := openDirectory(f.openOrMake(dir, create))
	if err == nil {
		f.last.keep(dir, d)
	}
	return d, err
}

// openOrMake opens a folder below the root, and with create makes it if it is missing.
func (f *folder) openOrMake(dir string, create bool) (*os.Root, error) {
	parent, err := openFolderIn(f.root, dir)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err = f.root.MkdirAll(dir, f.dirMode); err == nil {
			parent, err = openFolderIn(f.root, dir)
		}
		if errors.Is(err, fs.ErrExist) {
			return nil, because(err, ErrNotAFile, "what is on the way to it is no folder")
		}
	}
	return parent, err
}

// vacant looks whether there is a file.
func (f *folder) vacant(l location) bool {
	parent, err := f.parent(l, false)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer func() { _ = parent.Close() }()
	_, err = parent.Lstat(filepath.Base(f.name(l)))
	return errors.Is(err, fs.ErrNotExist)
}

// replaceable reports what keeps an asset from getting its name: only a regular file is replaced, and not the source itself.
func (f *folder) replaceable(parent *directory, l location, withSidecar bool, source *fileID) error {
	base := filepath.Base(f.name(l))
	info, err := parent.Lstat(base)
	if err == nil {
		err = wantRegular(info)
	}
	if err == nil && source != nil && os.SameFile(info, source.file) {
		var in fs.FileInfo
		if in, err = parent.Stat("."); err == nil && source.same(info, in, base) {
			return &InputError{Index: -1, Field: "destination", Value: quoted(l.String()), Reason: isSource, Kind: ErrInvalid}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) || !withSidecar {
		return ignoreMissing(err)
	}
	info, err = parent.Lstat(base + sidecarExt)
	if err == nil && !isSidecarFile(info) {
		return failure(ErrNotAFile, "the name of its sidecar file is taken by a %s", kindOfFile(info.Mode()))
	}
	return ignoreMissing(err)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// replace brings asset and sidecar file, nil if there is to be none, to their names. It is all or nothing: a sidecar file
// comes first, as fileblob does it, because who sees the new asset must not see it without its content type; if the asset
// then fails to come, the old sidecar file comes back.
func (f *folder) replace(parent *directory, l location, asset, side *temporary) error {
	name := f.name(l)
	lock := f.locks.of(filepath.Base(name))
	lock.Lock()
	defer lock.Unlock()
	if err := f.replaceable(parent, l, side != nil, nil); err != nil {
		return err
	}
	if side == nil {
		if err := f.publish(parent, asset, name); err != nil {
			return err
		}
		return f.removeSidecar(parent, name)
	}
	old := f.oldSidecar(parent, name)
	if err := f.publish(parent, side, name+sidecarExt); err != nil {
		return err
	}
	if err := f.publish(parent, asset, name); err != nil {
		return errors.Join(err, f.restoreSidecar(parent, name, old))
	}
	return nil
}

// verifyFile reads back what was written. A small asset is compared with what is still in memory; a large one is hashed.
func verifyFile(ctx context.Context, body *spool) error {
	var same bool
	var err error
	if body.inMemory {
		same, err = sameAsMemory(body)
	} else {
		var sum string
		sum, err = hashAll(ctx, body.reader(ctx, func(error) {}))
		same = sum == body.sha256()
	}
	if err == nil && !same {
		err = failure(ErrChecksum, "the disk gives back other content than was written")
	}
	return err
}

func sameAsMemory(body *spool) (bool, error) {
	block := body.buffers.get(body.size)
	defer body.buffers.put(block)
	back := (*block)[:body.size]
	n, err := body.file.ReadAt(back, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, &scratchError{err}
	}
	if body.progress != nil {
		body.progress(n)
	}
	return bytes.Equal(body.memory(), back[:n]), nil
}

// publish gives a temporary file its name in its folder.
func (f *folder) publish(parent *directory, t *temporary, name string) error {
	err := renameInto(f.root, t, parent, name)
	switch {
	case err == nil:
		t.name = "" // it is the asset now
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &scratchError{err} // not the destination is missing but our own file
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.EISDIR):
		return because(err, ErrNotAFile, "it is a folder")
	default:
		return explain(err)
	}
}

// syncFolders makes a new name last, if that is asked for, and the folders on the way to it, which may be new too.
func (f *folder) syncFolders(name string) error {
	if !f.sync {
		return nil
	}
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		opened, err := f.root.Open(dir)
		if err != nil {
			return &scratchError{err}
		}
		if err := errors.Join(opened.Sync(), opened.Close()); err != nil {
			return &scratchError{err}
		}
		if dir == "." {
			return nil
		}
	}
}
