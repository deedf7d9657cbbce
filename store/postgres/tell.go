package postgres

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Signals that are none of package store's.
const (
	// signalHeld tells that a runner of this name holds.
	signalHeld store.Signal = 1 << 6
	// signalEnded tells that outcomes wait for their places.
	signalEnded store.Signal = 1 << 7
)

// payload is what the stores of a schema send each other: the signals as a number, who sends it, and the runner.
func payload(from, runner string, signals store.Signal) string {
	return strconv.Itoa(int(signals)) + " " + from + " " + runner
}

// nobody sends what is told in a caller's transaction: it is news to us too.
const nobody = "-"

func parsePayload(text string) (from, runner string, signals store.Signal, ok bool) {
	parts := strings.SplitN(text, " ", 3)
	if len(parts) < 3 {
		return "", "", 0, false
	}
	n, err := strconv.ParseUint(parts[0], 10, 8)
	return parts[1], parts[2], store.Signal(n), err == nil
}

// teller tells the other stores of the schema. What gathers while it tells is told at once (coalesced): a NOTIFY takes a lock that
// all commits with one wait for, so it is not part of the transactions that it is about.
type teller struct {
	mu        sync.Mutex
	pending   map[string]store.Signal // by runner
	elsewhere map[string]bool         // the runners that hold elsewhere: to nobody else is there anything to tell
	ready     chan struct{}           // of one: that there is something
}

func newTeller() *teller {
	return &teller{pending: map[string]store.Signal{}, elsewhere: map[string]bool{}, ready: make(chan struct{}, 1)}
}

// add has the others told, if there are any.
func (t *teller) add(runner string, signals store.Signal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if signals&signalHeld == 0 && !t.elsewhere[runner] {
		return
	}
	t.pending[runner] |= signals
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// know notes which runners hold elsewhere; hear, that one does.
func (t *teller) know(elsewhere map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.elsewhere = elsewhere
}

func (t *teller) hear(runner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.elsewhere[runner] = true
}

func (t *teller) take(from string) (payloads []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for runner, signals := range t.pending {
		payloads = append(payloads, payload(from, runner, signals))
	}
	clear(t.pending)
	return payloads
}

// outcomesEvery is how long outcomes wait to be told together with others.
const outcomesEvery = 5 * time.Millisecond

// urgent reports whether there is more to tell than outcomes.
func (t *teller) urgent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, signals := range t.pending {
		if signals != store.SignalOutcomes {
			return true
		}
	}
	return false
}

// notify tells the runner, here and elsewhere.
func (s *Store) notify(runner string, signals store.Signal) {
	s.holders.Notify(runner, signals)
	if !s.cfg.TransactionPooling {
		s.teller.add(runner, signals)
	}
}

func (s *Store) tellWork(runners map[string]bool) {
	for runner := range runners {
		s.notify(runner, store.SignalWork)
	}
}

// tellChanges tells what a transaction has changed.
func (s *Store) tellChanges(c *changes) {
	signals := map[string]store.Signal{}
	for i := range c.finished {
		signals[c.finished[i].Runner] |= store.SignalOutcomes
	}
	for _, rows := range [...][]row{c.updated, c.added} {
		for i := range rows {
			if rows[i].State.Waiting() {
				signals[rows[i].Runner] |= store.SignalWork
			}
		}
	}
	for runner, some := range signals {
		s.notify(runner, some)
	}
}

// keepTelling sends what is pending, until the store closes. A signal that cannot be sent is lost, and found by polling.
func (s *Store) keepTelling(ctx context.Context, own *keeper) {
	defer own.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.teller.ready:
		}
		if !s.teller.urgent() {
			pause(ctx, outcomesEvery) // or it would be told of each that something has ended
		}
		payloads := s.teller.take(s.handle.String())
		_ = s.persist(ctx, own, func(ctx context.Context, l *link) error {
			return l.run(ctx, s.sql.tell.with(texts(payloads...)))
		})
	}
}
