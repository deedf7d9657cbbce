package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/taskrunner-go/taskrunner/store"
)

// promise is the outcome of a task for those who wait for it.
type promise struct {
	done    chan struct{}
	state   store.State
	value   any
	result  []byte
	err     error
	outcome any       // as HandleInfo is told of it; nil: there is none
	first   watcher   // told when it is done; mostly there is one, and it needs no memory of its own
	more    []watcher // told then too
	waiters int       // of a recorded task: when nobody waits any more, it goes
	from    int64     // of a recorded task: the first run whose outcome is meant
	looked  bool      // of a recorded task: it had no outcome yet when the store was asked
}

func newPromise() *promise { return &promise{done: make(chan struct{})} }

// watcher is one who is told when a promise is done. It must wait for nothing.
type watcher struct {
	id   string // with which it is called
	told func(id string, message any, err error)
}

func (w watcher) tell(p *promise) {
	if w.told != nil {
		message, err := p.message()
		w.told(w.id, message, err)
	}
}

// keep ends the waiting. It is called with the lock of the promises.
func (p *promise) keep() {
	close(p.done)
	p.first.tell(p)
	for _, w := range p.more {
		w.tell(p)
	}
	p.first, p.more = watcher{}, nil
}

// message is the outcome as HandleInfo is told of it, or why there is none. The promise must be done.
func (p *promise) message() (any, error) {
	if p.outcome == nil {
		return nil, p.err
	}
	return p.outcome, nil
}

// promises are the awaited tasks of a runner. A recorded task is here only while somebody awaits it: its outcome is in the
// store for whoever comes later.
type promises struct {
	mu     sync.Mutex
	byID   map[string]*promise
	plain  map[*promise]struct{} // of tasks that are not recorded
	closed error
}

func newPromises() *promises {
	return &promises{byID: map[string]*promise{}, plain: map[*promise]struct{}{}}
}

// whenDone has somebody told when the promise is done, with the lock, or at once if it is.
func (p *promises) whenDone(promise *promise, w watcher) Notification {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := Notification{promises: p, promise: promise, place: len(promise.more)}
	switch {
	case isDone(promise.done):
		w.tell(promise)
	case promise.first.told == nil && n.place == 0:
		promise.first, n.place = w, -1
	default:
		promise.more = append(promise.more, w)
	}
	return n
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Notification is what [Submission.Notify] has begun.
type Notification struct {
	promises *promises
	promise  *promise
	place    int    // -1: the first, else in more
	leave    func() // of a recorded task; may be nil
}

// Stop has nobody told any more, and lets go of what that takes. It is to be called in any case of a task that is recorded, and may be
// called again.
func (n Notification) Stop() {
	if n.promise != nil {
		n.promises.forget(n.promise, n.place)
	}
	if n.leave != nil {
		n.leave()
	}
}

func (p *promises) forget(promise *promise, place int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case place < 0:
		promise.first = watcher{}
	case place < len(promise.more):
		promise.more[place] = watcher{}
	}
}

// forPlain makes the promise of a task that is not recorded, whose handle keeps it.
func (p *promises) forPlain() *promise {
	promise := newPromise()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plain[promise] = struct{}{}
	return promise
}

func (p *promises) join(id string) (*promise, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return nil, p.closed
	}
	promise := p.byID[id]
	if promise == nil {
		promise = newPromise()
		p.byID[id] = promise
	}
	promise.waiters++
	return promise, nil
}

// has reports whether somebody waits for a recorded task.
func (p *promises) has(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id] != nil
}

func (p *promises) leave(id string, promise *promise) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if promise.waiters--; promise.waiters == 0 && p.byID[id] == promise {
		delete(p.byID, id)
	}
}

// keep keeps the promise of a run whose fate is final.
func (p *promises) keep(r *run, outcome any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	promise := r.promise
	if r.durable {
		if promise = p.byID[r.task.TaskID]; promise != nil && promise.from > r.task.Run && !r.notice {
			return // it has been asked to run again since
		}
		delete(p.byID, r.task.TaskID)
	} else {
		delete(p.plain, promise)
	}
	if promise != nil {
		promise.state, promise.value, promise.result, promise.err = r.fate.state, r.ending.value, r.ending.result, r.fate.err
		promise.outcome = outcome
		promise.keep()
	}
}

// fail ends the waiting for all tasks that have no outcome yet.
func (p *promises) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = err
	for id, promise := range p.byID {
		delete(p.byID, id)
		promise.err = err
		promise.keep()
	}
	for promise := range p.plain {
		delete(p.plain, promise)
		promise.err = err
		promise.keep()
	}
}

