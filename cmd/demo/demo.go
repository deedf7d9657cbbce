package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// demoRunner is the name under which GraphQL shows the runner, and the database keeps its tasks.
	demoRunner = "assets"
	// demoTransfers is small enough for the bar to be seen: 232 assets at 30 ms each, sixteen at a time, take a while.
	demoTransfers = 16
	// demoAttempts is enough for what is wrong only at first, also if the process is killed a dozen times in between: its
	// death uses an attempt of what was running.
	demoAttempts = 20
	// The demo stops within five seconds: it lets moves finish for demoDrain, gives those that it then cancels their grace,
	// and cuts short what is left at demoStop.
	demoDrain  = 1500 * time.Millisecond
	demoGrace  = 500 * time.Millisecond
	demoFinish = 500 * time.Millisecond
	demoStop   = 4 * time.Second
)

// demoConfig is what the flags say.
type demoConfig struct {
	dir    string
	store  storeURL
	listen string
	origin string // where the old provider listens; empty: where it did the last time, or anywhere
	exit   bool
}

// demo is the whole story in one process.
type demo struct {
	demoConfig
	screen  *screen
	samples []sample
	rounds  []recorded // what an earlier start has begun and not ended
	folder  string     // the URL of the new provider
	old     *web
	service *service
	stops   stack

	follower *follower
	narrator narrator
}

// runDemo tells the story: two providers, a service, a mutation, its outcomes. It stays until ctx ends, or all has.
func runDemo(ctx context.Context, c demoConfig, screen *screen) error {
	d := &demo{demoConfig: c, screen: screen, samples: makeSamples()}
	err := d.start(ctx)
	if err == nil {
		err = d.play(ctx)
	}
	return errors.Join(err, d.stop(ctx))
}

// start starts the old provider and the service. The database is opened before both, because the tasks in it say where
// the old provider has to be, and so what the service may reach.
func (d *demo) start(ctx context.Context) error {
	var err error
	if d.folder, err = folderURL(d.newProvider()); err != nil {
		return other(err)
	}
	for _, dir := range []string{d.newProvider(), d.temp(), filepath.Dir(d.store.file)} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return failf(exitOther, "a folder for the demo cannot be made: %w; give another one with --dir", err)
		}
	}
	logger := newLogger(d.screen, slog.LevelWarn)
	db, err := openDatabase(ctx, d.store, logger)
	if err != nil {
		return err
	}
	if err := d.startOldProvider(ctx, db); err != nil {
		_ = db.Close()
		return err
	}
	d.follower = newFollower(d.screen, max(len(d.samples), len(d.rounds)))
	d.follower.each = true
	d.service, err = start(ctx, serviceConfig{
		db:     db,
		assets: assets.Config{Allow: []string{d.old.url("/"), "destination:" + d.folder}, TempDir: d.temp()},
		runner: actors.TaskRunnerConfig{
			Name: demoRunner, MaxChildren: demoTransfers, DrainTimeout: demoDrain, Grace: demoGrace,
			HandleInfo: d.narrator.hear,
		},
		kind: []actors.Option{
			actors.WithMaxAttempts(demoAttempts),
			actors.WithBackoff(actors.Backoff{Base: 100 * time.Millisecond, Max: 500 * time.Millisecond}),
		},
		web:    demoWeb(d.listen),
		settle: d.follower.settle,
		logger: logger,
	})
	if err != nil {
		return err
	}
	// Above the old provider, from which the last moves still read while the service stops.
	d.stops.push("the service", d.service.stops.unwind)
	if err := d.follower.start(ctx, db, d.service.runner); err != nil {
		return databaseError(ctx, d.store, err)
	}
	return nil
}

// demoWeb is for both web servers of the demo, which only this machine can reach.
func demoWeb(address string) webConfig {
	return webConfig{address: address, connections: connectionLimit(defaultConnections, openFiles()), finish: demoFinish}
}

// startOldProvider listens where the tasks of an earlier start will look for it: the port is in their sources.
func (d *demo) startOldProvider(ctx context.Context, db store.Store) (err error) {
	if d.rounds, err = unfinishedRounds(ctx, db, demoRunner); err != nil {
		return databaseError(ctx, d.store, err)
	}
	listener, err := d.listenOrigin(ctx, db)
	if err != nil {
		return err
	}
	d.old = serve(listener, demoWeb(""), newOldProvider(d.samples), slog.New(slog.DiscardHandler))
	d.stops.push("the old provider", d.old.stop)
	return nil
}

// listenOrigin finds the address. What has not ended outweighs the flag, since at another address it would fail for good;
// the flag outweighs the last time, which is only better than any other.
func (d *demo) listenOrigin(ctx context.Context, db store.Store) (net.Listener, error) {
	last, err := lastOrigin(ctx, db, demoRunner)
	switch {
	case err != nil:
		return nil, databaseError(ctx, d.store, err)
	case len(d.rounds) > 0 && originOf(d.rounds[0].move) != "":
		needed := originOf(d.rounds[0].move)
		listener, err := listen(ctx, "--origin", needed)
		if err != nil {
			return nil, failf(exitAddress, "%d moves that have not ended read from %s, where the old provider cannot listen: free that address, or start afresh with another --dir", len(d.rounds), needed)
		}
		return listener, nil
	case d.origin != "":
		return listen(ctx, "--origin", d.origin)
	case last != "":
		// The same address as the last time shows that a second run copies nothing. If it is taken, any other will do.
		if listener, err := listen(ctx, "--origin", last); err == nil {
			return listener, nil
		}
	}
	return listen(ctx, "--origin", "127.0.0.1:0")
}

