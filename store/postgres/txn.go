package postgres

import "context"

// txn is a transaction of several flights. Between them it holds locks while a client thinks, so it is only for what is rare.
type txn struct {
	l     *link
	begun bool
}

var (
	begin    = newStatement(`BEGIN`)
	snapshot = newStatement(`BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY`)
	commit   = newStatement(`COMMIT`)
	rollback = newStatement(`ROLLBACK`)
	// guarded has the server end our session if we are stopped in the middle of a transaction: others wait for its locks.
	guarded = newStatement(`SET LOCAL idle_in_transaction_session_timeout = 3000`)
)

// run sends the calls in one flight; the first one begins the transaction.
func (t *txn) run(ctx context.Context, calls ...call) error {
	if !t.begun {
		calls = append([]call{begin.with(), guarded.with()}, calls...)
		t.begun = true
	}
	return t.l.run(ctx, calls...)
}

// commit sends the calls and the commit in one flight, so that no lock that they take waits for us.
func (t *txn) commit(ctx context.Context, calls ...call) error {
	if t.begun {
		calls = append(calls, commit.with())
	}
	t.begun = false
	return t.l.run(ctx, calls...)
}

// end rolls back what was not committed. It takes no context: the one of the work may have ended.
func (t *txn) end() {
	if t.l.pg.IsClosed() || t.l.pg.TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if err := t.l.run(ctx, rollback.with()); err != nil {
		_ = t.l.pg.Close(ctx) // the server rolls back when the connection ends
	}
}

// transact has f do the work in a transaction, which f commits; if it does not, all is as before. It may be done again.
func (s *Store) transact(ctx context.Context, from source, f func(ctx context.Context, t *txn) error) error {
	return s.persist(ctx, from, func(ctx context.Context, l *link) error {
		t := &txn{l: l}
		defer t.end()
		return f(ctx, t)
	})
}