// lastError is the reason of a task that came to its end elsewhere or earlier.
func lastError(t store.Task) error {
	switch {
	case t.State == store.Completed:
		return nil
	case len(t.History) > 0 && t.History[len(t.History)-1].Error != "":
		return errors.New(t.History[len(t.History)-1].Error)
	case t.State == store.Cancelled:
		return ErrTaskCancelled
	}
	return errors.New("")
}

// awaitRecorded waits for the outcome of a recorded task. It joins those who wait before it looks into the store, so that
// an outcome is seen by one or the other.
func (r *TaskRunner) awaitRecorded(ctx context.Context, id string) (*promise, error) {
	for {
		awaited, err := r.awaitOnce(ctx, id)
		if err != nil || awaited.err != errLookAgain { //nolint:errorlint // it is ours, unwrapped
			return awaited, err
		}
	}
}

// errLookAgain ends the waiting for an outcome that the store refused: it has another one, or will have.
var errLookAgain = errors.New("actors: the store knows better")

func (p *promises) lookAgain(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if promise := p.byID[id]; promise != nil {
		delete(p.byID, id)
		promise.err = errLookAgain
		promise.keep()
	}
}

func (r *TaskRunner) awaitOnce(ctx context.Context, id string) (*promise, error) {
	awaited, err := r.promises.join(id)
	if err != nil {
		return nil, err
	}
	defer r.promises.leave(id, awaited)
	if run := r.runs.get(id); run != nil && run.willTell() { // then the store need not be asked: it will be told of here
		r.promises.raise(awaited, run.task.Run)
		r.writer.hurry()
		return awaited, awaited.wait(ctx)
	}
	task, err := r.own(ctx, id)
	if err != nil {
		return nil, err
	}
	if task.State.Final() {
		return &promise{state: task.State, result: task.Result, err: lastError(task), outcome: OutcomeOf(task)}, nil
	}
	from := task.Run // the run under way, or the next
	if task.State.Waiting() {
		from++
	}
	r.promises.raise(awaited, from)
	r.writer.hurry() // it may have ended, and be about to be recorded
	return awaited, awaited.wait(ctx)
}

// raise says from which run on an outcome is meant. That of an earlier one may still be about to be told when the task has been
// asked to run again.
func (p *promises) raise(promise *promise, from int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	promise.from, promise.looked = max(promise.from, from), true
}

// awaited gives the promises of recorded tasks that had no outcome yet and that fit.
func (p *promises) awaited(fits func(id string) bool) map[string]*promise {
	p.mu.Lock()
	defer p.mu.Unlock()
	awaited := map[string]*promise{}
	for id, promise := range p.byID {
		if promise.looked && fits(id) {
			awaited[id] = promise
		}
	}
	return awaited
}

// keepRecorded keeps a promise by what the store says of the task, which was asked after the promise was made.
func (p *promises) keepRecorded(promise *promise, t store.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID[t.ID] != promise {
		return
	}
	delete(p.byID, t.ID)
	promise.state, promise.result, promise.err, promise.outcome = t.State, t.Result, lastError(t), OutcomeOf(t)
	promise.keep()
}

// own gives a recorded task if it is this runner's.
func (r *TaskRunner) own(ctx context.Context, id string) (store.Task, error) {
	task, err := r.config.Store.Get(ctx, id)
	if err == nil && task.Runner != r.config.Name {
		return store.Task{}, fmt.Errorf("%w: task %s belongs to runner %q, not to %q", store.ErrNotFound, id, task.Runner, r.config.Name)
	}
	return task, err
}

func (p *promise) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// valueOf gives the outcome as the caller of Await wants it.
func valueOf[R any](id string, p *promise) (R, error) {
	var result R
	switch {
	case p.state == "":
		return result, p.err // there is no outcome: the runner has stopped
	case p.state != store.Completed:
		return result, &TaskError{TaskID: id, State: p.state, Err: p.err}
	}
	if typed, ok := p.value.(R); ok {
		return typed, nil
	}
	if p.result == nil && p.value == nil {
		return result, nil // the handler returned a nil
	}
	if p.result == nil {
		return result, fmt.Errorf("actors: task %s returned a %T, want %T", id, p.value, result)
	}
	if err := json.Unmarshal(p.result, &result); err != nil {
		return result, fmt.Errorf("actors: task %s: decode the result: %w", id, err)
	}
	return result, nil
}
