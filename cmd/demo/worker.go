package main

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
)

const (
	// workerRunner is the runner that other machines reach.
	workerRunner = "worker"
	// workerStore is another file than serve's: both may be tried out in one folder.
	workerStore = "worker.db"
	// workerMargin is for what comes after the draining: what was cancelled, the database.
	workerMargin = 15 * time.Second
)

// workerBackoff is short: who has handed a move over waits for it more often than not.
var workerBackoff = actors.Backoff{Base: 500 * time.Millisecond, Max: 30 * time.Second}

// workerConfig is what the flags say.
type workerConfig struct {
	port       portConfig
	store      storeURL
	allow      []string
	addresses  []netip.Prefix
	transfers  int
	maxWaiting int
	perHost    int
	attempts   int
	limits     limits
	tempDir    string
	drain      time.Duration
	logger     *slog.Logger
}

// runWorker runs what other machines send, until ctx ends.
func runWorker(ctx context.Context, c workerConfig) error {
	if err := c.port.probe(ctx); err != nil {
		return err
	}
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
			Name: workerRunner, MaxChildren: c.transfers, MaxWaiting: c.maxWaiting, DrainTimeout: orAtOnce(c.drain), Grace: serveGrace,
			HandleInfo: outcomeLog{c.logger}.hear,
		},
		kind: []actors.Option{
			actors.WithMaxAttempts(c.attempts), actors.WithTimeout(c.limits.timeout), actors.WithDecide(serveWords), actors.WithBackoff(workerBackoff),
		},
		kinds:  tryKinds(),
		port:   c.port,
		logger: c.logger,
	})
	if err != nil {
		return inWords(err)
	}
	c.logger.Info("serving", "address", s.port.Addr(), "node", s.system.Node(), "runners", s.runner.Name(), "tls", c.port.tls.Certificate, "database", c.store.String(), "allow", c.allow)
	<-ctx.Done()
	c.logger.Info("stopping", "because", endedBy(ctx), "at most", c.stopLimit())
	err = other(s.stop(context.WithoutCancel(ctx), c.stopLimit()))
	c.logger.Info("stopped")
	return err
}

// stopLimit is the sum of what each step of a stop may take: outcomes are told over the port, and then what still runs, of which
// nobody waits for the outcome, may finish.
func (c workerConfig) stopLimit() time.Duration { return 2*c.drain + workerMargin }
