package remote

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/credentials"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestWhatIsWrongWithTheFilesOfATLS(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	good, other := o.server(), o.client("other")
	in := func(name string) string { return filepath.Join(o.dir, name) }
	certificate, err := os.ReadFile(good.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	o.write("empty.pem", nil)
	o.write("text.pem", []byte("no certificate"))
	o.write("damaged.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	o.write("half.pem", certificate[:len(certificate)/2])
	o.write("one and a half.pem", bytes.Join([][]byte{certificate, certificate[:len(certificate)/2]}, nil))
	o.write("large.pem", bytes.Repeat([]byte{'\n'}, maxFile+1))
	for _, test := range []struct {
		name  string
		tls   TLS
		field string
		want  string
	}{
		{"no key", TLS{Certificate: good.Certificate, CA: good.CA}, "TLS.Key", "is empty"},
		{"no CA", TLS{Certificate: good.Certificate, Key: good.Key}, "TLS.CA", "is empty"},
		{"missing", TLS{in("missing.pem"), good.Key, good.CA}, "TLS.Certificate", "missing.pem"},
		{"a directory", TLS{good.Certificate, o.dir, good.CA}, "TLS.Key", "a directory"},
		{"a device", TLS{good.Certificate, good.Key, os.DevNull}, "TLS.CA", "a device"},
		{"empty", TLS{in("empty.pem"), good.Key, good.CA}, "TLS.Certificate", "no block"},
		{"no PEM", TLS{good.Certificate, good.Key, in("text.pem")}, "TLS.CA", "no block"},
		{"damaged", TLS{good.Certificate, good.Key, in("damaged.pem")}, "TLS.CA", "x509"},
		{"half a certificate", TLS{in("half.pem"), good.Key, good.CA}, "TLS.Certificate", "not complete"},
		{"half a chain", TLS{in("one and a half.pem"), good.Key, good.CA}, "TLS.Certificate", "not complete"},
		{"too large", TLS{good.Certificate, good.Key, in("large.pem")}, "TLS.CA", "at most"},
		{"the key of another", TLS{good.Certificate, other.Key, good.CA}, "TLS.Key", "does not match"},
		{"a key that is none", TLS{good.Certificate, in("text.pem"), good.CA}, "TLS.Key", "text.pem"},
		{"an authority that is none", TLS{good.Certificate, good.Key, good.Certificate}, "TLS.CA", "none of an authority"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, errServer := test.tls.server(quiet())
			_, errClient := test.tls.client(quiet())
			for _, err := range []error{errServer, errClient} {
				if err == nil || !strings.HasPrefix(err.Error(), "remote: "+test.field+" is ") || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one of the field %s with %q", err, test.field, test.want)
				}
			}
		})
	}
}

func TestAKeyThatEverybodyMayRead(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	own := o.server()
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o644: 1} {
		if err := os.Chmod(own.Key, mode); err != nil {
			t.Fatal(err)
		}
		log := newLogBook(t)
		if _, err := own.server(slog.New(log)); err != nil {
			t.Errorf("mode %v: %v, want a warning at most", mode, err)
		}
		if n := log.count("everybody on this machine may read a private key", own.Key); n != want {
			t.Errorf("mode %v: %d warnings, want %d", mode, n, want)
		}
	}
}

// handshake connects a server and a client without a network, and gives the names of the certificate that the server has
// shown, and both errors.
func handshake(t *testing.T, server *tls.Config, client credentials.TransportCredentials) (names []string, atServer, atClient error) {
	t.Helper()
	there, here := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() {
		defer there.Close()
		conn := tls.Server(there, server)
		if atServer = conn.HandshakeContext(t.Context()); atServer == nil {
			_, atServer = conn.Write([]byte{1}) // so that the client hears that it was let in
		}
	})
	conn, info, atClient := client.ClientHandshake(t.Context(), "127.0.0.1:1", here)
	if atClient == nil {
		_, atClient = conn.Read(make([]byte, 1))
		names = namesOf(info.(credentials.TLSInfo).State.PeerCertificates[0])
	}
	_ = here.Close()
	serving.Wait()
	return names, atServer, atClient
}

// wait lets the second pass in which files are looked at once.
func wait() {
	time.Sleep(reloadInterval) // of a bubble
}

func TestCertificatesReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTown(t)
		log := newLogBook(t)
		own, visitor := o.issue(paper{name: "server", dns: "first", addresses: loopback(), server: true}), o.client("visitor")
		server, errServer := own.server(slog.New(log))
		client, errClient := visitor.client(quiet())
		if errServer != nil || errClient != nil {
			t.Fatal(errServer, errClient)
		}
		want := func(name string) {
			t.Helper()
			if names, atServer, atClient := handshake(t, server, client); atServer != nil || atClient != nil || names[0] != name {
				t.Errorf("handshake with %v, errors %v and %v, want %s", names, atServer, atClient, name)
			}
		}
		want("first")
		certificate, key := o.make(paper{name: "server", dns: "second", addresses: loopback(), server: true})
		o.write("server.pem", certificate)
		want("first") // the second is not over
		wait()
		want("first") // half written: the new certificate with the old key
		wait()
		want("first")
		if n := log.count("a changed file is not used, what was read before goes on", own.Certificate); n != 1 {
			t.Errorf("%d lines of the set that does not fit, want 1", n)
		}
		o.write("server-key.pem", key)
		wait()
		want("second")
		if err := os.Remove(own.Key); err != nil {
			t.Fatal(err)
		}
		wait()
		want("second")
		o.write("server-key.pem", key)
		wait()
		want("second")
		if n := log.count("a changed file is not used, what was read before goes on", own.Certificate); n != 2 {
			t.Errorf("%d lines of sets that do not fit, want 2", n)
		}
		if n := log.count("a changed file is used from now on", own.Certificate); n != 2 {
			t.Errorf("%d lines of sets that are used, want 2", n)
		}
	})
}

// Who exchanges the authority of a client or a server has thrown the others out.
func TestAuthoritiesReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, next := newTown(t), newTown(t)
		own, visitor := o.server(), o.client("visitor")
		server, errServer := own.server(quiet())
		client, errClient := visitor.client(quiet())
		if errServer != nil || errClient != nil {
			t.Fatal(errServer, errClient)
		}
		if _, atServer, atClient := handshake(t, server, client); atServer != nil || atClient != nil {
			t.Fatal(atServer, atClient)
		}
		ca, err := os.ReadFile(filepath.Join(next.dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		o.write("ca.pem", ca) // of both
		wait()
		if _, _, atClient := handshake(t, server, client); atClient == nil || !strings.Contains(atClient.Error(), "unknown authority") {
			t.Errorf("the client says %v, want that it does not trust the authority", atClient)
		}
		o.authority = next.authority
		o.server() // its client's certificate is of the old authority still
		wait()
		if _, atServer, _ := handshake(t, server, client); atServer == nil || handshakeReason(atServer) != refusedAuthority {
			t.Errorf("the server says %v, want that it does not trust the authority", atServer)
		}
		o.client("visitor")
		wait()
		if _, atServer, atClient := handshake(t, server, client); atServer != nil || atClient != nil {
			t.Error(atServer, atClient)
		}
	})
}

// A certificate that expires while the server runs is refused from then on.
func TestACertificateExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTown(t)
		server, errServer := o.server().server(quiet())
		client, errClient := o.issue(paper{name: "client", from: -time.Hour, to: time.Hour, client: true}).client(quiet())
		if errServer != nil || errClient != nil {
			t.Fatal(errServer, errClient)
		}
		if _, atServer, atClient := handshake(t, server, client); atServer != nil || atClient != nil {
			t.Fatal(atServer, atClient)
		}
		time.Sleep(2 * time.Hour)
		if _, atServer, _ := handshake(t, server, client); atServer == nil || handshakeReason(atServer) != refusedExpired {
			t.Errorf("the server says %v, want that it is expired", atServer)
		}
	})
}

func TestOnlyTLS13AndHTTP2(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server()})
	visitor := o.client("visitor")
	pair, err := tls.LoadX509KeyPair(visitor.Certificate, visitor.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *tls.Config){
		"TLS 1.2":         func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"HTTP/1.1":        func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} },
		"no protocol":     func(c *tls.Config) { c.NextProtos = nil },
		"no certificate":  func(c *tls.Config) { c.Certificates = nil },
		"nothing strange": func(*tls.Config) {},
	} {
		config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, InsecureSkipVerify: true} //nolint:gosec // the server is on trial
		change(config)
		conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", h.address)
		if err == nil {
			_, err = conn.Read(make([]byte, 1)) // what HTTP/2 begins with
			_ = conn.Close()
		}
		if (err == nil) != (name == "nothing strange") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	h.log.wait("refused", refusedNoCertificate)
}

// A session that is resumed would outlive the authority that its client was judged by.
func TestSessionsAreNotResumed(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server()})
	visitor := o.client("visitor")
	pair, err := tls.LoadX509KeyPair(visitor.Certificate, visitor.Key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, InsecureSkipVerify: true, //nolint:gosec // the server is on trial
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	for range 2 {
		conn, err := tls.Dial("tcp", h.address, config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil || conn.ConnectionState().DidResume {
			t.Errorf("resumed: %v, error %v", conn.ConnectionState().DidResume, err)
		}
		_ = conn.Close()
	}
}

// Certificates, keys and authorities are exchanged a hundred times while connections come in; none may fail.
func TestCertificatesReloadWhileConnectionsComeIn(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server()})
	visitor := o.client("visitor")
	var writing sync.WaitGroup
	stop := make(chan struct{})
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				o.server()
			}
		}
	})
	defer writing.Wait()
	defer close(stop)
	for range 50 {
		conn := h.dial(visitor, "")
		h.wantName(conn, "visitor")
		_ = conn.Close()
	}
}
