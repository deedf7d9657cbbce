package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/messages"
)

// serveConfig is what the flags say.
type serveConfig struct {
	web         webConfig
	store       storeURL
	allow       []string
	addresses   []netip.Prefix
	maxChildren int
	maxWaiting  int
	perHost     int
	attempts    int
	limits      limits
	tempDir     string
	drain       time.Duration
	logger      *slog.Logger
}

const (
	serveRunner = "assets"
	serveGrace  = 5 * time.Second
	// serveFinish is how long requests under way may take when the service stops. A hundred thousand moves take seconds.
	serveFinish = 10 * time.Second
	// serveMargin is for what comes after the draining: what was cancelled, the database.
	serveMargin = 15 * time.Second
)

// runServe serves until ctx ends.
func runServe(ctx context.Context, c serveConfig) error {
	db, err := openDatabase(ctx, c.store, c.logger)
	if err != nil {
		return err
	}
	s, err := start(ctx, serviceConfig{
		db:    db,
		store: c.store,
		assets: assets.Config{
			Allow: c.allow, AllowAddresses: c.addresses, MaxPerHost: c.perHost, TempDir: c.tempDir,
			StallTimeout: c.limits.stall, MaxBytes: c.limits.maxBytes,
		},
		runner: actors.TaskRunnerConfig{
			Name: serveRunner, MaxChildren: c.maxChildren, MaxWaiting: c.maxWaiting, DrainTimeout: orAtOnce(c.drain), Grace: serveGrace,
			HandleInfo: outcomeLog{c.logger}.hear,
		},
		kind: []actors.Option{
			actors.WithMaxAttempts(c.attempts), actors.WithTimeout(c.limits.timeout), actors.WithDecide(serveWords),
		},
		web:    c.web,
		logger: c.logger,
	})
	if err != nil {
		return inWords(err)
	}
	c.logger.Info("serving", "graphql", s.web.url(graphql.Path), "graphiql", s.web.url(graphql.PagePath), "database", c.store.String(), "max-connections", c.web.connections)
	select {
	case <-ctx.Done():
		c.logger.Info("stopping", "because", endedBy(ctx), "at most", c.stopLimit())
	case err = <-s.web.failed:
	}
	err = errors.Join(other(err), other(s.stop(context.WithoutCancel(ctx), c.stopLimit())))
	c.logger.Info("stopped")
	return err
}

// orAtOnce gives those who take zero for their default a negative time for none.
func orAtOnce(drain time.Duration) time.Duration {
	if drain == 0 {
		return -1
	}
	return drain
}

// stopLimit is the sum of what each step of a stop may take; the operator's supervisor should wait a little longer.
func (c serveConfig) stopLimit() time.Duration {
	return c.web.notice + serveFinish + c.drain + serveMargin
}

// outcomeLog is the runner's HandleInfo hook: whether a job succeeds or fails, somebody is told.
type outcomeLog struct{ logger *slog.Logger }

// hear is told every outcome. What went well is worth a line only to those who look for something: at a thousand moves a
// second nobody else reads them.
func (l outcomeLog) hear(ctx context.Context, message any) {
	switch m := message.(type) {
	case messages.Completed:
		l.logger.DebugContext(ctx, "completed", "task", m.TaskID, "attempt", m.Attempt)
	case messages.Failed:
		level, text := slog.LevelInfo, "tried in vain"
		if m.Discarded() {
			level, text = slog.LevelWarn, "discarded"
		}
		l.logger.Log(ctx, level, text, "task", m.TaskID, "attempt", m.Attempt, "error", strings.TrimPrefix(m.Reason.Error(), "assets: "))
	case messages.Cancelled:
		l.logger.InfoContext(ctx, "cancelled", "task", m.TaskID)
	}
}
