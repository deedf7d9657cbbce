package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// moveBatch is how many assets are recorded at once.
	moveBatch = 256
	// moveWaiting is how many may wait for their turn. What is listed beyond that waits with the list, so that a million
	// assets take no more memory than a few thousand.
	moveWaiting = 4096

	// Like the demo, a move stops within five seconds.
	moveDrain = 1500 * time.Millisecond
	moveGrace = 500 * time.Millisecond
	moveStop  = 4 * time.Second
)

// moveConfig is what the flags say.
type moveConfig struct {
	from, to  place
	list      string // a file of names, - for stdin; empty: all that is there
	stdin     io.Reader
	store     storeURL
	transfers int
	attempts  int
	limits    limits
	tempDir   string
	allow     []string // where redirects may lead besides FROM
	workers   peerConfig
	logger    *slog.Logger
}

// moving is one run of demo move.
type moving struct {
	moveConfig
	screen   *screen
	service  *service
	follower *follower
	open     map[assets.Move]bool // what an earlier run has recorded and not ended
	total    atomic.Int64
	listed   atomic.Bool // total is final
}

// runMove moves every asset below FROM to TO.
func runMove(ctx context.Context, c moveConfig, screen *screen) error {
	m := &moving{moveConfig: c, screen: screen, open: map[assets.Move]bool{}}
	began := time.Now()
	names, closeNames, err := m.names(func(ctx context.Context) iter.Seq2[string, error] { return m.service.mover.Index(ctx, m.from.base) })
	if err != nil {
		return err
	}
	defer closeNames()
	m.follower = newFollower(screen, moveWaiting+c.transfers)
	if err := m.start(ctx); err != nil {
		return err
	}
	looker := newLooker(m.service, m.follower)
	stopWatching := screen.watch(func() status {
		seen := looker.look(int(m.total.Load()))
		seen.listing = !m.listed.Load()
		return seen
	})
	writable, stopAsking := whileWritable(ctx, m.service.db, m.store)
	err = m.moveAll(writable, names)
	stopAsking()
	t, stopErr := m.stop(ctx)
	stopWatching()
	if err == nil {
		err = stopErr // after another error it is a consequence
	}
	return m.conclude(ctx, t, time.Since(began), err)
}

// start starts a service that serves nobody.
func (m *moving) start(ctx context.Context) error {
	db, err := openDatabase(ctx, m.store, m.logger)
	if err != nil {
		return err
	}
	m.service, err = start(ctx, serviceConfig{
		db:    db,
		store: m.store,
		assets: assets.Config{
			Allow:          append([]string{m.from.source(), m.to.destination()}, m.allow...),
			AllowAddresses: ownNetworks(),
			MaxPerHost:     m.transfers,
			TempDir:        m.tempDir,
			StallTimeout:   m.limits.stall,
			MaxBytes:       m.limits.maxBytes,
		},
		runner: actors.TaskRunnerConfig{
			Name: m.runnerName(), MaxChildren: m.transfers, MaxWaiting: moveWaiting, DrainTimeout: moveDrain, Grace: moveGrace,
		},
		kind: []actors.Option{
			actors.WithMaxAttempts(m.attempts),
			actors.WithTimeout(m.limits.timeout),
			actors.WithDecide(moveWords),
			actors.WithBackoff(actors.Backoff{Base: 500 * time.Millisecond, Max: 30 * time.Second}),
		},
		settle: m.follower.settle,
		logger: m.logger,
	})
	if err == nil {
		err = m.follow(ctx)
	}
	return inWords(err, "Config.Allow[0] ", "FROM ", "Config.Allow[1] ", "TO ")
}

// follow has the ends of moves counted from now on.
func (m *moving) follow(ctx context.Context) error {
	err := m.follower.start(ctx, m.service.db, m.service.runner)
	if err == nil {
		return nil
	}
	_ = m.service.stop(context.WithoutCancel(ctx), moveStop) // what went wrong first is what the caller must know
	return databaseError(ctx, m.store, err)
}

// runnerName is another one for each pair of FROM and TO: in a database that is used for several, the moves of one are
// not taken up by another, which may not reach what they name.
func (m *moving) runnerName() string {
	sum := sha256.Sum256([]byte(m.from.base + "\n" + m.to.base))
	return "move-" + hex.EncodeToString(sum[:8])
}

// ownNetworks are those that a name in FROM may stand for although they are not public: who calls move is the operator.
// Link-local addresses are not among them. Clouds keep their secrets there, and no assets.
func ownNetworks() []netip.Prefix {
	var networks []netip.Prefix
	for _, network := range []string{"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"} {
		networks = append(networks, netip.MustParsePrefix(network))
	}
	return networks
}

// namesFunc gives the names of what is to be moved.
type namesFunc func(ctx context.Context) iter.Seq2[string, error]

// names gives what is to be moved: all that there is, or what a list names, in a goroutine of its own: reading a terminal or a
// pipe cannot be broken off.
func (c moveConfig) names(all namesFunc) (names namesFunc, closeNames func(), err error) {
	if c.list == "" {
		return all, func() {}, nil
	}
	list, err := openList(c.list, c.stdin)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) iter.Seq2[string, error] { return detached(ctx, namesFrom(list)) }, func() { _ = list.Close() }, nil
}

