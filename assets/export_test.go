package assets

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// What the tests, which stand outside the package, look at inside it.

const (
	ScratchPrefix = scratchPrefix
	SpoolMemory   = spoolMemory
	SmallMemory   = smallMemory
	MaxRetryAfter = maxRetryAfter
	MaxIndexPages = maxIndexPages
	MaxIndexDepth = maxIndexDepth
	MaxURL        = maxURL
)

var (
	AddressClass = addressClass
	Exempt       = exempt
	Decide       = decide
	RetryAfter   = retryAfter
	Settled      = settled
	Scrub        = scrub
	Quoted       = quoted
	MediaType    = mediaType
)

// Normalised is what a URL was understood as.
type Normalised struct {
	Text string
	Base string
	Path []string
	Wire *url.URL
}

func Normalise(raw string) (Normalised, error) {
	l, err := parseLocation(raw)
	return Normalised{Text: l.String(), Base: l.base(), Path: l.path, Wire: l.url()}, err
}

// Allowed asks a list of prefixes about a URL, without a mover.
func Allowed(lines []string, raw string, write bool) error {
	list, err := parseAllow(lines)
	if err != nil {
		return err
	}
	l, err := parseLocation(raw)
	if err != nil {
		return err
	}
	_, err = list.find(l, write)
	return err
}

// Links gives the names below top which a page at base links to, and those that are not usable.
func Links(page io.Reader, base, top string) (names, bad []string, err error) {
	l, err := parseLocation(top)
	if err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, nil, err
	}
	links, err := indexLinks(page, u, l)
	for _, found := range links {
		if found.err != nil {
			bad = append(bad, found.name)
		} else {
			names = append(names, found.name)
		}
	}
	return names, bad, err
}

// Digests checks content against the checksums of a header.
func Digests(header http.Header, content []byte) (known int, err error) {
	digests := readDigests(header)
	sums := newHashes(false, digests)
	_, _ = sums.Write(content)
	_, err = sums.verify(digests)
	return len(digests), err
}

// Match compares validators.
func (v Validators) Match(current Validators) bool { return v.match(current) }

// Spooled reads r into a spool with the mover's temporary folder, and gives back what a driver would read from it.
func (m *Mover) Spooled(ctx context.Context, r io.Reader, said, limit int64) (content []byte, sha256 string, inMemory bool, err error) {
	s := newSpool(&m.buffers, said, m.scratch, newHashes(true, nil))
	defer m.drop(s)
	if err = s.fill(r, limit); err != nil {
		return nil, "", false, err
	}
	content, err = io.ReadAll(s.reader(ctx, func(error) {}))
	return content, s.sha256(), s.inMemory, err
}

// UseOrigin puts a client in the place of the connections to HTTP origins.
func (m *Mover) UseOrigin(client http.RoundTripper) { m.origin.client = client }

// Transport is the client for HTTP origins.
func (m *Mover) Transport() *http.Transport { return m.transport }

// Progress gives what is reported of a body of the given size that is moved in steps.
func Progress(size int64, steps []int) (reports []float64) {
	meter := meter{report: func(f float64) { reports = append(reports, f) }, total: 2 * size}
	for _, n := range steps {
		meter.add(n)
	}
	meter.finish()
	return reports
}

// Sweep removes the folders of dead movers below a folder.
func Sweep(dir string, now time.Time) (int, error) {
	f, err := openFolder(prefix{at: location{scheme: "file", path: splitPath(dir)}}, Config{}.withDefaults(), newNameLocks())
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.close() }()
	return sweep(f.root, now)
}

func splitPath(dir string) []string {
	path, _, _ := parsePath((&url.URL{Path: dir}).EscapedPath())
	return path
}

// ReplaceWithNothing has a destination replaced by a temporary file that somebody has removed, and a sidecar file.
func (m *Mover) ReplaceWithNothing(destination string, h Headers) error {
	to, err := m.resolveEnd(-1, "destination", destination, true)
	if err != nil {
		return err
	}
	f := to.place.(*folder)
	parent, err := f.parent(to.at, true)
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	side, err := f.stageSidecar(h, nil)
	if err != nil {
		return err
	}
	defer func() { _ = side.close() }()
	asset, err := f.stage.create()
	if err != nil {
		return err
	}
	if err := errors.Join(asset.Close(), asset.in.folder.Remove(asset.name)); err != nil {
		return err
	}
	return f.replace(parent, to.at, asset, side)
}

// PlainHost reports whether a host name is taken as it is, and MappedHost gives what the mapping makes of it.
func PlainHost(name string) bool { return plain(name) }

func MappedHost(name string) (string, error) { return hostname.ToASCII(name) }
