package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/taskrunner-go/taskrunner/graphql"
)

const defaultListen = "127.0.0.1:8080"

// app is what the commands need of the process.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// newApp puts the commands together.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *cli.Command {
	a := app{stdin, stdout, stderr}
	root := a.demoCommand()
	root.Commands = []*cli.Command{a.moveCommand(), a.serveCommand()}
	root.Writer, root.ErrWriter = stdout, stderr
	root.HideHelpCommand = true
	root.Version = version()
	root.ExitErrHandler = func(context.Context, *cli.Command, error) {} // report says it, on one line
	for _, command := range append(root.Commands, root) {
		command.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err }
	}
	return root
}

// version is the module's, as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// What the environment variables of the commands begin with. They differ, so that what is set for a service does not
// change what somebody does on the same machine by hand.
const (
	demoEnv  = "TASKRUNNER_DEMO_"
	moveEnv  = "TASKRUNNER_MOVE_"
	serveEnv = "TASKRUNNER_"
)

// env gives a flag its environment variable.
func env(prefix, flag string) cli.ValueSourceChain {
	return cli.EnvVars(prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
}

func (a app) demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "move assets between storage providers, supervised",
		UsageText: `demo [--exit] [flags]
demo move FROM TO [flags]
demo serve --db FILE --allow PREFIX [flags]`,
		Description: `Without a command it tells the whole story on this machine: it makes an old provider with 232 assets, some
of them faulty on purpose, and a new provider, a local folder; starts a TaskRunner on a SQLite file and a GraphQL
server; sends the mutation that moves all assets; and shows how each ends. Then it stays up, with GraphiQL to play
with. Ctrl-C stops it in order within 5 seconds, a second one at once. Started again it goes on with what had not
ended; if all had, it moves the same assets again, and finds them unchanged.

Examples:
  demo                              tell the story, and stay up
  demo --exit                       the same, and stop when every task has ended; the last line counts them
  demo --dir ./here --listen 127.0.0.1:9000

` + exitHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "exit", Usage: "stop when every task has ended", Local: true, Sources: env(demoEnv, "exit")},
			&cli.StringFlag{
				Name: "dir", Usage: "the `FOLDER` of the demo: its database, new provider and temporary files; default: taskrunner-demo in the user's cache folder",
				Local: true, Sources: env(demoEnv, "dir"), TakesFile: true,
			},
			&cli.StringFlag{Name: "db", Usage: "the database `FILE`; default: demo.db in --dir", Local: true, Sources: env(demoEnv, "db"), TakesFile: true},
			&cli.StringFlag{Name: "listen", Usage: "where GraphQL is served, a `HOST:PORT` of this machine only", Value: defaultListen, Local: true, Sources: env(demoEnv, "listen")},
			&cli.StringFlag{
				Name: "origin", Usage: "where the old provider is served, a `HOST:PORT` of this machine only; default: where it was the last time, or any free port",
				Local: true, Sources: env(demoEnv, "origin"),
			},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if name := c.Args().First(); name != "" {
				return fmt.Errorf("unknown command %q, want move, serve or none", name)
			}
			config, err := demoFlags(c)
			if err != nil {
				return err
			}
			return runDemo(ctx, config, newScreen(a.stdout, a.stderr))
		},
	}
}

func demoFlags(c *cli.Command) (demoConfig, error) {
	config := demoConfig{dir: c.String("dir"), database: c.String("db"), listen: c.String("listen"), origin: c.String("origin"), exit: c.Bool("exit")}
	for flag, address := range map[string]string{"--listen": config.listen, "--origin": config.origin} {
		if address == "" && flag == "--origin" {
			continue
		}
		if err := graphql.CheckListen(address, ""); err != nil {
			return config, fmt.Errorf("%s is %q, want 127.0.0.1, [::1] or localhost with a port: the demo asks for no token", flag, address)
		}
	}
	if config.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return config, fmt.Errorf("there is no cache folder for the demo (%w): give one with --dir", err)
		}
		config.dir = filepath.Join(cache, "taskrunner-demo")
	}
	if config.database == "" {
		config.database = filepath.Join(config.dir, "demo.db")
	}
	return config, nil
}

