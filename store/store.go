// Package store is what survives a crash: the contract of a task store, the states of a task, and a store in memory.
//
// # Promises
//
// Every store keeps these; package storetest checks them, and make chaos kills processes to see them kept (docs/chaos.md).
//
//   - When Insert returns without an error, the tasks are recorded: committed and synced, for a store that lasts.
//     Insert takes all of its tasks or none.
//   - A task is claimed by one node at a time. Each claim raises its run number by one; no number is used twice.
//   - An outcome is accepted only for the current run of a task, so a run that was taken from its node cannot overwrite
//     what happened since. The same outcome given twice is accepted once, and the second time answers nil.
//   - A task goes only where the table in state.go says it may.
//   - Outcomes have one order, which is the same for all who ask: whoever has been told of one is never told later of one
//     that stands before it.
//   - What a subscriber has not acknowledged is kept, for as long as the subscriber is seen now and then.
//   - One item of a batch that is refused fails alone, except in Insert.
//   - All methods may be called from any goroutine. They end early when their context does; what was already handed to
//     the database may be committed nevertheless.
//
// Time is passed in wherever it decides something.
package store

import (
	"context"
	"errors"
	"time"
)

// What callers branch on. Errors of a store wrap these, or are a *StateError, or are the database's own.
var (
	// ErrNotFound says that there is no task of this id, or none that matches, or no subscriber of this name.
	ErrNotFound = errors.New("store: not found")
	// ErrFenced says that an outcome came from a run that is no longer the task's current one.
	ErrFenced = errors.New("store: the run is not the task's current run")
	// ErrCancelled says that an outcome which would have made the task wait was recorded as Cancelled instead, because
	// its cancel was requested while it ran.
	ErrCancelled = errors.New("store: recorded as cancelled, as was requested")
	// ErrCursorExpired says that outcomes behind the cursor were deleted, because they were older than what is kept.
	ErrCursorExpired = errors.New("store: outcomes after the cursor were deleted")
	// ErrCursorAhead says that the cursor stands beyond the last outcome that was ever recorded: it comes from another database, or from
	// this one before a backup of it was restored. Whoever goes on with it would miss all that is recorded until the order has come so
	// far, and after that nobody can tell any more.
	ErrCursorAhead = errors.New("store: the cursor is ahead of all outcomes")
	// ErrUnavailable says that the database cannot be reached now, or does not say what became of what it was told. What was asked for
	// may have been done, and may be asked for again.
	ErrUnavailable = errors.New("store: the database gives no answer")
	// ErrDenied says that the database does not let us in, or not do what we must.
	ErrDenied = errors.New("store: the database denies access")
	// ErrSchema says that the tables in the database are not those of this library, or were changed by hand.
	ErrSchema = errors.New("store: the tables are not as this library has made them")
	// ErrHeld says that a runner of this name runs on the store already.
	ErrHeld = errors.New("store: a runner of this name runs on the store already")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrLocked says that another process has the database file open.
	ErrLocked = errors.New("store: the database is in use by another process")
	// ErrReadOnly says that the database cannot be written to.
	ErrReadOnly = errors.New("store: the database is read-only")
	// ErrCorrupt says that the database file is damaged, or not a database.
	ErrCorrupt = errors.New("store: the database is damaged")
	// ErrNewerVersion says that a newer version of this library has written the database.
	ErrNewerVersion = errors.New("store: the database was written by a newer version")
	// ErrFull says that there is no room for what was to be written. Nothing of it was.
	ErrFull = errors.New("store: the disk is full")
	// ErrInvalid says that what was given cannot be recorded; the error text names the field and the value.
	ErrInvalid = errors.New("store: invalid")
)

// Inserter records new tasks.
type Inserter interface {
	// Insert records all tasks or none, in their order, and answers in the same order. A task whose ID exists is not
	// inserted again and is no error.
	Insert(ctx context.Context, now time.Time, tasks []NewTask) ([]Inserted, error)
}

