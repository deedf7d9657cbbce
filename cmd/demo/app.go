package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v3"
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
	root.Commands = []*cli.Command{a.moveCommand(), a.serveCommand(), a.certsCommand(), a.workerCommand(), a.sendCommand()}
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

	certsEnv  = "TASKRUNNER_CERTS_"
	workerEnv = "TASKRUNNER_WORKER_"
	sendEnv   = "TASKRUNNER_SEND_"
)

// env gives a flag its environment variable.
func env(prefix, flag string) cli.ValueSourceChain {
	return cli.EnvVars(prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
}

// defaultStore is where serve keeps its tasks.
const defaultStore = "sqlite:taskrunner.db"

// storeFlag says where the tasks are kept.
func storeFlag(prefix, otherwise string) cli.Flag {
	return &cli.StringFlag{
		Name: "store", Usage: "where the tasks are kept, a `URL`: sqlite:///path/to/file, or postgres://user@host/database" + otherwise,
		Sources: env(prefix, "store"), Local: true,
	}
}

// storeOf is what --store says. Without it the tasks are in that file, or in memory.
func storeOf(c *cli.Command, file string) (storeURL, error) {
	text := c.String("store")
	if text == "" {
		return storeURL{file: file}, nil
	}
	where, err := parseStore(text)
	if err != nil {
		return where, fmt.Errorf("--store %w", err)
	}
	if where.spool = c.String("spool"); where.spool != "" && where.server == "" {
		return where, fmt.Errorf("--spool %s is for a server that may be away, and --store %s is none", where.spool, where)
	}
	where.pooler = c.Bool("pooler")
	return where, nil
}

// levelFlag is for the commands that have a log. The demo has none but warnings: it talks to a person.
func levelFlag(prefix string, level slog.Level) cli.Flag {
	return &cli.StringFlag{Name: "log-level", Usage: "what is logged on the standard error: debug, info, warn or error", Value: strings.ToLower(level.String()), Sources: env(prefix, "log-level")}
}

// logger writes to w what --log-level says.
func logger(c *cli.Command, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, fmt.Errorf("--log-level is %q, want debug, info, warn or error", c.String("log-level"))
	}
	return newLogger(w, level), nil
}

// newLogger makes lines of key=value pairs: people read them, and so do programs.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// inRange names the flag, the value and what was expected.
func inRange(flag string, value, to int) error {
	if value < 1 || value > to {
		return fmt.Errorf("%s is %d, want 1 to %d", flag, value, to)
	}
	return nil
}

// words takes values apart that came from one environment variable. No URL has a space.
func words(values []string) []string {
	return strings.Fields(strings.Join(values, " "))
}
