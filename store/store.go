// Package store is what survives a crash: the contract of a task store, the states of a task, and a store in memory.
//
// # Promises
//
// Every store keeps these; package storetest checks them.
//
//   - When Insert returns without an error, the tasks are recorded: committed and synced, for a store that lasts.
//     Insert takes all of its tasks or none.
//   - A task is claimed by one node at a time. Each claim raises its run number by one; no number is used twice.
//   - An outcome is accepted only for the current run of a task, so a run that was taken from its node cannot overwrite
//     what happened since. The same outcome given twice is accepted once, and the second time answers nil.
//   - A task goes only where the table in state.go says it may.
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
	// ErrNotFound says that there is no task of this id, or none that matches.
	ErrNotFound = errors.New("store: no such task")
	// ErrFenced says that an outcome came from a run that is no longer the task's current one.
	ErrFenced = errors.New("store: the run is not the task's current run")
	// ErrCancelled says that an outcome which would have made the task wait was recorded as Cancelled instead, because
	// its cancel was requested while it ran.
	ErrCancelled = errors.New("store: recorded as cancelled, as was requested")
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
	// Hold says that a runner of this name runs on the store, until release is called; ErrHeld if one does already. See
	// Holders, which does it.
	Hold(runner string) (release func(), err error)

	// Claim gives tasks that are due to the node: the longest due first, and of those due at the same time the one
	// inserted first. What was given back, or taken from a node that died, keeps the time at which it was due.
	Claim(ctx context.Context, now time.Time, claim Claim) (Claimed, error)

	// Finish records outcomes and answers one error for each, nil where it is recorded: ErrNotFound, ErrFenced,
	// *StateError, ErrInvalid; ErrCancelled where it is recorded, but as Cancelled, because the task would have waited
	// although its cancel was requested. The second result is for the batch as a whole: if it is not nil, nothing is
	// known to be recorded, and the batch may be given again.
	Finish(ctx context.Context, outcomes []Outcome) ([]error, error)

	// Report records the progress of runs. What is not the current run is passed over; what is invalid is not recorded
	// and is told in the error (ErrInvalid), and the others are recorded all the same.
	Report(ctx context.Context, progress []Progress) error

	// Recover takes running tasks of the runner back from every node but those that are alive, and says how many. The
	// death of a node uses an attempt: a task that has none left is discarded with a history entry that says so, and
	// one whose cancel was requested is cancelled; the others are available again.
	Recover(ctx context.Context, now time.Time, runner string, alive []string) (int, error)

	// CancelRequests gives the ids of the tasks that run on the node and are to be cancelled.
	CancelRequests(ctx context.Context, runner, node string) ([]string, error)
}

// Controller changes tasks by hand.
type Controller interface {
	// Cancel ends a waiting task as Cancelled. For a running one it records that its cancel is requested; the node that
	// runs it does the rest. A task that is cancelled already is left so, one that is completed or discarded is a
	// *StateError.
	Cancel(ctx context.Context, now time.Time, id string) (Moved, error)

	// Retry makes a task available now: a final one (its history stays, its result until the next outcome, and if no attempt is left it
	// gets one more), a scheduled or a retryable one. An available one is left so, a running one is a *StateError.
	Retry(ctx context.Context, now time.Time, id string) (Moved, error)
}

// Reader looks tasks up.
type Reader interface {
	// Get gives one task with its history, or ErrNotFound.
	Get(ctx context.Context, id string) (Task, error)
	// List gives tasks with their histories, newest first.
	List(ctx context.Context, query Query) ([]Task, error)
	// Last gives the newest Completed task of this kind and key, or ErrNotFound.
	Last(ctx context.Context, kind, key string) (Task, error)
	// Counts gives the number of the runner's tasks in each state; states without tasks are absent. An empty runner
	// is all.
	Counts(ctx context.Context, runner string) (map[State]int64, error)
}

// Store is a whole store.
type Store interface {
	Inserter
	Worker
	Controller
	Reader

	// Ping reports whether the store can be written to now.
	Ping(ctx context.Context) error

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
	// MaxName is the largest length in bytes of a kind, a runner's name or a key.
	MaxName = 512
)
