package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// resolve gives the absolute path of the database file without symbolic links: two names of one file must lead to one
// lock, and the store must not move when the process changes its directory. Errors name what the caller gave.
func resolve(path string) (string, error) {
	switch {
	case path == "":
		return "", errors.New("store/sqlite: the path is empty")
	case path == ":memory:":
		return "", errors.New(`store/sqlite: ":memory:" is not a file; a store in memory is store.NewMemory`)
	case strings.ContainsRune(path, 0):
		return "", fmt.Errorf("store/sqlite: the path %q contains a NUL", path)
	case strings.HasPrefix(path, "file:"):
		return "", fmt.Errorf("store/sqlite: %q is a URI; give the path of a file", path)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("store/sqlite: %s: %w", path, err)
	}
	if info, err := os.Stat(absolute); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("store/sqlite: %s is not a regular file", path)
	}
	if _, err := os.Lstat(absolute); err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
		return absolute, named(path, err)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("store/sqlite: %s: the directory %s does not exist: %w", path, filepath.Dir(absolute), fs.ErrNotExist)
	}
	return filepath.Join(folder, filepath.Base(absolute)), named(path, err)
}

func named(path string, err error) error {
	if err != nil {
		return fmt.Errorf("store/sqlite: %s: %w", path, err)
	}
	return nil
}

// dsn is the data source name of the file: a URI, because only there every character of a path can be written.
func dsn(path string, readOnly bool, pragmas ...string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") { // C:/… on Windows
		slashed = "/" + slashed
	}
	parameters := url.Values{"_pragma": pragmas, "_error_rc": {"1"}}
	if readOnly {
		parameters.Set("mode", "ro")
	}
	// Not url.URL.String: SQLite's own decoder takes every escape, and PathEscape leaves none of ? # % as it is.
	return "file://" + strings.ReplaceAll(url.PathEscape(slashed), "%2F", "/") + "?" + parameters.Encode()
}
