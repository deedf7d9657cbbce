package assets_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// names is a resolver that knows a few names and asks nobody.
func names(t testing.TB, hosts map[string][]string) *net.Resolver {
	t.Helper()
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerNames(server, hosts)
		return client, nil
	}}
}

// answerNames speaks DNS over a stream, where each message has its length before it.
func answerNames(conn net.Conn, hosts map[string][]string) {
	defer func() { _ = conn.Close() }()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(query); err != nil {
			return
		}
		answer := answerName(m, hosts)
		reply, err := answer.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func answerName(m dnsmessage.Message, hosts map[string][]string) dnsmessage.Message {
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	question := m.Questions[0]
	addresses, known := hosts[strings.TrimSuffix(question.Name.String(), ".")]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addresses {
		addr := netip.MustParseAddr(a)
		header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}
		switch {
		case addr.Is4() && question.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && question.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return m
}

// The name is allowed, but where it leads is not: that is found out where the connection is made.
func TestGuardRefusesAddresses(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	base := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	port := strings.TrimPrefix(base, "http://127.0.0.1")
	for host, addresses := range map[string][]string{
		"loop.test": {"127.0.0.1"}, "loop6.test": {"::1"}, "mapped.test": {"::ffff:127.0.0.1"}, "any.test": {"0.0.0.0"},
		"meta.test": {"169.254.169.254"}, "private.test": {"10.1.2.3", "192.168.0.1"}, "nat64.test": {"64:ff9b::7f00:1"},
		"unique.test": {"fd00:ec2::254"}, "multi.test": {"10.0.0.1", "127.0.0.1", "::1"},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			m := newMover(t, assets.Config{
				// The literal loopback address is allowed, as for the demo; the name must get nothing from that.
				Allow:    []string{"http://" + host + port + "/", base, "file://" + dir},
				Resolver: names(t, map[string][]string{host: addresses}),
			})
			d := fails(t, m, "http://"+host+port+"/a", "file://"+dir+"/a")
			wantVerb(t, d, messages.VerbDiscard, assets.ErrNotAllowed)
			var refused *assets.AddressError
			if !errors.As(d, &refused) || refused.Host != host+port || !slices.ContainsFunc(addresses, func(a string) bool {
				return refused.Addr.Unmap() == netip.MustParseAddr(a).Unmap()
			}) {
				t.Errorf("error %v, want an AddressError about %s and one of %s", d, host, addresses)
			}
		})
	}
	t.Cleanup(func() {
		if n := asked.Load(); n > 0 {
			t.Errorf("the local service was asked %d times", n)
		}
	})
}

// A literal address that is not public needs no name to be refused, unless it is in the list itself.
func TestGuardLiteralAddresses(t *testing.T) {
	t.Parallel()
	base, dir := serve(t, give("x")), t.TempDir()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	m := newMover(t, assets.Config{Allow: []string{base, "http://localhost:" + port, "file://" + dir}})
	move(t, m, base+"/a", "file://"+dir+"/a", nil)
	move(t, m, "http://LocalHost.:"+port+"/a", "file://"+dir+"/b", nil)
	err := m.Check(assets.Move{Source: "http://127.0.0.1/a", Destination: "file://" + dir + "/c"})
	if !errors.Is(err, assets.ErrNotAllowed) {
		t.Errorf("another port: %v, want ErrNotAllowed", err)
	}
}

func TestAllowAddresses(t *testing.T) {
	t.Parallel()
	base, dir := serve(t, give("x")), t.TempDir()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	m := newMover(t, assets.Config{
		Allow:          []string{"http://origin.test:" + port, "file://" + dir},
		AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		// The first address is refused, the second works: a host with an inner and an outer address can be used.
		Resolver: names(t, map[string][]string{"origin.test": {"10.0.0.1", "127.0.0.1"}}),
	})
	move(t, m, "http://origin.test:"+port+"/a", "file://"+dir+"/a", nil)
	wantFile(t, dir+"/a", "x")
}

func TestUnknownNameIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{"http://none.test", "file://" + dir}, Resolver: names(t, nil)})
	wantVerb(t, fails(t, m, "http://none.test/a", "file://"+dir+"/a"), messages.VerbRetry, nil)
}

