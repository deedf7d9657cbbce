package assets

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	// dialTimeout limits one attempt to connect, and the handshake after it.
	dialTimeout = 10 * time.Second
	// maxResponseHeader limits what an origin may send before the body, in bytes.
	maxResponseHeader = 256 << 10
)

// guard decides about every connection to an HTTP origin, at the last moment before it is made: behind the resolver,
// so that a name that answers differently the second time is caught, and for each address that is tried. A
// connection that is used again was made for the same host and port, whose rules do not change.
type guard struct {
	resolver *net.Resolver
	allowed  []netip.Prefix            // for every host
	byHost   map[string][]netip.Prefix // for one host and port
}

// dial is the DialContext of the transport.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	key := host + ":" + port
	dialer := net.Dialer{
		Timeout:  dialTimeout,
		Resolver: g.resolver,
		ControlContext: func(_ context.Context, _, actual string, _ syscall.RawConn) error {
			return g.check(key, actual)
		},
	}
	return dialer.DialContext(ctx, network, address)
}

// check judges the address that is about to be connected to on behalf of a host.
func (g *guard) check(key, actual string) error {
	addrPort, err := netip.ParseAddrPort(actual)
	if err != nil {
		return fmt.Errorf("assets: dialling %s: %w", key, err)
	}
	addr := addrPort.Addr()
	if exempt(addr, g.byHost[key]) || exempt(addr, g.allowed) {
		return nil
	}
	if reason := addressClass(addr); reason != "" {
		return &AddressError{Host: key, Addr: addr, Reason: reason}
	}
	return nil
}

// newTransport makes the one client for all HTTP origins. It has no proxy: a proxy would resolve and dial out of the
// guard's sight. It does not ask for compression, because an asset is moved as it is.
func newTransport(c Config, g *guard) *http.Transport {
	var config *tls.Config
	if c.TLS != nil {
		config = c.TLS.Clone() // the transport writes into it
	}
	return &http.Transport{
		DialContext:            g.dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		// The limit per host also holds for a host that others redirect to. As many connections are kept as may be in
		// use, or each pause of one worker would cost the next one a handshake.
		MaxConnsPerHost:     c.MaxPerHost,
		MaxIdleConnsPerHost: c.MaxPerHost,
		IdleConnTimeout:     90 * time.Second,
	}
}
