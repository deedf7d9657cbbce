package assets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinkSteps is how many elements of a name are looked at for links. A caller can make deep folders, and looking at one
// element costs as many steps as it is deep. What lies deeper is taken as it is written.
const maxLinkSteps = 40

// links finds the same file behind different names. It remembers what it saw, since the assets of one request mostly lie
// in the same few folders.
type links struct{ targets map[string]string } // by full path; empty for what is no link

func newLinks() *links { return &links{make(map[string]string)} }

// real gives the path of a location, with the symbolic links on its way replaced by where they lead. The last element is
// a matter for sources only: a link at a destination is not followed.
func (k *links) real(f *folder, l location, last bool) string {
	done, rest := ".", splitName(f.name(l))
	for steps := 0; len(rest) > 0 && steps < maxLinkSteps && (last || len(rest) > 1); steps++ {
		next := filepath.Join(done, rest[0])
		target, found := k.target(f, next)
		switch {
		case !found:
			return filepath.Join(f.path, done, filepath.Join(rest...)) // nothing is there yet
		case target == "":
			done, rest = next, rest[1:]
		case filepath.IsAbs(target):
			return filepath.Join(f.path, done, filepath.Join(rest...)) // nobody can open that
		default:
			rest = slices.Concat(splitName(target), rest[1:])
		}
	}
	return filepath.Join(f.path, done, filepath.Join(rest...))
}

// target gives where a link leads, empty for what is no link.
func (k *links) target(f *folder, name string) (target string, found bool) {
	full := filepath.Join(f.path, name)
	if target, known := k.targets[full]; known {
		return target, true
	}
	target, err := f.root.Readlink(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	k.targets[full] = target // empty if there was an error: then it is no link
	return target, true
}

func splitName(name string) []string {
	return strings.Split(name, string(filepath.Separator))
}

// fileID says which file was opened, and in which folder it has its name.
type fileID struct {
	file, folder fs.FileInfo
	base         string
}

// same reports whether a file in a folder is the one that was opened. Another hard link to it is not: replacing one leaves
// the other as it is.
func (id *fileID) same(file, folder fs.FileInfo, base string) bool {
	return id != nil && os.SameFile(id.file, file) && os.SameFile(id.folder, folder) && strings.EqualFold(id.base, base)
}
