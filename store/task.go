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

	Priority int // from 0, the most urgent, to MaxPriority; decides only who is claimed first

	State           State
	Run             int64 // rises by one at each start, never used twice; outcomes are fenced by it
	Attempt         int   // the attempt that is under way or was the last; 0 before the first
	MaxAttempts     int
	Timeout         time.Duration // of each run; zero is none
	Node            string        // who runs it, while Running; who ran it last, once it has ended
	CancelRequested bool          // somebody wants the running task cancelled; stays after its end, until a retry
	Progress        float64       // from 0 to 1 of the current or last run
	Result          []byte        // encoded; of the last outcome, which is this one while Completed
	History         []Attempt     // oldest first; see Attempt
	Pos             int64         // the place of its outcome in the order of outcomes, once it has ended; else zero

	InsertedAt  time.Time
	ScheduledAt time.Time // not before; the next run's while Scheduled or Retryable
	StartedAt   time.Time // of the current or last run; zero before the first
	FinishedAt  time.Time // zero unless the state is final
}

// Attempt is what one run that did not complete has left in the task's history; or the outcome that a task had before it was
// retried by hand. Runs that were snoozed or given back used no attempt and leave nothing, and neither does the run that has
// completed a task: its times and its node stand in the Task.
type Attempt struct {
	Attempt    int
	Run        int64
	Node       string
	State      State     // what the task became by it
	StartedAt  time.Time // zero if the task was cancelled before its first run
	FinishedAt time.Time
	Error      string // empty if it completed, or was cancelled without having failed
	Stack      string // empty unless the handler panicked
}

// Place is where a task stands in a List.
type Place struct {
	Pos int64 // of a task that has ended
	Seq int64 // of one that has not
}

// Place gives the task's place. It changes when the task ends, or is retried by hand.
func (t Task) Place() Place {
	if t.Pos > 0 {
		return Place{Pos: t.Pos}
	}
	return Place{Seq: t.Seq}
}

// NewTask is what is recorded of a task when it is accepted.
type NewTask struct {
	ID          string // a UUID; an ID that exists already is not inserted again
	Runner      string
	Kind        string
	Key         string
	Args        []byte
	Priority    int
	MaxAttempts int
	Timeout     time.Duration
	ScheduledAt time.Time // zero, or not after now: at once

	// Node, if it is not empty, records the task as already running there (Run 1, Attempt 1), which saves the write
	// of a claim. ScheduledAt is then ignored.
	Node string
	// Fresh says that the ID was made for this task just now and that nobody else knows it, which saves the store to look
	// whether it exists. Who asks again after an error does not know that any more: the first time may have been recorded.
	Fresh bool
}

// Inserted is the answer to one NewTask.
type Inserted struct {
	Task
	// Existed says that a task of this ID was there already. Task is then that task, unchanged, and the caller must
	// not start it. It may have been this very call that has recorded it, if the ID is not Fresh: a store that repeats a statement
	// whose answer was lost finds the task, which others may have run meanwhile, and cannot tell.
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
	Tasks []Task // now Running on the node, in the order in which they are to start; without History
	// Next is when the next task of these kinds is due: the time of the claim itself if there was more than Limit, zero if none
	// waits.
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
	Error       string    // kept for Retryable, Discarded and Cancelled; may be empty
	Stack       string
}

// Progress is how far one run has come.
type Progress struct {
	TaskID   string
	Run      int64
	Fraction float64
}

// RunID names one run of a task.
type RunID struct {
	TaskID string
	Run    int64
}

// Query selects tasks for List. Its zero value selects all.
type Query struct {
	States []State // any of these; empty: all
	Kind   string
	Runner string
	After  Place // only tasks behind this place; zero: from the start
	Limit  int   // zero: 50; at most MaxList
}

// OutcomeQuery asks for outcomes.
type OutcomeQuery struct {
	Runner string // empty: of all
	// After is a cursor: only outcomes behind this one. FromOldest is from the oldest behind which nothing was deleted,
	// FromNow gives none and only tells where the order ends. If outcomes behind the cursor were deleted, the answer is ErrCursorExpired; if it
	// is beyond where the order ends, ErrCursorAhead.
	After int64
	// Gapless is for those who must not miss one: ErrCursorExpired also with FromOldest, if any outcome of the runner was ever deleted.
	Gapless bool
	Limit   int // zero: 50; at most MaxList
}

// Cursors to begin with.
const (
	FromOldest int64 = 0
	FromNow    int64 = -1
)

// Outcomes is the answer to an OutcomeQuery.
type Outcomes struct {
	// Tasks are as they were at each outcome, oldest outcome first, with Pos and with their histories up to then. A task that was
	// retried by hand is there once for each outcome.
	Tasks []Task
	// Next is the cursor to go on from: the Pos of the last of Tasks, or further if the store has looked further.
	Next int64
}

// Expiry says what Prune deletes.
type Expiry struct {
	Runner string // whose outcomes
	// Outcomes of this state that ended before this time; zero: none.
	Completed, Cancelled, Discarded time.Time
	// Subscribers that were last seen before this time keep nothing any more; zero: all of them keep what they have not acknowledged.
	Subscribers time.Time
	Limit       int // at most so many; zero: 1000
}

// Before gives the time for the state, as every store keeps it; zero: none of it is deleted.
func (e Expiry) Before(s State) time.Time {
	switch s {
	case Completed:
		return Micro(e.Completed)
	case Cancelled:
		return Micro(e.Cancelled)
	case Discarded:
		return Micro(e.Discarded)
	}
	return time.Time{}
}

// Keeps reports whether nothing behind the subscriber's cursor may be deleted.
func (e Expiry) Keeps(s Subscriber) bool { return !s.SeenAt.Before(Micro(e.Subscribers)) }

// Size is how many outcomes Prune deletes at most: Limit, or 1000 if that is zero.
func (e Expiry) Size() int {
	if e.Limit == 0 {
		return 1000
	}
	return e.Limit
}

// MaxList is the largest number of tasks that List and Outcomes give at once.
const MaxList = 1000
