package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// names are what the tests' resolver knows; addresses stand for themselves.
func names(_ context.Context, _, host string) ([]netip.Addr, error) {
	known := map[string][]string{
		"localhost": {"::1", "127.0.0.1"},
		"six":       {"::1"},
		"several":   {"127.0.0.2", "127.0.0.1", "::1"},
		"both":      {"127.0.0.1", "192.0.2.1"},
		"outside":   {"192.0.2.1"},
		"nothing":   {},
	}
	ips, ok := known[host]
	if !ok {
		ip, err := netip.ParseAddr(host)
		return []netip.Addr{ip}, err
	}
	var found []netip.Addr
	for _, ip := range ips {
		found = append(found, netip.MustParseAddr(ip))
	}
	return found, nil
}

func TestWithoutTLSOnlyLoopback(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address string
		want    string // empty: refused because it is not loopback
	}{
		{"localhost:0", "127.0.0.1:0"},
		{"127.0.0.1:7070", "127.0.0.1:7070"},
		{"127.8.7.6:7070", "127.8.7.6:7070"},
		{"[::1]:7070", "[::1]:7070"},
		{"[::ffff:127.0.0.1]:7070", "127.0.0.1:7070"},
		{"six:http", "[::1]:http"},
		{"several:7070", "127.0.0.2:7070"},
		{":7070", ""},
		{"0.0.0.0:7070", ""},
		{"[::]:7070", ""},
		{"[::ffff:192.0.2.1]:7070", ""},
		{"192.168.0.1:7070", ""},
		{"169.254.0.1:7070", ""},
		{"outside:7070", ""},
		{"both:7070", ""},
		{"nothing:7070", ""},
	} {
		got, err := bindAddress(t.Context(), names, test.address, false)
		if got != test.want || (test.want == "") != errors.Is(err, ErrNotLoopback) {
			t.Errorf("bindAddress(%q) = %q, %v, want %q", test.address, got, err, test.want)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), `remote: the address is "`+test.address) || !strings.Contains(err.Error(), "set TLS")) {
			t.Errorf("bindAddress(%q): %v, want the address, and what to do", test.address, err)
		}
		if got, err := bindAddress(t.Context(), names, test.address, true); err != nil || got != test.address {
			t.Errorf("bindAddress(%q) with TLS = %q, %v, want it as it is", test.address, got, err)
		}
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "localhost", "127.0.0.1", "::1:7070", "localhost:70000", "localhost:-1", "localhost:no-such-service", "unknown.invalid:1"} {
		if got, err := bindAddress(t.Context(), names, address, false); err == nil || errors.Is(err, ErrNotLoopback) || !strings.HasPrefix(err.Error(), `remote: the address is "`+address+`"`) {
			t.Errorf("bindAddress(%q) = %q, %v, want an error with the address", address, got, err)
		}
	}
}

// A list of tokens is no reason to let others in: without TLS everybody on the way can read them.
func TestTokensWithoutTLSAreForLoopback(t *testing.T) {
	t.Parallel()
	d, err := newDoor(doorConfig{clients: threeClients()[1:]})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.listen(t.Context(), ":0"); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("listen: %v, want %v", err, ErrNotLoopback)
	}
	listener, err := d.listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("it listens on %v, want loopback", listener.Addr())
	}
	if _, err := d.listen(t.Context(), listener.Addr().String()); err == nil || !strings.HasPrefix(err.Error(), "remote: listen ") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestWithTLSAllAddresses(t *testing.T) {
	t.Parallel()
	d, err := newDoor(doorConfig{tls: newTown(t).server()})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := d.listen(t.Context(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
}
