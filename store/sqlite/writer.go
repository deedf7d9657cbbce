package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// writer is the one goroutine that writes. Whoever wants to write hands it an operation and waits. It commits in one
// transaction what has gathered, and then answers all: one sync of the disk serves hundreds. There is no timer: while
// one commit is under way, the next batch gathers.
type writer struct {
	file    *file
	memory  *memory
	holders *store.Holders
	queue   chan *operation
	done    chan struct{} // closed when the goroutine has ended

	alone  *operation // taken from the queue, and to be run after the batch
	doubt  *tx        // of which it is not known whether it was committed; nil: none
	stands bool       // it may be whole in the log
}

// batchRows is how many rows a transaction may reach before it takes no further operation. Some 5 µs a row make it
// about 10 ms, which bounds how long the first operation of a batch waits for the others. One operation may exceed it.
const batchRows = 2048

// operation is what one caller wants written.
type operation struct {
	rows  int
	run   func(*tx) error // may be run twice, if the first transaction fails; only the second counts
	alone bool            // it takes no others into its transaction, and is run once
	taken atomic.Bool     // by the writer, or by a caller that no longer wants it
	done  chan struct{}
	err   error // valid when done is closed
}

func newWriter(f *file, m *memory, h *store.Holders, queue int) *writer {
	return &writer{file: f, memory: m, holders: h, queue: make(chan *operation, queue), done: make(chan struct{})}
}

// stop has the loop finish what is in the queue, and waits for it. Nobody may call do any more.
func (w *writer) stop() {
	close(w.queue)
	<-w.done
}

// do has the operation take part in a transaction.
func (w *writer) do(ctx context.Context, o *operation) error {
	if err := w.submit(ctx, o); err != nil {
		return err
	}
	return w.await(ctx, o, o.done)
}

// submit puts the operation into the queue.
func (w *writer) submit(ctx context.Context, o *operation) error {
	if err := ended(ctx); err != nil {
		return err
	}
	o.done = make(chan struct{})
	select {
	case w.queue <- o:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// await waits until the operation has come so far, or is done. While it waits in the queue it respects ctx; once the writer has
// taken it, it goes on, because it cannot be taken back.
func (w *writer) await(ctx context.Context, o *operation, reached <-chan struct{}) error {
	select {
	case <-reached:
	case <-o.done:
	case <-ctx.Done():
		if o.taken.CompareAndSwap(false, true) { // the writer will pass it over
			return ended(ctx)
		}
		select {
		case <-reached:
		case <-o.done:
		}
	}
	return o.answer()
}

// answer is that of the writer, nil while there is none.
func (o *operation) answer() error {
	select {
	case <-o.done:
		return o.err
	default:
		return nil
	}
}

// loop is the goroutine. It ends when the queue is closed and empty.
func (w *writer) loop() {
	defer close(w.done)
	for first := range w.queue {
		w.yield()
		w.commit(w.gather(first))
		if o := w.alone; o != nil {
			w.alone = nil
			w.commit([]*operation{o})
		}
	}
}

// yield lets those run first who are about to hand something over. Whoever was answered by the last commit may want more: of 16
// callers, the first to come would else have a commit for itself, and the other 15 the next one.
func (w *writer) yield() {
	for before := -1; before < len(w.queue) && len(w.queue) < cap(w.queue); {
		before = len(w.queue)
		runtime.Gosched()
	}
}

// gather takes what is in the queue without waiting for more.
func (w *writer) gather(first *operation) (batch []*operation) {
	rows := 0
	for o := first; ; {
		if o.taken.CompareAndSwap(false, true) {
			if o.alone {
				w.alone = o
				return batch
			}
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
	end, err := w.transaction(batch)
	if end == undone && errors.Is(err, store.ErrFull) && !batch[0].alone && w.makeRoom() {
		end, err = w.transaction(batch)
	}
	if end == undone && len(batch) > 1 {
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
	done, err := w.file.conn.truncateLog()
	return done && err == nil
}

// ending is what has become of a transaction.
type ending int

const (
	unbegun ending = iota // another program holds the database: to let each operation wait for that in turn would take longer
	undone                // it was rolled back
	done
	unknown // the commit failed, and what became of it cannot be read now
)

// transaction runs the batch in one transaction, and has those told who are concerned.
func (w *writer) transaction(batch []*operation) (ending, error) {
	if err := w.begin(); err != nil {
		return unbegun, fault(w.file.path, "starting to write", err)
	}
	x := newTx(w.file.conn, w.memory, time.Now())
	if err := x.runAll(batch); err != nil {
		w.undo(x)
		return undone, fault(w.file.path, "writing", err)
	}
	end, err := w.end(x)
	return end, fault(w.file.path, "committing", err)
}

// runAll runs the operations one after the other.
func (x *tx) runAll(batch []*operation) error {
	for _, o := range batch {
		if err := o.safely(x); err != nil {
			return err
		}
	}
	return x.flush()
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
