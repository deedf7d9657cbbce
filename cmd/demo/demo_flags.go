package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/taskrunner-go/taskrunner/graphql"
)

// demoCommand is the program without a command. Its flags are local, or the other commands would have them too.
func (a app) demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "move assets between storage providers, supervised",
		UsageText: `demo [--exit] [flags]
demo move FROM TO [flags]
demo serve --store URL --allow PREFIX [flags]
demo worker [--tls DIR] [--allow PREFIX] [flags]
demo send --to HOST:PORT [--tls DIR] [flags] KIND JSON
demo certs DIR [--host NAME]`,
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
			storeFlag(demoEnv, "; default: demo.db in --dir"),
			&cli.StringFlag{Name: "listen", Usage: "where GraphQL is served, a `HOST:PORT` of this machine only", Value: defaultListen, Local: true, Sources: env(demoEnv, "listen")},
			&cli.StringFlag{
				Name: "origin", Usage: "where the old provider is served, a `HOST:PORT` of this machine only; default: where it was the last time, or any free port; moves that have not ended need the one they began with",
				Local: true, Sources: env(demoEnv, "origin"),
			},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if name := c.Args().First(); name != "" {
				return fmt.Errorf("unknown command %q, want move, serve, worker, send, certs or none", name)
			}
			config, err := demoFlags(c)
			if err != nil {
				return err
			}
			return runDemo(ctx, config, newScreen(a.stdout, a.stderr))
		},
	}
}

// demoFlags checks what the flags say, before anything is made or opened.
func demoFlags(c *cli.Command) (demoConfig, error) {
	config := demoConfig{dir: c.String("dir"), listen: c.String("listen"), origin: c.String("origin"), exit: c.Bool("exit")}
	for flag, address := range map[string]string{"--listen": config.listen, "--origin": config.origin} {
		if address == "" && flag == "--origin" {
			continue
		}
		if err := graphql.CheckListen(address, ""); err != nil {
			return config, fmt.Errorf("%s is %q, want 127.0.0.1, [::1] or localhost with a port: the demo asks for no token", flag, address)
		}
	}
	// Not the working directory, which is the user's checkout more often than not; nor the temporary one, which forgets
	// what is to go on after a restart.
	if config.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return config, fmt.Errorf("there is no cache folder for the demo (%w): give one with --dir", err)
		}
		config.dir = filepath.Join(cache, "taskrunner-demo")
	}
	where, err := storeOf(c, filepath.Join(config.dir, "demo.db"))
	config.store = where
	return config, err
}
