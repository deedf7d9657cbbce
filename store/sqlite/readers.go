package sqlite

import "context"

// readers are the connections for reading. In WAL mode they see the last commit and wait for no writer. They are opened
// when they are needed first, because a store that only works off tasks hardly reads.
type readers struct {
	path string
	dsn  string
	free chan *conn // nil is a connection that is not open yet
}

func newReaders(path, dsn string, n int) *readers {
	r := &readers{path: path, dsn: dsn, free: make(chan *conn, n)}
	for range n {
		r.free <- nil
	}
	return r
}

// do runs f in a transaction that only reads, so that all of f sees the same moment.
func (r *readers) do(ctx context.Context, f func(*conn) error) (err error) {
	if err := ended(ctx); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-r.free:
	case <-ctx.Done():
		return ended(ctx)
	}
	defer func() { r.free <- c }()
	if c == nil {
		if c, err = dial(ctx, r.dsn); err != nil {
			c = nil
			return fault(r.path, "opening a connection to read", err)
		}
	}
	if err = c.reading(f); err != nil && !c.usable() {
		_ = c.close() // it only read: nothing is lost, and the next one gets a new connection
		c = nil
	}
	return fault(r.path, "reading", err)
}

// reading puts f into a transaction. Without one, a task and its history would be read at two moments, and what was
// committed in between would not fit.
func (c *conn) reading(f func(*conn) error) error {
	if err := c.exec(beginReading); err != nil {
		return err
	}
	if err := f(c); err != nil {
		_ = c.exec(rollback)
		return err
	}
	err := c.exec(commit)
	return err
}

// close closes all connections. Nobody may call do any more.
func (r *readers) close() {
	for range cap(r.free) {
		if c := <-r.free; c != nil {
			_ = c.close()
		}
	}
}
