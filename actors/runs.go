package actors

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// stage is how far a run has come. It only rises.
type stage int

const (
	entering stage = iota // is being recorded: whether it is accepted is not known yet
	accepted              // is to be started
	started               // its process was started
	decided               // it ended, and its fate is known
	recorded              // its fate is in the store, or the store refused it
	settled               // everybody was told
)

// run is one run of a task in this process, from its acceptance until everybody was told how it ended. For a task that
// is not recorded it serves all attempts.
//
// It lives outside of the runner's mailbox, so that a runner that crashes and is restarted finds what it had taken.
type run struct {
	runner   *TaskRunner
	seq      uint64 // the order of acceptance
	task     messages.TaskRef
	kind     *KindSpec // nil for a plain func
	args     any       // what the handler takes; nil if it is still encoded
	encoded  []byte    // the arguments as recorded
	last     []byte    // the result that the task had when it was claimed: of an earlier outcome
	handle   func(ctx context.Context, args any) (any, error)
	policy   policy
	timeout  time.Duration
	priority int
	trace    map[string]string // of whoever asked for it, if that came with a message
	durable  bool              // it is in the store
	fresh    bool              // its id was made here
	promise  *promise          // of a task that is not recorded
	notice   bool              // it never ran: it is only to be told of

	inTx     atomic.Bool   // its handler has completed it in a transaction
	progress atomic.Uint64 // the last reported fraction, as math.Float64bits

	mu        sync.Mutex
	stage     stage
	due       time.Time   // of a plain func: not before
	timer     *time.Timer // that casts it to the runner when it is due
	inLine    bool        // admission counts it among the plain funcs that wait in line
	queued    bool        // the writer has it
	slot      bool        // it has one of the runner's slots
	pid       messages.PID
	told      error // why it was told to stop
	killer    *time.Timer
	ending    *ending
	fate      fate
	back      bool  // it is to wait again, and was counted as waiting when it ended
	refused   error // why the store did not take its fate
	startedAt time.Time
}

// end keeps how the run ended, and what becomes of the task: once, whoever comes first. What an abandoned handler returns
// later is dropped.
func (r *run) end(e ending, f fate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopKiller()
	if r.ending != nil {
		return
	}
	switch {
	case f.state == "":
		f = r.undecided("ended its goroutine with runtime.Goexit")
	case r.told == ErrTaskCancelled && f.state != store.Completed: //nolint:errorlint // it is ours, unwrapped
		f.state, f.at = store.Cancelled, time.Time{} // cancelled while the fate was being decided
	}
	r.ending, r.fate = &e, f
}

func (r *run) stopKiller() {
	if r.killer != nil {
		r.killer.Stop()
		r.killer = nil
	}
}

// tell tells the run to stop, once: its context is cancelled with the cause, and if its handler has not returned when the
// grace is over, it is declared dead. A run that has not started will not. It reports false if it is too late: the run has
// ended, and its fate does not know of the cause.
func (r *run) tell(cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending != nil {
		return false
	}
	if r.told != nil {
		return true
	}
	r.told = cause
	if r.stage == started && !r.pid.IsZero() { // else it will see it when it starts
		r.interrupt()
	}
	return true
}

// interrupt is called with the lock.
func (r *run) interrupt() {
	r.runner.system.Exit(context.Background(), r.pid, r.told)
	r.killAfter(r.runner.config.Grace)
}

// killAfter is called with the lock.
func (r *run) killAfter(d time.Duration) {
	r.stopKiller()
	system, pid := r.runner.system, r.pid
	r.killer = time.AfterFunc(d, func() { system.Kill(pid) })
}

// abandoned is the ending of a run whose process is gone without having left one: it was declared dead. Whoever told it
// to stop knows why; if nobody did, its timeout was over, or somebody killed it.
func (r *run) abandoned(now time.Time, reason error) *ending {
	cause := reason
	switch {
	case r.told != nil:
		cause = r.told
	case r.timeout > 0:
		cause = ErrTaskTimeout
	}
	return &ending{err: &abandonedError{cause}, told: r.told, at: now}
}

type abandonedError struct{ cause error }

func (e *abandonedError) Error() string   { return ErrAbandoned.Error() + ": " + e.cause.Error() }
func (e *abandonedError) Unwrap() []error { return []error{ErrAbandoned, e.cause} }

