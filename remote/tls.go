package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"google.golang.org/grpc/credentials"
)

// TLS names the PEM files by which both sides of a connection prove who they are. A listener demands of each caller a
// certificate of CA; a client demands one of the listener, which must be for the host name or the address that was dialled. The zero
// TLS is none.
//
// The files are looked at again when a connection is made, at most once a second, so that certificates are exchanged without
// a restart. A set that does not fit, because it is half written, is not used: the one before goes on, and the
// logger is told once. Connections that exist are not touched. Only TLS 1.3 is spoken, and no session is resumed: an
// authority that is trusted no longer lets nobody in from then on.
type TLS struct {
	// Certificate is the file of the own certificate, followed by the intermediate ones that lead to an authority, if
	// there are any.
	Certificate string
	// Key is the file of the private key of Certificate, not encrypted. The logger is told if everybody may read it.
	Key string
	// CA is the file of the authorities by which the certificates of the other side are judged, one or more.
	CA string
}

func (t TLS) isZero() bool { return t == TLS{} }

// identity is what the files of a TLS say.
type identity struct {
	certificate *tls.Certificate
	authorities *x509.CertPool
}

// load reads the files. The error names the field, the path and what was expected.
func (t TLS) load(logger *slog.Logger) (*reloaded[identity], error) {
	files := []namedFile{{"TLS.Certificate", t.Certificate}, {"TLS.Key", t.Key}, {"TLS.CA", t.CA}}
	for _, file := range files {
		if file.path == "" {
			return nil, fmt.Errorf("remote: %s is empty, want the name of a PEM file", file.field)
		}
	}
	return loadFiles(logger, time.Now(), files, func(contents [][]byte) (identity, error) {
		t.warnOfReadableKey(logger)
		return t.parse(contents[0], contents[1], contents[2])
	})
}

func (t TLS) parse(certificate, key, ca []byte) (identity, error) {
	if _, err := parseCertificates(certificate); err != nil {
		return identity{}, fmt.Errorf("remote: TLS.Certificate is %q, want a PEM file with a certificate: %w", t.Certificate, err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return identity{}, fmt.Errorf("remote: TLS.Key is %q, want a PEM file with the key of the certificate %q: %w", t.Key, t.Certificate, err)
	}
	authorities, err := parseAuthorities(ca)
	if err != nil {
		return identity{}, fmt.Errorf("remote: TLS.CA is %q, want a PEM file with authorities: %w", t.CA, err)
	}
	return identity{&pair, authorities}, nil
}

// warnOfReadableKey only warns: who may read what on this machine is not known here. A group may often read keys with a
// reason, and Windows has other rights.
func (t TLS) warnOfReadableKey(logger *slog.Logger) {
	if info, err := os.Stat(t.Key); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0 {
		logger.Warn("remote: everybody on this machine may read a private key", "file", t.Key, "mode", info.Mode().Perm().String())
	}
}

// parseCertificates is stricter than crypto/tls, which passes over a block that is cut off: a chain or a list of
// authorities that is half written would be taken for a shorter one.
func parseCertificates(content []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(content); ; block, rest = pem.Decode(rest) {
		switch {
		case block == nil && bytes.Contains(rest, []byte("-----BEGIN")):
			return nil, errors.New("its last block is not complete")
		case block == nil && len(certificates) == 0:
			return nil, errors.New("it has no block BEGIN CERTIFICATE")
		case block == nil:
			return certificates, nil
		case block.Type != "CERTIFICATE":
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
}

// parseAuthorities takes nothing but authorities: a client's certificate that comes to be there by mistake would be
// trusted as it is.
func parseAuthorities(content []byte) (*x509.CertPool, error) {
	certificates, err := parseCertificates(content)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for i, certificate := range certificates {
		if !certificate.IsCA {
			return nil, fmt.Errorf("certificate %d of %d, of %s, is none of an authority", i+1, len(certificates), certificate.Subject)
		}
		pool.AddCert(certificate)
	}
	return pool, nil
}

// server gives what a listener needs. It looks at the files again when a handshake begins.
func (t TLS) server(logger *slog.Logger) (*tls.Config, error) {
	files, err := t.load(logger)
	if err != nil {
		return nil, err
	}
	config := files.at(time.Now()).forServers()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return files.at(time.Now()).forServers(), nil
	}
	return config, nil
}

func (i identity) forServers() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2"},
		Certificates:           []tls.Certificate{*i.certificate},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              i.authorities,
		SessionTicketsDisabled: true,
	}
}

// client gives what a client needs. It looks at the files again when a handshake begins.
func (t TLS) client(logger *slog.Logger) (credentials.TransportCredentials, error) {
	files, err := t.load(logger)
	if err != nil {
		return nil, err
	}
	return &clientCredentials{credentials.NewTLS(files.at(time.Now()).forClients()), files}, nil
}

// forClients shows the certificate whatever authorities the server says it trusts. Otherwise crypto/tls would show none of
// another authority's, and the server could only say that there was none.
func (i identity) forClients() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		RootCAs:    i.authorities,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return i.certificate, nil
		},
	}
}

// clientCredentials are TLS credentials made anew for each handshake: in a tls.Config of a client, the authorities cannot
// be exchanged without giving up the standard library's verification.
type clientCredentials struct {
	credentials.TransportCredentials
	files *reloaded[identity]
}

// ClientHandshake is for gRPC.
func (c *clientCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.files.at(time.Now()).forClients()).ClientHandshake(ctx, authority, conn)
}

// Clone is for gRPC. The files are shared.
func (c *clientCredentials) Clone() credentials.TransportCredentials {
	return &clientCredentials{c.TransportCredentials.Clone(), c.files}
}
