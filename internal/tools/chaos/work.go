package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/messages"
)

// The plans: what the handler of a task does. Those with Times do so in the first so many attempts, or runs, and then return a
// value.
const (
	planValue    = "value"    // returns a value
	planFlaky    = "flaky"    // fails, Times
	planFails    = "fails"    // always fails
	planPanics   = "panics"   // panics, Times
	planExits    = "exits"    // ends its goroutine, Times
	planSnoozes  = "snoozes"  // puts itself off, Times
	planCancels  = "cancels"  // cancels itself
	planDiscards = "discards" // gives itself up
	planDeaf     = "deaf"     // does not heed its context
)

// mix is how often each plan is drawn, in percent.
var mix = []struct {
	plan  string
	share int
}{
	{planValue, 62}, {planFlaky, 12}, {planFails, 4}, {planPanics, 4}, {planExits, 3}, {planSnoozes, 8},
	{planCancels, 2}, {planDiscards, 2}, {planDeaf, 3},
}

// Times of handlers.
const (
	grace      = 200 * time.Millisecond // of the runner; a deaf handler takes longer
	deafTakes  = 350 * time.Millisecond
	snoozeTime = 20 * time.Millisecond
	backoffMin = 10 * time.Millisecond
	backoffMax = 100 * time.Millisecond
)

// draw draws what a task is to do. A share of long ones, in percent, take some seconds.
func draw(rng *rand.Rand, long int) order {
	o := order{Do: planValue, Times: 1 + rng.Int64N(3), MaxAttempts: 2 + rng.IntN(5), Priority: rng.IntN(10)}
	n := rng.IntN(100)
	for _, m := range mix {
		if n -= m.share; n < 0 {
			o.Do = m.plan
			break
		}
	}
	switch n := rng.IntN(100); {
	case o.Do == planDeaf:
		o.Takes = deafTakes
	case n < long:
		o.Takes = time.Second + time.Duration(rng.Int64N(int64(7*time.Second)))
	case n < 50: // at once
	case n < 90:
		o.Takes = time.Duration(rng.Int64N(int64(10 * time.Millisecond)))
	default:
		o.Takes = time.Duration(rng.Int64N(int64(50 * time.Millisecond)))
	}
	switch rng.IntN(12) {
	case 0:
		o.Delay = time.Duration(rng.Int64N(int64(300 * time.Millisecond)))
	case 1:
		o.Timeout = time.Millisecond + time.Duration(rng.Int64N(int64(60*time.Millisecond)))
	case 2:
		o.Ballast = make([]byte, rng.IntN(4000))
	}
	return o
}

// way says how the handler returns from this run, unless it is told to stop before.
func (o order) way(ref messages.TaskRef) string {
	first := int64(ref.Attempt) <= o.Times
	switch {
	case o.Do == planFails, o.Do == planFlaky && first:
		return withError
	case o.Do == planPanics && first:
		return withPanic
	case o.Do == planExits && first:
		return withGoexit
	case o.Do == planSnoozes && ref.Run <= o.Times:
		return withSnooze
	case o.Do == planCancels:
		return withCancel
	case o.Do == planDiscards:
		return withDiscard
	}
	return withValue
}

// errPlanned is how handlers fail.
var errPlanned = errors.New("as planned")

// work is the handler of all tasks. It tells what it does before it does it.
func (c *child) work(ctx context.Context, o order) (r result, err error) {
	ref, _ := actors.CurrentTask(ctx)
	c.tell(event{What: isStarted, ID: ref.TaskID, Run: ref.Run, Attempt: ref.Attempt})
	quiet := context.AfterFunc(ctx, func() {
		c.tell(event{What: isTold, ID: ref.TaskID, Run: ref.Run, How: causeOf(ctx)})
	})
	how, fault := o.way(ref), fmt.Errorf("run %d: %w", ref.Run, errPlanned)
	if !c.spend(ctx, o) {
		how, fault = withError, context.Cause(ctx)
	}
	quiet()
	e := event{What: isReturned, ID: ref.TaskID, Run: ref.Run, How: how}
	if how == withValue {
		r = result{o.Token, ref.Run, c.config.Name}
		e.Result = encode(r)
	}
	c.tell(e)
	return r, leave(how, fault)
}

// leave ends a handler that does not return a value as how says.
func leave(how string, fault error) error {
	switch how {
	case withValue:
		return nil
	case withPanic:
		panic(fault)
	case withGoexit:
		runtime.Goexit()
	case withSnooze:
		return messages.Snooze(snoozeTime)
	case withCancel:
		return messages.Cancel(fault)
	case withDiscard:
		return messages.Discard(fault)
	}
	return fault
}

// encode gives a result as it is recorded.
func encode(r result) string {
	text, _ := json.Marshal(r) //nolint:errchkjson // strings and a number
	return string(text)
}

// step is how a run takes its time: in parts, so that a process which stood still has work before it when it goes on.
const step = 50 * time.Millisecond

// spend takes the time that the run is to take, and reports false if it was told to stop and heeds that.
func (c *child) spend(ctx context.Context, o order) bool {
	if o.Do == planDeaf {
		time.Sleep(o.Takes)
		return true
	}
	if o.Takes == 0 {
		return true
	}
	actors.ReportProgress(ctx, 0.5)
	for left := o.Takes; left > 0; left -= step {
		if !harness.Pause(ctx, min(left, step)) {
			return false
		}
	}
	return true
}

// causeOf says why a handler's context has ended.
func causeOf(ctx context.Context) string {
	cause := context.Cause(ctx)
	for _, known := range []struct {
		err error
		by  string
	}{{actors.ErrTaken, byTaken}, {actors.ErrTaskCancelled, byCancel}, {actors.ErrTaskTimeout, byTimeout}, {actors.ErrStopping, byStop}} {
		if errors.Is(cause, known.err) {
			return known.by
		}
	}
	return cause.Error()
}
