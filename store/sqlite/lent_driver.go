package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

// What follows makes of a lent transaction a driver for database/sql, so that the function that has it gets a *sql.Tx. It passes
// on what is asked, for as long as the transaction is lent; then nothing, also if the function keeps a statement or rows.

type connector struct{ lent *lent }

// Connect implements driver.Connector. It gives the one connection that there is.
func (c connector) Connect(context.Context) (driver.Conn, error) { return lentConn(c), nil }

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return lentDriver{} }

type lentDriver struct{}

// Open implements driver.Driver. There is no name by which a lent transaction could be opened.
func (lentDriver) Open(string) (driver.Conn, error) { return nil, errTxOver }

type lentConn struct{ lent *lent }

var _ interface {
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
} = lentConn{}

// Prepare implements driver.Conn.
func (c lentConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c lentConn) PrepareContext(ctx context.Context, query string) (prepared driver.Stmt, err error) {
	err = c.lent.call(ctx, func(ctx context.Context) error {
		raw, err := c.lent.x.raw.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		if err == nil {
			s := &lentStmt{lent: c.lent, Stmt: raw}
			c.lent.stmts[s] = struct{}{}
			prepared = s
		}
		return err
	})
	return prepared, err
}

// ExecContext implements driver.ExecerContext.
func (c lentConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.lent.call(ctx, func(ctx context.Context) (err error) {
		result, err = c.lent.x.raw.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

// QueryContext implements driver.QueryerContext.
func (c lentConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.lent.query(ctx, nil, func(ctx context.Context) (driver.Rows, error) {
		return c.lent.x.raw.(driver.QueryerContext).QueryContext(ctx, query, args)
	})
}

// BeginTx implements driver.ConnBeginTx. The writer has begun the transaction.
func (c lentConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return lentTx(c), nil
}

// Begin implements driver.Conn.
func (c lentConn) Begin() (driver.Tx, error) { return lentTx(c), nil }

// Close implements driver.Conn. The connection is the writer's to close.
func (c lentConn) Close() error { return nil }

// lentTx ends nothing: the writer does. database/sql calls it when the function has returned, and when the time is over; at any
// other time it is the function that does.
type lentTx struct{ lent *lent }

// Commit implements driver.Tx.
func (t lentTx) Commit() error { return t.end() }

// Rollback implements driver.Tx.
func (t lentTx) Rollback() error { return t.end() }

func (t lentTx) end() error {
	t.lent.mu.Lock()
	defer t.lent.mu.Unlock()
	if t.lent.returned || t.lent.over != nil || t.lent.ctx.Err() != nil {
		return nil
	}
	return t.lent.spoil(errTxEnded)
}

type lentStmt struct {
	driver.Stmt
	lent *lent
}

// Close implements driver.Stmt.
func (s *lentStmt) Close() error {
	s.lent.mu.Lock()
	defer s.lent.mu.Unlock()
	return s.close()
}

// close closes rows of the statement first: they would be those of another one otherwise, or of none. It is called under
// lent.mu, and does nothing the second time.
func (s *lentStmt) close() error {
	if _, open := s.lent.stmts[s]; !open {
		return nil
	}
	for r := range s.lent.rows {
		if r.of == s {
			_ = r.close()
		}
	}
	delete(s.lent.stmts, s)
	return s.Stmt.Close()
}

// ExecContext implements driver.StmtExecContext.
func (s *lentStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	err = s.lent.call(ctx, func(ctx context.Context) (err error) {
		result, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return result, err
}

// QueryContext implements driver.StmtQueryContext.
func (s *lentStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.lent.query(ctx, s, func(ctx context.Context) (driver.Rows, error) {
		return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	})
}

// query gives rows, which belong to a statement, or to none. Their context lasts as long as they do.
func (l *lent) query(
	ctx context.Context, of *lentStmt, f func(context.Context) (driver.Rows, error),
) (driver.Rows, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	ctx, stop := l.within(ctx)
	raw, err := f(ctx)
	if err != nil {
		stop()
		return nil, l.explain(err)
	}
	typed, ok := raw.(typedRows)
	if !ok {
		stop()
		return nil, errors.Join(errors.New("store/sqlite: the driver's rows have no types"), raw.Close())
	}
	r := &lentRows{lent: l, typedRows: typed, of: of, stop: stop}
	l.rows[r] = struct{}{}
	return r, nil
}

// typedRows is what the driver's rows can do.
type typedRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// lentRows passes on what reads memory of Go's; what asks SQLite does so only while they are open.
type lentRows struct {
	typedRows
	lent *lent
	of   *lentStmt
	stop func()
}

// Close implements driver.Rows.
func (r *lentRows) Close() error {
	r.lent.mu.Lock()
	defer r.lent.mu.Unlock()
	return r.close()
}

// close is called under lent.mu, and does nothing the second time.
func (r *lentRows) close() error {
	if !r.isOpen() {
		return nil
	}
	delete(r.lent.rows, r)
	err := r.typedRows.Close()
	r.stop()
	return err
}

func (r *lentRows) isOpen() bool {
	_, open := r.lent.rows[r]
	return open
}

// Next implements driver.Rows.
func (r *lentRows) Next(dest []driver.Value) error {
	r.lent.mu.Lock()
	defer r.lent.mu.Unlock()
	if err := r.lent.usable(); err != nil {
		return err
	}
	if !r.isOpen() {
		return errTxOver
	}
	err := r.typedRows.Next(dest)
	if errors.Is(err, io.EOF) {
		return err
	}
	return r.lent.explain(err)
}

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (r *lentRows) ColumnTypeLength(index int) (length int64, ok bool) {
	r.lent.mu.Lock()
	defer r.lent.mu.Unlock()
	if !r.isOpen() {
		return 0, false
	}
	return r.typedRows.ColumnTypeLength(index)
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *lentRows) ColumnTypeScanType(index int) reflect.Type {
	r.lent.mu.Lock()
	defer r.lent.mu.Unlock()
	if !r.isOpen() {
		return reflect.TypeFor[any]()
	}
	return r.typedRows.ColumnTypeScanType(index)
}
