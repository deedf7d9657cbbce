package assets_test

import (
	"net/netip"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
)

func TestAddressClass(t *testing.T) {
	t.Parallel()
	for _, public := range []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "2001:4860:4860::8888", "2600::1", "2a00::1",
	} {
		if class := assets.AddressClass(netip.MustParseAddr(public)); class != "" {
			t.Errorf("%s is %s, want public", public, class)
		}
	}
	for special, want := range map[string]string{
		"0.0.0.0": "this host", "0.1.2.3": "this host", "10.0.0.1": "private", "10.255.255.255": "private",
		"100.64.0.1": "carrier-grade NAT", "100.100.100.200": "carrier-grade NAT", "127.0.0.1": "loopback",
		"127.255.255.254": "loopback", "168.63.129.16": "cloud metadata",
		"169.254.169.254": "link-local, where clouds keep their metadata", "172.16.0.1": "private", "172.31.255.255": "private",
		"192.0.0.192": "protocol assignment", "192.0.2.1": "documentation", "192.88.99.1": "6to4 relay",
		"192.168.1.1": "private", "198.18.0.1": "benchmarking", "198.51.100.7": "documentation",
		"203.0.113.7": "documentation", "224.0.0.1": "multicast", "239.1.1.1": "multicast", "240.0.0.1": "reserved",
		"255.255.255.255": "broadcast",
		"::":              "unspecified", "::1": "loopback", "::7f00:1": "IPv4-compatible", "::ffff:127.0.0.1": "loopback",
		"::ffff:10.0.0.1": "private", "::ffff:169.254.169.254": "link-local, where clouds keep their metadata",
		"64:ff9b::7f00:1": "NAT64", "64:ff9b::8.8.8.8": "NAT64", "64:ff9b:1::a00:1": "NAT64", "100::1": "discard-only",
		"2001:0:7f00:1::": "Teredo", "2001:20::1": "protocol assignment", "2001:db8::1": "documentation",
		"2002:7f00:1::": "6to4", "2002:a00:1::1": "6to4", "3fff::1": "documentation", "5f00::1": "segment routing",
		"fc00::1": "unique local", "fd00:ec2::254": "unique local", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
		"febf::1": "link-local", "fec0::1": "site-local", "ff02::1": "multicast", "4000::1": "reserved", "1000::1": "reserved",
	} {
		if class := assets.AddressClass(netip.MustParseAddr(special)); class != want {
			t.Errorf("%s is %q, want %q", special, class, want)
		}
	}
	if assets.AddressClass(netip.Addr{}) == "" {
		t.Error("the zero address is public")
	}
}

func TestExempt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr, network string
		want          bool
	}{
		{"10.1.2.3", "10.0.0.0/8", true},
		{"11.1.2.3", "10.0.0.0/8", false},
		{"::ffff:10.1.2.3", "10.0.0.0/8", true},
		{"10.1.2.3", "::ffff:10.0.0.0/104", true},
		{"11.1.2.3", "::ffff:10.0.0.0/104", false},
		{"fe80::1%eth0", "fe80::/10", true},
		{"10.1.2.3", "::/0", false},
		{"::1", "0.0.0.0/0", false},
	} {
		if got := assets.Exempt(netip.MustParseAddr(c.addr), []netip.Prefix{netip.MustParsePrefix(c.network)}); got != c.want {
			t.Errorf("%s is allowed by %s: %t, want %t", c.addr, c.network, got, c.want)
		}
	}
}

// FuzzAddressClass looks for IPv6 addresses that reach an IPv4 address which by itself is refused.
func FuzzAddressClass(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01"))
	f.Add([]byte("\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		addr, ok := netip.AddrFromSlice(raw)
		if !ok || assets.AddressClass(addr) != "" {
			return
		}
		if !addr.Unmap().IsGlobalUnicast() || addr.Unmap().IsPrivate() {
			t.Fatalf("%s is called public", addr)
		}
		if addr.Is6() && !addr.Is4In6() && raw[0]>>5 != 1 {
			t.Fatalf("%s is called public, but lies outside of 2000::/3", addr)
		}
	})
}
