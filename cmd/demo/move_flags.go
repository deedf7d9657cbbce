package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v3"
)

// moveCommand is demo move.
func (a app) moveCommand() *cli.Command {
	return &cli.Command{
		Name:      "move",
		Usage:     "move every asset below FROM to TO",
		UsageText: "demo move FROM TO [flags]\ndemo move FROM TO --worker HOST:PORT [flags]",
		Description: `FROM is an HTTP origin (https://old.example.com/img/), a bucket (s3://bucket/img), a folder (file:///srv/img or
./img). TO is a bucket or a folder. All that lies below FROM is moved: a bucket is listed, a folder walked, and of
an HTTP origin the links of its index pages are followed, unless --list names the assets. The originals stay.

Parameters of a bucket stand in its URL or in the environment of its provider:
  s3://bucket/img?endpoint=http://127.0.0.1:7070&region=us-east-1&use_path_style=true
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_PROFILE

With --store the tasks are in a database, whose file must not lie below TO, and the same command goes on where it was interrupted,
and copies nothing that is unchanged. Without it they are in memory, about 3 kB each, and a second run copies everything
again.

With --worker this process only lists FROM, and each asset is moved by one of the workers, which must reach FROM and TO
by the same URLs; what they may reach is said where they run. A folder is one of theirs, and FROM one of this machine
as well. They record the tasks: one that is started again goes on, and after Ctrl-C they finish what they have been
given. The parameters of TO, --stall-timeout and --max-bytes are theirs, and --store is not for it.

Content types and cache headers come along. In a folder they stand in .attrs files beside the assets, unless TO is
given as file:///srv/new/?metadata=skip.

Examples:
  demo move https://old.example.com/img/ s3://new-bucket/img --store sqlite:move.db
  demo move ./public s3://new-bucket?region=eu-central-1 --transfers 64
  find . -name '*.svg' | demo move . /srv/icons --list -
  demo move https://old.example.com/img/ s3://new-bucket/img --worker a.example.com:7070,b.example.com:7070 --tls certs

` + exitHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "list", Usage: "move only what the `FILE` names (- is the standard input): one name a line, relative to FROM, not percent-encoded", Sources: env(moveEnv, "list"), TakesFile: true},
			&cli.IntFlag{Name: "transfers", Usage: "how many assets are moved at once", Value: 32, Sources: env(moveEnv, "transfers")},
			&cli.IntFlag{Name: "attempts", Usage: "how often an asset is tried; between tries it waits for 0.5 s, 1 s, 2 s, … 30 s", Value: 8, Sources: env(moveEnv, "attempts")},
			timeoutFlag(moveEnv, moveTimeout),
			stallTimeoutFlag(moveEnv),
			maxBytesFlag(moveEnv),
			storeFlag(moveEnv, "; without it nothing is kept"),
			&cli.StringFlag{Name: "temp-dir", Usage: "the `FOLDER` for temporary files; default: the system's", Sources: env(moveEnv, "temp-dir"), TakesFile: true},
			&cli.StringSliceFlag{Name: "allow", Usage: "where FROM may redirect to, a URL `PREFIX`; can be given several times", Sources: env(moveEnv, "allow")},
			&cli.StringFlag{Name: "worker", Usage: "where workers are that move the assets: `HOST:PORT`, several separated by commas, or dns:///NAME:PORT", Sources: env(moveEnv, "worker")},
			levelFlag(moveEnv, slog.LevelWarn),
		}, peerFlags(moveEnv, moveAway)...),
		DisableSliceFlagSeparator: true, // a URL may have a comma in it
		Action: func(ctx context.Context, c *cli.Command) error {
			config, err := a.moveFlags(c)
			if err != nil {
				return err
			}
			screen := newScreen(a.stdout, a.stderr)
			if config.logger, err = logger(c, screen); err != nil {
				return err
			}
			if config.workers.target != "" {
				return runMoveElsewhere(ctx, config, screen)
			}
			return runMove(ctx, config, screen)
		},
	}
}

// moveFlags checks what the flags say, before anything is made or opened.
func (a app) moveFlags(c *cli.Command) (config moveConfig, err error) {
	if c.Args().Len() != 2 {
		return config, fmt.Errorf("move has %d arguments, want FROM and TO", c.Args().Len())
	}
	config = moveConfig{
		list: c.String("list"), stdin: a.stdin, transfers: c.Int("transfers"), attempts: c.Int("attempts"),
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
	if config.workers, err = workersOf(c, config.to); err != nil {
		return config, err
	}
	if config.store, err = storeOf(c, ""); err != nil {
		return config, err
	}
	if writableAbove(config.store.file, []string{config.to.destination()}) != "" {
		return config, fmt.Errorf("--store %s lies below TO %s, where an asset could overwrite it: have it elsewhere", config.store, to)
	}
	if config.limits, err = limitsOf(c); err != nil {
		return config, err
	}
	if err = inRange("--transfers", config.transfers, 10_000); err != nil {
		return config, err
	}
	return config, inRange("--attempts", config.attempts, 1000)
}

// workersOf is what the flags say of workers; without --worker there are none, and the others of its flags mean nothing.
func workersOf(c *cli.Command, to place) (workers peerConfig, err error) {
	if c.String("worker") == "" {
		for _, flag := range peerFlagNames {
			if c.IsSet(flag) {
				return workers, fmt.Errorf("--%s is for workers, and there is no --worker", flag)
			}
		}
		return workers, nil
	}
	for _, flag := range []string{"store", "stall-timeout", "max-bytes"} {
		if c.IsSet(flag) {
			return workers, fmt.Errorf("--%s is not for --worker: it is given where the worker runs", flag)
		}
	}
	if to.query != "" {
		return workers, fmt.Errorf("TO has the parameters %q, which with --worker are given where the worker runs, with its --allow", to.query)
	}
	return peerOf(c, "worker")
}