// Worker is what a TaskRunner needs to run tasks.
type Worker interface {
	// Hold says that a runner of this name runs here, until release is called, and has it told of changes. While it holds, the
	// tasks that run in its node are alive. ErrHeld if one of this name holds here already; on a store for several processes,
	// others may hold elsewhere.
	Hold(holder Holder) (release func(), err error)

	// Claim gives tasks that are due to the node: those of the smallest Priority first, of these the longest due, and of those
	// due at the same time the one inserted first. An Available task is due whatever the time is. What was given back, or taken
	// from a node that died, keeps the time at which it was due.
	Claim(ctx context.Context, now time.Time, claim Claim) (Claimed, error)

	// Finish records outcomes and answers one error for each, nil where it is recorded: ErrNotFound, ErrFenced,
	// *StateError, ErrInvalid; ErrCancelled where it is recorded, but as Cancelled, because the task would have waited
	// although its cancel was requested. Outcomes of one task are judged in their order; those of different tasks have no order
	// among each other. The second result is for the batch as a whole: if it is not nil, nothing is known to be recorded, and the
	// batch may be given again.
	Finish(ctx context.Context, outcomes []Outcome) ([]error, error)

	// Report records the progress of runs. What is not the current run is passed over; what is invalid is not recorded
	// and is told in the error (ErrInvalid), and the others are recorded all the same.
	Report(ctx context.Context, progress []Progress) error

	// Recover takes running tasks of the runner back from every node that is dead, and says how many: where no runner of the
	// name holds, and on a store for several processes, whose lease has ended. The death of a node uses an attempt: a task that
	// has none left is discarded with a history entry that says so, and one whose cancel was requested is cancelled; the others
	// are available again.
	Recover(ctx context.Context, now time.Time, runner string) (int, error)

	// Running gives the runs of the runner that are recorded as running in the node, in no order. A node compares them with what
	// it really runs; only for a node that holds on this store need the answer be right.
	Running(ctx context.Context, runner, node string) ([]RunID, error)

	// CancelRequests gives the ids of the tasks that run on the node and are to be cancelled.
	CancelRequests(ctx context.Context, runner, node string) ([]string, error)
}

// Controller changes tasks by hand.
type Controller interface {
	// Cancel ends a waiting task as Cancelled. For a running one it records that its cancel is requested; the node that
	// runs it does the rest. A task that is cancelled already is left so, one that is completed or discarded is a
	// *StateError.
	Cancel(ctx context.Context, now time.Time, id string) (Moved, error)

	// Retry makes a task available now: a final one for a new outcome (the old one stays in its history, its result until the
	// new outcome, and if no attempt is left it gets one more), a scheduled or a retryable one. An available one is left so, a
	// running one is a *StateError.
	Retry(ctx context.Context, now time.Time, id string) (Moved, error)

	// Prune deletes outcomes that are older than what is kept, oldest first, each with its task if the task has no later
	// outcome and does not run again, and says how many. It keeps each that a subscriber of the runner has not acknowledged, unless
	// that subscriber was not seen for longer than the expiry allows: its cursor stays, and whoever goes on behind it is told if
	// something is gone (OutcomeQuery.Gapless).
	Prune(ctx context.Context, expiry Expiry) (int, error)
}

// Reader looks tasks up.
type Reader interface {
	// Get gives one task with its history, or ErrNotFound.
	Get(ctx context.Context, id string) (Task, error)
	// Ended gives those of the tasks that have ended, with their histories, in no order. Unknown ids are left out.
	Ended(ctx context.Context, ids []string) ([]Task, error)
	// List gives tasks with their histories: first those that wait or run, the newest first, then those that have ended, the
	// last ended first. Whoever reads page by page sees each task that was there; one that ends meanwhile may come twice, and
	// one that is retried by hand meanwhile may be missed.
	List(ctx context.Context, query Query) ([]Task, error)
	// Last gives the Completed task of this kind and key that ended last, or ErrNotFound.
	Last(ctx context.Context, kind, key string) (Task, error)
	// Counts gives the number of the runner's tasks in each state; states without tasks are absent. An empty runner
	// is all.
	Counts(ctx context.Context, runner string) (map[State]int64, error)
	// Outcomes gives outcomes in their one order, or ErrCursorExpired, or ErrCursorAhead. The latter is never the answer to a cursor that
	// the database has given, whatever was deleted since and whoever asks.
	Outcomes(ctx context.Context, query OutcomeQuery) (Outcomes, error)
}

// Store is a whole store.
type Store interface {
	Inserter
	Worker
	Controller
	Reader
	Subscriptions

	// Ping reports whether the store can be written to now.
	Ping(ctx context.Context) error

	// Identity says which database this is: the same after a restart, and in every process that has it; another one for any other. It asks
	// nobody, and is never empty.
	Identity() string

	// Close writes what was handed over, and closes. It is idempotent; every other method answers ErrClosed after it.
	Close() error
}

// Limits that every store has.
const (
	// MaxErrorText is how many bytes of an error or a stack are kept; what is longer is cut, and says so.
	MaxErrorText = 64 << 10
	// MaxArgs is the largest size of one task's arguments in bytes.
	MaxArgs = 1 << 20
	// MaxResult is the largest size of one task's result in bytes.
	MaxResult = 1 << 20
	// MaxHistory is how many entries of a task's history are kept, the newest. A task that is put off, or retried by hand,
	// again and again would else grow without end.
	MaxHistory = 100
	// MaxPriority is the largest Priority, which is the least urgent.
	MaxPriority = 9
	// MaxName is the largest length in bytes of a kind, a runner's or a subscriber's name, or a key.
	MaxName = 512
)
