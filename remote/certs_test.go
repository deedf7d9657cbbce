package remote_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/remote"
)

var certificateFiles = []string{"ca.pem", "client-key.pem", "client.pem", "server-key.pem", "server.pem"}

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatalf("%s is no PEM", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestWriteCertificates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a", "b")
		if err := remote.WriteCertificates(dir); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, dir)
		ca := readCertificate(t, filepath.Join(dir, "ca.pem"))
		server := readCertificate(t, filepath.Join(dir, "server.pem"))
		client := readCertificate(t, filepath.Join(dir, "client.pem"))
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		verify := func(certificate *x509.Certificate, host string, usage x509.ExtKeyUsage, at time.Time) error {
			_, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: at})
			return err
		}
		now := time.Now()
		machine, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"localhost", "127.0.0.1", "::1", machine} {
			if err := verify(server, host, x509.ExtKeyUsageServerAuth, now); err != nil {
				t.Errorf("host %s: %v", host, err)
			}
		}
		for what, err := range map[string]error{
			"another host":            verify(server, "example.com", x509.ExtKeyUsageServerAuth, now),
			"the server as a client":  verify(server, "", x509.ExtKeyUsageClientAuth, now),
			"the client as a server":  verify(client, "", x509.ExtKeyUsageServerAuth, now),
			"after more than a year":  verify(client, "", x509.ExtKeyUsageClientAuth, now.AddDate(1, 0, 1)),
			"two hours ago":           verify(client, "", x509.ExtKeyUsageClientAuth, now.Add(-2*time.Hour)),
			"the client as authority": client.CheckSignatureFrom(client),
		} {
			if err == nil {
				t.Errorf("%s is accepted", what)
			}
		}
		for _, at := range []time.Time{now.Add(-30 * time.Minute), now.AddDate(1, 0, -1)} {
			if err := verify(client, "", x509.ExtKeyUsageClientAuth, at); err != nil {
				t.Errorf("at %v: %v", at, err)
			}
		}
		if client.Subject.CommonName != "client" || !ca.IsCA || !ca.MaxPathLenZero || ca.NotAfter.Before(now.AddDate(10, 0, -1)) {
			t.Errorf("the client is %v, the authority %+v", client.Subject, ca)
		}
	})
}

// wantFiles wants the five files, which only the owner may read where that matters.
func wantFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if secret := strings.Contains(entry.Name(), "key"); secret && info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s has the mode %v, want 0600", entry.Name(), info.Mode())
		}
	}
	if !slices.Equal(found, certificateFiles) {
		t.Errorf("files %v, want %v", found, certificateFiles)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 && runtime.GOOS != "windows" {
		t.Errorf("the directory has the mode %v (%v), want 0700", info.Mode(), err)
	}
}

func TestWriteCertificatesForHosts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := remote.WriteCertificates(dir, "a-z.A-Z_0-9.example.com", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	server := readCertificate(t, filepath.Join(dir, "server.pem"))
	if !slices.Equal(server.DNSNames, []string{"a-z.A-Z_0-9.example.com"}) || len(server.IPAddresses) != 1 || server.IPAddresses[0].String() != "192.0.2.1" {
		t.Errorf("it is for %v and %v", server.DNSNames, server.IPAddresses)
	}
}

func TestWriteCertificatesOverwritesNothing(t *testing.T) {
	t.Parallel()
	for _, name := range certificateFiles {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := remote.WriteCertificates(dir)
		if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("with %s there: %v, want an error with its name", name, err)
		}
		content, _ := os.ReadFile(filepath.Join(dir, name))
		if entries, _ := os.ReadDir(dir); len(entries) != 1 || string(content) != "mine" {
			t.Errorf("with %s there: %d files, and %q in it", name, len(entries), content)
		}
	}
}

func TestWriteCertificatesSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "localhost:7070", "https://example.com", "[::1]", "a b"} {
		dir := filepath.Join(t.TempDir(), "new")
		if err := remote.WriteCertificates(dir, "localhost", host); err == nil || !strings.HasPrefix(err.Error(), "remote: a host is ") {
			t.Errorf("host %q: %v", host, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("host %q: the directory was made", host)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteCertificates(file); err == nil || !strings.HasPrefix(err.Error(), "remote: ") {
		t.Errorf("a file in place of the directory: %v", err)
	}
}
