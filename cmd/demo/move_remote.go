package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// moveAway is enough for a worker to be started again by hand.
	moveAway = time.Minute
	// handRest is how long an asset rests that no worker has taken although one is there.
	handRest = 500 * time.Millisecond
)

// handing is one run of demo move with workers: it lists FROM, and hands each asset to one of them.
type handing struct {
	moveConfig
	screen *screen
	ledger *ledger
	mover  *assets.Mover // lists
	client *remote.Client
	runner *remote.Runner
	given  map[assets.Move]bool // by a list, which may name one again
	total  atomic.Int64
	listed atomic.Bool  // total is final
	left   atomic.Int64 // with workers, or on their way there, when it was to end
}

// runMoveElsewhere has workers move every asset below FROM to TO. Nothing is recorded here: they do that.
func runMoveElsewhere(ctx context.Context, c moveConfig, screen *screen) error {
	h := &handing{moveConfig: c, screen: screen, ledger: newLedger(screen), given: map[assets.Move]bool{}}
	began := time.Now()
	names, closeNames, err := c.names(h.index)
	if err != nil {
		return err
	}
	defer closeNames()
	if h.mover, err = c.newLister(ctx); err != nil {
		return err
	}
	defer func() { _ = h.mover.Close() }() // it has only read
	client, hangUp, err := c.workers.dial(ctx, c.logger, screen)
	if err != nil {
		return err
	}
	defer hangUp()
	h.client = client
	h.runner = h.client.Runner(c.workers.runner)
	stopWatching := screen.watch(h.status)
	err = h.handAll(ctx, names)
	stopWatching()
	return h.conclude(ctx, time.Since(began), err)
}

// newLister gives what lists FROM. It may reach nothing else, and writes nothing.
func (c moveConfig) newLister(ctx context.Context) (*assets.Mover, error) {
	mover, err := assets.New(ctx, assets.Config{
		Allow: append([]string{c.from.source()}, c.allow...), AllowAddresses: ownNetworks(),
		TempDir: c.tempDir, Mux: buckets(1), Logger: c.logger,
	})
	if err != nil {
		return nil, &failure{exitUsage, inWords(err, "Config.Allow[0] ", "FROM ")}
	}
	return mover, nil
}

func (h *handing) index(ctx context.Context) iter.Seq2[string, error] {
	return h.mover.Index(ctx, h.from.base)
}

// status knows how many moves have ended; how far those have come that run, the workers keep to themselves.
func (h *handing) status() status {
	t := h.ledger.now()
	return status{ended: t.ended(), failed: t.discarded, bytes: t.bytes, total: int(h.total.Load()), listing: !h.listed.Load()}
}

// handAll hands out all names, --transfers of them at a time, and returns when all have ended, or it makes no sense to go on.
func (h *handing) handAll(ctx context.Context, names namesFunc) error {
	patient, stop := lingering(ctx, moveDrain)
	defer stop()
	quiet := context.AfterFunc(ctx, func() { // at once: while all hands are busy, nobody here would notice
		h.screen.notef("stopping: the workers finish what they have been given; once more to stop at once\n")
	})
	defer quiet()
	hands, working := errgroup.WithContext(ctx)
	hands.SetLimit(h.transfers)
	fed := h.feed(working, names(working), func(name string, move assets.Move) {
		hands.Go(func() error { return h.hand(working, patient, name, move) })
	})
	h.listed.Store(true)
	if err := hands.Wait(); err != nil {
		return err
	}
	if fed == nil && h.list != "" && h.total.Load() == 0 {
		return h.emptyList()
	}
	return fed
}

// lingering gives a context that goes on for a moment when ctx has ended: what is nearly done may be told.
func lingering(ctx context.Context, moment time.Duration) (patient context.Context, stop func()) {
	patient, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		time.AfterFunc(moment, func() { cancel(context.Cause(ctx)) })
	})
	return patient, func() {
		unhook()
		cancel(nil)
	}
}

