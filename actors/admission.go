package actors

import (
	"container/list"
	"context"
	"sync"
)

// admission counts what a runner has taken: it is bounded here, at the door, because a mailbox that is bounded loses
// messages or blocks its senders. Its state is outside of the runner's process, so that callers need not ask it.
//
// A task is either running, which takes one of MaxChildren slots from the moment it is about to start until its end is
// handled, or it waits, which takes one of MaxWaiting places. What counts is the sum: a slot that is held while the store is
// asked for tasks is nobody's yet, and must not make the runner look full.
type admission struct {
	runner                  string
	maxChildren, maxWaiting int

	mu        sync.Mutex
	running   int
	waiting   int
	stored    int  // of the waiting, those that are recorded; less than none by what was claimed before its return was counted
	arriving  int  // of these, those that are being inserted
	returning int  // of the waiting, those that have run and are being given back to the store
	moved     int  // the sum of all changes of stored that were made here, and not by a count
	version   int  // rises with each of them
	held      int  // slots for tasks that the store is being asked for
	line      int  // plain funcs among the waiting that could run: new tasks must not overtake them
	backlog   bool // recorded tasks wait that could run: the same
	stalled   bool // MaxUnrecorded is reached: no recorded task may start
	closed    bool
	inside    int           // callers that were let in and are not done
	empty     chan struct{} // closed when closed and nobody is inside
	queue     list.List     // of *ticket: callers that wait for room, in their order
	queued    func()        // is told that one more does; may be nil
}

// ticket is a caller that waits for room.
type ticket struct {
	tasks   int
	later   bool // they run later, and start none now
	plain   bool // they are not recorded
	waits   bool // the caller waits for room
	granted chan struct{}
	start   int
	err     error
}

func newAdmission(runner string, maxChildren, maxWaiting int) *admission {
	return &admission{runner: runner, maxChildren: maxChildren, maxWaiting: maxWaiting, empty: make(chan struct{})}
}

// admit takes room for the tasks of a ticket, all or none, and says how many of them may start now; their slots are taken.
// The caller is inside until it calls leave.
func (a *admission) admit(ctx context.Context, t *ticket) (start int, err error) {
	a.mu.Lock()
	settled := a.try(t)
	if !settled && !t.waits {
		t.err, settled = a.full(), true
	}
	if settled {
		a.mu.Unlock()
		return t.start, t.err
	}
	t.granted = make(chan struct{})
	place := a.queue.PushBack(t)
	a.mu.Unlock()
	if a.queued != nil {
		a.queued()
	}

	select {
	case <-t.granted:
		return t.start, t.err
	case <-ctx.Done():
		return a.giveUp(ctx, t, place)
	}
}

// giveUp takes a ticket out of the queue, unless it was granted in the same moment.
func (a *admission) giveUp(ctx context.Context, t *ticket, place *list.Element) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-t.granted:
		return t.start, t.err
	default:
		a.queue.Remove(place)
		a.serve() // the next may fit where this one did not
		return 0, context.Cause(ctx)
	}
}

// try settles a ticket if that can be done now: it is granted, or it never can be.
func (a *admission) try(t *ticket) bool {
	if a.closed {
		t.err = ErrStopping
		return true
	}
	if t.granted == nil && a.queue.Len() > 0 {
		return false // no overtaking
	}
	if !a.fits(t) {
		if a.neverFits(t) {
			t.err = a.full() // it would wait for ever
		}
		return t.err != nil
	}
	t.start = a.room(t)
	a.running += t.start
	a.seat(t, t.tasks-t.start)
	a.inside++
	return true
}

// seat counts those of a ticket that have to wait.
func (a *admission) seat(t *ticket, waiting int) {
	switch {
	case !t.plain:
		a.addStored(waiting)
		a.arriving += waiting
		return
	case !t.later:
		a.line += waiting
	}
	a.waiting += waiting
}

// arrived says that the store has answered for so many tasks that were let in to wait there.
func (a *admission) arrived(tasks int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.arriving -= tasks
}

// fits is whether there is room. Whoever waits for room anyway also waits for outcomes that the store is behind with: else tasks come
// faster than they end, and each is written twice more, to wait and to be claimed.
func (a *admission) fits(t *ticket) bool {
	if t.later {
		return a.waiting+t.tasks <= a.maxWaiting
	}
	if a.stalled && t.waits && !t.plain {
		return false
	}
	return a.running+a.waiting+t.tasks <= a.maxChildren+a.maxWaiting
}

func (a *admission) neverFits(t *ticket) bool {
	if t.later {
		return t.tasks > a.maxWaiting
	}
	return t.tasks > a.maxChildren+a.maxWaiting
}

// room says how many of the tasks may start now. None may take the slot of a task that waits and could run. If there are slots for
// those and more, new tasks do not wait behind them: else one that has to wait would have all that come behind it wait too, for as
// long as there is load, and each costs a claim then.
func (a *admission) room(t *ticket) int {
	if t.later || a.line > 0 || a.stalled && !t.plain {
		return 0
	}
	free := a.free()
	if a.backlog {
		free -= max(1, a.stored) // one may be there that another process has put there
	}
	return max(0, min(t.tasks, free))
}

func (a *admission) free() int { return a.maxChildren - a.running - a.held }

