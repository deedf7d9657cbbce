package assets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRedirects is how many redirects are followed for one request.
	maxRedirects = 10
	// maxDrained is how much of an unwanted body is read to keep its connection, in bytes. Above, a new one is cheaper.
	maxDrained = 64 << 10
	// maxHeaderValue is the longest header that is carried along or kept as a validator, in bytes. S3 has 2 KiB for all of
	// an object's together. A longer one is left out.
	maxHeaderValue = 1 << 10
	// maxRetryAfter is the longest wait that an origin can ask for.
	maxRetryAfter = time.Hour
)

// origin reads from all HTTP origins.
type origin struct {
	client http.RoundTripper // not an http.Client: redirects are our decision, one by one, and no header comes along unasked
	allow  allowList
}

// get asks for an asset, conditionally if since is not nil.
func (o *origin) get(ctx context.Context, l location, since *Validators) (*original, error) {
	response, err := o.fetch(ctx, l, since) //nolint:bodyclose // the body is what is asked for; whoever gets it closes it
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusNotModified {
		discard(response.Body)
		return &original{unchanged: true, validators: *since}, nil
	}
	found := readHeader(response.Header, response.ContentLength, time.Now())
	// Some origins give validators and ignore the question. Then the answer itself tells, and its body need not be read.
	if since != nil && since.match(found.validators) {
		discard(response.Body)
		found.unchanged = true
		return found, nil
	}
	found.body = response.Body
	return found, nil
}

// fetch follows redirects to an answer that is the asset, or to 304 where that was asked for. Each hop is compared with
// the allow-list like the first one: the origin may be the caller's accomplice. A hop from https to http is allowed
// only if the operator allows the http URL.
func (o *origin) fetch(ctx context.Context, l location, since *Validators) (*http.Response, error) {
	for range maxRedirects + 1 {
		response, err := o.client.RoundTrip(newRequest(ctx, l, since))
		if err != nil {
			return nil, err
		}
		switch {
		case response.StatusCode == http.StatusOK:
			return response, nil
		case response.StatusCode == http.StatusNotModified && since != nil:
			return response, nil
		case isRedirect(response.StatusCode):
			discard(response.Body)
			if l, err = o.follow(l, response.Header.Get("Location")); err != nil {
				return nil, err
			}
		default:
			discard(response.Body)
			return nil, &StatusError{
				Status:     response.StatusCode,
				RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
			}
		}
	}
	return nil, &InputError{Index: -1, Field: "redirect", Value: quoted(l.public()), Kind: ErrNotAllowed,
		Reason: fmt.Sprintf("is one more than %d in a row", maxRedirects)}
}

func newRequest(ctx context.Context, l location, since *Validators) *http.Request {
	header := http.Header{
		"Accept":          {"*/*"},
		"Accept-Encoding": {"identity"},
		"User-Agent":      {"taskrunner-assets"},
	}
	if since != nil && since.ETag != "" {
		header["If-None-Match"] = []string{since.ETag}
	}
	if since != nil && !since.LastModified.IsZero() {
		header["If-Modified-Since"] = []string{since.LastModified.UTC().Format(http.TimeFormat)}
	}
	u := l.url()
	request := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	return request.WithContext(ctx)
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow gives the target of a redirect if it may be read.
func (o *origin) follow(from location, target string) (location, error) {
	refuse := func(reason error, kind error) (location, error) {
		return location{}, &InputError{Index: -1, Field: "redirect", Value: quoted(target), Reason: reason.Error(), Kind: kind}
	}
	if err := checkText(target); err != nil {
		return refuse(err, ErrInvalid)
	}
	relative, err := url.Parse(target)
	if err != nil {
		return refuse(errors.New("cannot be read as a URL"), ErrInvalid)
	}
	absolute := from.url().ResolveReference(relative)
	absolute.Fragment, absolute.RawFragment = "", "" // is for browsers
	to, err := parseLocation(absolute.String())
	if err != nil {
		return refuse(err, ErrInvalid)
	}
	if !to.isHTTP() {
		return refuse(errors.New("leads away from HTTP"), ErrNotAllowed)
	}
	if _, err := o.allow.find(to, false); err != nil {
		return refuse(err, ErrNotAllowed)
	}
	return to, nil
}

// discard ends a response that is not wanted, and keeps its connection if what is left is little.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxDrained)
	_ = body.Close()
}

// readHeader takes from an answer all that is kept.
func readHeader(header http.Header, size int64, now time.Time) *original {
	modified, _ := http.ParseTime(header.Get("Last-Modified")) // an unreadable time is none
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date // the clock that made the time is the one to compare it with
	}
	return &original{
		size: size,
		headers: Headers{
			ContentType:        headerValue(header, "Content-Type"),
			CacheControl:       headerValue(header, "Cache-Control"),
			ContentEncoding:    headerValue(header, "Content-Encoding"),
			ContentLanguage:    headerValue(header, "Content-Language"),
			ContentDisposition: headerValue(header, "Content-Disposition"),
		},
		validators: Validators{ETag: headerValue(header, "Etag"), LastModified: settled(modified, now), Size: size},
		digests:    readDigests(header),
	}
}

// headerValue gives a header, its lines joined as HTTP has it, or nothing if it is too long or not text.
func headerValue(header http.Header, name string) string {
	lines := header[name]
	if len(lines) == 0 {
		return ""
	}
	return cleanValue(strings.Join(lines, ", "))
}

// cleanValue gives the value of a header, or nothing if it is too long or not text.
func cleanValue(value string) string {
	value = strings.TrimSpace(value)
	if len(value) > maxHeaderValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return value
}

// retryAfter reads a Retry-After, which is a number of seconds or a time. Zero is "does not say".
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	seconds, err := strconv.ParseUint(value, 10, 32)
	if err == nil || errors.Is(err, strconv.ErrRange) { // then it is the largest there is
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
