package remote

import (
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"
)

// Why somebody is not let in: what refusals are counted by, and what the log says. These words are kept, because people count
// by them.
const (
	refusedConnections       = "connections"        // MaxConnections have been let in
	refusedClientConnections = "client_connections" // MaxConnectionsPerClient have been let in with that name
	refusedHandshakes        = "handshakes"         // the oldest of MaxHandshakes, for a newcomer
	refusedSlow              = "slow_handshake"     // nothing came of it within HandshakeTimeout
	refusedHandshake         = "handshake"          // it went away, or does not speak TLS, or not the one that we do
	refusedNotHTTP2          = "not_http2"          // it speaks something else, such as HTTP/1; without TLS, also TLS
	refusedNoCertificate     = "no_certificate"     // it showed none
	refusedAuthority         = "unknown_authority"  // its certificate is of an authority that is not trusted
	refusedExpired           = "expired"            // its certificate is expired
	refusedNotYetValid       = "not_yet_valid"      // its certificate is for later, or one of the two clocks is wrong
	refusedCertificateName   = "certificate_name"   // its certificate has no name, or one that cannot be one
	refusedCertificate       = "certificate"        // something else is wrong with it, such as that it is for servers
	refusedToken             = "token"              // it showed none, or one that nobody has
	refusedForeignToken      = "foreign_token"      // the token is of a client with another certificate
	refusedNotAllowed        = "not_allowed"        // a known client asked for more than it may have
	refusedMethod            = "unknown_method"     // there is no such service, or it has no such method
	refusedTooLarge          = "too_large"          // a message over Limits.MaxMessage, perhaps only when it is unpacked
	refusedCompression       = "compression"        // messages in a compression that this program does not know
)

const (
	// refusalWindow is for how long the same reason of the same peer is logged once.
	refusalWindow = time.Minute
	// maxTold is how many reasons of peers are remembered, and so how many lines a crowd of strangers can log in a window.
	maxTold = 1000
	// maxRefusalText is how much of an error is logged, in bytes: a stranger's certificate can make it long.
	maxRefusalText = 200
)

// refusals counts who was refused, and logs each reason once per peer and window, so that nobody can fill the log. Any
// goroutine may use it.
type refusals struct {
	logger *slog.Logger

	mu     sync.Mutex
	counts map[string]int64
	window time.Time // when it began
	told   map[toldRefusal]struct{}
}

type toldRefusal struct{ reason, who string }

func newRefusals(logger *slog.Logger) *refusals {
	return &refusals{logger: logger, counts: make(map[string]int64), told: make(map[toldRefusal]struct{})}
}

// add counts a refusal of who, a client's name or an address without its port: a stranger has 65,535 of those.
func (r *refusals) add(now time.Time, reason, who string, why error) {
	tell, full := r.count(now, toldRefusal{reason, who})
	switch {
	case full:
		r.logger.Warn("remote: so many are refused that no more are logged for a minute; they are counted", "lines", maxTold)
	case tell:
		r.logger.Warn("remote: refused", "reason", reason, "peer", who, "error", shortText(why))
	}
}

// count reports whether to tell of it, or that the memory of who was told of is full, once.
func (r *refusals) count(now time.Time, what toldRefusal) (tell, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what.reason]++
	if now.Sub(r.window) >= refusalWindow {
		r.window = now
		clear(r.told)
	}
	if _, known := r.told[what]; known || len(r.told) > maxTold {
		return false, false
	}
	full = len(r.told) == maxTold
	r.told[what] = struct{}{}
	return !full, full
}

// snapshot gives how many were refused since the start, by reason. What has not happened is not in it.
func (r *refusals) snapshot() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

func shortText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxRefusalText {
		return text[:maxRefusalText] + "…"
	}
	return text
}

// hostOf gives the address of a connection without its port.
func hostOf(address net.Addr) string {
	if address == nil {
		return "unknown"
	}
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	return host
}
