package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	modernc "modernc.org/sqlite"

	"github.com/taskrunner-go/taskrunner/store"
)

// conn is one connection to the database, with the statements that it has prepared. One goroutine uses it at a time.
//
// It stands directly on the driver, not on database/sql: there a bound value costs about 60 ns more, and a statement of
// ours binds up to a thousand. What database/sql does besides (a pool, retries, conversions) is not needed here.
type conn struct {
	raw        driver.Conn
	statements map[string]*statement // by text; see prepared
	guard      *guard                // of the writer's connection; else nil
	inserts    [2]inserts            // see newTx
}

// dial opens a connection. ctx is not watched: SQLite opens a file at once or not at all.
func dial(ctx context.Context, dsn string) (*conn, error) {
	connector, err := modernc.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{raw: raw, statements: map[string]*statement{}}, nil
}

// close closes the statements first: SQLite keeps a connection alive, and its log beside the file, for as long as one of
// its statements is.
func (c *conn) close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.raw.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// usable is false for a connection that an interrupt has left in doubt: its next statement might be taken for the one
// that was to be interrupted.
func (c *conn) usable() bool {
	v, ok := c.raw.(driver.Validator)
	return !ok || v.IsValid()
}

// script runs statements that bind nothing and give nothing. It does not keep them: migrations and pragmas run once.
func (c *conn) script(text string) error {
	raw, err := c.raw.Prepare(text)
	if err != nil {
		return err
	}
	s := statement{raw: raw}
	err = s.exec(context.Background())
	return errors.Join(err, raw.Close())
}

// prepared gives the statement of this text, which it prepares once. The texts are a fixed set, so that the map does
// not grow.
func (c *conn) prepared(text string) (*statement, error) {
	if s, ok := c.statements[text]; ok {
		return s, nil
	}
	raw, err := c.raw.Prepare(text)
	if err != nil {
		return nil, err
	}
	s := &statement{raw: raw}
	c.statements[text] = s
	return s, nil
}

// exec runs a prepared statement that gives no rows. It takes no context: only the writer calls it, and what the writer
// has begun is not interrupted, because others share its transaction.
func (c *conn) exec(text string, args ...driver.Value) error {
	s, err := c.prepared(text)
	if err != nil {
		return err
	}
	return s.exec(context.Background(), args...)
}

// query runs a prepared statement and gives its rows to each, one at a time, until each returns errStop. What a row
// holds is each's to keep, the slice is not. A context that ends interrupts the statement.
func (c *conn) query(
	ctx context.Context, text string, each func(row []driver.Value) error, args ...driver.Value,
) error {
	s, err := c.prepared(text)
	if err != nil {
		return err
	}
	return s.query(ctx, each, args...)
}

// number gives the first column of the first row.
func (c *conn) number(text string, args ...driver.Value) (n int64, err error) {
	err = c.query(context.Background(), text, func(row []driver.Value) error {
		n, _ = row[0].(int64) // NULL is 0
		return errStop
	}, args...)
	return n, err
}

// errStop ends a query early; query itself then returns nil.
var errStop = errors.New("enough rows")

// statement is a prepared statement with room for what it binds and gives, which is reused: one goroutine uses a
// statement at a time, and the driver keeps neither.
type statement struct {
	raw    driver.Stmt
	values []driver.NamedValue
	row    []driver.Value
}

func (s *statement) bind(args []driver.Value) []driver.NamedValue {
	s.values = s.values[:0]
	for i, arg := range args {
		s.values = append(s.values, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return s.values
}

func (s *statement) exec(ctx context.Context, args ...driver.Value) error {
	values := s.bind(args)
	defer clear(values) // or a large argument would be held until the next use
	_, err := s.raw.(driver.StmtExecContext).ExecContext(ctx, values)
	return err
}

func (s *statement) query(ctx context.Context, each func([]driver.Value) error, args ...driver.Value) (err error) {
	values := s.bind(args)
	defer clear(values)
	rows, err := s.raw.(driver.StmtQueryContext).QueryContext(ctx, values)
	if err != nil {
		return err
	}
	defer func() {
		if closing := rows.Close(); err == nil { // else it is the same error a second time
			err = closing
		}
	}()
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	defer clear(s.row)
	for {
		if err := rows.Next(s.row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil { // the driver watches the context only until the first row
			return err
		}
		if err := each(s.row); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// errColumn says that a column does not hold what the schema says. SQLite lets nobody write that, because the tables are
// STRICT: the file is damaged.
func errColumn(got, want any) error {
	return fmt.Errorf("%w: a column holds %v (%T), want a %T", store.ErrCorrupt, got, got, want)
}
