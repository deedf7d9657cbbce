package storetest

import (
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var moveTests = []test{
	{"every outcome in every state", movesByOutcome},
	{"a claim in every state", movesByClaim},
	{"cancel in every state", movesByCancel},
	{"retry in every state", movesByRetry},
}

// outcomes are the states that a run can end in.
var outcomes = []store.State{
	store.Completed, store.Retryable, store.Cancelled, store.Discarded, store.Scheduled, store.Available,
}

// in gives a task in this state whose current or last run is run 1.
func (e *env) in(state store.State) store.Task {
	e.Helper()
	task := e.running()
	if state != store.Running {
		task = e.finished(e.outcome(task, state))
	}
	if task.State != state || task.Run != 1 {
		e.Fatalf("is %s in run %d, want %s in run 1", task.State, task.Run, state)
	}
	return task
}

func movesByOutcome(e *env) {
	for _, from := range store.States {
		for _, to := range outcomes {
			task := e.in(from)
			what := string(from) + " to " + string(to) + " by an outcome"
			err := e.finish(e.outcome(task, to))
			got := e.get(task.ID)
			switch from {
			case store.Running:
				check(e.T, err)
				if got.State != to || !store.CanMove(from, to) {
					e.Errorf("%s: became %s", what, got.State)
				}
			case to: // the same outcome a second time
				check(e.T, err)
				same(e.T, what, got, task)
			default: // the run has ended; it cannot end again, whatever the table says of other ways
				refusedMove(e.T, what, err, from, to)
				same(e.T, what, got, task)
			}
		}
	}
}

// movesByClaim: a claim takes what waits and nothing else.
func movesByClaim(e *env) {
	for _, from := range store.States {
		task := e.in(from)
		e.pass(time.Hour)
		claimed := e.claim(1000)
		if from.Waiting() != (len(claimed.Tasks) == 1) {
			e.Errorf("a claim of what is %s gave %v", from, claimed.Tasks)
		}
		got := e.get(task.ID)
		if from.Waiting() {
			if got.State != store.Running || !store.CanMove(from, got.State) || got.Run != 2 {
				e.Errorf("%s became %s in run %d by a claim", from, got.State, got.Run)
			}
			check(e.T, e.finish(e.outcome(got, store.Completed)))
			continue
		}
		same(e.T, string(from)+" by a claim", got, task)
	}
}

func movesByCancel(e *env) {
	for _, from := range store.States {
		task := e.in(from)
		e.pass(time.Second)
		want := task
		switch from {
		case store.Running:
			want.CancelRequested = true
		case store.Completed, store.Discarded:
			_, err := e.Cancel(ctx(), e.now, task.ID)
			refusedMove(e.T, "cancel", err, from, store.Cancelled)
			same(e.T, "cancel of what is "+string(from), e.get(task.ID), task)
			continue
		case store.Cancelled:
		default:
			want.State, want.FinishedAt = store.Cancelled, micro(e.now)
			want.History = append(want.History, store.Attempt{
				Attempt: task.Attempt, Run: 1, State: store.Cancelled, FinishedAt: micro(e.now),
			})
		}
		for i := range 2 { // the second time changes nothing, and is no error
			got, err := e.Cancel(ctx(), e.now, task.ID)
			check(e.T, err)
			want.Pos = e.get(task.ID).Pos
			same(e.T, "answer to cancel of what is "+string(from), got.Task, want)
			if was := []store.State{from, want.State}[i]; got.From != was {
				e.Errorf("cancel of what is %s: the answer says it was %s", was, got.From)
			}
			e.pass(time.Second)
		}
		same(e.T, "cancel of what is "+string(from), e.get(task.ID), want)
	}
}

func movesByRetry(e *env) {
	for _, from := range store.States {
		task := e.in(from)
		e.pass(time.Second)
		want := task
		switch from {
		case store.Running:
			_, err := e.Retry(ctx(), e.now, task.ID)
			refusedMove(e.T, "retry", err, from, store.Available)
			same(e.T, "retry of what runs", e.get(task.ID), task)
			continue
		case store.Available:
		default:
			want.State, want.Node, want.ScheduledAt = store.Available, "", micro(e.now)
			want.FinishedAt, want.Pos = time.Time{}, 0
			if from == store.Completed {
				want.History = []store.Attempt{{
					Attempt: 1, Run: 1, Node: node, State: store.Completed, StartedAt: task.StartedAt, FinishedAt: task.FinishedAt,
				}}
			}
		}
		got, err := e.Retry(ctx(), e.now, task.ID)
		check(e.T, err)
		same(e.T, "answer to retry of what is "+string(from), got.Task, want)
		if got.From != from {
			e.Errorf("retry of what is %s: the answer says it was %s", from, got.From)
		}
		same(e.T, "retry of what is "+string(from), e.get(task.ID), want)
	}
}
