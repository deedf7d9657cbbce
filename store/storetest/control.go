package storetest

import (
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var controlTests = []test{
	{"unknown task", controlUnknown},
	{"a cancelled task is not claimed", controlCancelledStays},
	{"cancel requests of a node", controlRequests},
	{"retry gives one more attempt when none is left", controlOneMoreAttempt},
	{"retry keeps attempts that are left", controlAttemptsLeft},
	{"retry forgets the wish to cancel", controlRetryForgets},
	{"retry of a completed task", controlRetryCompleted},
}

func controlUnknown(e *env) {
	_, err := e.Cancel(ctx(), e.now, newID())
	refusedAs(e.T, "cancel", err, store.ErrNotFound)
	_, err = e.Retry(ctx(), e.now, newID())
	refusedAs(e.T, "retry", err, store.ErrNotFound)
}

func controlCancelledStays(e *env) {
	task := e.insert(newTask())[0]
	_, err := e.Cancel(ctx(), e.now, task.ID)
	check(e.T, err)
	if claimed := e.claim(1); len(claimed.Tasks) != 0 || !claimed.Next.IsZero() {
		e.Errorf("claimed %v", claimed)
	}
}

// controlRequests: each node asks for its own only.
func controlRequests(e *env) {
	requests := func(runner, node string) []string {
		got, err := e.CancelRequests(ctx(), runner, node)
		check(e.T, err)
		return got
	}
	mine, quiet, ended := e.running(), e.running(), e.running()
	elsewhere, others := onNode(newTask()), onNode(newTask())
	elsewhere.Node, others.Runner = "node-2", "other"
	e.insert(elsewhere, others)
	sameIDs(e.T, "before", requests(runner, node), nil)
	for _, id := range []string{mine.ID, ended.ID, elsewhere.ID, others.ID} {
		_, err := e.Cancel(ctx(), e.now, id)
		check(e.T, err)
	}
	check(e.T, e.finish(e.outcome(ended, store.Cancelled)))
	sameIDs(e.T, "of the node", requests(runner, node), []string{mine.ID})
	sameIDs(e.T, "of the other node", requests(runner, "node-2"), []string{elsewhere.ID})
	sameIDs(e.T, "of the other runner", requests("other", node), []string{others.ID})
	sameIDs(e.T, "of nobody", requests("nobody", node), nil)
	same(e.T, "nobody cancelled it", e.get(quiet.ID), quiet)
}

// controlOneMoreAttempt: who retries by hand wants a run, whatever the limit says. The history stays.
func controlOneMoreAttempt(e *env) {
	n := newTask()
	n.MaxAttempts = 1
	e.insert(n)
	discarded := e.finished(e.outcome(e.claimOne(), store.Discarded))
	e.pass(time.Second)
	got, err := e.Retry(ctx(), e.now, n.ID)
	check(e.T, err)
	if got.MaxAttempts != 2 || got.Attempt != 1 || len(got.History) != 1 || got.History[0] != discarded.History[0] {
		e.Errorf("after the retry: %+v", got)
	}
	again := e.claimOne()
	if again.Attempt != 2 || again.Run != 2 {
		e.Errorf("attempt %d, run %d, want 2 and 2", again.Attempt, again.Run)
	}
	if done := e.finished(e.outcome(again, store.Discarded)); len(done.History) != 2 {
		e.Errorf("the history is %v, want the old entry and the new one", done.History)
	}
}

func controlAttemptsLeft(e *env) {
	e.insert(newTask())
	task := e.finished(e.outcome(e.claimOne(), store.Discarded))
	got, err := e.Retry(ctx(), e.now, task.ID)
	check(e.T, err)
	if got.MaxAttempts != 3 || got.Attempt != 1 {
		e.Errorf("attempt %d of %d, want 1 of 3", got.Attempt, got.MaxAttempts)
	}
}

// controlRetryForgets: who retries by hand wants no cancel any more.
func controlRetryForgets(e *env) {
	task := e.running()
	_, err := e.Cancel(ctx(), e.now, task.ID)
	check(e.T, err)
	check(e.T, e.finish(e.outcome(task, store.Cancelled)))
	got, err := e.Retry(ctx(), e.now, task.ID)
	check(e.T, err)
	if got.CancelRequested {
		e.Error("the cancel is still requested")
	}
	again := e.claimOne()
	if done := e.finished(e.outcome(again, store.Retryable)); done.State != store.Retryable {
		e.Errorf("the next run became %s, want retryable", done.State)
	}
}

// controlRetryCompleted: while a task runs again, its old result is not the last one.
func controlRetryCompleted(e *env) {
	task := e.finished(e.outcome(e.running(), store.Completed))
	if _, err := e.Last(ctx(), task.Kind, task.Key); err != nil {
		e.Fatal(err)
	}
	_, err := e.Retry(ctx(), e.now, task.ID)
	check(e.T, err)
	_, err = e.Last(ctx(), task.Kind, task.Key)
	refusedAs(e.T, "last while it is to run again", err, store.ErrNotFound)
	check(e.T, e.finish(e.outcome(e.claimOne(), store.Completed)))
	if last, err := e.Last(ctx(), task.Kind, task.Key); err != nil || last.Run != 2 {
		e.Errorf("last is %+v, %v", last, err)
	}
}
