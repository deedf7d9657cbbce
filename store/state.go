package store

import (
	"fmt"
	"slices"
)

// State is the state of a task. The names are River's and Oban's.
type State string

const (
	// Scheduled: is to run later, for the first time or after a snooze.
	Scheduled State = "scheduled"
	// Available: is to run as soon as there is room.
	Available State = "available"
	// Running: belongs to the node that runs it.
	Running State = "running"
	// Retryable: failed, and is to run again later.
	Retryable State = "retryable"
	// Completed: its handler returned a value. Final.
	Completed State = "completed"
	// Cancelled: nobody wanted it any more. Final.
	Cancelled State = "cancelled"
	// Discarded: failed for good. Final.
	Discarded State = "discarded"
)

// States lists all states in the order of a task's life.
var States = [...]State{Scheduled, Available, Running, Retryable, Completed, Cancelled, Discarded}

// moves says which moves exist; a move that is not here is refused by every store. Scheduled and Retryable become
// Running directly when their time has come: that they were available in between is not worth a write.
var moves = map[State][]State{
	Scheduled: {Available, Running, Cancelled},
	Available: {Running, Cancelled},
	Running:   {Completed, Retryable, Cancelled, Discarded, Available, Scheduled},
	Retryable: {Available, Running, Cancelled},
	Completed: {Available},
	Cancelled: {Available},
	Discarded: {Available},
}

// CanMove reports whether a task may go from one state to the other. Running → Available is giving back (a stop, or
// the death of the node), Running → Scheduled is snoozing, final → Available is a retry by hand.
func CanMove(from, to State) bool { return slices.Contains(moves[from], to) }

// Valid reports whether s is one of the seven states.
func (s State) Valid() bool { return slices.Contains(States[:], s) }

// Final reports whether a task in this state stays in it unless somebody retries it by hand.
func (s State) Final() bool { return s == Completed || s == Cancelled || s == Discarded }

// Waiting reports whether a task in this state is still to be run.
func (s State) Waiting() bool { return s == Scheduled || s == Available || s == Retryable }

// StateError says that a move was refused because the table of states does not have it.
type StateError struct {
	TaskID   string
	From, To State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("store: task %s is %s and cannot become %s", e.TaskID, e.From, e.To)
}
