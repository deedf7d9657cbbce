package store

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// The functions in this file are what happens to a task at each move, without I/O. They are for those who write a
// store: it loads a task, applies, and records what the task has become. One place for the rules keeps two stores from
// reading the contract differently. An entry for the history is appended to History, also if that was not loaded.

// OrphanError is the text in the history of a task whose node died.
const OrphanError = "the node that ran it died"

// ApplyInsert is the task that n is recorded as. Its Seq is the store's to give. n must be valid.
func ApplyInsert(now time.Time, n NewTask) Task {
	t := Task{
		ID: n.ID, Runner: n.Runner, Kind: n.Kind, Key: n.Key, Args: cloneBytes(n.Args),
		Priority: n.Priority, MaxAttempts: n.MaxAttempts, Timeout: wholeMicros(n.Timeout), State: Available,
		InsertedAt: Micro(now), ScheduledAt: Micro(n.ScheduledAt),
	}
	if n.Node != "" {
		t.ScheduledAt = t.InsertedAt
		ApplyClaim(&t, now, n.Node)
		return t
	}
	if t.ScheduledAt.IsZero() {
		t.ScheduledAt = t.InsertedAt
	}
	if t.ScheduledAt.After(t.InsertedAt) {
		t.State = Scheduled
	}
	return t
}

// ApplyClaim starts the next run of a waiting task on the node.
func ApplyClaim(t *Task, now time.Time, node string) {
	t.State, t.Node = Running, node
	t.Run++
	t.Attempt++
	t.Progress = 0
	t.StartedAt = Micro(now)
}

// ApplyOutcome ends the current run of a task. It reports whether that changed the task: not if the same outcome was
// recorded before, and not if it is refused (ErrFenced, *StateError). An outcome that would make a task wait whose
// cancel is requested makes it Cancelled, or the wish would be lost. o must be valid.
func ApplyOutcome(t *Task, o Outcome) (changed bool, err error) {
	to := o.To
	if t.CancelRequested && to.Waiting() {
		to = Cancelled
	}
	switch {
	case t.Run != o.Run:
		return false, fmt.Errorf("%w: task %s is at run %d, the outcome is of run %d", ErrFenced, t.ID, t.Run, o.Run)
	case t.State == to: // Running is no outcome
		return false, nil
	case t.State != Running:
		return false, &StateError{TaskID: t.ID, From: t.State, To: to}
	}
	switch to {
	case Completed:
		t.Result = cloneBytes(o.Result)
	case Retryable:
		t.ScheduledAt = Micro(o.ScheduledAt)
	case Scheduled:
		t.ScheduledAt = Micro(o.ScheduledAt)
		t.Attempt--
	case Available:
		t.Attempt-- // ScheduledAt stays: what is given back keeps its place in the queue
	}
	if to == Retryable || to == Cancelled || to == Discarded {
		remember(t, to, o.FinishedAt, o.Error, o.Stack)
	}
	leave(t, to, o.FinishedAt)
	return true, nil
}

// AsAsked says what Finish answers for an outcome that was recorded: ErrCancelled if ApplyOutcome made another state of it.
func AsAsked(now State, o Outcome) error {
	if now == Cancelled && o.To.Waiting() {
		return fmt.Errorf("%w: task %s", ErrCancelled, o.TaskID)
	}
	return nil
}

// ApplyOrphan takes a running task from a node that died. The attempt is used, so that a task which kills its process
// ends at last.
func ApplyOrphan(t *Task, now time.Time) {
	to := Available
	switch {
	case t.CancelRequested:
		to = Cancelled
	case t.Attempt >= t.MaxAttempts:
		to = Discarded
	}
	remember(t, to, now, OrphanError, "")
	leave(t, to, now)
}

// ApplyCancel is Controller.Cancel for one task. It reports whether that changed the task.
func ApplyCancel(t *Task, now time.Time) (changed bool, err error) {
	switch {
	case t.State.Waiting():
		t.History = append(t.History, Attempt{Attempt: t.Attempt, Run: t.Run, State: Cancelled, FinishedAt: Micro(now)})
		leave(t, Cancelled, now)
		return true, nil
	case t.State == Running:
		changed = !t.CancelRequested
		t.CancelRequested = true
		return changed, nil
	case t.State == Cancelled:
		return false, nil
	}
	return false, &StateError{TaskID: t.ID, From: t.State, To: Cancelled}
}

// ApplyRetry is Controller.Retry for one task. It reports whether that changed the task.
func ApplyRetry(t *Task, now time.Time) (changed bool, err error) {
	switch t.State {
	case Available:
		return false, nil
	case Running:
		return false, &StateError{TaskID: t.ID, From: t.State, To: Available}
	}
	if t.State == Completed { // the other ends are in the history already
		remember(t, Completed, t.FinishedAt, "", "")
	}
	t.MaxAttempts = max(t.MaxAttempts, t.Attempt+1)
	t.State, t.Node, t.ScheduledAt = Available, "", Micro(now)
	t.FinishedAt, t.CancelRequested, t.Pos = time.Time{}, false, 0
	return true, nil
}

// leave is what all ends of a run, and a cancel of a waiting task, have in common. The result of an earlier outcome stays
// for the runs that follow, which may build on it, and goes with an outcome that has none.
func leave(t *Task, to State, at time.Time) {
	t.State = to
	if to.Final() {
		t.FinishedAt = Micro(at)
	} else {
		t.Node = ""
	}
	if to == Cancelled || to == Discarded {
		t.Result = nil
	}
}

// remember adds what the run has led to, of which a store keeps the newest MaxHistory entries.
func remember(t *Task, to State, at time.Time, text, stack string) {
	t.History = append(t.History, Attempt{
		Attempt: t.Attempt, Run: t.Run, Node: t.Node, State: to, StartedAt: t.StartedAt, FinishedAt: Micro(at),
		Error: CleanText(text), Stack: CleanText(stack),
	})
}

// Micro is t as every store keeps it: in UTC, rounded down to the microsecond. The zero time stays zero.
func Micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

// wholeMicros rounds up: rounded down, a timeout of a few nanoseconds would be none.
func wholeMicros(d time.Duration) time.Duration {
	whole := d.Truncate(time.Microsecond)
	if whole < d && whole <= math.MaxInt64-time.Microsecond {
		whole += time.Microsecond
	}
	return whole
}

// cloneBytes copies, because the caller may reuse its slice. Empty is nil: a database cannot tell them apart.
func cloneBytes(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
