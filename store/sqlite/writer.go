package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/taskrunner-go/taskrunner/store"
)

// writer is the one goroutine that writes. Whoever wants to write hands it an operation and waits. It commits in one
// transaction what has gathered, and then answers all: one sync of the disk serves hundreds. There is no timer: while
// one commit is under way, the next batch gathers.
type writer struct {
	path  string
	conn  *conn
	queue chan *operation
	done  chan struct{} // closed when the goroutine has ended
}

// batchRows is how many rows a transaction may reach before it takes no further operation. Some 10 µs a row make it
// about 20 ms, which bounds how long the first operation of a batch waits for the others. One operation may exceed it.
const batchRows = 2048

// operation is what one caller wants written.
type operation struct {
	rows  int
	run   func(*tx) error // may be run twice, if the first transaction fails; only the second counts
	taken atomic.Bool     // by the writer, or by a caller that no longer wants it
	done  chan struct{}
	err   error // valid when done is closed
}

// startWriter starts the goroutine. stop ends it.
func startWriter(path string, c *conn, queue int) *writer {
	w := &writer{path: path, conn: c, queue: make(chan *operation, queue), done: make(chan struct{})}
	go w.loop()
	return w
}

// stop has the writer finish what is in the queue, and waits for it. Nobody may call do any more.
func (w *writer) stop() {
	close(w.queue)
	<-w.done
}

// do has run take part in a transaction. While the operation waits in the queue it respects ctx; once the writer has
// taken it, the answer is waited for, because it cannot be taken back.
func (w *writer) do(ctx context.Context, rows int, run func(*tx) error) error {
	if err := ended(ctx); err != nil {
		return err
	}
	o := &operation{rows: rows, run: run, done: make(chan struct{})}
	select {
	case w.queue <- o:
	case <-ctx.Done():
		return ended(ctx)
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
	}
	if o.taken.CompareAndSwap(false, true) { // the writer will pass it over
		return ended(ctx)
	}
	<-o.done
	return o.err
}

// loop ends when the queue is closed and empty.
func (w *writer) loop() {
	defer close(w.done)
	for first := range w.queue {
		w.commit(w.gather(first))
	}
}

// gather takes what is in the queue without waiting for more. To yield to the callers that were just answered, so that
// more gathers, was tried and gains nothing that can be measured.
func (w *writer) gather(first *operation) (batch []*operation) {
	rows := 0
	for o := first; ; {
		if o.taken.CompareAndSwap(false, true) {
			batch = append(batch, o)
			rows += max(1, o.rows) // or operations without rows could go on gathering for ever
		}
		if rows >= batchRows {
			return batch
		}
		var open bool
		select {
		case o, open = <-w.queue:
			if !open {
				return batch
			}
		default:
			return batch
		}
	}
}

// commit writes the batch and answers. If one operation makes the transaction fail, each gets a transaction of its own,
// so that it fails alone. That costs a commit each, but it is rare; savepoints would cost every batch a copy of each
// page it touches.
func (w *writer) commit(batch []*operation) {
	if len(batch) == 0 {
		return
	}
	begun, err := w.transaction(batch)
	if errors.Is(err, store.ErrFull) && w.makeRoom() {
		begun, err = w.transaction(batch)
	}
	if err != nil && begun && len(batch) > 1 {
		for _, o := range batch {
			w.commit([]*operation{o})
		}
		return
	}
	for _, o := range batch {
		o.err = err
		close(o.done)
	}
}

// makeRoom copies the log into the database and starts it anew, and reports whether that worked. On a small or full disk
// the log would else stay as large as it was, up to checkpointPages, with most of it stale.
func (w *writer) makeRoom() bool {
	done, err := w.conn.truncateLog()
	return done && err == nil
}

// transaction runs the batch in one transaction. begun tells whether it came as far as to run an operation: if it did
// not, another program holds the database, and to let each operation wait for that in turn would only take longer.
func (w *writer) transaction(batch []*operation) (begun bool, err error) {
	if _, err := w.conn.exec(beginWriting); err != nil {
		return false, fault(w.path, "starting to write", err)
	}
	if err := w.runAll(batch); err != nil {
		// After some failures, such as a full disk, SQLite has rolled back by itself: then this is an error, and there is
		// nothing left to undo.
		_, _ = w.conn.exec(rollback)
		return true, fault(w.path, "writing", err)
	}
	return true, nil
}

// runAll runs the operations one after the other and commits. SQLite's commit writes the changed pages to the log and
// syncs it: when it returns, they survive the power.
func (w *writer) runAll(batch []*operation) error {
	x := newTx(w.conn)
	for _, o := range batch {
		if err := o.safely(x); err != nil {
			return err
		}
	}
	if err := x.flush(); err != nil {
		return err
	}
	_, err := w.conn.exec(commit)
	return err
}

// safely turns a panic into an error, which names the place: it is a mistake of ours or of the driver, and those who
// wait for the other operations have nothing to do with it.
func (o *operation) safely(x *tx) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
		}
	}()
	return o.run(x)
}
