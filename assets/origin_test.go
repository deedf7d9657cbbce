package assets_test

import (
	"bufio"
	"crypto/md5" //nolint:gosec // what origins give
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// hijack answers with raw bytes and then closes the connection; with reset, so that the client sees it torn down.
func hijack(raw string, reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = buffered.WriteString(raw)
		_ = buffered.Flush()
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func with(body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = io.WriteString(w, body)
	}
}

func TestMoveFromFailingOrigins(t *testing.T) {
	t.Parallel()
	const discard, retry = messages.VerbDiscard, messages.VerbRetry
	wrong := base64.StdEncoding.EncodeToString(make([]byte, 64))
	for _, c := range []struct {
		name   string
		origin http.HandlerFunc
		verb   messages.Verb
		kind   error
		after  time.Duration
	}{
		{"missing", status(404), discard, nil, 0},
		{"gone", status(410), discard, nil, 0},
		{"forbidden", status(403), discard, nil, 0},
		{"unauthorised", status(401), discard, nil, 0},
		{"bad request", status(400), discard, nil, 0},
		{"teapot", status(418), discard, nil, 0},
		{"no content", status(204), discard, nil, 0},
		{"a part", status(206), discard, nil, 0},
		{"not modified, unasked", status(304), discard, nil, 0},
		{"choices", status(300), discard, nil, 0},
		{"redirect to nowhere", status(302), discard, assets.ErrInvalid, 0},
		{"request timeout", status(408), retry, nil, 0},
		{"too early", status(425), retry, nil, 0},
		{"too many", status(429, "Retry-After", "7"), retry, nil, 7 * time.Second},
		{"too many, for ever", status(429, "Retry-After", "999999999"), retry, nil, assets.MaxRetryAfter},
		{"too many, for longer than can be told", status(429, "Retry-After", "5000000000"), retry, nil, assets.MaxRetryAfter},
		{"too many, does not say", status(429, "Retry-After", "soon"), retry, nil, 0},
		{"broken", status(500), retry, nil, 0},
		{"not implemented", status(501), retry, nil, 0},
		{"bad gateway", status(502), retry, nil, 0},
		{"unavailable", status(503, "Retry-After", "120"), retry, nil, 2 * time.Minute},
		{"gateway timeout", status(504), retry, nil, 0},
		{"short body", hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", false), retry, assets.ErrShortBody, 0},
		{"short body, reset", hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", true), retry, nil, 0},
		{"short chunks", hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false), retry, assets.ErrShortBody, 0},
		{"reset", hijack("", true), retry, nil, 0},
		{"closed", hijack("", false), retry, nil, 0},
		{"not HTTP", hijack("SSH-2.0-OpenSSH_9.2\r\n", false), retry, nil, 0},
		{"endless header", hijack("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20), false), retry, nil, 0},
		{"wrong MD5", with("hello", "Content-MD5", base64.StdEncoding.EncodeToString(make([]byte, 16))), retry, assets.ErrChecksum, 0},
		{"wrong Digest", with("hello", "Digest", "SHA-256="+base64.StdEncoding.EncodeToString(make([]byte, 32))), retry, assets.ErrChecksum, 0},
		{"wrong Repr-Digest", with("hello", "Repr-Digest", "sha-512=:"+wrong+":"), retry, assets.ErrChecksum, 0},
		{"too large", with(strings.Repeat("x", 2001)), discard, assets.ErrTooLarge, 0},
		{"too large, unannounced", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, strings.Repeat("x", 2000))
		}, discard, assets.ErrTooLarge, 0},
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, retry, nil, 0},
		{"stalled", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, retry, assets.ErrStalled, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base, dir := serve(t, c.origin), t.TempDir()
			config := assets.Config{Allow: []string{base, "file://" + dir}, MaxBytes: 2000}
			switch c.name { // for the others a busy machine must not look like a silent origin
			case "silent":
				config.HeaderTimeout = 50 * time.Millisecond
			case "stalled":
				config.StallTimeout = 50 * time.Millisecond
			}
			m := newMover(t, config, dir)
			d := fails(t, m, base+"/a.svg?X-Amz-Signature=s3cret", "file://"+dir+"/a.svg")
			wantVerb(t, d, c.verb, c.kind)
			if d.After != c.after {
				t.Errorf("to be tried again after %s, want %s", d.After, c.after)
			}
			if strings.Contains(d.Error(), "s3cret") || !strings.Contains(d.Error(), base+"/a.svg") {
				t.Errorf("the error should name the source and no secret: %v", d)
			}
			wantNoFile(t, dir+"/a.svg")
			wantNoTemporary(t, dir)
		})
	}
}

func TestMoveFromNowhere(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base, dir := "http://"+listener.Addr().String(), t.TempDir()
	_ = listener.Close() // now nobody answers there
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}})
	wantVerb(t, fails(t, m, base+"/a", "file://"+dir+"/a"), messages.VerbRetry, nil)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, " 30 ": 30 * time.Second, "-5": 0, "1.5": 0, "x": 0,
		"4294967295": assets.MaxRetryAfter, "99999999999999999999": assets.MaxRetryAfter,
		"Wed, 02 Jan 2030 03:05:05 GMT": time.Minute, "Wed, 02 Jan 2030 03:03:05 GMT": 0,
		"Fri, 02 Jan 2060 03:05:05 GMT": assets.MaxRetryAfter,
	} {
		if got := assets.RetryAfter(value, now); got != want {
			t.Errorf("Retry-After: %q is %s, want %s", value, got, want)
		}
	}
}