// wait has the run cast to the runner when it is due, and reports whether it has to wait at all.
func (r *run) wait(now time.Time, cast func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.due.After(now) {
		return false
	}
	r.stopTimer()
	r.timer = time.AfterFunc(r.due.Sub(now), cast)
	return true
}

// stopTimer is called with the lock.
func (r *run) stopTimer() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// putBack decides the fate of a run that never started. It is called with the lock.
func (r *run) putBack(f fate) {
	r.ending = &ending{err: f.err, told: f.err, at: time.Now()}
	r.fate, r.stage = f, decided
	r.stopTimer()
}

// joinLine notes that the run waits among the plain funcs that could run, and reports false if it did so before.
func (r *run) joinLine() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	joined := !r.inLine
	r.inLine = true
	return joined
}

// inQueue reports whether the run still waits for a slot.
func (r *run) inQueue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stage == accepted && !r.slot
}

// enter says that the run is accepted.
func (r *run) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stage = accepted
}

func (r *run) hasSlot() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slot
}

// again makes a run that is not recorded ready for its next attempt, which is not before due.
func (r *run) again(due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fate.state == store.Retryable {
		r.task.Attempt++
	}
	r.task.Run++
	r.due = due
	r.stage, r.slot, r.inLine, r.pid, r.told, r.ending, r.fate = accepted, false, false, messages.PID{}, nil, nil, fate{}
}

// runTable holds the runs of a runner. Its lock is short: each task enters and leaves it.
type runTable struct {
	mu      sync.Mutex
	lastSeq uint64
	all     map[*run]bool   // false: it has only a place, and whether it is accepted is not known yet
	byID    map[string]*run // the newest run of each task: an earlier one may still be about to be told of
}

func newRunTable() *runTable {
	return &runTable{all: map[*run]bool{}, byID: map[string]*run{}}
}

// reserve gives places to runs that are about to be recorded. One whose task has a run here gets none: a caller repeats an id.
func (t *runTable) reserve(runs ...*run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range runs {
		if t.byID[r.task.TaskID] == nil {
			t.byID[r.task.TaskID] = r
			t.enter(r)
			t.all[r] = false
		}
	}
}

// add enters runs. One whose task has a run here that is not older does not enter, unless that has only a place: whoever has that
// repeats an id, and will learn that the task exists.
func (t *runTable) add(runs ...*run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range runs {
		there := t.byID[r.task.TaskID]
		if there != nil && there.task.Run >= r.task.Run && t.all[there] {
			continue
		}
		t.byID[r.task.TaskID] = r
		t.enter(r)
	}
}

// addNotice enters what is only to be told of.
func (t *runTable) addNotice(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(r)
}

// enter numbers the run, once: whoever has listed it reads the number without the lock.
func (t *runTable) enter(r *run) {
	if r.seq == 0 {
		t.lastSeq++
		r.seq = t.lastSeq
	}
	t.all[r] = true
}

func (t *runTable) remove(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, r)
	if t.byID[r.task.TaskID] == r {
		delete(t.byID, r.task.TaskID)
	}
}

func (t *runTable) get(id string) *run {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// knows reports whether this run, or a later one of its task, is here.
func (t *runTable) knows(id store.RunID) bool {
	run := t.get(id.TaskID)
	return run != nil && run.task.Run >= id.Run
}

// underWay gives the recorded runs that the store must know as running here.
func (t *runTable) underWay() map[store.RunID]*run {
	under := map[store.RunID]*run{}
	for _, r := range t.list() {
		if r.isUnderWay() {
			under[store.RunID{TaskID: r.task.TaskID, Run: r.task.Run}] = r
		}
	}
	return under
}

func (r *run) isUnderWay() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.durable && !r.notice && r.ending == nil && (r.stage == accepted || r.stage == started)
}

// willTell reports whether the recorded run is here and everybody is still to be told how it ended, or that the store knows better.
func (r *run) willTell() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.durable && !r.notice && accepted <= r.stage && r.stage < settled
}

// list gives the runs in the order of their acceptance.
func (t *runTable) list() []*run {
	t.mu.Lock()
	runs := make([]*run, 0, len(t.all))
	for r := range t.all {
		runs = append(runs, r)
	}
	t.mu.Unlock()
	slices.SortFunc(runs, func(a, b *run) int { return cmp.Compare(a.seq, b.seq) })
	return runs
}
