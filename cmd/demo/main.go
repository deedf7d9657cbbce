// Demo moves static assets between storage providers, and shows how a program is put together from the library: a
// TaskRunner with a database, a GraphQL front end, and an ordered stop.
//
//	go run ./cmd/demo                  the whole story, with nothing but Go: two providers of its own, 232 assets, GraphiQL
//	go run ./cmd/demo move FROM TO     moves every asset below FROM to TO
//	go run ./cmd/demo serve            the service, for real use
//	go run ./cmd/demo worker           a TaskRunner that other machines reach: send and move --worker use it, certs lets them in
//
// Start reading here: [start] is the order in which a service starts, and so the order in which it stops.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

// gcPercent and memoryLimit have the collector of garbage rest until there is something to gain: 7,447 small files take a tenth less of
// the processor's time than with 50 percent and no limit, which is what kept the memory as small before (a move of a GiB to S3: 77 MB).
// Whoever sets GOGC or GOMEMLIMIT knows better.
const (
	gcPercent   = 200
	memoryLimit = 48 << 20
)

func main() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(memoryLimit)
	}
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is the program, and gives its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := withSignals(context.Background(), stderr)
	defer stop()
	return report(stderr, newApp(stdin, stdout, stderr).Run(ctx, args))
}

// service is all that runs in one process.
type service struct {
	system *actors.System
	db     store.Store
	mover  *assets.Mover
	runner *actors.TaskRunner
	port   *remote.Listener // nil without an address for tasks from other machines
	web    *web             // nil without an address to listen on

	stops stack
}

// serviceConfig says what a service is. Zero values are the defaults of the packages.
type serviceConfig struct {
	db     store.Store // which the service closes
	store  storeURL    // where that is, for error texts
	assets assets.Config
	runner actors.TaskRunnerConfig // without Kinds, Store and System
	kind   []actors.Option         // of the moves
	kinds  actors.Kinds            // beside the moves
	port   portConfig
	web    webConfig
	settle func(ctx context.Context) error // called when no task runs any more, with the database still open; may be nil
	logger *slog.Logger
}

// start starts a service from the bottom to the top: each part needs those before it. It takes the database over, and
// closes it also if it fails. What the operator may have got wrong (a database that cannot be used, an address that is
// taken, a prefix that means nothing) is found out before any task runs.
func start(ctx context.Context, c serviceConfig) (*service, error) {
	s := &service{}
	if err := s.start(ctx, c); err != nil {
		// What went wrong first is what the caller must know; that some part then had nothing to stop is not.
		_ = s.stop(context.WithoutCancel(ctx), time.Second)
		if asked(ctx) {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return s, nil
}

// start is the order. Whatever is started is pushed at once, so that stop undoes exactly as much as was done.
func (s *service) start(ctx context.Context, c serviceConfig) (err error) {
	// The rooms of all processes. It is the last to go: until then somebody may still have something to say.
	s.system = actors.NewSystem(actors.SystemConfig{Logger: c.logger})
	s.stops.push("the system", s.system.Stop)

	// What is accepted is in here. It closes when nobody is left who could write an outcome.
	s.db = c.db
	s.stops.push("the database", func(context.Context) error { return s.db.Close() })

	// The address is taken now and served last: that somebody else has it must be known before a task runs, and whoever
	// connects in between is kept waiting by the system rather than refused.
	listener, err := c.web.listen(ctx)
	if err != nil {
		return err
	}
	s.stops.push("the listener", func(context.Context) error { return closeListener(listener) })

	// What may be reached. It removes what a killed process has left, so it must be there before the first move runs, and it
	// stops after the last one has.
	c.assets.Logger = c.logger
	c.assets.Mux = buckets(2 * max(c.assets.MaxPerHost, 32)) // a large upload sends two parts at once
	if s.mover, err = assets.New(ctx, c.assets); err != nil {
		return &failure{exitUsage, err}
	}
	s.stops.push("the mover", func(context.Context) error { return s.mover.Close() })

	if c.settle != nil {
		s.stops.push("who follows the tasks", c.settle)
	}

	// From here on tasks run: those of an earlier start at once. Its stop is the drain.
	c.runner.System, c.runner.Store, c.runner.Logger = s.system, s.db, c.logger
	c.runner.Kinds = append(actors.Kinds{assets.Kind(s.mover, c.kind...)}, c.kinds...)
	if s.runner, err = actors.StartTaskRunner(ctx, c.runner); err != nil {
		return databaseError(ctx, c.store, err)
	}
	s.stops.push("the runner", s.runner.Stop)

	// Other machines are let in when what they want can be accepted, and leave first.
	if s.port, err = c.port.open(ctx, s.runner, c.logger); err != nil {
		return err
	}
	if s.port != nil {
		s.stops.push("the port", s.port.Stop)
	}

	if listener == nil {
		return nil // demo move has nobody to serve, and demo worker no pages
	}
	// Only now new work is welcome, and first of all it no longer is.
	ready := &readiness{db: s.db, runner: s.runner, notice: c.web.notice}
	handler, err := routes(s, ready, c.web, c.logger)
	if err != nil {
		return &failure{exitUsage, err}
	}
	s.web = serve(listener, c.web, handler, c.logger)
	s.stops.push("the web server", s.web.stop)
	s.stops.push("readiness", ready.withdraw)
	return nil
}

// stop stops it from the top to the bottom: /readyz says no, the web server takes no more, the runner drains, the mover
// and the database close, and the system ends. After limit, or when ctx ends, everything that takes time is cut short.
func (s *service) stop(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not stopped within %s", limit))
	defer cancel()
	return s.stops.unwind(ctx)
}
