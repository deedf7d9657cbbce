package assets

import (
	"errors"
	"fmt"
)

// end is one end of a move: what it means, and what opens it.
type end struct {
	at     location
	source source // for sources
	place  place  // for destinations
}

// route is a move that was found to be possible.
type route struct{ from, to end }

// Check reports what is wrong with a move, as an [*InputError]. It asks neither origin nor destination.
func (m *Mover) Check(move Move) error {
	_, err := m.resolve(-1, move)
	return err
}

// CheckAll checks the moves of one request together. In addition no two may have the same destination, in whatever
// way it is written. The error, an [*InputError], is about the first that is wrong. No moves at all are no error.
func (m *Mover) CheckAll(moves []Move) error {
	first := make(map[string]int, len(moves))
	for i, move := range moves {
		r, err := m.resolve(i, move)
		if err != nil {
			return err
		}
		key := r.to.at.String()
		if j, taken := first[key]; taken {
			reason := fmt.Sprintf("is the destination of move %d already", j)
			return &InputError{Index: i, Field: "destination", Value: quoted(move.Destination), Reason: reason, Kind: ErrInvalid}
		}
		first[key] = i
	}
	return nil
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
	if from.at.String() == to.at.String() {
		return route{}, &InputError{Index: index, Field: "destination", Value: quoted(move.Destination), Reason: "is the source", Kind: ErrInvalid}
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
	if err := p.place.check(l); err != nil {
		return fail(err, ErrInvalid)
	}
	return end{at: l, source: p.place, place: p.place}, nil
}

// supports reports whether something can open URLs of this scheme.
func (m *Mover) supports(scheme string) bool {
	return scheme == "http" || scheme == "https" || scheme == "file" || m.config.Mux.ValidBucketScheme(scheme)
}
