package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ErrNotLoopback says that a listener without TLS was asked to listen where other machines can reach it.
var ErrNotLoopback = errors.New("remote: without TLS only loopback is listened on")

// lookupFunc is net.Resolver.LookupNetIP.
type lookupFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

// bindAddress gives what to listen on for an address such as "host:port", ":port" or "[::1]:7070". Without TLS it must be on
// loopback, and it is resolved here, once: what is listened on is what was looked at. A token alone is not enough
// for more, because whoever sees it pass can use it.
func bindAddress(ctx context.Context, lookup lookupFunc, address string, secure bool) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("remote: the address is %q, want host:port: %w", address, err)
	}
	if _, err := net.DefaultResolver.LookupPort(ctx, "tcp", port); err != nil {
		return "", fmt.Errorf("remote: the address is %q, want a port from 0 to 65535: %w", address, err)
	}
	if secure {
		return address, nil
	}
	ip, err := loopbackOf(ctx, lookup, host)
	if why, ok := errors.AsType[notLoopback](err); ok {
		err = fmt.Errorf("%w: %s; set TLS (Certificate, Key and CA), or listen on localhost", ErrNotLoopback, string(why))
	}
	if err != nil {
		return "", fmt.Errorf("remote: the address is %q: %w", address, err)
	}
	return net.JoinHostPort(ip.String(), port), nil
}

// notLoopback is why a host is not on loopback. What follows from that, listeners and clients say each in their words.
type notLoopback string

func (why notLoopback) Error() string { return string(why) }

// loopbackOf resolves a host whose addresses must all be on loopback; else the error is a notLoopback. It prefers IPv4, as net.Listen
// does.
func loopbackOf(ctx context.Context, lookup lookupFunc, host string) (netip.Addr, error) {
	if host == "" {
		return netip.Addr{}, notLoopback("it stands for all addresses of this machine")
	}
	ips, err := lookup(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	var first netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		if !ip.IsLoopback() {
			return netip.Addr{}, notLoopback(ip.String() + " can be reached from elsewhere")
		}
		if !first.IsValid() || ip.Is4() && !first.Is4() {
			first = ip
		}
	}
	if !first.IsValid() {
		return netip.Addr{}, notLoopback("the name has no address")
	}
	return first, nil
}
