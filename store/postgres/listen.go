package postgres

import (
	"context"

	"github.com/taskrunner-go/taskrunner/store"
)

// everything is what may have happened while nobody listened.
const everything = store.SignalWork | store.SignalOutcomes | store.SignalCancels

// keepListening hands on what the stores of the schema tell, until the store closes.
func (s *Store) keepListening(ctx context.Context, own *keeper) {
	defer own.close()
	_ = s.persist(ctx, own, func(_ context.Context, l *link) error { return s.listen(ctx, l) })
}

// listen returns when the connection breaks. It takes the context of the store: it is not to end like an exchange that takes too long.
func (s *Store) listen(ctx context.Context, l *link) error {
	defer l.pg.Close(ctx) //nolint:errcheck // nobody else is to have it: it would go on listening
	if err := l.run(ctx, s.sql.listen.with()); err != nil {
		return err
	}
	s.listening.Store(true)
	defer s.listening.Store(false)
	s.contact.find()
	s.hear("", everything|signalEnded)
	for {
		n, err := l.conn.Conn().WaitForNotification(ctx)
		if err != nil {
			return err
		}
		from, runner, signals, ok := parsePayload(n.Payload)
		if ok && from != s.handle.String() {
			s.hear(runner, signals)
		}
	}
}

// hear hands on a signal.
func (s *Store) hear(runner string, signals store.Signal) {
	if signals&signalEnded != 0 {
		s.chores.wake()
	}
	if signals&signalHeld != 0 {
		s.teller.hear(runner)
	}
	if signals &^= signalEnded | signalHeld; signals != 0 {
		s.holders.Notify(runner, signals)
	}
}
