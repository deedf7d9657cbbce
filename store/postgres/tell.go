package postgres

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/taskrunner-go/taskrunner/store"
)

// signalEnded tells the stores that outcomes wait for their places. It is none of package store's.
const signalEnded store.Signal = 1 << 7

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
	mu      sync.Mutex
	pending map[string]store.Signal // by runner
	ready   chan struct{}           // of one: that there is something
}

func newTeller() *teller {
	return &teller{pending: map[string]store.Signal{}, ready: make(chan struct{}, 1)}
}

func (t *teller) add(runner string, signals store.Signal) {
	t.mu.Lock()
	t.pending[runner] |= signals
	t.mu.Unlock()
	select {
	case t.ready <- struct{}{}:
	default:
	}
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
		payloads := s.teller.take(s.handle.String())
		_ = s.persist(ctx, own, func(ctx context.Context, l *link) error {
			return l.run(ctx, s.sql.tell.with(texts(payloads...)))
		})
	}
}