func (a app) moveCommand() *cli.Command {
	return &cli.Command{
		Name:      "move",
		Usage:     "move every asset below FROM to TO",
		UsageText: "demo move FROM TO [flags]",
		Description: `FROM is an HTTP origin (https://old.example.com/img/), a bucket (s3://bucket/img), a folder (file:///srv/img or
./img). TO is a bucket or a folder. All that lies below FROM is moved: a bucket is listed, a folder walked, and of
an HTTP origin the links of its index pages are followed, unless --list names the assets. The originals stay.

Parameters of a bucket stand in its URL or in the environment of its provider:
  s3://bucket/img?endpoint=http://127.0.0.1:7070&region=us-east-1&use_path_style=true
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_PROFILE

With --db the tasks are in a file, and the same command goes on where it was interrupted, and copies nothing that is
unchanged. Without it they are in memory, about 3 kB each, and a second run copies everything again.

Content types and cache headers come along. In a folder they stand in .attrs files beside the assets, unless TO is
given as file:///srv/new/?metadata=skip.

Examples:
  demo move https://old.example.com/img/ s3://new-bucket/img --db move.db
  demo move ./public s3://new-bucket?region=eu-central-1 --transfers 64
  find . -name '*.svg' | demo move . /srv/icons --list -

` + exitHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "list", Usage: "move only what the `FILE` names (- is the standard input): one name a line, relative to FROM, not percent-encoded", Sources: env(moveEnv, "list"), TakesFile: true},
			&cli.IntFlag{Name: "transfers", Usage: "how many assets are moved at once", Value: 32, Sources: env(moveEnv, "transfers")},
			&cli.IntFlag{Name: "attempts", Usage: "how often an asset is tried; between tries it waits for 0.5 s, 1 s, 2 s, … 30 s", Value: 8, Sources: env(moveEnv, "attempts")},
			&cli.StringFlag{Name: "db", Usage: "the database `FILE`; without it nothing is kept", Sources: env(moveEnv, "db"), TakesFile: true},
			&cli.StringFlag{Name: "temp-dir", Usage: "the `FOLDER` for temporary files; default: the system's", Sources: env(moveEnv, "temp-dir"), TakesFile: true},
			&cli.StringSliceFlag{Name: "allow", Usage: "where FROM may redirect to, a URL `PREFIX`; can be given several times", Sources: env(moveEnv, "allow")},
			levelFlag(moveEnv, slog.LevelError),
		},
		DisableSliceFlagSeparator: true,
		Action: func(ctx context.Context, c *cli.Command) error {
			config, err := a.moveFlags(c)
			if err != nil {
				return err
			}
			return runMove(ctx, config, newScreen(a.stdout, a.stderr))
		},
	}
}

func (a app) moveFlags(c *cli.Command) (config moveConfig, err error) {
	if c.Args().Len() != 2 {
		return config, fmt.Errorf("move has %d arguments, want FROM and TO", c.Args().Len())
	}
	config = moveConfig{
		list: c.String("list"), stdin: a.stdin, database: c.String("db"), transfers: c.Int("transfers"), attempts: c.Int("attempts"),
		tempDir: c.String("temp-dir"), allow: words(c.StringSlice("allow")),
	}
	from, to := c.Args().Get(0), c.Args().Get(1)
	if config.from, err = parsePlace(from); err != nil {
		return config, fmt.Errorf("FROM %w", err)
	}
	if config.to, err = parsePlace(to); err != nil {
		return config, fmt.Errorf("TO %w", err)
	}
	if err = config.from.checkSource(from); err != nil {
		return config, err
	}
	if err = checkApart(config.from, config.to); err != nil {
		return config, err
	}
	if err = inRange("--transfers", config.transfers, 1, 10_000); err != nil {
		return config, err
	}
	if err = inRange("--attempts", config.attempts, 1, 1000); err != nil {
		return config, err
	}
	config.logger, err = a.logger(c)
	return config, err
}

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
		DisableSliceFlagSeparator: true,
		Action: func(ctx context.Context, c *cli.Command) error {
			config, err := a.serveFlags(c)
			if err != nil {
				return err
			}
			return runServe(ctx, config)
		},
	}
}

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
	config.logger, err = a.logger(c)
	return config, err
}

func levelFlag(prefix string, level slog.Level) cli.Flag {
	return &cli.StringFlag{Name: "log-level", Usage: "what is logged on the standard error: debug, info, warn or error", Value: strings.ToLower(level.String()), Sources: env(prefix, "log-level")}
}

func (a app) logger(c *cli.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, fmt.Errorf("--log-level is %q, want debug, info, warn or error", c.String("log-level"))
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level})), nil
}

func inRange(flag string, value, from, to int) error {
	if value < from || value > to {
		return fmt.Errorf("%s is %d, want %d to %d", flag, value, from, to)
	}
	return nil
}

// words takes values apart that came from one environment variable. No URL has a space.
func words(values []string) []string {
	return strings.Fields(strings.Join(values, " "))
}
