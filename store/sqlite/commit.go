package sqlite

import (
	"context"
	"fmt"
	"strconv"

	"github.com/taskrunner-go/taskrunner/store"
)

// A transaction is published in the memory before its COMMIT, and settled or reverted after it. SQLite's commit writes the
// changed pages to the log and syncs it: when it returns, they survive the power. When it fails, the transaction was rolled
// back, as far as is known; but rather than believe that, the mark is read, which stands in the file if and only if the
// transaction does. While not even that can be read, the writer refuses to go on, and readers see what the file holds.
//
// A commit that failed after it had written to the log, because the sync did or because the log's index could not grow, is not seen by
// anybody; but it stands in the log, and whoever recovers the log after a crash finds it whole. So nobody is told that a transaction was
// not committed before another one is written over the place where it would be.

// begin begins a transaction, once it is known what became of the last one.
func (w *writer) begin() error {
	if w.doubt != nil {
		if err := w.resolve(); err != nil {
			return err
		}
	}
	return w.file.conn.exec(beginWriting)
}

// undo rolls a transaction back that was not published.
func (w *writer) undo(x *tx) {
	w.memory.revert(x)
	if !w.file.conn.backOut() {
		w.doubt, w.stands = newTx(w.file.conn, w.memory, x.now), false // which changes nothing
	}
}

// end commits.
func (w *writer) end(x *tx) (ending, error) {
	if !x.changed {
		err := x.exec(commit)
		if err != nil {
			w.undo(x)
			return undone, err
		}
		return done, nil
	}
	w.memory.publish(x)
	err := x.exec(commit)
	if err == nil {
		w.settle(x)
		return done, nil
	}
	w.doubt, w.stands = x, !unwritten(err)
	if w.file.conn.backOut() {
		if committed, unread := w.clear(); unread == nil && committed {
			return done, nil
		} else if unread == nil {
			return undone, err
		}
	}
	return unknown, fmt.Errorf("%w: it is not known whether it was written: %w", store.ErrUnavailable, err)
}

func (w *writer) settle(x *tx) {
	w.memory.settle(x)
	if x.toldAll != 0 {
		w.holders.Notify("", x.toldAll)
	}
	for runner, s := range x.told {
		w.holders.Notify(runner, s)
	}
}

// clear reads what became of the transaction in doubt. No transaction may be open.
func (w *writer) clear() (committed bool, err error) {
	x := w.doubt
	n, err := w.file.conn.numbers(context.Background())
	if err != nil {
		return false, err
	}
	switch n.mark {
	case w.memory.mark: // it changed nothing, or was rolled back
		if w.stands {
			if err := w.seal(); err != nil {
				return false, err
			}
		}
		w.memory.revert(x)
	case w.memory.mark + 1:
		w.settle(x)
		committed = true
	default:
		return false, fmt.Errorf("%w: it is at transaction %d, the store at %d: another program has written to it",
			store.ErrCorrupt, n.mark, w.memory.mark)
	}
	w.doubt = nil
	return committed, nil
}

// seal writes over what a failed commit may have left in the log: that is where the next transaction goes, also one that changes
// nothing. If the log cannot take even that, it is emptied first.
func (w *writer) seal() error {
	err := w.file.conn.rewriteVersion()
	if err != nil && w.makeRoom() {
		err = w.file.conn.rewriteVersion()
	}
	return err
}

// rewriteVersion commits the version of the schema as it is, for which SQLite writes a page. To update a row with the values that it has
// writes none.
func (c *conn) rewriteVersion() error {
	version, err := c.number(readUserVersion)
	if err == nil {
		err = c.exec(beginWriting)
	}
	if err == nil {
		err = c.script(writeUserVersion + strconv.FormatInt(version, 10))
	}
	if err == nil {
		err = c.exec(commit)
	}
	if err != nil {
		c.backOut()
	}
	return err
}

// resolve finds out with a new connection: the old one may be in any state.
func (w *writer) resolve() error {
	if err := w.file.reopen(context.Background()); err != nil {
		return err
	}
	_, err := w.clear()
	return err
}

// backOut ends a transaction that has failed, and reports whether there is none any more. After some failures, such as a full
// disk, SQLite has rolled back by itself: then it is the ROLLBACK that fails, and there is nothing left to undo. That another
// transaction can be begun is the proof.
func (c *conn) backOut() bool {
	_ = c.exec(rollback)
	err := c.exec(beginReading)
	if err == nil {
		err = c.exec(rollback)
	}
	return err == nil
}