// What the origin says about an asset comes along.
func TestMoveCarriesHeaders(t *testing.T) {
	t.Parallel()
	mem, mux := newMemory(t)
	var asked http.Header
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Clone()
		w.Header()["Cache-Control"] = []string{"public", "max-age=31536000, immutable"}
		with("<svg/>",
			"Content-Type", "image/svg+xml; charset=utf-8", "Content-Encoding", "br", "Content-Language", "de, en",
			"Content-Disposition", `attachment; filename="a.svg"`, "ETag", `"v1"`, "Last-Modified", "Wed, 02 Jan 2030 03:04:05 GMT",
			"Date", "Wed, 02 Jan 2030 04:04:05 GMT", "Set-Cookie", "a=b",
		)(w, r)
	})
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{base, "mem://in/"}})
	before := time.Now()
	got := move(t, m, base+"/x/a.svg?v=1", "mem://in/a.svg", nil)
	headers := assets.Headers{
		ContentType: "image/svg+xml; charset=utf-8", CacheControl: "public, max-age=31536000, immutable", ContentEncoding: "br",
		ContentLanguage: "de, en", ContentDisposition: `attachment; filename="a.svg"`,
	}
	if got.StartedAt.Before(before) || got.FinishedAt.Before(got.StartedAt) {
		t.Errorf("started %s, finished %s", got.StartedAt, got.FinishedAt)
	}
	content, attributes := mem.get(t, "a.svg")
	sum := md5.Sum([]byte(content)) //nolint:gosec // as above
	want := assets.Moved{
		Source: base + "/x/a.svg?v=1", Destination: "mem://in/a.svg", Bytes: 6, SHA256: hashOf("<svg/>"), Headers: headers,
		Validators: assets.Validators{ETag: `"v1"`, LastModified: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Size: 6},
		Object:     assets.Object{Size: 6, MD5: fmt.Sprintf("%x", sum), ETag: attributes.ETag},
		Copied:     true, StartedAt: got.StartedAt, FinishedAt: got.FinishedAt, Attempts: 1,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	stored := assets.Headers{
		ContentType: attributes.ContentType, CacheControl: attributes.CacheControl, ContentEncoding: attributes.ContentEncoding,
		ContentLanguage: attributes.ContentLanguage, ContentDisposition: attributes.ContentDisposition,
	}
	if content != "<svg/>" || stored != headers {
		t.Errorf("stored %q with %+v, want %+v", content, stored, headers)
	}
	if asked.Get("Accept-Encoding") != "identity" || asked.Get("Referer") != "" || asked.Get("Cookie") != "" {
		t.Errorf("asked with %v", asked)
	}
}

// Headers of an origin that are no use, or no good, are left out rather than failing the move for ever.
func TestMoveLeavesBadHeadersOut(t *testing.T) {
	t.Parallel()
	mem, mux := newMemory(t)
	long := strings.Repeat("x", 2000)
	base := serve(t, hijack("HTTP/1.1 200 OK\r\nContent-Type: not a type\r\nCache-Control: "+long+"\r\nETag: \""+long+
		"\"\r\nContent-Language: \xff\r\nLast-Modified: yesterday\r\nContent-MD5: nonsense\r\nDigest: crc32=abc\r\nContent-Length: 2\r\n\r\nhi", false))
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{base, "mem://in/"}})
	got := move(t, m, base+"/a.css", "mem://in/a.css", nil)
	if got.Headers != (assets.Headers{ContentType: "text/css"}) || got.Validators != (assets.Validators{Size: 2}) {
		t.Errorf("got %+v and %+v", got.Headers, got.Validators)
	}
	if content, _ := mem.get(t, "a.css"); content != "hi" {
		t.Errorf("stored %q", content)
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	_, mux := newMemory(t)
	for _, c := range []struct{ said, source, destination, body, want string }{
		{"image/x-odd", "/a.svg", "a.svg", "x", "image/x-odd"},
		{"", "/a.SVG", "b", "x", "image/svg+xml"},
		{"", "/a", "b.woff2", "x", "font/woff2"},
		{"", "/a", "b", "<!DOCTYPE html><html>", "text/html; charset=utf-8"},
		{"", "/a", "b", "\x89PNG\r\n\x1a\n", "image/png"},
		{"", "/a", "b", "", "text/plain; charset=utf-8"},
		{"TEXT/HTML;Charset=utf-8", "/a", "b", "x", "text/html; charset=utf-8"},
	} {
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil // or net/http guesses one
			if c.said != "" {
				w.Header().Set("Content-Type", c.said)
			}
			_, _ = io.WriteString(w, c.body)
		})
		m := newMover(t, assets.Config{Mux: mux, Allow: []string{base, "mem://in/"}})
		if got := move(t, m, base+c.source, "mem://in/"+c.destination, nil); got.ContentType != c.want {
			t.Errorf("%+v: got %q", c, got.ContentType)
		}
	}
}

