package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// storeURL is where tasks are kept, as --store says it. Its zero value is memory.
type storeURL struct {
	file   string // of SQLite; empty: it is none
	server string // of PostgreSQL, with its password; empty: it is none
	pooler bool   // that gives out connections by the transaction stands before the server
	spool  string // the file that keeps outcomes while the server is away; empty: memory alone does
}

// parseStore takes sqlite:///path/to/file, sqlite:file, the plain path of a file, and postgres://user@host/database.
func parseStore(text string) (storeURL, error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case text == "":
		return storeURL{}, errors.New("is empty, want sqlite:///path/to/file or postgres://user@host/database")
	case scheme == "sqlite" && found:
		return parseFile(text, rest)
	case (scheme == "postgres" || scheme == "postgresql") && strings.HasPrefix(rest, "//"):
		return storeURL{server: text}, nil // what is wrong with it, the driver says
	case isURL(text):
		return storeURL{}, fmt.Errorf("is a %s: URL, want sqlite:///path/to/file or postgres://user@host/database", scheme)
	}
	return storeURL{file: text}, nil
}

// parseFile takes what is behind sqlite:, where a URL may have escapes. A host would be another machine's.
func parseFile(text, rest string) (storeURL, error) {
	path, isAbsolute := strings.CutPrefix(rest, "//")
	if isAbsolute && !strings.HasPrefix(path, "/") {
		return storeURL{}, fmt.Errorf("is %q, want three slashes before an absolute path, sqlite:///path/to/file, or none before another, sqlite:file", text)
	}
	path, err := url.PathUnescape(path)
	if err != nil || path == "" {
		return storeURL{}, fmt.Errorf("is %q, want a file in it, as in sqlite:///path/to/file", text)
	}
	return storeURL{file: path}, nil
}

// memory reports whether nothing is kept.
func (s storeURL) memory() bool { return s == storeURL{} }

// String is how people may see it: without a password.
func (s storeURL) String() string {
	if s.server == "" {
		return s.file
	}
	u, err := url.Parse(s.server)
	if err != nil {
		return "postgres://…"
	}
	return u.Redacted()
}
