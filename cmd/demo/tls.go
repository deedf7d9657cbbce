package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/taskrunner-go/taskrunner/remote"
)

// The files of a set, as remote.WriteCertificates names them.
const (
	caFile        = "ca.pem"
	serverFile    = "server.pem"
	serverKeyFile = "server-key.pem"
	clientFile    = "client.pem"
	clientKeyFile = "client-key.pem"
)

func tlsFlag(prefix, what string) cli.Flag {
	return &cli.StringFlag{Name: "tls", Usage: what, Sources: env(prefix, "tls"), TakesFile: true}
}

// serverTLS and clientTLS are what a folder says; none at all without a folder.
func serverTLS(dir string) (remote.TLS, error) { return tlsIn(dir, serverFile, serverKeyFile) }
func clientTLS(dir string) (remote.TLS, error) { return tlsIn(dir, clientFile, clientKeyFile) }

// tlsIn looks for the files before anything is begun. What is in them, package remote judges.
func tlsIn(dir, certificate, key string) (remote.TLS, error) {
	if dir == "" {
		return remote.TLS{}, nil
	}
	for _, name := range []string{certificate, key, caFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return remote.TLS{}, fmt.Errorf("--tls %s has no %s that can be read (demo certs %[1]s writes a set)", dir, name)
		}
	}
	return remote.TLS{
		Certificate: filepath.Join(dir, certificate), Key: filepath.Join(dir, key), CA: filepath.Join(dir, caFile),
	}, nil
}
