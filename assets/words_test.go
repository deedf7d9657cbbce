package assets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"gocloud.dev/blob"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// roundTrip is a client that fails as it is told.
type roundTrip func() (*http.Response, error)

func (f roundTrip) RoundTrip(*http.Request) (*http.Response, error) { return f() }

// answered is an error as SDKs have it, with everything in its text.
type answered struct{ status int }

func (e answered) Error() string       { return "PUT http://10.9.9.9:9000/bkt/k?sig=s3cret: RequestID 4711" }
func (e answered) HTTPStatusCode() int { return e.status }

// The error of a move is recorded and shown to callers: it says what went wrong and where, and nothing about the inside of
// the service. All of it is still there for errors.Is, errors.As and the log.
func TestErrorsAreInWords(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.9.9.9:53")), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err   error
		words string
		log   string
	}{
		{&net.DNSError{Err: "no such host", Name: "cdn.test", Server: "10.9.9.9:53", IsNotFound: true}, "no such host", "10.9.9.9:53"},
		{&net.DNSError{Err: "timeout", Name: "cdn.test", Server: "10.9.9.9:53", IsTimeout: true}, "looking up the host timed out", "10.9.9.9:53"},
		{&net.DNSError{Err: "server misbehaving", Name: "cdn.test", Server: "10.9.9.9:53"}, "looking up the host failed", "10.9.9.9:53"},
		{refused, "connection refused", "10.9.9.9:53"},
		{fmt.Errorf(`Put "http://10.9.9.9:9000/bkt/k?sig=s3cret": %w`, refused), "connection refused", "10.9.9.9:9000/bkt/k"},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset by peer", "read tcp"},
		{&assets.AddressError{Host: "cdn.test:80", Addr: netip.MustParseAddr("10.9.9.9"), Reason: "private"}, "cdn.test:80 resolves to an address that is not allowed", "10.9.9.9 (private)"},
		{&fs.PathError{Op: "openat", Path: "/srv/10.9.9.9/x", Err: syscall.EACCES}, "permission denied", "/srv/10.9.9.9"},
		{&fs.PathError{Op: "write", Path: "/srv/10.9.9.9/x", Err: syscall.ENOSPC}, "no space left on device", "/srv/10.9.9.9"},
		{&os.LinkError{Op: "renameat", Old: ".taskrunner-assets-x/1", New: "dirdst", Err: syscall.EEXIST}, "file exists", "renameat"},
		{errors.New("net/http: HTTP/1.x transport connection broken: 10.9.9.9"), "the log of the service says why", "transport connection broken"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "timed out", "i/o timeout"},
		{fmt.Errorf("reading from 10.9.9.9: %w", io.ErrUnexpectedEOF), "the connection ended too early", "10.9.9.9"},
		{answered{http.StatusForbidden}, "the provider answered 403 Forbidden", "RequestID 4711"},
		{answered{0}, "the log of the service says why", "RequestID 4711"},
	} {
		var log bytes.Buffer
		dir := t.TempDir()
		m := newMover(t, assets.Config{
			Allow:  []string{"http://cdn.test/", "file://" + dir},
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}, dir)
		m.UseOrigin(roundTrip(func() (*http.Response, error) { return nil, c.err }))
		d := fails(t, m, "http://cdn.test/a?token=s3cret", "file://"+dir+"/a")
		want := "assets: downloading http://cdn.test/a?… → file://" + dir + "/a: "
		if text := d.Error(); !strings.HasPrefix(text, want) || !strings.HasSuffix(text, c.words) {
			t.Errorf("%v\nis shown as %s\nwant %s%s", c.err, text, want, c.words)
		}
		if !errors.Is(d, c.err) {
			t.Errorf("%v: errors.Is does not find it", c.err)
		}
		if text := log.String(); !strings.Contains(text, c.log) || !strings.Contains(text, "http://cdn.test/a") || strings.Contains(text, "s3cret") {
			t.Errorf("%v\nis logged as %s", c.err, text)
		}
	}
}

// The same for what the disk and a provider really say.
func TestErrorsShowNoPath(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	b := &fakeBucket{onWrite: func(context.Context, []byte) ([]byte, error) { return nil, answered{http.StatusServiceUnavailable} }}
	base := serve(t, with("content", "Content-Type", "text/x-odd"))
	m := newMover(t, assets.Config{TempDir: temp, Mux: fakeMux(t, b), Allow: []string{base, "fake://b/", "file://" + dir}})
	writeFile(t, dir+"/folder/x", "x")
	link(t, "/etc", dir+"/out")
	for _, c := range []struct{ source, destination, words string }{
		{base + "/a", "file://" + dir + "/folder", "not a regular file: it is a folder"},
		{base + "/a", "file://" + dir + "/folder/x/y", "not a directory"},
		{base + "/a", "file://" + dir + "/out/y", "not allowed: a symbolic link leads out of the folder"},
		{"file://" + dir + "/none", "fake://b/k", "no such file or directory"},
		{base + "/a", "fake://b/k", "the provider answered 503 Service Unavailable"},
		{"fake://b/none", "file://" + dir + "/y", "no such object or bucket"},
	} {
		text := fails(t, m, c.source, c.destination).Error()
		if !strings.HasSuffix(text, c.source+" → "+c.destination+": "+c.words) {
			t.Errorf("%s\nwant it to end with %s", text, c.words)
		}
	}
	for _, folder := range []string{temp, dir} { // now not even a new folder can be made
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{temp, dir} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := fails(t, m, base+"/a", "file://"+dir+"/a")
	if text := d.Error(); !strings.HasSuffix(text, ": temporary file: no such file or directory") {
		t.Errorf("without a folder for temporary files: %s", text)
	}
	wantVerb(t, d, messages.VerbRetry, nil)
}

// A body that ends early says after how much, and of how much only if that is known.
func TestShortBodyInWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for raw, words := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello":                 "the connection ended after 5 bytes of 100",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n": "the connection ended after 5 bytes",
	} {
		base := serve(t, hijack(raw, false))
		m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}})
		if text := fails(t, m, base+"/a", "file://"+dir+"/a").Error(); !strings.HasSuffix(text, ": wrong length: "+words) {
			t.Errorf("%s\nwant it to end with %s", text, words)
		}
	}
}

// A scheme that nobody opens is named with those that somebody does.
func TestUnknownScheme(t *testing.T) {
	t.Parallel()
	_, err := assets.New(t.Context(), assets.Config{Allow: []string{"ftp://host/"}, Mux: new(blob.URLMux)})
	if err == nil || !strings.Contains(err.Error(), "has the scheme ftp:, which is not supported here; want file, http, https") {
		t.Errorf("error %v", err)
	}
}

// A question mark without anything behind it is sent as it was given, since an origin may tell the two apart.
func TestEmptyQueryIsSent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }) //nolint:gosec // no browser reads it
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}})
	for _, path := range []string{"/a", "/a?", "/a?x"} {
		move(t, m, base+path, "file://"+dir+"/a", nil)
		wantFile(t, dir+"/a", path)
	}
}