// moveAll has everything recorded and awaited, and returns when all has ended, or ctx.
func (m *moving) moveAll(ctx context.Context, names namesFunc) error {
	if err := m.resume(ctx); err != nil {
		return err
	}
	err := m.feed(ctx, names(ctx))
	if err != nil && codeOf(err) != exitFailed {
		return err
	}
	if err == nil && m.list != "" && m.total.Load() == 0 {
		return m.emptyList()
	}
	m.listed.Store(true) // or as far as it could be: what is recorded is moved all the same
	ended := make(chan struct{})
	go func() { // until the runner stops, at the latest
		defer close(ended)
		m.follower.wait()
	}()
	select {
	case <-ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// resume follows what an earlier run has recorded and not ended; the runner has taken it up already.
func (m *moving) resume(ctx context.Context) error {
	if m.store.memory() {
		return nil
	}
	query := store.Query{Runner: m.service.runner.Name(), States: []store.State{store.Scheduled, store.Available, store.Running, store.Retryable}}
	var open []recorded
	err := eachTask(ctx, m.service.db, query, func(t store.Task) bool {
		var move assets.Move
		if json.Unmarshal(t.Args, &move) == nil {
			open = append(open, recorded{t.ID, move})
		}
		return true
	})
	if err != nil {
		return databaseError(ctx, m.store, err)
	}
	for _, r := range open {
		m.open[r.move] = true
	}
	m.total.Add(int64(len(open)))
	if len(open) > 0 {
		m.screen.notef("going on with %d moves that an earlier run has not ended\n", len(open))
	}
	return m.await(ctx, open)
}

// await has the ends of moves counted.
func (m *moving) await(ctx context.Context, moves []recorded) error {
	if err := m.follower.follow(ctx, moves, m.nameOf); err != nil {
		return databaseError(ctx, m.store, err)
	}
	return nil
}

// nameOf is what an asset is called below FROM, as --list takes it.
func (m *moving) nameOf(move assets.Move) string { return nameBelow(m.from.base, move.Source) }

// feed records the names batch by batch. The runner has it wait when enough is waiting.
func (m *moving) feed(ctx context.Context, names iter.Seq2[string, error]) error {
	batch := make([]assets.Move, 0, moveBatch)
	for name, err := range names {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && name == "": // the end of the list; what was in it before is recorded
			return errors.Join(&failure{exitFailed, moveWords(err, 0)}, m.record(ctx, batch))
		case err == nil:
			batch, err = m.add(batch, name)
		}
		if err != nil {
			m.total.Add(1)
			m.follower.fail(name, moveWords(err, 0).Error())
		}
		if len(batch) == moveBatch {
			if err := m.record(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return m.record(ctx, batch)
}

func (c moveConfig) emptyList() error { return failf(exitFailed, "--list %s names nothing", c.list) }

// moveOf is the move of a name.
func (c moveConfig) moveOf(name string) (move assets.Move, err error) {
	if move.Source, err = assets.Join(c.from.base, name); err != nil {
		return move, err
	}
	move.Destination, err = assets.Join(c.to.base, name)
	return move, err
}

// add puts the move of a name into the batch, unless an earlier run has recorded it.
func (m *moving) add(batch []assets.Move, name string) ([]assets.Move, error) {
	move, err := m.moveOf(name)
	if err != nil {
		return batch, err
	}
	if m.open[move] {
		return batch, nil // it is followed already; a second task would only find it unchanged
	}
	if m.list != "" {
		m.open[move] = true // a list may name it again
	}
	if err := m.service.mover.Check(move); err != nil {
		return batch, err
	}
	return append(batch, move), nil
}

// record has a batch accepted as a whole; each asset of it was checked before, so that one that cannot be moved does not
// keep the others from it.
func (m *moving) record(ctx context.Context, batch []assets.Move) error {
	if len(batch) == 0 {
		return nil
	}
	handles, err := actors.RunMany[assets.Moved](ctx, m.service.runner, assets.KindName, batch, actors.WithWait())
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx) // it waited for room
		}
		if databaseTrouble(err) != "" {
			return databaseError(ctx, m.store, err)
		}
		return other(err)
	}
	m.total.Add(int64(len(batch)))
	moves := make([]recorded, len(batch))
	for i, handle := range handles {
		moves[i] = recorded{handle.ID(), batch[i]}
	}
	return m.await(ctx, moves)
}

// stop stops the service, and gives how everything has ended by then.
func (m *moving) stop(ctx context.Context) (tally, error) {
	if asked(ctx) {
		m.screen.notef("stopping: what runs may finish; once more to stop at once\n")
	}
	err := m.service.stop(context.WithoutCancel(ctx), moveStop)
	return m.follower.wait(), other(err)
}

// conclude says how it has ended, on the last line, and with which code.
func (m *moving) conclude(ctx context.Context, t tally, took time.Duration, err error) error {
	m.screen.printf("%s\n", t.arrivalIn(took))
	if asked(ctx) && !m.store.memory() {
		m.screen.notef("the same command goes on from here\n")
		return err
	}
	return t.verdict(err)
}
