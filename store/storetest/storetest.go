// Package storetest is the suite that every store.Store passes.
//
// A store's own test calls Run. What the suite checks is the contract in package store: which moves exist, that runs are
// fenced, that inserting is all or none and idempotent, the order of claims, what a snooze, a death, a cancel and a
// retry leave behind, paging, and what happens when many goroutines ask at once. It asks nothing of how a store keeps
// its rows.
//
// RunReplicas checks a store for several processes on several of its handles, RunTx what is done in callers' transactions, and
// RunLinear the recorded histories of concurrent calls.
//
// The suite takes the time from nowhere: every moment is computed from one fixed start.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// Run runs the suite. open gives a new, empty store each time it is called; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"Insert", insertTests},
		{"Claim", claimTests},
		{"Finish", finishTests},
		{"Moves", moveTests},
		{"Recover", recoverTests},
		{"Control", controlTests},
		{"Read", readTests},
		{"Outcomes", outcomeTests},
		{"Subscribers", subscriberTests},
		{"Signals", signalTests},
		{"Input", inputTests},
		{"Lifecycle", lifecycleTests},
		{"Concurrency", concurrencyTests},
		{"Subscribers at once", concurrentSubscribers()},
		{"Model", modelTests},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					t.Cleanup(func() { check(t, s.Close()) })
					test.run(&env{T: t, Store: s, now: start})
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(*env)
}

// start is off the whole microsecond and not in UTC, so that a store which keeps times as they are given fails.
var start = time.Date(2026, time.March, 4, 5, 6, 7, 891_234_567, time.FixedZone("east", 2*60*60))

const (
	runner = "assets"
	kind   = "asset.move"
	node   = "node-1"
)

// env is one test with its own store and its own time.
type env struct {
	*testing.T
	store.Store
	now time.Time
}

func ctx() context.Context { return context.Background() }

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// newTask is a valid task that is to run at once.
func newTask() store.NewTask {
	return store.NewTask{
		ID: newID(), Runner: runner, Kind: kind, Key: "https://cdn.example.com/a.png", Args: []byte(`{"n":1}`),
		MaxAttempts: 3, Timeout: time.Minute, Fresh: true,
	}
}

func newTasks(n int) []store.NewTask {
	tasks := make([]store.NewTask, n)
	for i := range tasks {
		tasks[i] = newTask()
	}
	return tasks
}

// known is a new task whose id somebody else may know: it was made by the caller.
func known(n store.NewTask) store.NewTask {
	n.Fresh = false
	return n
}

func onNode(n store.NewTask) store.NewTask {
	n.Node = node
	return n
}

// pass lets time pass.
func (e *env) pass(d time.Duration) { e.now = e.now.Add(d) }

func (e *env) insert(tasks ...store.NewTask) []store.Task {
	e.Helper()
	inserted, err := e.Insert(ctx(), e.now, tasks)
	check(e.T, err)
	if len(inserted) != len(tasks) {
		e.Fatalf("Insert gave %d answers for %d tasks", len(inserted), len(tasks))
	}
	recorded := make([]store.Task, len(tasks))
	for i := range inserted {
		recorded[i] = inserted[i].Task
	}
	return recorded
}

// running inserts one task that runs on node.
func (e *env) running() store.Task {
	e.Helper()
	return e.insert(onNode(newTask()))[0]
}

func (e *env) claim(limit int, kinds ...string) store.Claimed {
	e.Helper()
	if len(kinds) == 0 {
		kinds = []string{kind}
	}
	claimed, err := e.Claim(ctx(), e.now, store.Claim{Runner: runner, Node: node, Kinds: kinds, Limit: limit})
	check(e.T, err)
	return claimed
}

func (e *env) claimOne() store.Task {
	e.Helper()
	claimed := e.claim(1)
	if len(claimed.Tasks) != 1 {
		e.Fatalf("nothing to claim, next is due at %v, now is %v", claimed.Next, e.now)
	}
	return claimed.Tasks[0]
}

// outcome is a valid outcome of the task's current run.
func (e *env) outcome(task store.Task, to store.State) store.Outcome {
	o := store.Outcome{TaskID: task.ID, Run: task.Run, To: to, FinishedAt: e.now}
	switch to {
	case store.Completed:
		o.Result = []byte("result of " + task.ID)
	case store.Retryable, store.Scheduled:
		o.ScheduledAt = e.now.Add(time.Minute)
	}
	if to == store.Retryable || to == store.Discarded {
		o.Error = "it failed"
	}
	return o
}

// finish records one outcome and gives the answer to it.
func (e *env) finish(o store.Outcome) error {
	e.Helper()
	refused, err := e.Finish(ctx(), []store.Outcome{o})
	check(e.T, err)
	if len(refused) != 1 {
		e.Fatalf("Finish gave %d answers for one outcome", len(refused))
	}
	return refused[0]
}

func (e *env) finished(o store.Outcome) store.Task {
	e.Helper()
	check(e.T, e.finish(o))
	return e.get(o.TaskID)
}

func (e *env) get(id string) store.Task {
	e.Helper()
	task, err := e.Get(ctx(), id)
	check(e.T, err)
	return task
}

func (e *env) list(query store.Query) []string {
	e.Helper()
	tasks, err := e.List(ctx(), query)
	check(e.T, err)
	return ids(tasks)
}

func ids(tasks []store.Task) []string {
	ids := make([]string, len(tasks))
	for i := range tasks {
		ids[i] = tasks[i].ID
	}
	return ids
}

func micro(t time.Time) time.Time { return t.Truncate(time.Microsecond).UTC() }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what a store gave with what was expected, field by field: a nil slice is an empty one.
func same(t testing.TB, what string, got, want store.Task) {
	t.Helper()
	for _, diff := range differences(got, want) {
		t.Errorf("%s: %s", what, diff)
	}
}

func differences(got, want store.Task) (diffs []string) {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		a, b := g.Field(i), w.Field(i)
		if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			diffs = append(diffs, fmt.Sprintf("%s is %v, want %v", g.Type().Field(i).Name, a, b))
		}
	}
	return diffs
}

func sameIDs(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d: %v\nwant %d: %v", what, len(got), got, len(want), want)
	}
}

func refusedAs(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got error %v, want one that is %q", what, err, target)
	}
}

// refusedMove checks for a *store.StateError with these states.
func refusedMove(t testing.TB, what string, err error, from, to store.State) {
	t.Helper()
	var refused *store.StateError
	if !errors.As(err, &refused) {
		t.Errorf("%s: got error %v, want a *store.StateError", what, err)
		return
	}
	if refused.From != from || refused.To != to || refused.TaskID == "" {
		t.Errorf("%s: got %+v, want from %s to %s", what, *refused, from, to)
	}
}
