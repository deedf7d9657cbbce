package store

import "context"

// Tx is a transaction of the caller's in the store's own database: what is done with it exists exactly if the caller's commit
// does, together with what the caller writes there. The package of the store makes it. It is used by one goroutine at a time, as
// the transaction is, and an error of the database's ends the transaction.
type Tx interface {
	// Inserter: the tasks start as Available or Scheduled; a Node is ErrInvalid, since nobody runs them before the commit.
	Inserter

	// Complete records that a run has completed: the outcome's To must be Completed. ErrNotFound, ErrFenced, *StateError and
	// ErrInvalid as in Worker.Finish. Until the commit, other outcomes of the run wait for this one or are refused.
	Complete(ctx context.Context, outcome Outcome) error
}
