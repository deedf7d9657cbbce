package assets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
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

// prepare has a large body spooled where it only needs to be renamed. Sidecar files hold the MD5 of their asset.
func (f *folder) prepare(l location, h Headers) (preparation, error) {
	stage, err := f.scratch()
	return preparation{scratch: stage, md5: f.sidecars && (h.ContentType == "" || needsSidecar(l, h))}, err
}

// put makes the asset visible by renaming a complete and verified file. Renaming replaces a symbolic link that has the
// asset's name, and does not follow it.
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
	name := f.name(l)
	needed := f.sidecars && needsSidecar(l, h)
	if needed {
		if err := f.writeSidecar(name, h, body.sums.sum(algMD5)); err != nil {
			return Object{}, err
		}
	}
	if err := f.publish(body.name, name); err != nil {
		return Object{}, err
	}
	body.name = "" // it is the asset now
	if !needed {
		if err := f.removeSidecar(name); err != nil {
			return Object{}, err
		}
	}
	return Object{Size: body.size}, f.syncFolders(name)
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
		err = fmt.Errorf("%w: the disk gives back other content than was written", ErrChecksum)
	}
	return err
}

func sameAsMemory(body *spool) (bool, error) {
	block := body.buffers.get()
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

// publish renames, and makes the folders on the way only if they are missing: most assets follow others.
func (f *folder) publish(staged, name string) error {
	err := f.root.Rename(staged, name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.root.MkdirAll(filepath.Dir(name), f.dirMode); err == nil {
			err = f.root.Rename(staged, name)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &scratchError{err} // not the destination is missing but our own file
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: it is a folder (%w)", ErrNotAFile, err) // of all that can be there, only that is not replaced
	default:
		return f.explain(err)
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
