package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ownFile is a file or folder of a service's own, with the flag that names it; without a path it is none.
type ownFile struct{ flag, path string }

// checkAllow refuses what would let callers write where the service has its own files, or anywhere. A variable that is
// not set makes file://$FOLDER/ mean the whole disk, where the token can be read too.
func checkAllow(allow []string, own ...ownFile) error {
	for _, line := range allow {
		if isWholeDisk(line) {
			return fmt.Errorf("--allow %q is the whole disk, want a folder such as file:///srv/assets/; who means the whole disk names its folders one by one", line)
		}
	}
	for _, file := range own {
		if line := writableAbove(file.path, allow); line != "" {
			return fmt.Errorf("%s %s lies below --allow %s, where callers may write: they could overwrite it; have it elsewhere", file.flag, file.path, line)
		}
	}
	return nil
}

// checkSecrets refuses what would let callers read a secret: they could have it moved to where they can look at it.
func checkSecrets(allow []string, secrets ...ownFile) error {
	for _, file := range secrets {
		for _, line := range allow {
			if writableAbove(file.path, []string{strings.TrimPrefix(line, "source:")}) != "" {
				return fmt.Errorf("%s %s lies below --allow %s: callers could reach it; have it elsewhere", file.flag, file.path, line)
			}
		}
	}
	return nil
}

// writableAbove gives the line of an allow-list with which callers may write where path is, "" if there is none. The
// files that SQLite keeps lie beside the database, so what holds for its path holds for them.
func writableAbove(path string, allow []string) string {
	if path == "" {
		return ""
	}
	for _, line := range allow {
		folder := writableFolder(line)
		if folder == "" {
			continue
		}
		for _, name := range namesOf(path) {
			if below(name, folder) || below(name, resolved(folder)) {
				return line
			}
		}
	}
	return ""
}

// writableFolder gives the folder of a line that allows to write to one, else "". What is wrong with a line, the mover
// says.
func writableFolder(line string) string {
	u, err := url.Parse(strings.TrimPrefix(line, "destination:")) // source: is another scheme
	if err != nil || u.Scheme != "file" {
		return ""
	}
	folder := u.Path
	if runtime.GOOS == "windows" {
		folder = strings.TrimPrefix(folder, "/") // of /C:/assets
	}
	return filepath.Clean(filepath.FromSlash(folder))
}

// isWholeDisk reports whether a line of an allow-list is a file: prefix without a path.
func isWholeDisk(line string) bool {
	u, err := url.Parse(strings.TrimPrefix(strings.TrimPrefix(line, "destination:"), "source:"))
	return err == nil && u.Scheme == "file" && strings.Trim(u.Path, "/") == ""
}

// namesOf gives all places that decide what path leads to. If it is a symbolic link, one of them is where the link lies:
// who may write there may put something else in its place.
func namesOf(path string) []string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	link := filepath.Join(resolved(filepath.Dir(absolute)), filepath.Base(absolute))
	return []string{absolute, link, resolved(absolute)}
}

// resolved gives a path without symbolic links. What is not there yet has none.
func resolved(path string) string {
	rest := ""
	for dir := path; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if found, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(found, rest)
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
	return path
}

// below reports whether path is folder, or lies below it. Folders are compared, not only their names: file systems that do
// not tell case apart, and mounts, give one folder several.
func below(path, folder string) bool {
	top, topErr := os.Stat(folder)
	for dir := path; ; dir = filepath.Dir(dir) {
		if dir == folder {
			return true
		}
		if info, err := os.Stat(dir); err == nil && topErr == nil && os.SameFile(info, top) {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}
