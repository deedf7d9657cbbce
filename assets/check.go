package assets

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
)

// end is one end of a move: what it means, and what opens it.
type end struct {
	at     location
	source source // for sources
	place  place  // for destinations
}

// route is a move that was found to be possible.
type route struct{ from, to end }

// isSource is what is wrong with a destination that is the source.
const isSource = "is the source"

// Check reports what is wrong with a move, as an [*InputError]. It asks neither origin nor bucket; of a folder it reads
// the symbolic links on the way, to see whether source and destination are the same file.
func (m *Mover) Check(move Move) error {
	r, err := m.resolve(-1, move)
	if err != nil {
		return err
	}
	return distinct(-1, move, r, newLinks())
}

// CheckAll checks the moves of one request together. In addition no two may have the same destination, in whatever way
// it is written, and also not by way of symbolic links inside a folder; and no destination in a folder may lie below
// another, which would have to be a file and a folder. What cannot be seen beforehand is left to the moves: links that come
// later, and names that differ in case only, which are the same on some file systems. Of two such moves the last one wins.
// The error, an [*InputError], is about the first move that is wrong. No moves at all are no error.
func (m *Mover) CheckAll(moves []Move) error {
	seen := newLinks()
	names := make([]string, 0, len(moves))
	for i, move := range moves {
		r, err := m.resolve(i, move)
		if err == nil {
			err = distinct(i, move, r, seen)
		}
		if err != nil {
			return cmp.Or(conflict(moves, names), err)
		}
		names = append(names, r.to.name(seen, false))
	}
	return conflict(moves, names)
}

// conflict finds the first move whose destination, of those with the given names, does not go together with that of
// another.
func conflict(moves []Move, names []string) error {
	first := make(map[string]int, len(names))
	at, reason := len(names), ""
	for i, name := range names {
		if j, taken := first[name]; !taken {
			first[name] = i
		} else if i < at {
			at, reason = i, fmt.Sprintf("is the destination of move %d already", j)
		}
	}
	for i, name := range names {
		for folder := range folders(name) {
			j, taken := first[folder]
			switch {
			case !taken || max(i, j) >= at:
			case i > j:
				at, reason = i, fmt.Sprintf("lies below the destination of move %d, which is a file", j)
			default:
				at, reason = j, fmt.Sprintf("is a folder in the destination of move %d", i)
			}
		}
	}
	if reason == "" {
		return nil
	}
	return &InputError{Index: at, Field: "destination", Value: quoted(moves[at].Destination), Reason: reason, Kind: ErrInvalid}
}

// folders gives the folders that a file lies in, from its own upwards. An object in a bucket lies in none: there a key may
// be the beginning of another.
func folders(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		path, isFile := strings.CutPrefix(name, fileName)
		for isFile && filepath.Dir(path) != path {
			if path = filepath.Dir(path); !yield(fileName + path) {
				return
			}
		}
	}
}

// fileName begins the names of files, so that no bucket's URL is taken for one.
const fileName = "file:"

// name tells what an end is from what it is not. For a file it is the path with its links resolved, as far as that can be
// seen; last says whether that is also done to its last element.
func (e end) name(seen *links, last bool) string {
	if f, ok := e.place.(*folder); ok {
		return fileName + seen.real(f, e.at, last)
	}
	return e.at.String()
}

// distinct refuses a move from somewhere to the same place.
func distinct(index int, move Move, r route, seen *links) error {
	if r.from.name(seen, true) != r.to.name(seen, false) {
		return nil
	}
	return &InputError{Index: index, Field: "destination", Value: quoted(move.Destination), Reason: isSource, Kind: ErrInvalid}
}

// resolve finds both ends of a move.
func (m *Mover) resolve(index int, move Move) (route, error) {
	from, err := m.resolveEnd(index, "source", move.Source, false)
	if err != nil {
		return route{}, err
	}
	to, err := m.resolveEnd(index, "destination", move.Destination, true)
	if err != nil {
		return route{}, err
	}
	return route{from: from, to: to}, nil
}

// resolveEnd checks one URL: what it is, whether there is something that opens it, whether it is allowed, and whether it
// can name an asset there.
func (m *Mover) resolveEnd(index int, field, raw string, write bool) (end, error) {
	fail := func(reason error, kind error) (end, error) {
		return end{}, &InputError{Index: index, Field: field, Value: quoted(raw), Reason: reason.Error(), Kind: kind}
	}
	l, err := parseLocation(raw)
	if err != nil {
		return fail(err, ErrInvalid)
	}
	if write && l.isHTTP() {
		return fail(errors.New("is an HTTP URL, which can only be a source"), ErrInvalid)
	}
	if !m.supports(l.scheme) {
		return fail(fmt.Errorf("has the scheme %s, which is not supported", quoted(l.scheme)), ErrInvalid)
	}
	p, err := m.allow.find(l, write)
	if err != nil {
		return fail(err, ErrNotAllowed)
	}
	if l.isHTTP() {
		return end{at: l, source: m.origin}, nil
	}
	if err := p.place.check(l, write); err != nil {
		return fail(err, ErrInvalid)
	}
	return end{at: l, source: p.place, place: p.place}, nil
}

// supports reports whether something can open URLs of this scheme.
func (m *Mover) supports(scheme string) bool {
	return scheme == "http" || scheme == "https" || scheme == "file" || m.config.Mux.ValidBucketScheme(scheme)
}
