package assets

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// sidecarExt ends the names of the files in which fileblob keeps content types and cache headers.
	sidecarExt = ".attrs"
	// maxSidecar is the longest such file that is read, in bytes. Ours are under 6 KiB.
	maxSidecar = 64 << 10
)

// sidecar has the fields of fileblob's format, so that fileblob reads what we write, and we what it writes.
type sidecar struct {
	CacheControl       string            `json:"user.cache_control"`
	ContentDisposition string            `json:"user.content_disposition"`
	ContentEncoding    string            `json:"user.content_encoding"`
	ContentLanguage    string            `json:"user.content_language"`
	ContentType        string            `json:"user.content_type"`
	Metadata           map[string]string `json:"user.metadata"`
	MD5                []byte            `json:"md5"`
}

func isSidecar(name string) bool {
	return len(name) >= len(sidecarExt) && strings.EqualFold(name[len(name)-len(sidecarExt):], sidecarExt)
}

// needsSidecar reports whether the headers hold more than the name of the asset says by itself. For most static assets
// they do not, and a second file for each would double the work and get in the way of whoever serves the folder.
// Programs that read the folder with fileblob see application/octet-stream for files without one.
func needsSidecar(l location, h Headers) bool {
	return h != Headers{ContentType: typeByName(l)}
}

// readSidecar gives what is known of a file, which may be nothing: whatever has the name of a sidecar file and is none does
// not keep an asset from being read.
func (f *folder) readSidecar(name string) (Headers, error) {
	if !f.sidecars {
		return Headers{}, nil
	}
	file, _, err := f.open(name + sidecarExt)
	for _, none := range []error{fs.ErrNotExist, ErrNotAFile, syscall.ENOTDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, none) {
			return Headers{}, nil
		}
	}
	if err != nil {
		return Headers{}, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxSidecar))
	if err != nil {
		return Headers{}, err
	}
	var s sidecar
	if err := json.Unmarshal(text, &s); err != nil {
		f.logger.Debug("what has the name of a sidecar file is none", "name", name+sidecarExt, "error", err)
		return Headers{}, nil
	}
	// Whoever can write to the folder wrote them, so they are judged like those of a stranger's origin.
	return Headers{
		ContentType:        cleanValue(s.ContentType),
		CacheControl:       cleanValue(s.CacheControl),
		ContentEncoding:    cleanValue(s.ContentEncoding),
		ContentLanguage:    cleanValue(s.ContentLanguage),
		ContentDisposition: cleanValue(s.ContentDisposition),
	}, nil
}

// stageSidecar writes a sidecar file to be published.
func (f *folder) stageSidecar(h Headers, md5 []byte) (*temporary, error) {
	text, err := json.Marshal(sidecar{
		CacheControl:       h.CacheControl,
		ContentDisposition: h.ContentDisposition,
		ContentEncoding:    h.ContentEncoding,
		ContentLanguage:    h.ContentLanguage,
		ContentType:        h.ContentType,
		MD5:                md5,
	})
	if err != nil {
		return nil, err
	}
	return f.stageText(append(text, '\n'))
}

func (f *folder) stageText(text []byte) (*temporary, error) {
	stage, err := f.scratch()
	if err != nil {
		return nil, err
	}
	t, err := stage.create()
	if err != nil {
		return nil, err
	}
	_, err = t.Write(text)
	if f.sync && err == nil {
		err = t.Sync()
	}
	if err != nil {
		return nil, errors.Join(&scratchError{err}, t.close())
	}
	return t, nil
}

// isSidecarFile reports whether what has the name of a sidecar file can be replaced and removed like one. A link can: it is
// not followed.
func isSidecarFile(info fs.FileInfo) bool {
	return info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0
}

// removeSidecar takes away what an earlier asset of the same name left, and never a folder of somebody else.
func (f *folder) removeSidecar(parent *directory, name string) error {
	if !f.sidecars {
		return nil
	}
	base := filepath.Base(name) + sidecarExt
	info, err := parent.Lstat(base)
	if err == nil && isSidecarFile(info) {
		err = parent.Remove(base)
	}
	return ignoreMissing(err)
}

// oldSidecar gives the content of the sidecar file that is about to be replaced, nil if there is none that could be put
// back.
func (f *folder) oldSidecar(parent *directory, name string) []byte {
	file, info, err := openPlainFile(parent.Root, filepath.Base(name)+sidecarExt)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxSidecar))
	if err != nil || int64(len(text)) != info.Size() {
		return nil
	}
	return text
}

// restoreSidecar undoes the publishing of a sidecar file.
func (f *folder) restoreSidecar(parent *directory, name string, old []byte) error {
	if old == nil {
		return f.removeSidecar(parent, name)
	}
	t, err := f.stageText(old)
	if err != nil {
		return err
	}
	defer func() { _ = t.close() }() // as in put
	return f.publish(parent, t, name+sidecarExt)
}