// A proxy would resolve and connect where the guard cannot see.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	if m := newMover(t, assets.Config{}); m.Transport().Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var inner atomic.Int32
	secret := serve(t, func(w http.ResponseWriter, r *http.Request) {
		inner.Add(1)
		_, _ = io.WriteString(w, "secret")
	})
	other := serve(t, with("other", "ETag", `"o"`))
	var referer atomic.Pointer[string]
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		target := r.URL.Query().Get("to")
		switch r.URL.Path {
		case "/allowed/hop":
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "/allowed/loop":
			http.Redirect(w, r, "/allowed/loop", http.StatusFound)
		default:
			from := r.Header.Get("Referer")
			referer.Store(&from)
			_, _ = io.WriteString(w, "asset "+r.URL.Path) //nolint:gosec // no browser reads it
		}
	})
	dir := t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base + "/allowed/", other + "/", "file://" + dir}}, dir)
	for _, c := range []struct{ to, content, reason string }{
		{"a.svg", "asset /allowed/a.svg", ""},
		{"./x/../a.svg", "asset /allowed/a.svg", ""},
		{"/allowed/a.svg#part", "asset /allowed/a.svg", ""},
		{base + "/allowed/a.svg?x=1", "asset /allowed/a.svg", ""},
		{other + "/o", "other", ""},
		{"/allowed/hop?to=" + url.QueryEscape(other+"/o"), "other", ""},
		{"/outside", "", "not below"},
		{"../outside", "", "not below"},
		{"%2e%2e/outside", "", `".."`},
		{"%2e%2e%2foutside", "", "slash"},
		{secret + "/", "", "not below"},
		{strings.Replace(secret, "127.0.0.1", "localhost", 1), "", "not below"},
		{"//" + strings.TrimPrefix(secret, "http://") + "/allowed/a.svg", "", "not below"},
		{"http://169.254.169.254/latest/meta-data/", "", "not below"},
		{"http://user:pw@" + strings.TrimPrefix(base, "http://") + "/allowed/a.svg", "", "user name"},
		{"https" + strings.TrimPrefix(base, "http") + "/allowed/a.svg", "", "not below"},
		{"file://" + dir + "/x", "", "leads away from HTTP"},
		{"file:///etc/passwd", "", "leads away from HTTP"},
		{"ftp://host/x", "", "leads away from HTTP"},
		{"javascript:alert(1)", "", "absolute"},
		{"a\\b", "", "backslash"},
		{"", "", "is empty"},
		{"http://[::1", "", "URL"},
		{"/allowed/loop", "", "more than 10"},
	} {
		source := base + "/allowed/hop?to=" + url.QueryEscape(c.to)
		if c.reason == "" {
			move(t, m, source, "file://"+dir+"/x", nil)
			wantFile(t, dir+"/x", c.content)
			continue
		}
		d := fails(t, m, source, "file://"+dir+"/y")
		if d.Verb != messages.VerbDiscard || !strings.Contains(d.Error(), c.reason) || strings.Contains(d.Error(), "pw@") {
			t.Errorf("to %q: %s, %v, want it discarded because of %q", c.to, d.Verb, d, c.reason)
		}
	}
	if n := inner.Load(); n > 0 {
		t.Errorf("the service outside of the allow-list was asked %d times", n)
	}
	if from := referer.Load(); from == nil || *from != "" {
		t.Errorf("the origin was told where we came from: %v", from)
	}
	wantNoFile(t, dir+"/y")
}

// An allowed redirect to an allowed name is dialled under the same guard.
func TestRedirectToNameOfPrivateAddress(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://cdn.test/a", http.StatusFound)
	})
	dir := t.TempDir()
	m := newMover(t, assets.Config{
		Allow:    []string{base, "http://cdn.test/", "file://" + dir},
		Resolver: names(t, map[string][]string{"cdn.test": {"169.254.169.254"}}),
	})
	wantVerb(t, fails(t, m, base+"/a", "file://"+dir+"/a"), messages.VerbDiscard, assets.ErrNotAllowed)
}

// From https to http is a step down that only the operator can allow, by allowing the http URL.
func TestRedirectFromHTTPS(t *testing.T) {
	t.Parallel()
	plain := serve(t, give("plain"))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, plain+"/a", http.StatusMovedPermanently)
			return
		}
		_, _ = io.WriteString(w, r.Proto) //nolint:gosec // no browser reads it
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	config := assets.Config{Allow: []string{server.URL, "file://" + dir}, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig}
	m := newMover(t, config)
	move(t, m, server.URL+"/a", "file://"+dir+"/a", nil)
	wantVerb(t, fails(t, m, server.URL+"/down", "file://"+dir+"/b"), messages.VerbDiscard, assets.ErrNotAllowed)
	config.Allow = append(config.Allow, plain)
	move(t, newMover(t, config), server.URL+"/down", "file://"+dir+"/b", nil)
	wantFile(t, dir+"/b", "plain")
	// A certificate that nobody vouches for is an error, and may be replaced by a good one.
	config.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	d := fails(t, newMover(t, config), server.URL+"/a", "file://"+dir+"/c")
	var invalid *tls.CertificateVerificationError
	if wantVerb(t, d, messages.VerbRetry, nil); !errors.As(d, &invalid) {
		t.Errorf("error %v, want one about the certificate", d)
	}
}
