package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"google.golang.org/grpc/credentials"
)

var errNotGated = errors.New("remote: a connection that no gate has accepted")

// serverCredentials let those in at the gate who have proved by TLS who they are, and tell why others have not.
type serverCredentials struct {
	credentials.TransportCredentials
}

// ServerHandshake is for gRPC, which has set a deadline of HandshakeTimeout.
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
	if err := enterAs(gated, info); err != nil {
		return nil, nil, err // and raw is closed
	}
	return conn, info, nil
}

// Clone is for gRPC.
func (s *serverCredentials) Clone() credentials.TransportCredentials {
	return &serverCredentials{s.TransportCredentials.Clone()}
}

// enterAs needs no certificate: that there is a verified one, crypto/tls has seen to, and identify looks again.
func enterAs(c *gatedConn, info credentials.AuthInfo) error {
	name, err := nameOf(leafOf(info))
	if err != nil {
		c.refuse(refusedCertificate, err)
		return err
	}
	return c.enter(name)
}

// handshakeReason says why a handshake has failed.
func handshakeReason(err error) string {
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return refusedSlow
	}
	if strings.Contains(err.Error(), "didn't provide a certificate") { // crypto/tls has no error value for it
		return refusedNoCertificate
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		return refusedHandshake
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return refusedAuthority
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return refusedExpired
	}
	return refusedCertificate
}
