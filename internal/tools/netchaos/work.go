package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/messages"
)

// The plans: what the handler of a task does.
const (
	planValue    = "value"    // returns a value
	planFlaky    = "flaky"    // fails in its first attempt, and then returns a value
	planDiscards = "discards" // gives itself up
	planUnwanted = "unwanted" // takes some time, and whoever asked for it cancels it meanwhile
	planHolds    = "holds"    // waits until it is cancelled
)

// mix is how often each plan is drawn, in percent.
var mix = []struct {
	plan  string
	share int
}{{planValue, 88}, {planFlaky, 5}, {planDiscards, 4}, {planUnwanted, 3}}

// order is the arguments of a task.
type order struct {
	Token string        `json:"token"` // names it, from before it has an id: its sender, its caller, and its number in their order
	Do    string        `json:"do"`
	Takes time.Duration `json:"takes,omitempty"`
	More  []byte        `json:"more,omitempty"` // makes it larger
}

// space is in which the ids of tokens are made.
var space = uuid.MustParse("8c6d6ad0-5d0b-4a2e-9d0b-6a5c1c1f5a10")

// id is the id of a task whose sender has chosen one: it is the same whenever the sender asks for it, in whichever of its lives.
func (o order) id() string { return uuid.NewSHA1(space, []byte(o.Token)).String() }

// draw draws what a task is to do.
func draw(rng *rand.Rand, token string) order {
	o := order{Token: token, Do: planValue}
	n := rng.IntN(100)
	for _, m := range mix {
		if n -= m.share; n < 0 {
			o.Do = m.plan
			break
		}
	}
	switch {
	case o.Do == planUnwanted:
		o.Takes = time.Duration(rng.Int64N(int64(300 * time.Millisecond)))
	case rng.IntN(4) == 0:
		o.Takes = time.Duration(rng.Int64N(int64(10 * time.Millisecond)))
	}
	if rng.IntN(20) == 0 {
		o.More = make([]byte, rng.IntN(20_000))
	}
	return o
}

// result is what a handler returns: it names the run, so that no two runs return the same.
type result struct {
	Token   string `json:"token"`
	Run     int64  `json:"run"`
	Process string `json:"process"`
}

// encode gives a result as it is recorded.
func (r result) encode() string {
	text, _ := json.Marshal(r) //nolint:errchkjson // strings and a number
	return string(text)
}

// errPlanned is how handlers fail.
var errPlanned = errors.New("as planned")

// work is the handler of all tasks. It notes that it starts before it does anything.
func (r *receiver) work(ctx context.Context, o order) (result, error) {
	ref, _ := actors.CurrentTask(ctx)
	r.journal.write(event{What: isStarted, Token: o.Token, ID: ref.TaskID, Run: ref.Run})
	fault := fmt.Errorf("run %d: %w", ref.Run, errPlanned)
	switch {
	case o.Do == planHolds:
		<-ctx.Done()
		return result{}, context.Cause(ctx)
	case o.Takes > 0 && !harness.Pause(ctx, o.Takes):
		return result{}, context.Cause(ctx)
	case o.Do == planFlaky && ref.Attempt == 1:
		return result{}, fault
	case o.Do == planDiscards:
		return result{}, messages.Discard(fault)
	}
	return result{o.Token, ref.Run, r.config.Name}, nil
}
