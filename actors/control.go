package actors

import (
	"context"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// Stats says how a runner is doing.
type Stats struct {
	Name        string
	MaxChildren int
	MaxWaiting  int
	Running     int                   // children, and tasks that are about to be one
	Waiting     int                   // accepted and not running
	Unrecorded  int                   // outcomes that the store does not have yet
	Abandoned   int                   // goroutines of handlers that did not stop when told to, of the whole system
	States      map[store.State]int64 // recorded tasks by state; nil without a store
}

// Stats gives a snapshot. The error is the store's.
func (r *TaskRunner) Stats(ctx context.Context) (Stats, error) {
	s := Stats{
		Name: r.config.Name, MaxChildren: r.config.slots(), MaxWaiting: r.config.MaxWaiting,
		Unrecorded: r.writer.pending(), Abandoned: r.system.Abandoned(),
	}
	var err error
	switch {
	case r.shared: // what others have done counts too
		s.States, _, err = r.countWaiting(ctx, true)
	case r.config.Store != nil:
		s.States, err = r.config.Store.Counts(ctx, r.config.Name)
	}
	s.Running, s.Waiting = r.admission.counts()
	return s, err
}

// Cancel ends a task that nobody wants any more. One that waits is cancelled at once. One that runs is told: its context is
// cancelled with the cause ErrTaskCancelled, and its outcome follows when its handler returns, at the latest after Grace. A
// handler that returns a value all the same has completed. The answer is the task as it stands; for a runner without a store
// only its id and state. A task that is cancelled already is left so; one that is completed or discarded is a
// *store.StateError, an unknown one store.ErrNotFound.
func (r *TaskRunner) Cancel(ctx context.Context, id string) (store.Task, error) {
	if run := r.runs.get(id); run != nil && !run.durable {
		return r.cancelPlain(run), nil
	}
	if r.config.Store == nil {
		return store.Task{}, store.ErrNotFound
	}
	if _, err := r.own(ctx, id); err != nil {
		return store.Task{}, err
	}
	for patience := time.Now().Add(cancelPatience); ; {
		task, settled, err := r.cancelRecorded(ctx, id)
		if settled || err != nil || time.Now().After(patience) {
			return task, err
		}
		if !pause(ctx, cancelPause) {
			return task, context.Cause(ctx)
		}
	}
}

// A task may be between two places: claimed in the store and not yet entered here, or ended and not yet recorded. Cancel
// looks again after cancelPause, for up to cancelPatience: then the store is slow. That the cancel is requested is recorded
// by then, and a task that was to run again is cancelled when its time comes.
const (
	cancelPause    = 2 * time.Millisecond
	cancelPatience = 100 * time.Millisecond
)

// cancelRecorded reports false if it has to be tried again.
func (r *TaskRunner) cancelRecorded(ctx context.Context, id string) (task store.Task, settled bool, err error) {
	moved, err := r.config.Store.Cancel(ctx, time.Now(), id)
	switch {
	case err != nil:
		return store.Task{}, false, err
	case moved.State == store.Running && moved.Node == r.system.Node():
		run := r.runs.get(id)
		return moved.Task, run != nil && run.tell(ErrTaskCancelled), nil
	case moved.From.Waiting():
		r.admission.changeStored(0, -1)
		r.tellCancelled(moved.Task)
	}
	return moved.Task, true, nil
}

// tellCancelled has everybody told of a task that came to its end without a run.
func (r *TaskRunner) tellCancelled(t store.Task) {
	notice := &run{
		runner: r,
		task:   refOf(t), durable: true, notice: true, stage: recorded, fate: failed(store.Cancelled, ErrTaskCancelled),
		ending: &ending{err: ErrTaskCancelled, at: t.FinishedAt},
	}
	r.runs.addNotice(notice)
	r.server().Info(context.Background(), recordedRuns{notice})
}

func refOf(t store.Task) messages.TaskRef {
	return messages.TaskRef{TaskID: t.ID, Kind: t.Kind, Runner: t.Runner, Run: t.Run, Attempt: t.Attempt, MaxAttempts: t.MaxAttempts}
}

func (r *TaskRunner) cancelPlain(run *run) store.Task {
	run.tell(ErrTaskCancelled)
	r.server().Cast(context.Background(), cancelWaiting{run})
	run.mu.Lock()
	defer run.mu.Unlock()
	task := store.Task{ID: run.task.TaskID, Runner: r.config.Name, Kind: run.task.Kind, State: store.Available, CancelRequested: true}
	if run.stage != accepted {
		task.State = store.Running
	}
	return task
}

// Retry has a task run again now: one that is completed, cancelled or discarded for a new outcome (its history stays, and
// if no attempt is left it gets one more), one that waits for its time without waiting. One that has ended needs room among
// the waiting, or the answer is a *FullError. A running task is a *store.StateError, an unknown one store.ErrNotFound.
func (r *TaskRunner) Retry(ctx context.Context, id string) (store.Task, error) {
	if r.config.Store == nil {
		return store.Task{}, ErrNoStore
	}
	task, err := r.own(ctx, id)
	if err != nil {
		return store.Task{}, err
	}
	room := waitingAfter(task.State)
	if room > 0 {
		if _, err := r.admit(ctx, ticket{tasks: room, later: true}); err != nil {
			return store.Task{}, err
		}
		defer r.admission.leave()
	}
	now := time.Now()
	moved, err := r.config.Store.Retry(ctx, now, id)
	r.admission.arrived(room)
	if err != nil {
		r.admission.changeStored(0, -room)
		return store.Task{}, err
	}
	r.admission.changeStored(0, waitingAfter(moved.From)-room) // somebody else may have been faster
	r.claimer.due(now, now)
	return moved.Task, nil
}

// waitingAfter is how many more tasks wait when one in this state is retried.
func waitingAfter(from store.State) int {
	if from.Final() {
		return 1
	}
	return 0
}
