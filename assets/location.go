package assets

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	// maxURL is the longest URL that is looked at, in bytes.
	maxURL = 4096
	// maxKey is the longest name within a bucket or folder, in bytes. It is S3's limit.
	maxKey = 1024
	// maxSegment is the longest element of a name within a folder, in bytes. It is that of all common file systems.
	maxSegment = 255
)

// location is a URL that has been taken apart and found to mean one thing only. Everything that is compared, opened or
// sent is made from it and never from the text that a caller gave, so that no two readers of that text can differ.
type location struct {
	scheme string   // in lower case
	host   string   // HTTP: lower-case ASCII, with the port unless it is the scheme's; a bucket's name; empty for file
	path   []string // decoded; no element is empty, "." or "..", or has a separator in it
	dir    bool     // the path ended with a slash
	wire   string   // HTTP: the path in the caller's own encoding, which some origins care about
	query  string   // HTTP: the query as given, with its question mark: "/a?" is another request than "/a"
}

// parseLocation reads a URL. The error says what is wrong in words that fit behind the value.
func parseLocation(raw string) (location, error) {
	if err := checkText(raw); err != nil {
		return location{}, err
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return location{}, errors.New("cannot be read as a URL") // net/url's reasons may quote a piece of a password
	case u.Scheme == "" || u.Opaque != "" || !strings.Contains(raw, "://"):
		return location{}, errors.New("is not an absolute URL such as https://host/path or s3://bucket/key")
	case u.User != nil:
		return location{}, errors.New("contains a user name or password")
	case strings.Contains(raw, "#"):
		return location{}, errors.New("contains a fragment; a # in a name is written %23")
	}
	l := location{scheme: u.Scheme}
	if l.host, err = parseHost(u); err != nil {
		return location{}, err
	}
	if l.path, l.dir, err = parsePath(u.EscapedPath()); err != nil {
		return location{}, err
	}
	if l.isHTTP() {
		l.wire = u.EscapedPath()
		if u.RawQuery != "" || u.ForceQuery {
			l.query = "?" + u.RawQuery
		}
		if err := checkTwice(l.path); err != nil {
			return location{}, err
		}
		return l, checkQuery(l.query)
	}
	if strings.Contains(raw, "?") {
		return location{}, errors.New("has query parameters, which are the operator's alone; a ? in a name is written %3F")
	}
	return l, nil
}

func (l location) isHTTP() bool { return l.scheme == "http" || l.scheme == "https" }

