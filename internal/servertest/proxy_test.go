package servertest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// echo serves connections that say back what they hear, until the test ends.
func echo(t *testing.T, network, address string) net.Addr {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr()
}

// dial connects to a proxy. Nothing is waited for longer than ten seconds.
func dial(t *testing.T, proxy *servertest.ProxyServer) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// say sends a word and gives what came back.
func say(conn net.Conn, word string) (string, error) {
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	buf := make([]byte, len(word))
	n, err := io.ReadFull(conn, buf)
	return string(buf[:n]), err
}

// check tells whether a connection works, or was cut.
func check(t *testing.T, conn net.Conn, word string, works bool) {
	t.Helper()
	got, err := say(conn, word)
	switch {
	case works && (got != word || err != nil):
		t.Errorf("said %q, heard %q, error %v", word, got, err)
	case !works && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)):
		t.Errorf("said %q, heard %q, error %v; want the connection cut", word, got, err)
	}
}

func TestProxyCarriesCutsAndRefuses(t *testing.T) {
	t.Parallel()
	for network, address := range map[string]string{
		"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "echo"),
	} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			proxy := servertest.Proxy(t, network, echo(t, network, address).String())
			first, second := dial(t, proxy), dial(t, proxy)
			check(t, first, "one", true)
			check(t, second, "two", true)

			proxy.Cut()
			check(t, first, "cut", false)
			check(t, second, "cut", false)
			third := dial(t, proxy)
			check(t, third, "three", true)

			proxy.Refuse()
			check(t, dial(t, proxy), "refused", false)
			check(t, third, "goes on", true)
			proxy.Pass()
			check(t, dial(t, proxy), "four", true)
		})
	}
}

func TestProxyStallsAndLosesNothing(t *testing.T) {
	t.Parallel()
	proxy := servertest.Proxy(t, "tcp", echo(t, "tcp", "127.0.0.1:0").String())
	conn, cut := dial(t, proxy), dial(t, proxy)
	check(t, conn, "before", true)
	check(t, cut, "before", true)
	proxy.Stall()
	proxy.Stall() // is no second one
	late := dial(t, proxy)
	for _, c := range []net.Conn{conn, late} {
		if _, err := io.WriteString(c, "during "); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a stalled proxy: %d bytes, error %v; want neither", n, err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	proxy.Pass()
	for _, c := range []net.Conn{conn, late} {
		buf := make([]byte, len("during "))
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "during " {
			t.Errorf("after the stall: %q, error %v", buf, err)
		}
		check(t, c, "after", true)
	}

	proxy.Stall()
	if _, err := io.WriteString(cut, "lost"); err != nil {
		t.Fatal(err)
	}
	proxy.Cut() // also what stalls
	if _, err := cut.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that was cut while it stalled: %v", err)
	}
	dial(t, proxy) // and the end of the test ends what stalls
}

func TestProxyWithoutAServer(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "later")
	proxy := servertest.Proxy(t, "unix", socket)
	check(t, dial(t, proxy), "too early", false)
	proxy.Stall()
	early := dial(t, proxy)
	echo(t, "unix", socket)
	proxy.Pass()
	check(t, early, "early enough", true) // a stalled proxy does not call the server either
	check(t, dial(t, proxy), "now", true)
}

func TestProxyEndsBothSides(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	proxy := servertest.Proxy(t, "tcp", listener.Addr().String())
	for _, clientFirst := range []bool{true, false} {
		client := dial(t, proxy)
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		near, far := server, client
		if clientFirst {
			near, far = client, server
		}
		if _, err := io.WriteString(near, "last words"); err != nil {
			t.Fatal(err)
		}
		_ = near.Close()
		if said, err := io.ReadAll(far); err != nil || string(said) != "last words" {
			t.Errorf("client first: %v; the other heard %q, error %v", clientFirst, said, err)
		}
		_ = far.Close()
	}
}
