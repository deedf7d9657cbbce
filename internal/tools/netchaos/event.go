package main

import (
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// what says what a process notes.
type what string

const (
	// Of a sender. What a call may record is noted before it.
	isAsked    what = "asked"    // is about to ask; ID if the sender has chosen one
	isAccepted what = "accepted" // with this ID; Existed
	isRefused  what = "refused"  // Text; Unsure if it may have been accepted all the same
	isTold     what = "told"     // the outcome: State, Result, Text, and How it was told
	isThrough  what = "through"  // one of its callers has asked for all that it was to ask for
	isDone     what = "done"     // everything was asked for, and all that was accepted has its outcome

	// Of a sender's subscriber at the receiver Peer.
	isFollowing    what = "following"    // is about to follow, from what it has not acknowledged
	isHeard        what = "heard"        // an outcome: Pos, ID, Run, State, Result
	isAcknowledged what = "acknowledged" // up to Pos; Unsure if the answer was an error

	// Of a receiver.
	isReady   what = "ready"   // it listens; Text is its node
	isStarted what = "started" // a handler: Run
	isStopped what = "stopped" // in order

	// Of a watcher.
	isWatching what = "watching" // its monitors of a receiver are in place
	isDown     what = "down"     // one of them was told: How says which, Text is the reason

	// Of each: what must not fail has failed; Text.
	isBroken what = "broken"
)

// Ways to be told of an outcome.
const (
	byHandle = "handle"
	byID     = "id"
)

// Monitors.
const (
	ofRunner = "runner"
	ofTask   = "task"
)

// event is one thing that a process notes, right when it was.
type event struct {
	What    what          `json:"w"`
	At      time.Duration `json:"t"` // since the machine started: one clock for all processes
	Life    int           `json:"l"` // which of the processes that its machine has had one after the other
	Peer    int           `json:"p"` // the receiver that is meant
	Token   string        `json:"n,omitempty"`
	ID      string        `json:"i,omitempty"`
	Run     int64         `json:"r,omitempty"`
	State   store.State   `json:"s,omitempty"`
	Result  string        `json:"v,omitempty"`
	Pos     int64         `json:"c,omitempty"`
	How     string        `json:"h,omitempty"`
	Text    string        `json:"e,omitempty"`
	Existed bool          `json:"x,omitempty"`
	Unsure  bool          `json:"u,omitempty"`

	Machine int `json:"-"` // whose it is: an index into history.Machines
}
