package storetest

import (
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var recoverTests = []test{
	{"one runner of a name", holdOnce},
	{"uses an attempt", recoverUsesAttempt},
	{"discards what has none left", recoverDiscards},
	{"cancels what was to be cancelled", recoverCancels},
	{"leaves the living alone", recoverLiving},
	{"leaves other runners alone", recoverRunners},
	{"what was taken is fenced", recoverFences},
	{"many", recoverMany},
}

// holdOnce: a runner's name is held by one at a time, and by nobody when it was released.
func holdOnce(e *env) {
	release := e.hold(runner)
	_, err := e.Hold(store.Holder{Runner: runner, Node: node})
	refusedAs(e.T, "a second holder", err, store.ErrHeld)
	e.hold("another")()
	release()
	release() // does nothing
	e.hold(runner)()
}

func (e *env) hold(runner string) (release func()) {
	e.Helper()
	release, err := e.Hold(store.Holder{Runner: runner, Node: node})
	check(e.T, err)
	return release
}

func (e *env) recover() int {
	e.Helper()
	n, err := e.Recover(ctx(), e.now, runner)
	check(e.T, err)
	return n
}

// recoverUsesAttempt: else a task that kills its process would do so for ever.
func recoverUsesAttempt(e *env) {
	task := e.running()
	e.pass(time.Minute)
	if n := e.recover(); n != 1 {
		e.Errorf("recovered %d, want 1", n)
	}
	want := task
	want.State, want.Node = store.Available, ""
	want.History = []store.Attempt{{
		Attempt: 1, Run: 1, Node: node, State: store.Available, StartedAt: task.StartedAt, FinishedAt: micro(e.now),
		Error: store.OrphanError,
	}}
	same(e.T, "recovered", e.get(task.ID), want)
	if n := e.recover(); n != 0 {
		e.Errorf("recovered %d the second time", n)
	}
	if again := e.claimOne(); again.Attempt != 2 || again.Run != 2 {
		e.Errorf("attempt %d, run %d, want 2 and 2", again.Attempt, again.Run)
	}
}

func recoverDiscards(e *env) {
	n := onNode(newTask())
	n.MaxAttempts = 1
	task := e.insert(n)[0]
	e.pass(time.Minute)
	e.recover()
	got := e.get(task.ID)
	if got.State != store.Discarded || !got.FinishedAt.Equal(micro(e.now)) || got.Node != node {
		e.Errorf("recovered: %+v", got)
	}
	if len(got.History) != 1 || got.History[0].Error != store.OrphanError || got.History[0].Node != node {
		e.Errorf("the history is %+v", got.History)
	}
}

func recoverCancels(e *env) {
	task := e.running()
	_, err := e.Cancel(ctx(), e.now, task.ID)
	check(e.T, err)
	e.recover()
	got := e.get(task.ID)
	if got.State != store.Cancelled || got.FinishedAt.IsZero() || len(got.History) != 1 {
		e.Errorf("recovered: %+v", got)
	}
}

// recoverLiving: what runs elsewhere, or does not run, is no orphan.
func recoverLiving(e *env) {
	release := e.hold(runner)
	defer release()
	alive := e.running()
	n := onNode(newTask())
	n.Node = "node-2"
	dead := e.insert(n)[0]
	waiting := e.insert(newTask())[0]
	if n := e.recover(); n != 1 {
		e.Errorf("recovered %d, want 1", n)
	}
	same(e.T, "the living", e.get(alive.ID), alive)
	same(e.T, "the waiting", e.get(waiting.ID), waiting)
	if got := e.get(dead.ID); got.State != store.Available {
		e.Errorf("the dead one's is %s", got.State)
	}
}

func recoverRunners(e *env) {
	n := onNode(newTask())
	n.Runner = "other"
	task := e.insert(n)[0]
	if n := e.recover(); n != 0 {
		e.Errorf("recovered %d", n)
	}
	same(e.T, "of another runner", e.get(task.ID), task)
}

// recoverFences: a node that was thought dead may yet answer, before and after the task runs elsewhere.
func recoverFences(e *env) {
	task := e.running()
	e.recover()
	refusedMove(e.T, "late outcome", e.finish(e.outcome(task, store.Completed)), store.Available, store.Completed)
	again := e.claimOne()
	refusedAs(e.T, "late outcome", e.finish(e.outcome(task, store.Completed)), store.ErrFenced)
	check(e.T, e.finish(e.outcome(again, store.Completed)))
}

func recoverMany(e *env) {
	tasks := newTasks(300)
	for i := range tasks {
		tasks[i].Node = node
		tasks[i].MaxAttempts = 1 + i%2
	}
	e.insert(tasks...)
	if n := e.recover(); n != 300 {
		e.Errorf("recovered %d, want 300", n)
	}
	sameCounts(e, runner, map[store.State]int64{store.Available: 150, store.Discarded: 150})
}