// checkText refuses what no URL has, before anything tries to read it.
func checkText(raw string) error {
	switch {
	case raw == "":
		return errors.New("is empty")
	case len(raw) > maxURL:
		return fmt.Errorf("is longer than %d bytes", maxURL)
	case !utf8.ValidString(raw):
		return errors.New("is not valid UTF-8")
	case strings.ContainsFunc(raw, unicode.IsControl):
		return errors.New("contains a control character")
	case strings.Contains(raw, `\`):
		return errors.New(`contains a backslash, which some systems take for a slash`)
	}
	return nil
}

// parseHost gives the host in the one form that is compared.
func parseHost(u *url.URL) (string, error) {
	switch u.Scheme {
	case "http", "https":
		return parseHTTPHost(u)
	case "file":
		if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
			return "", fmt.Errorf("has a host; write file:///%s/… for a path", u.Hostname())
		}
		return "", nil
	default:
		return u.Host, checkBucket(u.Host)
	}
}

// checkBucket allows what providers allow in a bucket's name. It is compared as it is, because some tell case apart.
func checkBucket(name string) error {
	valid := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.", r))
	}
	if name == "" || len(name) > maxSegment || strings.ContainsFunc(name, func(r rune) bool { return !valid(r) }) {
		return errors.New("has no bucket name of letters, digits, dots, dashes and underscores where a host would be")
	}
	return nil
}

// parseHTTPHost normalises international names, case, a trailing dot, the form of an address, and the default port.
func parseHTTPHost(u *url.URL) (string, error) {
	name := u.Hostname()
	if !strings.Contains(name, ":") && !plain(name) { // else it is an IPv6 address, which is no matter for the rules of names
		ascii, err := hostname.ToASCII(name)
		// What maps to something that itself is mapped further, or not valid, would be read differently the second time.
		if again, _ := hostname.ToASCII(ascii); err != nil || again != ascii || !utf8.ValidString(name) {
			return "", errors.New("has a host name that is not valid")
		}
		name = strings.TrimSuffix(ascii, ".")
	}
	name, err := checkHostname(name)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		return name, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", errors.New("has a port that is not a number from 1 to 65535")
	}
	if n == defaultPort(u.Scheme) {
		return name, nil
	}
	return name + ":" + strconv.FormatUint(n, 10), nil
}

// plain reports whether a host name is what every mapping leaves as it is: small letters, digits and dots. Most are, and to map a name
// takes longer than to read the rest of its URL.
func plain(name string) bool {
	return len(name) < maxLabel && !strings.HasSuffix(name, ".") && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}

// maxLabel is what a part of a host name must be shorter than; the mapping says so of longer ones.
const maxLabel = 64

func defaultPort(scheme string) uint64 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// hostname maps names as browsers do: case, width, international names. Underscores are allowed because container
// networks have them.
var hostname = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// checkHostname gives an address in its canonical form, in brackets if it is IPv6, and a name as it is. Old forms of
// IPv4 addresses (127.1, 2130706433, 0x7f.0.0.1) are neither: the system's resolver reads them as addresses.
func checkHostname(name string) (string, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		switch addr = addr.Unmap(); {
		case addr.Zone() != "":
			return "", errors.New("has an IPv6 zone")
		case addr.Is6():
			return "[" + addr.String() + "]", nil
		default:
			return addr.String(), nil
		}
	}
	valid := func(r rune) bool {
		return r == '-' || r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z'
	}
	if strings.Trim(name, ".") != name || name == "" || len(name) > 253 || strings.Contains(name, "..") ||
		strings.ContainsFunc(name, func(r rune) bool { return !valid(r) }) {
		return "", errors.New("has a host name that is not valid")
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || strings.Trim(last, "0123456789") == "" {
		return "", errors.New("has a host that is neither a name nor an IP address in the usual form")
	}
	return name, nil
}

// parsePath splits an encoded path and decodes each element once.
func parsePath(escaped string) (path []string, dir bool, err error) {
	escaped = strings.TrimPrefix(escaped, "/")
	if escaped == "" {
		return nil, true, nil
	}
	if escaped, dir = strings.CutSuffix(escaped, "/"); escaped == "" {
		return nil, false, errors.New("has two slashes in a row")
	}
	for part := range strings.SplitSeq(escaped, "/") {
		name, err := url.PathUnescape(part)
		if err != nil {
			return nil, false, errors.New("is not properly percent-encoded")
		}
		if err := checkSegment(name); err != nil {
			return nil, false, err
		}
		path = append(path, name)
	}
	return path, dir, nil
}

// checkSegment refuses every name that something between here and the disk could take for more than one name, or for a
// step upwards. What stands behind a semicolon is a parameter to some servers of HTTP, so "..;x" is a step too.
func checkSegment(name string) error {
	bare, _, _ := strings.Cut(name, ";")
	switch {
	case name == "":
		return errors.New("has two slashes in a row")
	case bare == "." || bare == "..":
		return fmt.Errorf("has %q as an element of its path", name)
	case strings.ContainsAny(name, `/\`):
		return errors.New("has an encoded slash or backslash in its path")
	case !utf8.ValidString(name):
		return errors.New("has a path that is not valid UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("has an encoded control character in its path")
	}
	return nil
}

// checkTwice refuses a step upwards that shows when a path is decoded once more than it was encoded, which some origins
// do: such a step would lead out of the prefix that the operator allows.
func checkTwice(path []string) error {
	for _, name := range path {
		again, err := url.PathUnescape(name)
		if err != nil || again == name {
			continue
		}
		for part := range strings.FieldsFuncSeq(again, func(r rune) bool { return r == '/' || r == '\\' }) {
			if bare, _, _ := strings.Cut(part, ";"); bare == "." || bare == ".." {
				return fmt.Errorf("has %q in its path, which some servers take for %q", name, again)
			}
		}
	}
	return nil
}

// checkQuery allows what may stand in a request line.
func checkQuery(query string) error {
	if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("has a query with characters that are not percent-encoded")
	}
	return nil
}

// String gives the normalised URL: two locations are the same if their strings are.
func (l location) String() string {
	return l.base() + l.query
}

// base is the URL without its query.
func (l location) base() string {
	var b strings.Builder
	b.WriteString(l.scheme + "://" + l.host)
	if l.isHTTP() && l.wire != "" {
		b.WriteString(l.wire)
		return b.String()
	}
	for _, name := range l.path {
		b.WriteString("/" + url.PathEscape(name))
	}
	if l.dir || len(l.path) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// public is for texts: without the values of the query, which may be secret.
func (l location) public() string {
	if l.query == "" {
		return l.base()
	}
	return l.base() + "?…"
}

// url is what an HTTP request is made of.
func (l location) url() *url.URL {
	path := "/" + strings.Join(l.path, "/")
	if l.dir && len(l.path) > 0 {
		path += "/"
	}
	query, _ := strings.CutPrefix(l.query, "?")
	return &url.URL{Scheme: l.scheme, Host: l.host, Path: path, RawPath: l.wire, RawQuery: query, ForceQuery: l.query == "?"}
}

// key is the path within a bucket.
func (l location) key() string { return strings.Join(l.path, "/") }

// below reports whether l is what prefix names, or lies below it, by whole elements of the path. A prefix with a
// slash at its end names what is below, and the folder itself only with its own slash.
func (l location) below(prefix location) bool {
	if l.scheme != prefix.scheme || l.host != prefix.host || len(l.path) < len(prefix.path) {
		return false
	}
	if !slices.Equal(l.path[:len(prefix.path)], prefix.path) {
		return false
	}
	return len(l.path) > len(prefix.path) || !prefix.dir || l.dir
}

// Join gives the URL of the asset that is called name below base. The name is as [Mover.Index] gives it: its elements
// separated by slashes, not percent-encoded. It fails if the name would lead out of base.
func Join(base, name string) (string, error) {
	l, err := parseLocation(base)
	if err == nil && l.query != "" {
		err = errors.New("has a query")
	}
	if err != nil {
		return "", &InputError{Index: -1, Field: "base", Value: quoted(base), Reason: err.Error(), Kind: ErrInvalid}
	}
	joined, err := l.join(name)
	if err != nil {
		return "", &InputError{Index: -1, Field: "name", Value: quoted(name), Reason: err.Error(), Kind: ErrInvalid}
	}
	return joined.String(), nil
}

// join appends a name that is not encoded.
func (l location) join(name string) (location, error) {
	l.path = slices.Clone(l.path)
	for part := range strings.SplitSeq(name, "/") {
		if err := checkSegment(part); err != nil {
			return location{}, err
		}
		l.path = append(l.path, part)
		if l.isHTTP() {
			l.wire = strings.TrimSuffix(l.wire, "/") + "/" + url.PathEscape(part)
		}
	}
	l.dir = false
	if l.isHTTP() {
		if err := checkTwice(l.path); err != nil {
			return location{}, err
		}
	}
	if len(l.base()) > maxURL {
		return location{}, fmt.Errorf("makes a URL that is longer than %d bytes", maxURL)
	}
	return l, nil
}
