package assets

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What callers branch on. Errors of this package wrap one of these or are the provider's own.
var (
	// ErrInvalid says that a URL is not one, or names something that cannot be moved.
	ErrInvalid = errors.New("assets: invalid URL")
	// ErrNotAllowed says that a URL, a redirect, or an address is outside of what the operator allowed.
	ErrNotAllowed = errors.New("assets: not allowed")
	// ErrClosed says that the mover was closed.
	ErrClosed = errors.New("assets: mover closed")
	// ErrShortBody says that fewer bytes came than were announced, or more.
	ErrShortBody = errors.New("assets: wrong length")
	// ErrChecksum says that what was read is not what its checksum says.
	ErrChecksum = errors.New("assets: wrong checksum")
	// ErrStalled says that next to nothing came for Config.StallTimeout, or that an upload took longer than its size
	// excuses.
	ErrStalled = errors.New("assets: stalled")
	// ErrTooLarge says that the asset is larger than Config.MaxBytes.
	ErrTooLarge = errors.New("assets: larger than Config.MaxBytes")
	// ErrNotAFile says that a source or destination is there, but is no regular file: a folder, a pipe, a socket, a device,
	// or at a destination a symbolic link.
	ErrNotAFile = errors.New("assets: not a regular file")
	// ErrBusy says that all requests to a host that Config.MaxPerHost allows are under way, and that none has ended for some
	// time. The task is put off, which uses no attempt.
	ErrBusy = errors.New("assets: host busy")
	// ErrIndex says that a list of assets could not be made because it is no list, or exceeds a limit.
	ErrIndex = errors.New("assets: no usable index")
)

// An InputError says which field of which move is wrong, and why. errors.Is finds [ErrInvalid] or [ErrNotAllowed].
type InputError struct {
	Index  int    // which move of those given to CheckAll; -1 if there is only one
	Field  string // source, destination, or the name of a parameter
	Value  string // the value in quotes, escaped, shortened, and without its credentials
	Reason string // what is wrong with it
	Kind   error  // ErrInvalid or ErrNotAllowed
}

func (e *InputError) Error() string {
	if e.Index >= 0 {
		return fmt.Sprintf("assets: move %d: %s %s %s", e.Index, e.Field, e.Value, e.Reason)
	}
	return fmt.Sprintf("assets: %s %s %s", e.Field, e.Value, e.Reason)
}

// Unwrap gives the kind.
func (e *InputError) Unwrap() error { return e.Kind }

// A StatusError is an answer of an HTTP origin that is not the asset.
type StatusError struct {
	Status     int
	RetryAfter time.Duration // how long the origin asks us to wait; zero if it does not say
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("assets: the origin answered %d %s", e.Status, http.StatusText(e.Status))
}

// scratchError is a failure of our own temporary files. It is told apart because "no such file" means that the asset
// does not exist only where it is said of the asset.
type scratchError struct{ err error }

func (e *scratchError) Error() string { return "assets: temporary file: " + e.err.Error() }
func (e *scratchError) Unwrap() error { return e.err }

// cleanError is an error of somebody else with what we were doing before it, and with all secrets gone from its text.
type cleanError struct {
	doing string
	err   error
}

func (e *cleanError) Error() string {
	return scrub("assets: " + e.doing + ": " + strings.TrimPrefix(e.err.Error(), "assets: "))
}

func (e *cleanError) Unwrap() error { return e.err }

var (
	urlUser  = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#"'@]*@`)
	urlQuery = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'?]*\?)[^\s"']+`)
)

// scrub takes user names, passwords and query values out of all URLs in a text. Which parameter is a secret
// (X-Amz-Signature, sig, token, key, …) cannot be known, so all of them go.
func scrub(text string) string {
	text = urlUser.ReplaceAllString(text, "$1")
	return urlQuery.ReplaceAllString(text, "${1}…")
}

// maxQuoted is how much of a value an error shows.
const maxQuoted = 120

// quoted makes a value that somebody sent fit for an error text and a log line. Of a value longer than any URL only the
// beginning is looked at, since a value can have megabytes; but the last @ of it all ends what could be a password.
func quoted(value string) string {
	size := len(value)
	if _, err := parseLocation(value); err != nil {
		value = withoutUser(value)
	}
	value = scrub(value[:min(len(value), maxURL)])
	if len(value) > maxQuoted || size > maxURL {
		return strconv.QuoteToASCII(value[:min(len(value), maxQuoted)]) + "… (" + strconv.Itoa(size) + " bytes)"
	}
	return strconv.QuoteToASCII(value)
}

// withoutUser takes out everything that could be a user name or password. In what is not a proper URL that can be all up
// to the last @, since a password in it may have any character.
func withoutUser(value string) string {
	at := strings.LastIndexByte(value, '@')
	if at < 0 {
		return value
	}
	scheme := ""
	if i := strings.Index(value[:at], "//"); i >= 0 {
		scheme = value[:i+2]
	}
	return scheme + value[at+1:]
}
