package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/store"
)

// what says what a child tells.
type what string

const (
	// The life of the process.
	isReady   what = "ready"   // its runner takes tasks; Text is its node
	isRested  what = "rested"  // it accepts nothing any more, and has answered every command
	isIdle    what = "idle"    // no task waits or runs; Pos is that of the last outcome
	isStopped what = "stopped" // it has stopped in order
	isBroken  what = "broken"  // what must not fail has failed; Text
	isAway    what = "away"    // the store cannot be opened now, and the process tries again; Text

	// One call of Run for one task, known by its token. What the call may record is told before it, so that a task
	// which the death of the process leaves behind has somebody who asked for it.
	isAsked    what = "asked"    // is about to ask; Order, and ID if the caller chose one
	isAccepted what = "accepted" // with this ID; Existed
	isRefused  what = "refused"  // Text; Unsure if it may have been accepted all the same

	// One run of a handler.
	isStarted  what = "started"  // Run, Attempt
	isTold     what = "told"     // its context has ended; How is a cause
	isReturned what = "returned" // is about to return; How is one of the ways below, Result what it gives

	// What was told of outcomes.
	isAwaited what = "awaited" // by Await: State, Result
	isHooked  what = "hooked"  // by HandleInfo: Run, State, Result
	isOutcome what = "outcome" // by Outcomes: Pos, Run, Attempt, State, Result

	// By hand. Unsure says that the answer was an error which leaves open whether it was done.
	isCancelling what = "cancelling" // is about to cancel
	isCancelled  what = "cancelled"  // the answer: State and Run, or Text
	isRetrying   what = "retrying"   // is about to retry
	isRetried    what = "retried"    // the answer: State, or Text
)

// Ways in which a handler returns.
const (
	withValue   = "value"
	withError   = "error"
	withPanic   = "panic"
	withGoexit  = "goexit"
	withSnooze  = "snooze"
	withCancel  = "cancel"
	withDiscard = "discard"
)

// Causes of the end of a handler's context.
const (
	byCancel  = "cancelled"
	byTimeout = "timeout"
	byTaken   = "taken"
	byStop    = "stopping"
)

// event is one thing that a child tells its parent, right when it was. Which fields are set, the constants say.
type event struct {
	What    what          `json:"w"`
	At      time.Duration `json:"t"` // since the machine started: one clock for all processes
	Token   string        `json:"n,omitempty"`
	ID      string        `json:"i,omitempty"`
	Run     int64         `json:"r,omitempty"`
	Attempt int           `json:"a,omitempty"`
	State   store.State   `json:"s,omitempty"`
	Result  string        `json:"v,omitempty"`
	Pos     int64         `json:"p,omitempty"`
	How     string        `json:"h,omitempty"`
	Text    string        `json:"e,omitempty"`
	Existed bool          `json:"x,omitempty"`
	Unsure  bool          `json:"u,omitempty"`
	Order   *order        `json:"o,omitempty"`

	Process int `json:"-"` // whose it is: an index into history.Lives
}

// order is the arguments of a task: what its handler is to do. Its token names it from before it has an ID.
type order struct {
	Token       string        `json:"token"`
	Do          string        `json:"do"`             // one of the plans in work.go
	Takes       time.Duration `json:"takes"`          // how long each run takes
	Times       int64         `json:"times"`          // of plans that do something a few times
	MaxAttempts int           `json:"maxAttempts"`    // as asked for
	Delay       time.Duration `json:"delay"`          // as asked for
	Timeout     time.Duration `json:"timeout"`        // as asked for; zero: none
	Priority    int           `json:"priority"`       // as asked for
	Ballast     []byte        `json:"more,omitempty"` // makes it larger
}

// result is what a handler returns: it names the run, so that no two runs return the same.
type result struct {
	Token   string `json:"token"`
	Run     int64  `json:"run"`
	Process string `json:"process"`
}

// teller writes events, each as a line and by one write: of a process that is killed the parent gets all that was told, and
// at most the last line is cut. Any goroutine may tell.
type teller struct {
	mu  sync.Mutex
	out io.Writer
}

// tell gives the time to the event and writes it. It returns when the parent has it, or the pipe to it.
func (t *teller) tell(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.At = harness.Monotonic()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = t.out.Write(append(line, '\n'))
	}
	if err != nil { // the parent is gone: nobody would learn of anything
		panic(fmt.Sprintf("chaos: a child cannot tell: %v", err))
	}
}

// hear reads events to their end, and drops a last line that was cut.
func hear(in io.Reader, heard func(event)) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("chaos: a child says %q: %w", line, err)
		}
		heard(e)
	}
}
