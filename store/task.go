package store

import "time"

// Task is one task as it is recorded. Times are in UTC, rounded down to the microsecond, which is what every store
// can keep.
type Task struct {
	ID     string // a UUID in its canonical form (36 characters, lower case)
	Seq    int64  // the order of insertion; rises, never used twice; a cursor
	Runner string // the name of the TaskRunner it belongs to
	Kind   string // which handler runs it; kept for ever, never a Go type name
	Key    string // what it is about, chosen by the kind; may be empty; see Reader.Last
	Args   []byte // encoded arguments

	State           State
	Run             int64 // rises by one at each start, never used twice; outcomes are fenced by it
	Attempt         int   // the attempt that is under way or was the last; 0 before the first
	MaxAttempts     int
	Timeout         time.Duration // of each run; zero is none
	Node            string        // who runs it, while Running
	CancelRequested bool          // somebody wants the running task cancelled; stays after its end, until a retry
	Progress        float64       // from 0 to 1 of the current or last run
	Result          []byte        // encoded; of the last outcome, which is this one while Completed
	Errors          []AttemptError

	InsertedAt  time.Time
	ScheduledAt time.Time // not before; the next run's while Scheduled or Retryable
	StartedAt   time.Time // of the current or last run; zero before the first
	FinishedAt  time.Time // zero unless the state is final
}

// AttemptError is what one run that did not complete has left in the task's history. A task that completes at the
// first attempt has none.
type AttemptError struct {
	Attempt int
	Run     int64
	Node    string
	At      time.Time
	Error   string
	Stack   string // empty unless the handler panicked
}

// NewTask is what is recorded of a task when it is accepted.
type NewTask struct {
	ID          string // a UUID; an ID that exists already is not inserted again
	Runner      string
	Kind        string
	Key         string
	Args        []byte
	MaxAttempts int
	Timeout     time.Duration
	ScheduledAt time.Time // zero, or not after now: at once

	// Node, if it is not empty, records the task as already running there (Run 1, Attempt 1), which saves the write
	// of a claim. ScheduledAt is then ignored.
	Node string
}

// Inserted is the answer to one NewTask.
type Inserted struct {
	Task
	// Existed says that a task of this ID was there already. Task is then that task, unchanged, and the caller must
	// not start it.
	Existed bool
}

// Moved is a task after it was changed by hand.
type Moved struct {
	Task
	From State // its state before; that of Task if it was left as it was
}

// Claim asks for tasks to run.
type Claim struct {
	Runner string
	Node   string
	Kinds  []string // only these: a kind that a process does not know is never claimed by it
	Limit  int      // at most this many
}

// Claimed is the answer to a Claim.
type Claimed struct {
	Tasks []Task // now Running on the node, in the order in which they are to start; without Errors
	// Next is the time at which the next task of these kinds is due, zero if none is. If it is not after the time of
	// the claim, there was more than Limit.
	Next time.Time
}

// Outcome is what becomes of one run.
type Outcome struct {
	TaskID string
	Run    int64 // must be the task's current run, else ErrFenced
	// To is Completed, Retryable, Cancelled, Discarded, Scheduled (snoozed) or Available (given back). The last two
	// leave the attempt as it was before the run.
	To          State
	Result      []byte    // for Completed
	ScheduledAt time.Time // for Retryable and Scheduled
	FinishedAt  time.Time // the end of the run
	Error       string    // the history of every outcome but Completed, Available and Scheduled; may be empty for Cancelled
	Stack       string
}

// Progress is how far one run has come.
type Progress struct {
	TaskID   string
	Run      int64
	Fraction float64
}

// Query selects tasks for List. Its zero value selects all.
type Query struct {
	States []State // any of these; empty: all
	Kind   string
	Runner string
	Before int64 // only tasks with a Seq below this one; zero: from the newest
	Limit  int   // zero: 50; at most MaxList
}

// MaxList is the largest number of tasks that List gives at once.
const MaxList = 1000
