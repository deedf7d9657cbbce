package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lent is a transaction of the writer's while a function has it. The writer waits meanwhile, and takes it back when the function
// is done or the time is over; then nothing that the function may have kept reaches the connection any more.
type lent struct {
	steps []migration
	given chan struct{} // closed when the writer has begun the transaction
	back  chan struct{} // closed when the function is done with it

	ctx   context.Context // ends when the transaction must
	ended error           // why it did; written by the writer before the operation is done

	mu       sync.Mutex
	x        *tx
	stmts    map[*lentStmt]struct{} // those that are open
	rows     map[*lentRows]struct{}
	over     error // why nothing can be done any more; nil: it can
	spoiled  error // why it cannot be committed
	returned bool  // the function has, with verdict
	verdict  error
}

var (
	errTxOver    = fmt.Errorf("store/sqlite: the lent transaction is over: %w", sql.ErrTxDone)
	errTxEnded   = errors.New("the lent transaction was ended by hand: return nil or an error from the function instead")
	errTxLost    = errors.New("SQLite has rolled the lent transaction back by itself")
	errTxAborted = errors.New("the function has panicked, or ended its goroutine")
)

// lend has the transaction used. It is called by the writer, and returns nil if what was done is to be committed.
func (l *lent) lend(ctx context.Context, x *tx, limit time.Duration) error {
	version, err := x.number(schemaVersion)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTxTimeout)
	defer cancel()
	l.ctx, l.x, l.stmts, l.rows = ctx, x, map[*lentStmt]struct{}{}, map[*lentRows]struct{}{}
	x.guard.lend(true)
	close(l.given)
	select {
	case <-l.back:
	case <-ctx.Done():
	}
	if err := l.takeBack(); err != nil {
		return err
	}
	return l.checkSchema(version)
}

// takeBack waits for the call of the driver that is under way, which the end of the time interrupts.
func (l *lent) takeBack() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.rows {
		_ = r.close()
	}
	for s := range l.stmts {
		_ = s.close()
	}
	l.over = errTxOver
	lost := l.x.guard.lend(false)
	switch {
	case !l.returned:
		l.ended = context.Cause(l.ctx)
		return fmt.Errorf("it was rolled back: %w", l.ended)
	case l.verdict != nil:
		return l.verdict
	case lost:
		return l.spoil(errTxLost)
	}
	return l.spoiled
}

const schemaVersion = `PRAGMA schema_version`

// checkSchema looks whether tables of the application were made that disturb ours.
func (l *lent) checkSchema(before int64) error {
	now, err := l.x.number(schemaVersion)
	if err != nil || now == before {
		return err
	}
	return l.x.checkSchema(l.steps, len(l.steps))
}

// use runs the function, in the caller's goroutine.
func (l *lent) use(f func(*Tx) error) (err error) {
	defer close(l.back)
	db := sql.OpenDB(connector{l})
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(l.ctx, nil)
	if err != nil {
		err = cmp.Or(context.Cause(l.ctx), err)
		l.judge(err)
		return err
	}
	defer func() {
		l.judge(err)
		_ = tx.Rollback() // for database/sql to clean up; what becomes of the transaction is the writer's to do
	}()
	err = errTxAborted // unless f returns
	err = f(&Tx{lent: l, sql: tx})
	return err
}

// judge is for what has become of the function. One that returns after the time is too late, also if the writer has not yet seen
// that the time is over.
func (l *lent) judge(verdict error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned, l.verdict = true, verdict
	if l.ctx.Err() != nil {
		_ = l.spoil(fmt.Errorf("store/sqlite: %w", context.Cause(l.ctx)))
	}
}

// work runs f on the transaction, as one of the store's own operations: with the guard away.
func (l *lent) work(ctx context.Context, f func(*tx) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ended(ctx); err != nil {
		return err
	}
	if err := l.usable(); err != nil {
		return err
	}
	l.x.guard.lend(false)
	err := f(l.x)
	l.x.guard.lend(true)
	if err != nil {
		_ = l.spoil(err) // it may be half done, or rolled back
	}
	return err
}

// spoil remembers the first reason why the transaction cannot be committed.
func (l *lent) spoil(err error) error {
	if l.spoiled == nil {
		l.spoiled = err
	}
	return l.spoiled
}

// usable says why nothing can be done with the transaction any more. Who does not listen will not get it committed.
func (l *lent) usable() error {
	switch {
	case l.over != nil:
		return l.over
	case l.ctx.Err() != nil:
		return l.spoil(fmt.Errorf("store/sqlite: %w", context.Cause(l.ctx)))
	case l.x.guard.lost:
		return l.spoil(errTxLost)
	}
	return l.spoiled
}

// call runs f on the driver's connection, as a statement of the function's own. The end of the time interrupts it.
func (l *lent) call(ctx context.Context, f func(ctx context.Context) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	ctx, stop := l.within(ctx)
	defer stop()
	return l.explain(f(ctx))
}

// within gives a context that ends with the transaction's time too.
func (l *lent) within(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	return ctx, func() {
		unhook()
		cancel(nil)
	}
}

// explain names what was refused: SQLite says no more than that it was not authorized.
func (l *lent) explain(err error) error {
	switch refused := l.x.guard.refused; {
	case err == nil:
		return nil
	case l.ctx.Err() != nil:
		return l.spoil(fmt.Errorf("store/sqlite: %w", context.Cause(l.ctx)))
	case refused != "":
		l.x.guard.refused = ""
		return fmt.Errorf("store/sqlite: a lent transaction may not do this: %s: %w", refused, err)
	}
	return err
}
