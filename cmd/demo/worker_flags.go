package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/taskrunner-go/taskrunner/graphql"
)

// defaultWorkerListen is where demo worker listens, and its examples look for it.
const defaultWorkerListen = "127.0.0.1:7070"

// workerCommand is demo worker. It is long because it is the table of its flags.
func (a app) workerCommand() *cli.Command {
	return &cli.Command{
		Name:      "worker",
		Usage:     "run the tasks that other machines send",
		UsageText: "demo worker [--listen HOST:PORT] [--tls DIR] [--allow PREFIX]... [flags]",
		Description: `It has one runner, ` + workerRunner + `, with these kinds of tasks:
  shout       "text"    gives the text in capitals
  sleep       "2s"      takes that long
  fail        "text"    fails with the text
  asset.move  {"source": URL, "destination": URL}, of which demo move --worker sends one for each asset

Callers choose which assets move; where this worker may reach is said here, by --allow alone, in the form that
demo serve -h explains. Without --allow that is nowhere.

Whoever comes must have a certificate that --tls knows; with --clients, a token as well, and may then do what the file
says. Without --tls it listens on this machine only, and whoever is on it may come. demo certs makes a set.

What is accepted is in the database, and goes on after a restart; who waits for its outcome gets it then. On Ctrl-C or
SIGTERM nothing more is accepted, outcomes are told for up to --drain, what runs may finish for as long again, what does
not goes back into the database, and that closes. A second Ctrl-C or SIGTERM, half a second later or more, stops at once.

Examples:
  demo worker
  demo worker --listen 0.0.0.0:7070 --tls /etc/taskrunner --allow https://old.example.com/ --allow file:///srv/new/

` + exitHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "where to listen, a `HOST:PORT`", Value: defaultWorkerListen, Sources: env(workerEnv, "listen")},
			tlsFlag(workerEnv, "the `FOLDER` with server.pem, server-key.pem and ca.pem; they are read again when they change"),
			&cli.StringFlag{Name: "clients", Usage: "the `FILE` that says who may come in with which token, and do what, as remote.ReadClients reads it; it is read again when it changes", Sources: env(workerEnv, "clients"), TakesFile: true},
			&cli.BoolFlag{Name: "reflection", Usage: "let those who come in ask which gRPC services there are: grpcurl then needs no .proto file", Sources: env(workerEnv, "reflection")},
			storeFlag(workerEnv, "; default: sqlite:"+workerStore),
			poolerFlag(workerEnv),
			spoolFlag(workerEnv),
			allowFlag(workerEnv),
			allowAddressFlag(workerEnv),
			&cli.IntFlag{Name: "transfers", Usage: "how many tasks run at once", Value: 64, Sources: env(workerEnv, "transfers")},
			maxWaitingFlag(workerEnv),
			perHostFlag(workerEnv),
			&cli.IntFlag{Name: "attempts", Usage: "how often an asset is tried if its sender does not say; between tries it waits for 0.5 s, 1 s, 2 s, … 30 s", Value: 8, Sources: env(workerEnv, "attempts")},
			timeoutFlag(workerEnv, serveTimeout),
			stallTimeoutFlag(workerEnv),
			maxBytesFlag(workerEnv),
			tempDirFlag(workerEnv),
			&cli.DurationFlag{Name: "drain", Usage: "how long a stop goes on telling outcomes, and then lets run what runs; 0s: not at all", Value: 20 * time.Second, Sources: env(workerEnv, "drain")},
			levelFlag(workerEnv, slog.LevelInfo),
		},
		DisableSliceFlagSeparator: true, // a URL may have a comma in it
		Action: func(ctx context.Context, c *cli.Command) error {
			config, err := a.workerFlags(c)
			if err != nil {
				return err
			}
			return runWorker(ctx, config)
		},
	}
}

// workerFlags checks what the flags say, before anything is made or opened.
func (a app) workerFlags(c *cli.Command) (config workerConfig, err error) {
	if c.Args().Len() > 0 {
		return config, fmt.Errorf("worker takes no arguments, got %q", c.Args().First())
	}
	where, err := storeOf(c, workerStore)
	if err != nil {
		return config, err
	}
	config = workerConfig{
		store: where,
		port:  portConfig{address: c.String("listen"), clients: c.String("clients"), reflect: c.Bool("reflection"), drain: orAtOnce(c.Duration("drain"))},
		allow: words(c.StringSlice("allow")), transfers: c.Int("transfers"), maxWaiting: c.Int("max-waiting"), perHost: c.Int("per-host"),
		attempts: c.Int("attempts"), tempDir: c.String("temp-dir"), drain: c.Duration("drain"),
	}
	for _, flag := range []string{"transfers", "max-waiting", "per-host", "attempts"} {
		if err := inRange("--"+flag, c.Int(flag), 1_000_000_000); err != nil {
			return config, err
		}
	}
	if config.port.tls, err = serverTLS(c.String("tls")); err != nil {
		return config, err
	}
	if config.limits, err = limitsOf(c); err != nil {
		return config, err
	}
	if config.addresses, err = networks(words(c.StringSlice("allow-address"))); err != nil {
		return config, err
	}
	if err := config.check(c.String("tls")); err != nil {
		return config, err
	}
	config.logger, err = logger(c, a.stderr)
	return config, err
}

// check checks what must fit together.
func (c workerConfig) check(tlsDir string) error {
	if c.drain < 0 {
		return fmt.Errorf("--drain is %s, want no negative one", c.drain)
	}
	if err := graphql.CheckListen(c.port.address, ""); err != nil && tlsDir == "" {
		return fmt.Errorf("--listen is %q, want 127.0.0.1, [::1] or localhost with a port: other machines may reach it with --tls only (demo certs makes a set)", c.port.address)
	}
	secrets := []ownFile{{"--tls", tlsDir}, {"--clients", c.port.clients}}
	if err := checkSecrets(c.allow, secrets...); err != nil {
		return err
	}
	return checkAllow(c.allow, ownFile{"--store", c.store.file}, ownFile{"--spool", c.store.spool}, ownFile{"--temp-dir", c.tempDir})
}
