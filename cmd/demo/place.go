package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// place is FROM or TO, as a person writes it on the command line.
type place struct {
	base  string // the URL without its query, ending with a slash
	query string // the parameters of a bucket or folder, which are the operator's
	local bool   // it was given as a path
}

// source is the place as a line of an allow-list from which may be read.
func (p place) source() string { return "source:" + p.base + p.parameters() }

// destination is the place as a line of an allow-list to which may be written. A folder is made if it is not there, as
// copying programs do.
func (p place) destination() string {
	if strings.HasPrefix(p.base, "file:") && !strings.Contains(p.query, "create_dir") {
		p.query = strings.TrimPrefix(p.query+"&create_dir=1", "&")
	}
	return "destination:" + p.base + p.parameters()
}

// parameters are the query as it stands behind a URL.
func (p place) parameters() string {
	if p.query == "" {
		return ""
	}
	return "?" + p.query
}

// parsePlace takes a URL, or the path of a local folder.
func parsePlace(text string) (place, error) {
	switch {
	case text == "":
		return place{}, errors.New("is empty")
	case !isURL(text):
		base, err := folderURL(text)
		return place{base: base, local: true}, err
	}
	base, query, _ := strings.Cut(text, "?")
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	return place{base: base, query: query}, nil
}

// isURL tells https://host/ from ./dir and from C:\dir.
func isURL(text string) bool {
	scheme, _, found := strings.Cut(text, "://")
	return found && scheme != "" && !strings.ContainsAny(scheme, `/\.`)
}

// folderURL gives the file:// URL of a local folder.
func folderURL(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	absolute = filepath.ToSlash(absolute)
	if !strings.HasPrefix(absolute, "/") {
		absolute = "/" + absolute // C:/dir
	}
	u := url.URL{Scheme: "file", Path: strings.TrimSuffix(absolute, "/") + "/"}
	return u.String(), nil
}

// checkSource reports early that a local folder is not there, in words that fit its path.
func (p place) checkSource(text string) error {
	if !p.local {
		return nil
	}
	info, err := os.Stat(text)
	switch {
	case err != nil:
		return fmt.Errorf("FROM %s cannot be read: %w", text, errors.Unwrap(err))
	case !info.IsDir():
		return fmt.Errorf("FROM %s is not a folder", text)
	}
	return nil
}

// checkApart refuses a destination inside the source: what has just arrived would be found, and moved again.
func checkApart(from, to place) error {
	if from.query == to.query && strings.HasPrefix(to.base, from.base) && !strings.HasPrefix(from.base, "http") {
		return fmt.Errorf("TO %s lies within FROM %s", to.base, from.base)
	}
	return nil
}