// feed gives each name that can be moved to give, which waits when enough is under way.
func (h *handing) feed(ctx context.Context, names iter.Seq2[string, error], give func(name string, move assets.Move)) error {
	for name, err := range names {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && name == "": // the end of the list
			return &failure{exitFailed, moveWords(err, 0)}
		}
		var move assets.Move
		if err == nil {
			move, err = h.moveOf(name)
		}
		if err != nil {
			h.total.Add(1)
			h.ledger.fail(name, moveWords(err, 0).Error())
			continue
		}
		if h.list != "" {
			if h.given[move] {
				continue
			}
			h.given[move] = true
		}
		h.total.Add(1)
		give(name, move)
	}
	return nil
}

// hand has a worker move one asset, and counts how that ends. The error is one after which the others need not be tried. When
// ctx ends nothing more is handed over; patient ends the waiting for what was.
func (h *handing) hand(ctx, patient context.Context, name string, move assets.Move) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	result, err := h.outcome(ctx, patient, move)
	ended, isEnd := errors.AsType[*actors.TaskError](err)
	switch {
	case err == nil:
		h.ledger.arrive(name, result)
	case isEnd && ended.State == store.Cancelled:
		h.ledger.withdraw(name)
	case isEnd:
		h.ledger.fail(name, reason(harmless(ended.Err.Error()), move))
	case errors.Is(err, remote.ErrInvalid): // of this asset alone
		h.ledger.fail(name, refusal(err))
	case ctx.Err() != nil:
		h.left.Add(1)
		return context.Cause(ctx)
	default:
		return peerError(err)
	}
	return nil
}

// refusal is why a worker has refused an asset, without the names of what it came through.
func refusal(err error) string {
	text := harmless(err.Error())
	if _, why, found := strings.Cut(text, "assets: "); found {
		return why
	}
	return withoutPackage(text)
}

// outcome has a worker run the task, and waits for its end. It is always the same task, by its id: wherever it is recorded
// already, nothing is begun anew.
func (h *handing) outcome(ctx, patient context.Context, move assets.Move) (result json.RawMessage, err error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	again := patience{away: h.workers.away, losses: h.attempts}
	for {
		task, err := remote.Run[json.RawMessage](patient, h.runner, assets.KindName, move, remote.WithID(id), remote.WithWait(),
			remote.WithMaxAttempts(h.attempts), remote.WithTimeout(h.limits.timeout))
		if err == nil {
			result, err = task.Await(patient)
		}
		if err == nil || !again.after(err, h.reaches(), time.Now()) || !wait(ctx, handRest) {
			return result, err
		}
	}
}

// reaches reports whether any worker is there.
func (h *handing) reaches() bool {
	return slices.ContainsFunc(h.client.Nodes(), func(n remote.Node) bool { return n.Up && !n.Leaving })
}

// patience is what one asset is granted when its worker comes and goes.
type patience struct {
	away   time.Duration // how long no worker may take it
	losses int           // how often a worker may take it along when it goes
	since  time.Time     // the first refusal in a row
}

// after reports whether the asset is to be handed out again. elsewhere says that a worker is there: if the one that had the
// asset is away for good, another one can have it.
func (p *patience) after(err error, elsewhere bool, now time.Time) bool {
	gone := errors.Is(err, remote.ErrLost) || errors.Is(err, store.ErrNotFound) // another worker was asked, who never had it
	switch {
	case gone, errors.Is(err, remote.ErrNoConnection) && elsewhere:
		p.losses--
		p.since = time.Time{}
		return p.losses > 0
	case errors.Is(err, remote.ErrNoConnection): // that has been waited for
		return false
	case errors.Is(err, actors.ErrStopping), errors.Is(err, store.ErrUnavailable):
		if p.since.IsZero() {
			p.since = now
		}
		return now.Sub(p.since) < p.away
	}
	return false
}

// conclude says how it has ended, on the last line, and with which code.
func (h *handing) conclude(ctx context.Context, took time.Duration, err error) error {
	t := h.ledger.now()
	h.screen.printf("%s\n", t.arrivalIn(took))
	if left := h.left.Load(); left > 0 {
		h.screen.notef("%d more were on their way: the workers finish what they have been given\n", left)
	}
	if asked(ctx) {
		return err
	}
	return t.verdict(err)
}
