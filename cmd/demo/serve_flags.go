package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/taskrunner-go/taskrunner/graphql"
)

// serveCommand is demo serve. It is long because it is the table of its flags.
func (a app) serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "serve GraphQL, and move what it is asked to",
		UsageText: "demo serve [--store URL] --allow PREFIX [flags]",
		Description: `Callers of GraphQL choose which assets move; where the service may reach is said here, by --allow alone:
  https://old.example.com/img/      may be read
  s3://bucket/img?region=eu-west-1  may be read and written
  source:file:///srv/old/           may be read only
  destination:file:///srv/new/?create_dir=1
The database and --temp-dir must lie where callers cannot write. The whole disk, file:///, is refused. So are addresses
that are not public (loopback, private, link-local), whatever name stands for them, unless they are in --allow as they
are, or in --allow-address.

Without a token the service is for this machine only. A token belongs into the environment (TASKRUNNER_TOKEN): flags
can be seen by everybody on the machine. Each flag has its environment variable; several prefixes in one are separated
by spaces.

/healthz answers 200 as long as the process lives, /readyz as long as the database can be written to and the runner
has room. On Ctrl-C or SIGTERM /readyz says no, after --notice the listener closes, what runs may finish for --drain,
what does not goes back into the database and runs at the next start, and the database closes. A second Ctrl-C or
SIGTERM, half a second later or more, stops at once.

Examples:
  demo serve --store sqlite:///var/lib/assets/tasks.db --allow https://old.example.com/ --allow s3://new-bucket
  TASKRUNNER_TOKEN=… demo serve --listen 0.0.0.0:8080 --host tasks.example.com --store postgres://assets@db.example.com/assets --allow s3://a --allow s3://b

` + exitHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "where to listen, a `HOST:PORT`", Value: defaultListen, Sources: env(serveEnv, "listen")},
			&cli.IntFlag{Name: "max-connections", Usage: "how many connections there may be at once; never more than half of the open files that the system allows. Who connects beyond that waits", Value: defaultConnections, Sources: env(serveEnv, "max-connections")},
			storeFlag(serveEnv, "; default: "+defaultStore),
			poolerFlag(serveEnv),
			spoolFlag(serveEnv),
			allowFlag(serveEnv),
			allowAddressFlag(serveEnv),
			&cli.StringFlag{Name: "token", Usage: "what callers must have, as in \"Authorization: Bearer …\"; better given in the environment", Sources: env(serveEnv, "token")},
			&cli.StringSliceFlag{Name: "host", Usage: "a `NAME` by which callers may ask for the service, besides plain addresses; can be given several times", Sources: env(serveEnv, "host")},
			&cli.StringSliceFlag{Name: "web-origin", Usage: "the `ORIGIN` of web pages elsewhere that may use the service, such as https://admin.example.com; can be given several times", Sources: env(serveEnv, "web-origin")},
			&cli.IntFlag{Name: "max-children", Usage: "how many assets are moved at once", Value: 64, Sources: env(serveEnv, "max-children")},
			maxWaitingFlag(serveEnv),
			perHostFlag(serveEnv),
			&cli.IntFlag{Name: "attempts", Usage: "how often an asset is tried, with growing pauses of up to an hour", Value: 20, Sources: env(serveEnv, "attempts")},
			timeoutFlag(serveEnv, serveTimeout),
			stallTimeoutFlag(serveEnv),
			maxBytesFlag(serveEnv),
			tempDirFlag(serveEnv),
			&cli.DurationFlag{Name: "drain", Usage: "how long a stop lets running moves go on; 0s: not at all", Value: 20 * time.Second, Sources: env(serveEnv, "drain")},
			&cli.DurationFlag{Name: "notice", Usage: "how long a stop keeps listening while /readyz says no already, for load balancers to notice; give it more than the time between their questions", Value: time.Second, Sources: env(serveEnv, "notice")},
			levelFlag(serveEnv, slog.LevelInfo),
		},
		DisableSliceFlagSeparator: true, // a URL may have a comma in it
		Action: func(ctx context.Context, c *cli.Command) error {
			config, err := a.serveFlags(c)
			if err != nil {
				return err
			}
			return runServe(ctx, config)
		},
	}
}

// serveFlags checks what the flags say, before anything is made or opened. What the packages check themselves (the
// prefixes, the folder) is found out when they are started, which is before any task runs.
func (a app) serveFlags(c *cli.Command) (config serveConfig, err error) {
	where, err := storeOf(c, strings.TrimPrefix(defaultStore, "sqlite:"))
	if err != nil {
		return config, err
	}
	config = serveConfig{
		store: where,
		web: webConfig{
			address: c.String("listen"), connections: connectionLimit(c.Int("max-connections"), openFiles()),
			token: c.String("token"), hosts: words(c.StringSlice("host")), origins: words(c.StringSlice("web-origin")),
			notice: c.Duration("notice"), finish: serveFinish,
		},
		allow:       words(c.StringSlice("allow")),
		maxChildren: c.Int("max-children"), maxWaiting: c.Int("max-waiting"), perHost: c.Int("per-host"), attempts: c.Int("attempts"),
		tempDir: c.String("temp-dir"), drain: c.Duration("drain"),
	}
	if c.Args().Len() > 0 {
		return config, fmt.Errorf("serve takes no arguments, got %q", c.Args().First())
	}
	for _, flag := range []string{"max-connections", "max-children", "max-waiting", "per-host", "attempts"} {
		if err := inRange("--"+flag, c.Int(flag), 1_000_000_000); err != nil {
			return config, err
		}
	}
	if config.limits, err = limitsOf(c); err != nil {
		return config, err
	}
	if config.addresses, err = networks(words(c.StringSlice("allow-address"))); err != nil {
		return config, err
	}
	if err := config.check(); err != nil {
		return config, err
	}
	config.logger, err = logger(c, a.stderr)
	return config, err
}

// networks reads --allow-address.
func networks(texts []string) (found []netip.Prefix, err error) {
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--allow-address is %q, want a network such as 10.0.0.0/8", text)
		}
		found = append(found, network)
	}
	return found, nil
}

// check checks what must be there, and what must fit together.
func (c serveConfig) check() error {
	switch {
	case len(c.allow) == 0:
		return errors.New("--allow is missing, want at least one URL prefix: without it nothing may be moved")
	case c.drain < 0 || c.web.notice < 0:
		return fmt.Errorf("--drain and --notice are %s and %s, want no negative ones", c.drain, c.web.notice)
	}
	if err := graphql.CheckListen(c.web.address, c.web.token); err != nil {
		return fmt.Errorf("--listen: %s (--token, TASKRUNNER_TOKEN)", strings.TrimPrefix(err.Error(), "graphql: "))
	}
	if err := c.web.check(); err != nil {
		return err
	}
	return checkAllow(c.allow, ownFile{"--store", c.store.file}, ownFile{"--spool", c.store.spool}, ownFile{"--temp-dir", c.tempDir})
}
