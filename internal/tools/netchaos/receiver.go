package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// receiver is a process that accepts tasks over the network and runs them.
type receiver struct {
	config  *childConfig
	journal *journal
}

// stopTime is how long a process may take to stop in order.
const stopTime = 20 * time.Second

// runReceiver listens until ctx ends.
func runReceiver(ctx context.Context, c *childConfig, j *journal) error {
	r := &receiver{c, j}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", c.Name, "life", c.Life)
	db, err := sqlite.Open(ctx, databaseOf(c.Dir, c.Name), sqlite.Config{})
	if err != nil {
		return err
	}
	system := actors.NewSystem(actors.SystemConfig{Logger: logger})
	kept := actors.KeepForever
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
		Name: runnerName, System: system, Store: db, Logger: logger, MaxChildren: 32, MaxWaiting: 400, DrainTimeout: 50 * time.Millisecond,
		Retention: actors.Retention{Completed: kept, Cancelled: kept, Discarded: kept},
		Kinds: actors.Kinds{
			actors.Kind(kind, r.work, actors.WithMaxAttempts(10), actors.WithBackoff(actors.Backoff{Base: 10 * time.Millisecond, Max: 100 * time.Millisecond})),
		},
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	listener, err := remote.Listen(ctx, ":"+port, remote.ListenConfig{
		Runners: []*actors.TaskRunner{runner}, TLS: certificates(c.Dir, "server"), Logger: logger, DrainTimeout: 200 * time.Millisecond,
		Limits: remote.Limits{MaxUnacknowledged: 100}, // few, so that the limit is met
	})
	if err != nil {
		return errors.Join(err, runner.Stop(ctx), db.Close())
	}
	j.write(event{What: isReady, Text: system.Node()})
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err = errors.Join(listener.Stop(ending), runner.Stop(ending), db.Close())
	j.write(event{What: isStopped})
	return err
}
