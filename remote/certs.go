package remote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	authorityYears   = 10
	certificateYears = 1
	// clockSkew is by how much the clock of another machine may be behind without taking a new certificate for one of the
	// future.
	clockSkew = time.Hour
)

// WriteCertificates writes a set of certificates for trying out into the directory dir, which is made if it is not there: an
// authority (ca.pem), a certificate for listeners on hosts (server.pem, server-key.pem) and one for clients (client.pem,
// client-key.pem), whose name is client. Hosts are DNS names and addresses; without any they are localhost, 127.0.0.1, ::1 and
// the name of this machine. The authority is valid for 10 years, the certificates for 1; all keys are ECDSA P-256. Only the
// owner may read keys and a new directory.
//
// The authority's key is not kept, so that who copies the directory to another machine does not hand out the right to make
// up clients. More certificates, and those of next year, are another set.
//
// It overwrites nothing: if one of the files is there, the error names it and wraps fs.ErrExist, and nothing is written.
func WriteCertificates(dir string, hosts ...string) error {
	if len(hosts) == 0 {
		hosts = ownHosts()
	}
	if err := checkHosts(hosts); err != nil {
		return err
	}
	files, err := makeCertificates(time.Now(), hosts)
	if err != nil {
		return fmt.Errorf("remote: certificates for %q: %w", hosts, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("remote: a directory for certificates: %w", err)
	}
	return writeNew(dir, files)
}

// ownHosts are the names by which this machine is reached, as far as it knows.
func ownHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && checkHosts([]string{name}) == nil && name != "localhost" {
		hosts = append(hosts, name)
	}
	return hosts
}

// checkHosts finds what would make a certificate that fits nothing, such as an address with a port.
func checkHosts(hosts []string) error {
	for _, host := range hosts {
		if net.ParseIP(host) == nil && (host == "" || strings.ContainsFunc(host, notInHost)) {
			return fmt.Errorf("remote: a host is %q, want a DNS name or an address, without a port", host)
		}
	}
	return nil
}

func notInHost(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._*", r))
}

// newFile is a file that is to be written.
type newFile struct {
	name    string
	mode    fs.FileMode
	content []byte
}

func makeCertificates(now time.Time, hosts []string) ([]newFile, error) {
	authority, ca, err := makeAuthority(now)
	if err != nil {
		return nil, err
	}
	server := template(now, certificateYears, hosts[0])
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, host)
		}
	}
	client := template(now, certificateYears, "client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	files := []newFile{{"ca.pem", 0o644, ca}}
	for _, one := range []struct {
		name     string
		template *x509.Certificate
	}{{"server", server}, {"client", client}} {
		certificate, key, err := authority.sign(one.template)
		if err != nil {
			return nil, err
		}
		files = append(files, newFile{one.name + ".pem", 0o644, certificate}, newFile{one.name + "-key.pem", 0o600, key})
	}
	return files, nil
}

func template(now time.Time, years int, name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-clockSkew),
		NotAfter:  now.AddDate(years, 0, 0),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
}

// authority signs certificates. Its key lives no longer than the call that makes the set.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// makeAuthority also gives the authority's certificate in PEM.
func makeAuthority(now time.Time) (*authority, []byte, error) {
	t := template(now, authorityYears, "taskrunner trial authority")
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true // it signs no other authority
	t.KeyUsage = x509.KeyUsageCertSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// sign makes a key and its certificate, both in PEM.
func (a *authority) sign(t *x509.Certificate) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}

// writeNew writes all files or leaves none of them.
func writeNew(dir string, files []newFile) error {
	for _, file := range files {
		path := filepath.Join(dir, file.name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("remote: %s is there, and is not overwritten: %w", path, fs.ErrExist)
		}
	}
	for i, file := range files {
		if err := writeExclusive(filepath.Join(dir, file.name), file); err != nil {
			for _, written := range files[:i] {
				err = errors.Join(err, os.Remove(filepath.Join(dir, written.name)))
			}
			return fmt.Errorf("remote: certificates: %w", err)
		}
	}
	return nil
}

// writeExclusive removes what it could only write in part.
func writeExclusive(path string, file newFile) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, file.mode) //nolint:gosec // the caller names the directory
	if err != nil {
		return err
	}
	_, err = f.Write(file.content)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
