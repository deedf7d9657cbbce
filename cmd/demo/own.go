package main

import (
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

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