// mostlyTaken reports whether more than half of the slots are taken.
func (a *admission) mostlyTaken() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return 2*a.free() < a.maxChildren
}

func (a *admission) full() error {
	return &FullError{Runner: a.runner, Limit: "MaxWaiting", Max: a.maxWaiting}
}

// serve grants those at the head of the queue as long as they fit.
func (a *admission) serve() {
	for place := a.queue.Front(); place != nil; place = a.queue.Front() {
		t := place.Value.(*ticket)
		if !a.try(t) {
			return
		}
		a.queue.Remove(place)
		close(t.granted)
	}
}

// leave says that a caller who was let in is done: its tasks are where they belong, or gone.
func (a *admission) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inside--
	a.checkEmpty()
}

func (a *admission) checkEmpty() {
	if a.closed && a.inside == 0 {
		select {
		case <-a.empty:
		default:
			close(a.empty)
		}
	}
}

// close refuses everybody from now on. The channel is closed when nobody is inside any more.
func (a *admission) close() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.serve()
	a.checkEmpty()
	return a.empty
}

// hold takes up to n slots for tasks that the store will be asked for, and says how many: no more than wait there, and half
// are left to plain funcs if any wait. The store may take long to answer. But so many as probe are asked for, if there are slots:
// somebody else may have put tasks there.
func (a *admission) hold(n, probe int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	free := a.free()
	if a.line > 0 {
		free = (free + 1) / 2
	}
	n = max(0, min(n, free, max(probe, a.waiting-a.line)))
	a.held += n
	return n
}

// claimed gives back slots that were held; so many waiting tasks have come out of the store and run in them.
func (a *admission) claimed(held, tasks int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= held
	a.running += tasks
	a.addStored(-tasks)
	a.serve()
}

// begin has one plain func of the line run, if there is a slot.
func (a *admission) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.free() <= 0 {
		return false
	}
	a.running++
	a.waiting--
	a.line--
	return true
}

// lineUp adds to the number of waiting plain funcs that could run; it may be negative.
func (a *admission) lineUp(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line += n
	if a.line == 0 {
		a.serve()
	}
}

func (a *admission) setStalled(stalled bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stalled = stalled; !stalled {
		a.serve()
	}
}

// mayWait reports whether so many more recorded tasks may wait, as far as is known.
func (a *admission) mayWait(tasks int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &ticket{tasks: tasks, later: true}
	switch {
	case a.closed:
		return ErrStopping
	case !a.fits(t):
		return a.full()
	}
	return nil
}

// addStored adds to the number of recorded tasks that wait; it is called with the lock. Tasks that others have put there, and that were
// never counted here, make it no less than none: else as many more would be let in.
func (a *admission) addStored(n int) {
	n = max(n, -a.stored-a.returning)
	a.stored += n
	a.waiting += n
	a.moved += n
	a.version++
}

// comeBack says that a recorded task which has run is to wait again. It counts from now on: a claim may have it before we are told that
// the store does.
func (a *admission) comeBack() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running--
	a.waiting++
	a.returning++
}

// cameBack says what the store has made of a task: whether it waits there. counted is whether comeBack was told of it.
func (a *admission) cameBack(counted, waits bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if counted {
		a.returning--
		a.waiting--
	}
	back := 0
	if waits {
		back = 1
	}
	a.addStored(back)
	a.serve()
}

// storedCount is what is known of the recorded tasks that wait.
type storedCount struct {
	moved, version int
	busy           bool // somebody is recording tasks, claiming them, or giving them back
}

func (a *admission) storedNow() storedCount {
	a.mu.Lock()
	defer a.mu.Unlock()
	return storedCount{moved: a.moved - a.arriving, version: a.version, busy: a.inside > 0 || a.held > 0 || a.returning > 0}
}

// correct sets the number of waiting recorded tasks to what the store has counted. before is what was known before it was asked:
// if that was changing, or has changed since, the two cannot be compared, and it reports false. With force it takes what was being
// recorded, and all that has changed since, for not counted yet. That is nearly right: too many by what of it was counted already, too
// few by what a claim took meanwhile.
func (a *admission) correct(before storedCount, counted int, force bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !force && (before.busy || before.version != a.version) {
		return false
	}
	mistake := max(counted+a.moved-before.moved, -a.returning) - a.stored
	a.stored += mistake
	a.waiting += mistake
	a.serve()
	return true
}

// changeStored is change for recorded tasks.
func (a *admission) changeStored(running, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.addStored(waiting)
	a.running += running
	if running < 0 || waiting < 0 {
		a.serve()
	}
}

// change adds to the number of running and of waiting tasks, either of which may be negative.
func (a *admission) change(running, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running += running
	a.waiting += waiting
	if running < 0 || waiting < 0 {
		a.serve()
	}
}

func (a *admission) setBacklog(backlog bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.backlog = backlog
	if !backlog {
		a.serve()
	}
}

// crowded reports whether somebody waits for room.
func (a *admission) crowded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queue.Len() > 0
}

func (a *admission) hasBacklog() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.backlog
}

// lastForBoth reports whether there is one free slot, recorded tasks wait for it, and the store is not being asked for them.
func (a *admission) lastForBoth() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.backlog && a.held == 0 && a.free() == 1
}

func (a *admission) hasLine() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.line > 0
}

func (a *admission) counts() (running, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running, a.waiting
}
