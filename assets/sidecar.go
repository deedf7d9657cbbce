package assets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
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

// readSidecar gives what is known of a file, which may be nothing.
func (f *folder) readSidecar(name string) (Headers, error) {
	if !f.sidecars {
		return Headers{}, nil
	}
	file, _, err := f.open(name + sidecarExt)
	if errors.Is(err, fs.ErrNotExist) {
		return Headers{}, nil
	}
	if err != nil {
		return Headers{}, err
	}
	defer func() { _ = file.Close() }()
	var s sidecar
	text, err := io.ReadAll(io.LimitReader(file, maxSidecar))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return Headers{}, fmt.Errorf("reading %s%s: %w", name, sidecarExt, err)
	}
	return Headers{
		ContentType:        s.ContentType,
		CacheControl:       s.CacheControl,
		ContentEncoding:    s.ContentEncoding,
		ContentLanguage:    s.ContentLanguage,
		ContentDisposition: s.ContentDisposition,
	}, nil
}

// writeSidecar puts the sidecar in place, before the asset, as fileblob does it: who sees the new asset must not see it
// without its content type.
func (f *folder) writeSidecar(name string, h Headers, md5 []byte) error {
	text, err := json.Marshal(sidecar{
		CacheControl:       h.CacheControl,
		ContentDisposition: h.ContentDisposition,
		ContentEncoding:    h.ContentEncoding,
		ContentLanguage:    h.ContentLanguage,
		ContentType:        h.ContentType,
		MD5:                md5,
	})
	if err != nil {
		return err
	}
	stage, err := f.scratch()
	if err != nil {
		return err
	}
	file, staged, err := stage.create()
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if f.sync && err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(&scratchError{err}, stage.remove(staged))
	}
	if err := f.publish(staged, name+sidecarExt); err != nil {
		return errors.Join(err, stage.remove(staged))
	}
	return nil
}

// removeSidecar takes away what an earlier asset of the same name left.
func (f *folder) removeSidecar(name string) error {
	if !f.sidecars {
		return nil
	}
	if err := f.root.Remove(name + sidecarExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.explain(err)
	}
	return nil
}
