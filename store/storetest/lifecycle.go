package storetest

import (
	"context"
	"sync"

	"github.com/taskrunner-go/taskrunner/store"
)

var lifecycleTests = []test{
	{"ping", lifecyclePing},
	{"identity", lifecycleIdentity},
	{"closed", lifecycleClosed},
	{"close is idempotent", lifecycleCloseTwice},
	{"close while others work", lifecycleCloseBusy},
	{"the context has ended already", lifecycleCancelled},
}

// calls makes one valid call of every method but Close.
func (e *env) calls(ctx context.Context, task store.Task) map[string]error {
	errs := map[string]error{}
	_, errs["Insert"] = e.Insert(ctx, e.now, newTasks(1))
	_, errs["Claim"] = e.Claim(ctx, e.now, store.Claim{Runner: runner, Node: node, Kinds: []string{kind}, Limit: 1})
	_, errs["Finish"] = e.Finish(ctx, []store.Outcome{e.outcome(task, store.Completed)})
	errs["Report"] = e.Report(ctx, []store.Progress{{TaskID: task.ID, Run: 1, Fraction: 0.5}})
	_, errs["Recover"] = e.Recover(ctx, e.now, runner)
	_, errs["Running"] = e.Running(ctx, runner, node)
	_, errs["Prune"] = e.Prune(ctx, store.Expiry{Runner: runner, Completed: e.now})
	_, errs["Outcomes"] = e.Outcomes(ctx, store.OutcomeQuery{})
	_, errs["CancelRequests"] = e.CancelRequests(ctx, runner, node)
	_, errs["Cancel"] = e.Cancel(ctx, e.now, task.ID)
	_, errs["Retry"] = e.Retry(ctx, e.now, task.ID)
	_, errs["Get"] = e.Get(ctx, task.ID)
	_, errs["Ended"] = e.Ended(ctx, []string{task.ID})
	_, errs["List"] = e.List(ctx, store.Query{})
	_, errs["Last"] = e.Last(ctx, kind, "key")
	_, errs["Counts"] = e.Counts(ctx, runner)
	_, errs["Subscribe"] = e.Subscribe(ctx, e.now, runner, "subscriber", store.FromNow)
	_, errs["Acknowledge"] = e.Acknowledge(ctx, e.now, runner, "subscriber", store.FromOldest)
	_, errs["Subscribers"] = e.Subscribers(ctx, runner)
	errs["Unsubscribe"] = e.Unsubscribe(ctx, runner, "subscriber")
	errs["Ping"] = e.Ping(ctx)
	return errs
}

func lifecyclePing(e *env) {
	check(e.T, e.Ping(ctx()))
	task := e.running()
	check(e.T, e.Ping(ctx()))
	same(e.T, "after a ping", e.get(task.ID), task)
}

func lifecycleClosed(e *env) {
	task := e.running()
	check(e.T, e.Close())
	for method, err := range e.calls(ctx(), task) {
		refusedAs(e.T, method, err, store.ErrClosed)
	}
}

// lifecycleCloseTwice: several owners may stop one store, in any order and at once.
func lifecycleCloseTwice(e *env) {
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { // not check: FailNow is for the test's own goroutine
			if err := e.Close(); err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	check(e.T, e.Close())
}

// lifecycleCloseBusy closes while other goroutines write and read: each of their calls either works or answers
// ErrClosed.
func lifecycleCloseBusy(e *env) {
	var wg sync.WaitGroup
	begun := make(chan bool, 8)
	for i := range 8 {
		wg.Go(func() {
			begun <- true
			for {
				var err error
				if i%2 == 0 {
					_, err = e.Insert(ctx(), e.now, newTasks(3))
				} else {
					_, err = e.List(ctx(), store.Query{})
				}
				if err != nil {
					refusedAs(e.T, "while closing", err, store.ErrClosed)
					return
				}
			}
		})
	}
	for range 8 {
		<-begun
	}
	check(e.T, e.Close())
	wg.Wait()
}

// lifecycleCancelled: who no longer waits must not have something done.
func lifecycleCancelled(e *env) {
	task := e.running()
	ended, cancel := context.WithCancel(ctx())
	cancel()
	for method, err := range e.calls(ended, task) {
		refusedAs(e.T, method, err, context.Canceled)
	}
	same(e.T, "afterwards", e.get(task.ID), task)
	sameCounts(e, "", map[store.State]int64{store.Running: 1})
}

func lifecycleIdentity(e *env) {
	if id := e.Identity(); id == "" || id != e.Identity() {
		e.Errorf("the identity is %q, and then %q", id, e.Identity())
	}
}
