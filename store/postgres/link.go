package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// statement is the text of one, and the name under which it is prepared: one of its own for each text, since stores with
// different schemas may share the connections of a pool.
type statement struct{ name, text string }

func newStatement(text string) statement {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(text)) // it never fails
	return statement{name: fmt.Sprintf("taskrunner_%016x", sum.Sum64()), text: text}
}

// call is one statement with its parameters, and what is done with the rows that it gives.
type call struct {
	statement

	args [][]byte
	row  func(*columns) // the columns are valid until it returns; nil: there are none, or they are not looked at
	rows *int64         // where to put how many rows were affected; may be nil
}

// with is a call of the statement.
func (s statement) with(args ...[]byte) call { return call{statement: s, args: args} }

func (c call) each(row func(*columns)) call {
	c.row = row
	return c
}

func (c call) counting(rows *int64) call {
	c.rows = rows
	return c
}

// link is a connection to the server, lent by the pool.
type link struct {
	conn    *pgxpool.Conn
	pg      *pgconn.PgConn
	session *session
	pooled  bool // by a pooler between us and the server
}

// session is what is known of a connection for as long as it lives.
type session struct {
	prepared map[string]*pgconn.StatementDescription
	backend  backend // not known if a pooler is in between
	inDoubt  bool    // it broke while a statement was under way
}

// backend is a process of the server: its number may be another's later.
type backend struct{ pid, started int64 }

var findBackend = newStatement(`SELECT pid::bigint, (extract(epoch FROM backend_start) * 1000000)::bigint
	FROM pg_stat_activity WHERE pid = pg_backend_pid()`)

// endBackend gives a row for as long as the process is there.
var endBackend = newStatement(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE pid = $1::bigint AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2::bigint`)

const sessionKey = "taskrunner/session"

// take takes a connection from the pool. give must be called in the end.
func take(ctx context.Context, pool *pgxpool.Pool, pooled bool) (*link, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, pg: conn.Conn().PgConn(), pooled: pooled}
	if known, ok := l.pg.CustomData()[sessionKey].(*session); ok {
		l.session = known
		return l, nil
	}
	l.session = &session{prepared: map[string]*pgconn.StatementDescription{}}
	l.pg.CustomData()[sessionKey] = l.session
	if err := l.findBackend(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *link) findBackend(ctx context.Context) error {
	if l.pooled {
		return nil
	}
	return l.run(ctx, findBackend.with().each(func(c *columns) {
		l.session.backend = backend{pid: c.int64(), started: c.int64()}
	}))
}

// end ends a process of the server in which a statement of ours may still be under way, though its connection broke, and
// returns when it is gone: what it has not committed by then, it never will. If we may not, we do without: each statement is
// such that to be late does no harm but in the rarest case.
func (l *link) end(ctx context.Context, b backend) error {
	for there := b.pid != 0; there; {
		there = false
		err := l.run(ctx, endBackend.with(bigint(b.pid), bigint(b.started)).each(func(*columns) { there = true }))
		if err != nil && codeOf(err) == "" {
			return err
		}
	}
	return nil
}

// give returns the connection to the pool, which closes it if it is not idle.
func (l *link) give() { l.conn.Release() }

// closeGrace is how long a connection that is given up may take to say goodbye.
const closeGrace = time.Second

// close gives the connection up.
func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	_ = l.pg.Close(ctx) // what is wrong with it is known already
	l.give()
}

var binaryFormat = [...]int16{1}

// run sends the calls in one flight, and reads all answers. Unless one of them is BEGIN, they are one transaction: what the
// server gets between two Syncs is.
func (l *link) run(ctx context.Context, calls ...call) error {
	batch := &pgconn.Batch{}
	for i := range calls {
		if err := l.add(ctx, batch, &calls[i]); err != nil {
			return err
		}
	}
	l.session.inDoubt = true
	err := read(l.pg.ExecBatch(ctx, batch), calls)
	l.session.inDoubt = l.pg.IsClosed()
	return err
}

func (l *link) add(ctx context.Context, batch *pgconn.Batch, c *call) error {
	if l.pooled {
		batch.ExecParams(c.text, c.args, nil, binaryFormat[:], binaryFormat[:])
		return nil
	}
	prepared := l.session.prepared[c.name]
	if prepared == nil {
		var err error
		if prepared, err = l.pg.Prepare(ctx, c.name, c.text, nil); err != nil {
			return fmt.Errorf("%w (in %s)", err, firstWords(c.text))
		}
		l.session.prepared[c.name] = prepared
	}
	batch.ExecStatement(prepared, c.args, binaryFormat[:], binaryFormat[:])
	return nil
}

// firstWords is enough of a statement to recognise it.
func firstWords(text string) string {
	const enough = 60
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > enough {
		return text[:enough] + "…"
	}
	return text
}

// read hands the rows out. A row that cannot be read does not end it: the connection is to be used again.
func read(answers *pgconn.MultiResultReader, calls []call) error {
	var decoding error
	for i := 0; answers.NextResult() && i < len(calls); i++ {
		rows := answers.ResultReader()
		for rows.NextRow() {
			if calls[i].row == nil || decoding != nil {
				continue
			}
			c := columns{values: rows.Values()}
			calls[i].row(&c)
			decoding = c.err
		}
		tag, _ := rows.Close() // its error is that of answers
		if calls[i].rows != nil {
			*calls[i].rows = tag.RowsAffected()
		}
	}
	if err := answers.Close(); err != nil {
		return err
	}
	return decoding
}
