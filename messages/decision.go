package messages

import (
	"fmt"
	"time"
)

// Verb says what becomes of a task after a failed run.
type Verb string

const (
	// VerbRetry runs the task again after a back-off; without attempts left the task is discarded.
	VerbRetry Verb = "retry"
	// VerbSnooze runs the task again later without using an attempt.
	VerbSnooze Verb = "snooze"
	// VerbCancel ends the task as cancelled.
	VerbCancel Verb = "cancel"
	// VerbDiscard ends the task as discarded, also with attempts left.
	VerbDiscard Verb = "discard"
)

// Decision is an error that says what becomes of the task whose handler returned it. Make one with [Retry],
// [RetryAfter], [Snooze], [Cancel] or [Discard]; it may be wrapped (%w) on its way up.
type Decision struct {
	Verb  Verb          // what becomes of the task
	After time.Duration // for VerbRetry: at least this long, instead of the kind's back-off if not zero; for VerbSnooze: how long
	Err   error         // the cause, may be nil for VerbSnooze
}

func (d *Decision) Error() string {
	switch {
	case d.Err == nil && d.After > 0:
		return fmt.Sprintf("%s for %s", d.Verb, d.After)
	case d.Err == nil:
		return string(d.Verb)
	default:
		return d.Err.Error()
	}
}

// Unwrap gives the cause.
func (d *Decision) Unwrap() error { return d.Err }

// Retry asks for another run after the kind's back-off, which is also what a plain error does.
func Retry(err error) error { return &Decision{Verb: VerbRetry, Err: err} }

// RetryAfter asks for another run, not before after has passed (a server's Retry-After).
func RetryAfter(after time.Duration, err error) error {
	return &Decision{Verb: VerbRetry, After: max(after, 0), Err: err}
}

// Snooze puts the task off without using an attempt: the work cannot be done yet, and nobody is to blame.
func Snooze(after time.Duration) error { return &Decision{Verb: VerbSnooze, After: max(after, 0)} }

// Cancel ends the task as cancelled: it is no longer wanted.
func Cancel(err error) error { return &Decision{Verb: VerbCancel, Err: err} }

// Discard ends the task as discarded: it will never succeed.
func Discard(err error) error { return &Decision{Verb: VerbDiscard, Err: err} }
