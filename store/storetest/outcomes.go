package storetest

import (
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var outcomeTests = []test{
	{"in one order", outcomesInOrder},
	{"page by page", outcomesPaged},
	{"from now", outcomesFromNow},
	{"of one runner", outcomesOfRunner},
	{"a retried task has two", outcomesRetried},
	{"as they were", outcomesAsTheyWere},
	{"nothing for what goes on", outcomesOnlyFinal},
	{"deleted by state and age", pruneByState},
	{"deleted with their tasks", pruneTasks},
	{"a few at a time", pruneLimit},
	{"a task that runs again is not deleted", pruneRetried},
	{"a cursor that is too old", pruneExpiresCursors},
	{"a cursor that is ahead", outcomesAhead},
}

func (e *env) outcomesAfter(cursor int64) store.Outcomes {
	e.Helper()
	found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor, Limit: store.MaxList})
	check(e.T, err)
	return found
}

// ended ends a new task in each of the states, and gives the ids in that order.
func (e *env) ended(states ...store.State) (ended []string) {
	for _, state := range states {
		ended = append(ended, e.finished(e.outcome(e.running(), state)).ID)
	}
	return ended
}

// outcomesInOrder ends tasks in another order than they were inserted in, by outcomes, by hand and by the death of a node.
func outcomesInOrder(e *env) {
	tasks := []store.Task{e.running(), e.insert(newTask())[0], e.running(), e.running()}
	check(e.T, e.finish(e.outcome(tasks[2], store.Completed)))
	_, err := e.Cancel(ctx(), e.now, tasks[1].ID)
	check(e.T, err)
	check(e.T, e.finish(e.outcome(tasks[3], store.Discarded)))
	_, err = e.Cancel(ctx(), e.now, tasks[0].ID) // it runs: the wish is granted by the recovery
	check(e.T, err)
	e.recover()
	found := e.outcomesAfter(store.FromOldest)
	sameIDs(e.T, "outcomes", ids(found.Tasks), []string{tasks[2].ID, tasks[1].ID, tasks[3].ID, tasks[0].ID})
	for i, task := range found.Tasks {
		same(e.T, "outcome", task, e.get(task.ID))
		if i > 0 && task.Pos <= found.Tasks[i-1].Pos {
			e.Errorf("pos %d comes after %d", task.Pos, found.Tasks[i-1].Pos)
		}
	}
	if again := e.outcomesAfter(found.Next); len(again.Tasks) != 0 || again.Next < found.Next {
		e.Errorf("behind the last: %+v", again)
	}
}

// outcomesPaged: what is recorded between two pages comes at the end.
func outcomesPaged(e *env) {
	want := e.ended(slices.Repeat([]store.State{store.Completed}, 25)...)
	var got []string
	for query := (store.OutcomeQuery{Runner: runner, Limit: 10}); len(got) < 28; {
		found, err := e.Outcomes(ctx(), query)
		check(e.T, err)
		if len(found.Tasks) == 0 || len(found.Tasks) > 10 {
			e.Fatalf("a page of %d", len(found.Tasks))
		}
		got = append(got, ids(found.Tasks)...)
		query.After = found.Next
		want = append(want, e.ended(store.Completed)...)
	}
	sameIDs(e.T, "all pages", got, want[:len(got)])
}

func outcomesFromNow(e *env) {
	e.ended(store.Completed, store.Completed)
	now := e.outcomesAfter(store.FromNow)
	if len(now.Tasks) != 0 {
		e.Errorf("from now: %v", ids(now.Tasks))
	}
	want := e.ended(store.Discarded)
	sameIDs(e.T, "after now", ids(e.outcomesAfter(now.Next).Tasks), want)
}

func outcomesOfRunner(e *env) {
	other := onNode(newTask())
	other.Runner = "other"
	theirs := e.finished(e.outcome(e.insert(other)[0], store.Completed))
	mine := e.ended(store.Completed)
	sameIDs(e.T, "of the runner", ids(e.outcomesAfter(store.FromOldest).Tasks), mine)
	all, err := e.Outcomes(ctx(), store.OutcomeQuery{})
	check(e.T, err)
	sameIDs(e.T, "of all", ids(all.Tasks), []string{theirs.ID, mine[0]})
}

// outcomesRetried: who was not told of the first outcome yet must be, although the task has another one by now.
func outcomesRetried(e *env) {
	first := e.finished(e.outcome(e.running(), store.Discarded))
	_, err := e.Retry(ctx(), e.now, first.ID)
	check(e.T, err)
	sameIDs(e.T, "while it runs again", ids(e.outcomesAfter(store.FromOldest).Tasks), []string{first.ID})
	second := e.finished(e.outcome(e.claimOne(), store.Completed))
	found := e.outcomesAfter(store.FromOldest).Tasks
	if len(found) != 2 {
		e.Fatalf("there are %d outcomes, want 2", len(found))
	}
	same(e.T, "the first outcome", found[0], first)
	same(e.T, "the second outcome", found[1], second)
	sameIDs(e.T, "list", e.list(store.Query{}), []string{first.ID})
	sameCounts(e, runner, map[store.State]int64{store.Completed: 1})
}

// outcomesAsTheyWere: each with the history up to then.
func outcomesAsTheyWere(e *env) {
	n := newTask()
	e.insert(n)
	check(e.T, e.finish(e.outcome(e.claimOne(), store.Retryable)))
	e.pass(time.Minute)
	var want []store.Task
	for range 3 {
		e.pass(time.Second)
		want = append(want, e.finished(e.outcome(e.claimOne(), store.Discarded)))
		_, err := e.Retry(ctx(), e.now, n.ID)
		check(e.T, err)
	}
	for i, got := range e.outcomesAfter(store.FromOldest).Tasks {
		same(e.T, "outcome", got, want[i])
	}
}

