package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/taskrunner-go/taskrunner/remote"
)

// certsCommand is demo certs.
func (a app) certsCommand() *cli.Command {
	return &cli.Command{
		Name:      "certs",
		Usage:     "make certificates for trying out demo worker",
		UsageText: "demo certs DIR [--host NAME]...",
		Description: `Writes an authority (ca.pem), a certificate for workers (server.pem, server-key.pem) and one for those who
send them tasks (client.pem, client-key.pem) into DIR, which is made if it is not there. Nothing is overwritten.
The key of the authority is not kept: more certificates are another set. The certificates are valid for a year.

The worker needs the two server files and ca.pem, those who send need the two client files and ca.pem, each in a folder
that --tls names.

Examples:
  demo certs ./keys                              for a worker on this machine
  demo certs ./keys --host worker.example.com    for one that is reached by that name

` + exitHelp,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "host", Usage: "a `NAME` or address by which the worker is reached; can be given several times; default: localhost, 127.0.0.1, ::1 and the name of this machine", Sources: env(certsEnv, "host")},
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 || c.Args().First() == "" {
				return fmt.Errorf("certs has %d arguments, want the folder to write to", c.Args().Len())
			}
			return a.writeCertificates(c.Args().First(), words(c.StringSlice("host")))
		},
	}
}

// writeCertificates says what it has written, and what that is for.
func (a app) writeCertificates(dir string, hosts []string) error {
	err := remote.WriteCertificates(dir, hosts...)
	switch {
	case errors.Is(err, fs.ErrExist):
		return failf(exitUsage, "%s; give another folder, or remove the old set first", strings.TrimPrefix(err.Error(), "remote: "))
	case isPathError(err):
		return other(err)
	case err != nil:
		return err
	}
	screen := newScreen(a.stdout, a.stderr)
	for _, file := range []struct{ name, what string }{
		{caFile, "by which both sides know each other"},
		{serverFile, "the worker's certificate"}, {serverKeyFile, "and its key"},
		{clientFile, "the certificate of those who send tasks"}, {clientKeyFile, "and its key"},
	} {
		screen.printf("%-40s %s\n", filepath.Join(dir, file.name), file.what)
	}
	screen.printf("\nnow:  demo worker --listen 127.0.0.1:7070 --tls %[1]s\nand:  demo send --to 127.0.0.1:7070 --tls %[1]s shout '\"moved\"'\n", dir)
	return nil
}

// isPathError reports whether the file system has said no.
func isPathError(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}
