package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote"
)

// portConfig is where tasks from other machines come in.
type portConfig struct {
	address string // HOST:PORT; empty: nowhere
	tls     remote.TLS
	clients string        // the file of those who may come in; empty: whoever has a certificate
	reflect bool          // whoever comes in may ask which services there are
	drain   time.Duration // how long a stop goes on telling outcomes; negative: not at all
}

// probe finds out early that somebody else has the address: the port itself is opened last, when there is a runner behind it.
func (c portConfig) probe(ctx context.Context) error {
	listener, err := listen(ctx, "--listen", c.address)
	if err != nil {
		return err
	}
	return other(listener.Close())
}

// open opens the port, if there is an address for it.
func (c portConfig) open(ctx context.Context, runner *actors.TaskRunner, logger *slog.Logger) (*remote.Listener, error) {
	if c.address == "" {
		return nil, nil
	}
	port, err := remote.Listen(ctx, c.address, remote.ListenConfig{
		Runners: []*actors.TaskRunner{runner}, TLS: c.tls, ClientsFile: c.clients, Reflection: c.reflect, DrainTimeout: c.drain, Logger: logger,
	})
	if _, ours := errors.AsType[*net.OpError](err); ours {
		return nil, addressError("--listen", c.address, err)
	}
	if err != nil {
		return nil, &failure{exitUsage, remoteWords(err)}
	}
	return port, nil
}

// remoteWords gives an error of package remote in the words of the command line, where it speaks of its configurations.
func remoteWords(err error) error {
	words := strings.NewReplacer(
		"TLS.Certificate", "--tls", "TLS.Key", "--tls", "TLS.CA", "--tls", "ClientsFile", "--clients", "DialConfig.--tls", "--tls", "DialConfig.TLS", "--tls",
	)
	if text := words.Replace(err.Error()); text != err.Error() {
		return &reworded{text, err}
	}
	return err
}