func outcomesOnlyFinal(e *env) {
	for _, state := range store.States {
		if !state.Final() {
			e.in(state)
		}
	}
	if found := e.outcomesAfter(store.FromOldest); len(found.Tasks) != 0 {
		e.Errorf("outcomes of tasks that go on: %v", ids(found.Tasks))
	}
}

func (e *env) prune(x store.Expiry) int {
	e.Helper()
	x.Runner = runner
	n, err := e.Prune(ctx(), x)
	check(e.T, err)
	return n
}

// pruneByState has an old and a new outcome of each state, and of another runner.
func pruneByState(e *env) {
	all := []store.State{store.Completed, store.Cancelled, store.Discarded}
	old := e.ended(all...)
	other := onNode(newTask())
	other.Runner = "other"
	e.finished(e.outcome(e.insert(other)[0], store.Completed))
	e.pass(time.Hour)
	border := e.now
	fresh := e.ended(all...)
	if n := e.prune(store.Expiry{}); n != 0 {
		e.Errorf("deleted %d although nothing expires", n)
	}
	if n := e.prune(store.Expiry{Completed: border.Add(-2 * time.Hour), Cancelled: border, Discarded: border}); n != 2 {
		e.Errorf("deleted %d, want 2", n)
	}
	sameIDs(e.T, "left", e.list(store.Query{Runner: runner}), []string{fresh[2], fresh[1], fresh[0], old[0]})
	if n := e.prune(store.Expiry{Completed: border}); n != 1 {
		e.Errorf("deleted %d, want 1", n)
	}
	sameCounts(e, runner, map[store.State]int64{store.Completed: 1, store.Cancelled: 1, store.Discarded: 1})
	sameCounts(e, "other", map[store.State]int64{store.Completed: 1})
}

// pruneTasks: a task that was deleted is unknown, and its id may be used again.
func pruneTasks(e *env) {
	n := known(onNode(newTask()))
	task := e.finished(e.outcome(e.insert(n)[0], store.Completed))
	failed := e.ended(store.Discarded)[0]
	waiting := e.insert(newTask())[0]
	e.pass(time.Hour)
	if n := e.prune(store.Expiry{Completed: e.now, Discarded: e.now}); n != 2 {
		e.Errorf("deleted %d, want 2", n)
	}
	for _, id := range []string{task.ID, failed} {
		_, err := e.Get(ctx(), id)
		refusedAs(e.T, "get", err, store.ErrNotFound)
		_, err = e.Retry(ctx(), e.now, id)
		refusedAs(e.T, "retry", err, store.ErrNotFound)
		refusedAs(e.T, "the outcome again", e.finish(e.outcome(store.Task{ID: id, Run: 1}, store.Completed)), store.ErrNotFound)
	}
	_, err := e.Last(ctx(), task.Kind, task.Key)
	refusedAs(e.T, "last", err, store.ErrNotFound)
	same(e.T, "what waits", e.get(waiting.ID), waiting)
	sameCounts(e, "", map[store.State]int64{store.Available: 1})
	if again := e.insert(n)[0]; again.Run != 1 || again.Seq <= waiting.Seq {
		e.Errorf("the id again: %+v", again)
	}
}

func pruneLimit(e *env) {
	old := e.ended(slices.Repeat([]store.State{store.Completed, store.Discarded}, 10)...)
	e.pass(time.Hour)
	for left := len(old); left > 0; {
		n := e.prune(store.Expiry{Completed: e.now, Discarded: e.now, Limit: 7})
		if n != min(7, left) {
			e.Fatalf("deleted %d, want %d", n, min(7, left))
		}
		left -= n
		slices.Reverse(old)
		sameIDs(e.T, "left", e.list(store.Query{}), old[:left])
		slices.Reverse(old)
		old = old[n:]
	}
}

// pruneRetried: its old outcome goes, the task stays.
func pruneRetried(e *env) {
	id := e.ended(store.Completed)[0]
	_, err := e.Retry(ctx(), e.now, id)
	check(e.T, err)
	task := e.claimOne()
	e.pass(time.Hour)
	if n := e.prune(store.Expiry{Completed: e.now}); n != 1 {
		e.Errorf("deleted %d outcomes, want 1", n)
	}
	if found := e.outcomesAfter(store.FromOldest); len(found.Tasks) != 0 {
		e.Errorf("outcomes: %v", ids(found.Tasks))
	}
	if got := e.get(id); got.State != store.Running || len(got.History) != 1 {
		e.Errorf("the task: %+v", got)
	}
	done := e.finished(e.outcome(task, store.Completed))
	sameIDs(e.T, "outcomes", ids(e.outcomesAfter(store.FromOldest).Tasks), []string{done.ID})
}

// pruneExpiresCursors: a subscriber who has missed something must hear of it.
func pruneExpiresCursors(e *env) {
	e.ended(store.Discarded, store.Completed)
	first := e.outcomesAfter(store.FromOldest).Tasks[0].Pos
	e.pass(time.Hour)
	e.prune(store.Expiry{Completed: e.now})
	_, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: first})
	refusedAs(e.T, "a cursor before what was deleted", err, store.ErrCursorExpired)
	_, err = e.Outcomes(ctx(), store.OutcomeQuery{After: first})
	refusedAs(e.T, "the same, of all runners", err, store.ErrCursorExpired)
	if _, err = e.Outcomes(ctx(), store.OutcomeQuery{Runner: "other", After: first}); err != nil {
		e.Errorf("of another runner: %v", err)
	}
	want := e.ended(store.Completed)
	sameIDs(e.T, "from the oldest", ids(e.outcomesAfter(store.FromOldest).Tasks), want)
}
