package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
)

var errNotGated = errors.New("remote: a connection that no gate has accepted")

// serverCredentials let those in at the gate who have proved who they are, with TLS, and have begun as HTTP/2 does; and tell why
// others were not let in. Without TLS nobody has anything to prove.
type serverCredentials struct {
	credentials.TransportCredentials
}

// ServerHandshake is for gRPC, which has set a deadline of HandshakeTimeout, also for how HTTP/2 begins.
func (s *serverCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	gated, ok := raw.(*gatedConn)
	if !ok {
		return nil, nil, errNotGated
	}
	conn, info, err := s.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		gated.refuse(handshakeReason(err), err)
		return nil, nil, err
	}
	name, err := nameAtGate(info)
	if err != nil {
		gated.refuse(refusedCertificateName, err)
		return nil, nil, err
	}
	return &greeter{Conn: conn, gated: gated, name: name, left: http2.ClientPreface}, info, nil
}

// Clone is for gRPC.
func (s *serverCredentials) Clone() credentials.TransportCredentials {
	return &serverCredentials{s.TransportCredentials.Clone()}
}

// nameAtGate gives the name under which a connection is counted inside. Without TLS nobody has one. That there is a verified certificate
// with it, crypto/tls has seen to, and identify looks again.
func nameAtGate(info credentials.AuthInfo) (string, error) {
	leaf := leafOf(info)
	if leaf == nil {
		return "", nil
	}
	return nameOf(leaf)
}

// handshakeReason says why a handshake has failed.
func handshakeReason(err error) string {
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return refusedSlow
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificateReason(err)
	}
	switch text := err.Error(); { // crypto/tls and gRPC have no error values for these
	case strings.Contains(text, "didn't provide a certificate"):
		return refusedNoCertificate
	case strings.Contains(text, "application protocols"), strings.Contains(text, "ALPN"):
		return refusedNotHTTP2
	}
	return refusedHandshake
}

// certificateReason says what is wrong with a certificate.
func certificateReason(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return refusedAuthority
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case !ok || invalid.Reason != x509.Expired: // which is its word for not valid yet, too
		return refusedCertificate
	case time.Now().Before(invalid.Cert.NotAfter):
		return refusedNotYetValid
	}
	return refusedExpired
}
