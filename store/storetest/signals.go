package storetest

import (
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var signalTests = []test{
	{"of work", signalWork},
	{"of outcomes", signalOutcomes},
	{"of cancels", signalCancels},
	{"to nobody after the release", signalReleased},
}

// signalPatience is how long a signal may take. It is waited for only by a test that fails.
const signalPatience = 10 * time.Second

// listen has a runner hold, and gives what waits for a signal.
func (e *env) listen() (heard func(what string, s store.Signal), release func()) {
	e.Helper()
	signals := make(chan store.Signal, 1000)
	release, err := e.Hold(store.Holder{Runner: runner, Node: node, Notify: func(s store.Signal) {
		select {
		case signals <- s:
		default:
		}
	}})
	check(e.T, err)
	return func(what string, want store.Signal) {
		e.Helper()
		timer := time.NewTimer(signalPatience)
		defer timer.Stop()
		for {
			select {
			case s := <-signals:
				if s&want != 0 {
					return
				}
			case <-timer.C:
				e.Fatalf("%s: no signal", what)
			}
		}
	}, release
}

// signalWork: whatever makes a task available is told.
func signalWork(e *env) {
	heard, release := e.listen()
	defer release()
	e.insert(newTask())
	heard("insert", store.SignalWork)
	task := e.claimOne()
	later := newTask()
	later.ScheduledAt = e.now.Add(time.Hour)
	e.insert(later)
	heard("insert for later", store.SignalWork)
	check(e.T, e.finish(e.outcome(e.running(), store.Retryable)))
	heard("to be tried again", store.SignalWork)
	check(e.T, e.finish(e.outcome(task, store.Available)))
	heard("given back", store.SignalWork)
	done := e.finished(e.outcome(e.claimOne(), store.Completed))
	_, err := e.Retry(ctx(), e.now, done.ID)
	check(e.T, err)
	heard("retried by hand", store.SignalWork)
	orphan := onNode(newTask())
	orphan.Node = "node-2"
	e.insert(orphan)
	e.recover()
	heard("recovered", store.SignalWork)
}

func signalOutcomes(e *env) {
	heard, release := e.listen()
	defer release()
	e.ended(store.Completed)
	heard("an outcome", store.SignalOutcomes)
	_, err := e.Cancel(ctx(), e.now, e.insert(newTask())[0].ID)
	check(e.T, err)
	heard("a cancel of what waits", store.SignalOutcomes)
}

func signalCancels(e *env) {
	heard, release := e.listen()
	defer release()
	_, err := e.Cancel(ctx(), e.now, e.running().ID)
	check(e.T, err)
	heard("a cancel of what runs", store.SignalCancels)
}

func signalReleased(e *env) {
	told := make(chan store.Signal, 1)
	release, err := e.Hold(store.Holder{Runner: runner, Node: node, Notify: func(s store.Signal) {
		select {
		case told <- s:
		default:
		}
	}})
	check(e.T, err)
	release()
	select {
	case <-told: // of an earlier moment
	default:
	}
	e.insert(newTask())
	e.ended(store.Completed)
	select {
	case s := <-told:
		e.Errorf("told of %b after the release", s)
	default:
	}
}
