package main

import (
	"context"
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
		UsageText: "demo serve --db FILE --allow PREFIX [flags]",
		Description: `Callers of GraphQL choose which assets move; where the service may reach is said here, by --allow alone:
  https://old.example.com/img/      may be read
  s3://bucket/img?region=eu-west-1  may be read and written
  source:file:///srv/old/           may be read only
  destination:file:///srv/new/?create_dir=1
Addresses that are not public (loopback, private, link-local) are refused, whatever name stands for them, unless they
are in --allow as they are, or in --allow-address.

Without a token the service is for this machine only. A token belongs into the environment (TASKRUNNER_TOKEN): flags
can be seen by everybody on the machine. Each flag has its environment variable; several prefixes in one are separated
by spaces.

/healthz answers 200 as long as the process lives, /readyz as long as the database can be written to and the runner
has room. On Ctrl-C or SIGTERM /readyz says no, then the listener closes, what runs may finish for --drain, what does
not goes back into the database and runs at the next start, and the database closes. A second Ctrl-C stops at once.

Examples:
  demo serve --db tasks.db --allow https://old.example.com/ --allow s3://new-bucket
  TASKRUNNER_TOKEN=… demo serve --listen 0.0.0.0:8080 --host tasks.example.com --db tasks.db --allow s3://a --allow s3://b

` + exitHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "where to listen, a `HOST:PORT`", Value: defaultListen, Sources: env(serveEnv, "listen")},
			&cli.StringFlag{Name: "db", Usage: "the database `FILE`", Sources: env(serveEnv, "db"), TakesFile: true},
			&cli.StringSliceFlag{Name: "allow", Usage: "a URL `PREFIX` below which assets may be read or written; can be given several times", Sources: env(serveEnv, "allow")},
			&cli.StringSliceFlag{Name: "allow-address", Usage: "a `CIDR` that hosts in --allow may be at although it is not public; can be given several times", Sources: env(serveEnv, "allow-address")},
			&cli.StringFlag{Name: "token", Usage: "what callers must have, as in \"Authorization: Bearer …\"; better given in the environment", Sources: env(serveEnv, "token")},
			&cli.StringSliceFlag{Name: "host", Usage: "a `NAME` by which callers may ask for the service, besides plain addresses; can be given several times", Sources: env(serveEnv, "host")},
			&cli.StringSliceFlag{Name: "web-origin", Usage: "the `ORIGIN` of web pages elsewhere that may use the service, such as https://admin.example.com; can be given several times", Sources: env(serveEnv, "web-origin")},
			&cli.IntFlag{Name: "max-children", Usage: "how many assets are moved at once", Value: 64, Sources: env(serveEnv, "max-children")},
			&cli.IntFlag{Name: "max-waiting", Usage: "how many may wait for that; what is beyond it is refused", Value: 1_000_000, Sources: env(serveEnv, "max-waiting")},
			&cli.IntFlag{Name: "per-host", Usage: "how many requests run at once to one host or bucket", Value: 32, Sources: env(serveEnv, "per-host")},
			&cli.IntFlag{Name: "attempts", Usage: "how often an asset is tried, with growing pauses of up to an hour", Value: 20, Sources: env(serveEnv, "attempts")},
			&cli.StringFlag{Name: "temp-dir", Usage: "the `FOLDER` for temporary files; default: the system's", Sources: env(serveEnv, "temp-dir"), TakesFile: true},
			&cli.DurationFlag{Name: "drain", Usage: "how long a stop lets running moves go on", Value: 20 * time.Second, Sources: env(serveEnv, "drain")},
			&cli.DurationFlag{Name: "notice", Usage: "how long a stop keeps listening while /readyz says no already, for load balancers to notice", Sources: env(serveEnv, "notice")},
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
	config = serveConfig{
		web: webConfig{
			address: c.String("listen"), token: c.String("token"), hosts: words(c.StringSlice("host")),
			origins: words(c.StringSlice("web-origin")), notice: c.Duration("notice"), finish: serveFinish,
		},
		database: c.String("db"), allow: words(c.StringSlice("allow")),
		maxChildren: c.Int("max-children"), maxWaiting: c.Int("max-waiting"), perHost: c.Int("per-host"), attempts: c.Int("attempts"),
		tempDir: c.String("temp-dir"), drain: c.Duration("drain"),
	}
	switch {
	case c.Args().Len() > 0:
		return config, fmt.Errorf("serve takes no arguments, got %q", c.Args().First())
	case config.database == "":
		return config, fmt.Errorf("--db is missing, want a file for the tasks")
	case len(config.allow) == 0:
		return config, fmt.Errorf("--allow is missing, want at least one URL prefix: without it nothing may be moved")
	case config.drain < 0 || config.web.notice < 0:
		return config, fmt.Errorf("--drain and --notice are %s and %s, want no negative ones", config.drain, config.web.notice)
	}
	if err := graphql.CheckListen(config.web.address, config.web.token); err != nil {
		return config, fmt.Errorf("--listen: %s (--token, TASKRUNNER_TOKEN)", strings.TrimPrefix(err.Error(), "graphql: "))
	}
	if err := config.web.check(); err != nil {
		return config, err
	}
	for _, limit := range []struct {
		flag  string
		value int
	}{
		{"--max-children", config.maxChildren}, {"--max-waiting", config.maxWaiting}, {"--per-host", config.perHost}, {"--attempts", config.attempts},
	} {
		if err := inRange(limit.flag, limit.value, 1, 1_000_000_000); err != nil {
			return config, err
		}
	}
	for _, text := range words(c.StringSlice("allow-address")) {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return config, fmt.Errorf("--allow-address is %q, want a network such as 10.0.0.0/8", text)
		}
		config.addresses = append(config.addresses, network)
	}
	config.logger, err = logger(c, a.stderr)
	return config, err
}
