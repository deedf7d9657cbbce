package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"
)

// sendAway is short: whoever has mistyped an address wants to know.
const sendAway = 10 * time.Second

// sendCommand is demo send.
func (a app) sendCommand() *cli.Command {
	return &cli.Command{
		Name:  "send",
		Usage: "have a worker run a task, and print its result",
		UsageText: `demo send --to HOST:PORT [flags] KIND JSON
demo send --to HOST:PORT [flags] --await ID`,
		Description: `The result is printed as JSON when the task is done. It runs once, also if the worker is started again meanwhile;
with --no-wait its id is printed as soon as the worker has recorded it, and --await gives the outcome later.

Of several workers (--to a:7070,b:7070, or dns:///workers.example.com:7070 for all addresses of a name) the one with
the most room gets the task.

Examples:
  demo send --to 127.0.0.1:7070 shout '"moved"'
  demo send --to worker.example.com:7070 --tls certs --timeout 1m --cancel sleep '"2m"'
  id=$(demo send --to 127.0.0.1:7070 --no-wait sleep '"10s"'); demo send --to 127.0.0.1:7070 --await $id

` + exitHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "where the workers are: `HOST:PORT`, several separated by commas, or dns:///NAME:PORT", Sources: env(sendEnv, "to")},
			&cli.StringFlag{Name: "id", Usage: "the task's id, a `UUID`: what is sent again with the same one is accepted once", Sources: env(sendEnv, "id")},
			&cli.BoolFlag{Name: "no-wait", Usage: "print the task's id, and do not wait for its end", Sources: env(sendEnv, "no-wait")},
			&cli.StringFlag{Name: "await", Usage: "the `ID` of a task that was sent before: print its outcome", Sources: env(sendEnv, "await")},
			&cli.DurationFlag{Name: "timeout", Usage: "how long to wait; 0s: as long as it takes", Sources: env(sendEnv, "timeout")},
			&cli.BoolFlag{Name: "cancel", Usage: "cancel the task when this command ends before it, by --timeout or Ctrl-C; without it the task goes on", Sources: env(sendEnv, "cancel")},
			levelFlag(sendEnv, slog.LevelError),
		}, peerFlags(sendEnv, sendAway)...),
		Action: func(ctx context.Context, c *cli.Command) error {
			config, err := sendFlags(c)
			if err != nil {
				return err
			}
			screen := newScreen(a.stdout, a.stderr)
			if config.logger, err = logger(c, screen); err != nil {
				return err
			}
			return runSend(ctx, config, screen)
		},
	}
}

// sendFlags checks what the flags say, before anybody is called.
func sendFlags(c *cli.Command) (config sendConfig, err error) {
	config = sendConfig{
		id: c.String("id"), noWait: c.Bool("no-wait"), timeout: c.Duration("timeout"), cancel: c.Bool("cancel"),
	}
	if c.String("to") == "" {
		return config, errors.New("--to is missing, want the HOST:PORT of a worker")
	}
	if config.timeout < 0 {
		return config, fmt.Errorf("--timeout is %s, want 0s for none, or more", config.timeout)
	}
	if config.noWait && config.cancel {
		return config, errors.New("--no-wait and --cancel are both there: what is not waited for is not cancelled")
	}
	if err = config.what(c); err != nil {
		return config, err
	}
	config.peer, err = peerOf(c, "to")
	return config, err
}

// what is the task: a new one, or the one that --await names.
func (c *sendConfig) what(flags *cli.Command) error {
	if earlier := flags.String("await"); earlier != "" {
		if flags.Args().Len() > 0 || c.id != "" || c.noWait {
			return errors.New("--await is for a task that was sent before: it goes with no KIND, --id or --no-wait")
		}
		c.id = earlier
		return validID("--await", earlier)
	}
	if flags.Args().Len() != 2 || flags.Args().First() == "" {
		return fmt.Errorf("send has %d arguments, want KIND and JSON", flags.Args().Len())
	}
	c.kind, c.args = flags.Args().Get(0), json.RawMessage(flags.Args().Get(1))
	if !json.Valid(c.args) {
		return fmt.Errorf(`JSON is %q, want JSON such as '"text"', 5 or '{"a": 1}' (a shell takes quotes away that are not in others)`, c.args)
	}
	if c.id == "" {
		id, err := newID()
		c.id = id
		return err
	}
	return validID("--id", c.id)
}

func validID(flag, text string) error {
	if _, err := uuid.Parse(text); err != nil || len(text) != len(uuid.Nil.String()) {
		return fmt.Errorf("%s is %q, want a UUID", flag, text)
	}
	return nil
}

// newID makes the id of a task where it begins, so that what may have been lost on its way can be sent again.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", other(fmt.Errorf("make an id: %w", err))
	}
	return id.String(), nil
}