// All of the demo lies in one folder, so that it can be thrown away as a whole.
func (d *demo) newProvider() string { return filepath.Join(d.dir, "new-provider") }
func (d *demo) temp() string        { return filepath.Join(d.dir, "tmp") }

// play asks for the moves, or goes on with those of an earlier start, and shows how they end.
func (d *demo) play(ctx context.Context) error {
	d.introduce()
	moves, err := d.moves(ctx)
	if err != nil {
		return err
	}
	if err := d.follower.follow(ctx, moves, d.nameOf); err != nil {
		return databaseError(ctx, d.store, err)
	}
	ended := make(chan tally, 1)
	go func() { ended <- d.follower.wait() }() // until the runner stops, at the latest
	looker := newLooker(d.service, d.follower)
	stopWatching := d.screen.watch(func() status { return looker.look(len(moves)) })
	writable, stopAsking := whileWritable(ctx, d.service.db, d.store)
	defer stopAsking()
	select {
	case <-writable.Done():
	case err = <-d.service.web.failed:
	case t := <-ended:
		stopWatching()
		stopAsking()
		return d.finish(ctx, t)
	}
	stopWatching()
	d.screen.notef("stopping: what runs may finish, what does not goes on at the next start; once more to stop at once\n")
	stopErr := d.stop(ctx)
	t := <-ended
	d.screen.printf("stopped: %d of %d moves have ended; started again, the others go on\n", t.ended(), len(moves))
	if err == nil && (d.exit || !asked(ctx)) {
		err = context.Cause(writable) // it was to go on until all had ended
	}
	return errors.Join(err, stopErr)
}

// moves sends the mutation, or gives what an earlier start has left.
func (d *demo) moves(ctx context.Context) ([]recorded, error) {
	if len(d.rounds) > 0 {
		d.screen.printf("going on with %d moves of an earlier start, which has not ended them all\n\n", len(d.rounds))
		return d.rounds, nil
	}
	wanted := make([]assets.Move, len(d.samples))
	for i, s := range d.samples {
		wanted[i] = assets.Move{Source: d.old.url("/" + s.name), Destination: d.folder + s.name}
	}
	before := time.Now()
	ids, err := sendMoves(ctx, d.service.web.url(graphql.Path), wanted)
	switch {
	case asked(ctx):
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, other(fmt.Errorf("the mutation: %w", err))
	}
	d.screen.printf("moveAssets     %d tasks accepted in %d ms\n\n", len(ids), time.Since(before).Milliseconds())
	moves := make([]recorded, len(ids))
	for i := range ids {
		moves[i] = recorded{ids[i], wanted[i]}
	}
	return moves, nil
}

// nameOf is what an asset is called below the old provider.
func (d *demo) nameOf(move assets.Move) string {
	return nameBelow(d.old.url("/"), move.Source)
}

// introduce says where everything is, so that a person can look at it.
func (d *demo) introduce() {
	faulty := 0
	for _, s := range d.samples {
		if s.fault != sound {
			faulty++
		}
	}
	d.screen.printf("old provider   %s  (%d assets, %d of them faulty on purpose)\n", d.old.url("/"), len(d.samples), faulty)
	d.screen.printf("new provider   %s\n", d.newProvider())
	d.screen.printf("database       %s\n", d.store)
	d.screen.printf("GraphQL        %s\n", d.service.web.url(graphql.Path))
	d.screen.printf("GraphiQL       %s\n", d.service.web.url(graphql.PagePath))
}

// finish shows the sum of it, and stays up unless the demo is to exit.
func (d *demo) finish(ctx context.Context, t tally) error {
	d.screen.printf("\n%s\n", t.table())
	if t.broken != nil {
		return other(t.broken)
	}
	if d.exit {
		// The last line is the last: whoever reads it finds the database closed and the ports free.
		err := d.stop(ctx)
		d.screen.printf("%s\n", t.sum())
		return err
	}
	d.screen.printf("%s\n\nIt stays up: see the tasks, and move more, at %s\n", t.sum(), d.service.web.url(graphql.PagePath))
	d.screen.printf("Ctrl-C stops it; started again, it moves the same assets and finds that nothing has changed.\n")
	d.narrator.open(d.screen) // until now it would have repeated what the follower says
	select {
	case <-ctx.Done():
		d.screen.notef("stopping\n")
		return d.stop(ctx)
	case err := <-d.service.web.failed:
		return errors.Join(other(err), d.stop(ctx))
	}
}

// stop stops the service and then the old provider, from which running moves still read. A second call does nothing.
func (d *demo) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), demoStop, fmt.Errorf("not stopped within %s", demoStop))
	defer cancel()
	return other(d.stops.unwind(ctx))
}