func TestDigests(t *testing.T) {
	t.Parallel()
	content := []byte("hello")
	b64 := func(sum []byte) string { return base64.StdEncoding.EncodeToString(sum) }
	m, s2, s5 := md5.Sum(content), sha256.Sum256(content), sha512.Sum512(content) //nolint:gosec // as above
	for _, c := range []struct {
		name, value string
		known       int
	}{
		{"Content-Md5", b64(m[:]), 1},
		{"Digest", "SHA-256=" + b64(s2[:]) + ", md5=" + b64(m[:]), 2},
		{"Digest", "sha-512=" + b64(s5[:]) + ",unixsum=30637", 1},
		{"Repr-Digest", "sha-256=:" + b64(s2[:]) + ":, sha-512=:" + b64(s5[:]) + ":", 2},
		{"Content-Digest", "sha-256=:" + b64(s2[:]) + ":;q=1", 1},
		{"Repr-Digest", "sha-256=:" + b64(m[:]) + ":", 0}, // wrong length
		{"Repr-Digest", "sha-256=?1, sha=:" + b64(m[:]) + ":, nonsense, ,=", 0},
		{"Content-Md5", "not base64!", 0},
	} {
		known, err := assets.Digests(http.Header{c.name: {c.value}}, content)
		if known != c.known || err != nil {
			t.Errorf("%s: %s: %d checksums, %v, want %d that fit", c.name, c.value, known, err, c.known)
		}
		if _, err := assets.Digests(http.Header{c.name: {c.value}}, []byte("hellO")); (c.known > 0) != errors.Is(err, assets.ErrChecksum) {
			t.Errorf("%s: %s: other content gives %v", c.name, c.value, err)
		}
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		modified time.Time
		usable   bool
	}{
		{now.Add(-time.Hour), true}, {now.Add(-2 * time.Second), true},
		{now.Add(-time.Second), false}, {now, false}, {now.Add(time.Hour), false}, {time.Time{}, false},
	} {
		if got := assets.Settled(c.modified, now); got.IsZero() == c.usable {
			t.Errorf("a time %s before it was read is %s, usable: want %t", now.Sub(c.modified), got, c.usable)
		}
	}
}

// 304 is believed only where it was asked for, and each wire form of a condition is the one that origins compare.
func TestConditionsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		validators     assets.Validators
		match, modifed string
	}{
		{assets.Validators{ETag: `"a"`}, `"a"`, ""},
		{assets.Validators{ETag: `W/"a"`, LastModified: time.Date(2030, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))}, `W/"a"`, "Wed, 02 Jan 2030 02:04:05 GMT"},
	} {
		dir := t.TempDir()
		var asked http.Header
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked = r.Header.Clone()
			w.WriteHeader(http.StatusNotModified)
		})
		m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}}, dir)
		writeFile(t, dir+"/a", "x")
		previous := assets.Moved{
			Source: base + "/a", Destination: "file://" + dir + "/a", Bytes: 1, SHA256: hashOf("x"),
			Validators: c.validators, Object: assets.Object{Size: 1},
		}
		got := move(t, m, previous.Source, previous.Destination, &previous)
		if got.Copied || got.Unchanged != assets.ByValidator {
			t.Errorf("got %+v", got)
		}
		if asked.Get("If-None-Match") != c.match || asked.Get("If-Modified-Since") != c.modifed {
			t.Errorf("asked with %v", asked)
		}
	}
}

// A kept connection is used again also when its answer was not wanted, which matters where many assets are missing.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan int, 1)
	accepted <- 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- <-accepted + 1
			answerForEver(conn)
		}
	}()
	t.Cleanup(func() { <-done })
	base := "http://" + listener.Addr().String()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}})
	for i := range 20 {
		_ = fails(t, m, base+"/"+strconv.Itoa(i), "file://"+dir+"/a")
	}
	if n := <-accepted; n != 1 {
		t.Errorf("%d connections for 20 answers, want 1", n)
	}
	_ = listener.Close()
	if err := m.Close(); err != nil { // closes the one connection, which ends the server
		t.Error(err)
	}
}

// answerForEver answers every request on a connection with a 404 that has a body.
func answerForEver(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for r := bufio.NewReader(conn); ; {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		body := strings.Repeat("x", 10_000)
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return
		}
	}
}

func TestTempDirGone(t *testing.T) {
	t.Parallel()
	base, dir, temp := serve(t, give(strings.Repeat("x", 300_000))), t.TempDir(), t.TempDir()
	mem, mux := newMemory(t)
	m := newMover(t, assets.Config{TempDir: temp, Mux: mux, Allow: []string{base, "mem://in/", "file://" + dir}})
	if err := os.RemoveAll(temp); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	// Not "no such file", which would be about the asset.
	wantVerb(t, fails(t, m, base+"/a", "mem://in/a"), messages.VerbRetry, nil)
	if mem.has(t, "a") {
		t.Error("something was stored")
	}
}
