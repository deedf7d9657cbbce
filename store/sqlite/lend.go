package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// ErrTxTimeout says that a function to which InTx had lent a transaction took longer than Config.TxTimeout. Nothing of it is
// recorded.
var ErrTxTimeout = errors.New("store/sqlite: the lent transaction took longer than Config.TxTimeout")

// Tx is a transaction of the store that is lent to a function; see Store.InTx. It is used by one goroutine at a time, and only
// until the function returns.
type Tx struct {
	lent *lent
	sql  *sql.Tx
}

var _ store.Tx = (*Tx)(nil)

// InTx lends a transaction to f, in which f may read and write tables of the application's own in the same file, insert tasks,
// and record that runs have completed. If f returns nil, all of that is committed together and synced; if it returns an error,
// that is the answer, and nothing is recorded. f runs in the caller's goroutine; when it panics, the transaction is rolled back
// and the panic goes on.
//
// There is one writer: while f has the transaction, all other writes wait. So f must not itself wait for one, such as Insert of
// the store; to read from the store is free, and shows what was there before. After Config.TxTimeout, which begins when f does,
// or when ctx ends, the transaction is rolled back whatever f is doing; its statements fail from then on, and the answer is
// ErrTxTimeout, or the error of ctx. A statement that is under way then is interrupted, but for the step from one row of a query
// to the next.
//
// What would outlast the transaction or end it is refused: COMMIT, ROLLBACK, SAVEPOINT, ATTACH, temporary tables, pragmas but for
// those that only read, and changes of the store's own tables, whose names begin with taskrunner_. So is, in the end, a foreign
// key that refers to one of these. Foreign keys among the application's tables are enforced. When SQLite itself rolls the
// transaction back, because the disk is full or a conflict says ON CONFLICT ROLLBACK, all that f does afterwards fails, and so
// does InTx.
func (s *Store) InTx(ctx context.Context, f func(tx *Tx) error) error {
	if !s.calls.Enter() {
		return store.ErrClosed
	}
	defer s.calls.Leave()
	l := &lent{steps: s.steps, given: make(chan struct{}), back: make(chan struct{})}
	o := &operation{alone: true, run: func(x *tx) error { return l.lend(ctx, x, s.cfg.TxTimeout) }}
	if err := s.writer.submit(ctx, o); err != nil {
		return err
	}
	if err := s.writer.await(ctx, o, l.given); err != nil {
		return err
	}
	failed := l.use(f)
	<-o.done
	switch {
	case failed == nil:
		return o.err
	case l.ended != nil && !errors.Is(failed, l.ended):
		return fmt.Errorf("%w (the function's error: %w)", o.err, failed)
	case l.ended != nil:
		return o.err
	}
	return failed
}

// SQL gives the transaction for statements of the caller's own. Its Commit and Rollback are not the caller's to call: they spoil
// the transaction, and InTx then says so.
func (t *Tx) SQL() *sql.Tx { return t.sql }

// Insert implements store.Tx. Those who run the tasks are told after the commit.
func (t *Tx) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) (inserted []store.Inserted, err error) {
	for i := range tasks {
		if tasks[i].Node != "" {
			return nil, fmt.Errorf("%w: Node is %q: it must be empty, since nobody runs a task before the commit (task %d of %d)",
				store.ErrInvalid, tasks[i].Node, i+1, len(tasks))
		}
	}
	rows, err := newRows(now, tasks)
	if err != nil {
		return nil, err
	}
	err = t.lent.work(ctx, func(x *tx) (err error) {
		if inserted, err = x.insert(rows); err != nil {
			return err
		}
		return x.settle()
	})
	if err != nil {
		return nil, err
	}
	return inserted, nil
}

// Complete implements store.Tx.
func (t *Tx) Complete(ctx context.Context, outcome store.Outcome) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	if outcome.To != store.Completed {
		return fmt.Errorf("%w: To is %q: it must be %q", store.ErrInvalid, outcome.To, store.Completed)
	}
	refused := []error{nil}
	err := t.lent.work(ctx, func(x *tx) error {
		if err := x.finish([]store.Outcome{outcome}, []uuid.UUID{key(outcome.TaskID)}, refused); err != nil {
			return err
		}
		return x.settle()
	})
	return errors.Join(refused[0], err)
}
