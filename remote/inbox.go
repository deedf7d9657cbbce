package remote

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// Keep is for how long a listener knows a task of a runner that records nothing after its end, if nobody says that its outcome has
// arrived: so long it is accepted once although it is sent again, and its outcome can be asked for.
const Keep = 10 * time.Minute

// inbox is what a listener knows of the tasks of one runner that records nothing: a repeated id is known by it, and an outcome stays in it
// until it has arrived at whoever asked for the task. What a runner with a store does by its store, this does for the others,
// for as long as the program lives.
type inbox struct {
	max share // of one client

	mu     sync.Mutex
	tasks  map[string]*entry
	owners map[string]share // what each client has here
	ended  []*entry         // by the time of their end
	gone   int              // of the ended, those that are forgotten
}

// share is some tasks, how large their arguments are, and how many of the tasks may go when there is need of room. A task keeps its share until
// it is forgotten: its result may be as large as its arguments.
type share struct{ tasks, bytes, arrived int }

func (b *inbox) give(owner string, tasks, bytes, arrived int) {
	s := b.owners[owner]
	if s = (share{s.tasks + tasks, s.bytes + bytes, s.arrived + arrived}); s.tasks == 0 {
		delete(b.owners, owner)
		return
	}
	b.owners[owner] = s
}

// entry is one task.
type entry struct {
	id, owner string
	bytes     int
	first     follower // mostly there is one, and it needs no memory of its own
	more      []follower
	outcome   any
	err       error
	over      bool
	endedAt   time.Time
	arrived   bool
}

// maxFollowers is how many may wait for the outcome of one task, besides the first: each who leaves is looked for among them, while all others who
// use the runner wait.
const maxFollowers = 100

// follower is one who wants an outcome.
type follower struct {
	to     teller
	number uint64
}

// teller is told of outcomes, with the number that it has given. It must wait for nothing.
type teller interface {
	tell(number uint64, outcome any, err error)
}

func newInbox(maxTasks, maxBytes int) *inbox {
	return &inbox{max: share{tasks: maxTasks, bytes: maxBytes}, tasks: map[string]*entry{}, owners: map[string]share{}}
}

// enter makes a place for a task of this client, and reports whether it has one already. What ended longer ago than Keep goes; if the client
// has too many, what has arrived goes too.
func (b *inbox) enter(owner, id string, bytes int, now time.Time) (existed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if e := b.tasks[id]; e != nil {
		return true, e.mayKnow(owner)
	}
	if b.room(owner, bytes) != nil && b.owners[owner].arrived > 0 { // else who has no room could have all walked through with each run
		b.drop(func(e *entry) bool { return e.owner == owner && e.arrived })
	}
	if err := b.room(owner, bytes); err != nil {
		return false, err
	}
	b.tasks[id] = &entry{id: id, owner: owner, bytes: bytes}
	b.give(owner, 1, bytes, 0)
	return false, nil
}

// room reports why there is none for one more task of this client; the first always has it. It is called with the lock.
func (b *inbox) room(owner string, bytes int) error {
	switch s := b.owners[owner]; {
	case s.tasks >= b.max.tasks:
		return &actors.FullError{Limit: "MaxUnacknowledged", Max: b.max.tasks}
	case s.tasks > 0 && s.bytes+bytes > b.max.bytes:
		return &actors.FullError{Limit: "MaxBytes", Max: b.max.bytes}
	}
	return nil
}

// mayKnow is whether the task is that client's. To others it is as if it were not there.
func (e *entry) mayKnow(owner string) error {
	if e == nil || e.owner != owner {
		return fmt.Errorf("%w, or nothing is known of it any more", store.ErrNotFound)
	}
	return nil
}

// expire forgets what has ended longer ago than Keep. It is called with the lock.
func (b *inbox) expire(now time.Time) {
	old := 0
	for old < len(b.ended) && now.Sub(b.ended[old].endedAt) > Keep {
		if !b.forget(b.ended[old]) {
			b.gone--
		}
		old++
	}
	b.ended = b.ended[old:]
}

// drop forgets those of the ended that fit. It is called with the lock.
func (b *inbox) drop(fits func(*entry) bool) {
	kept := b.ended[:0]
	for _, e := range b.ended {
		if b.tasks[e.id] != e {
			continue // gone already
		}
		if fits(e) {
			b.forget(e)
			continue
		}
		kept = append(kept, e)
	}
	clear(b.ended[len(kept):])
	b.ended, b.gone = kept, 0
}

// forget is called with the lock. It reports false if that was done before.
func (b *inbox) forget(e *entry) bool {
	if b.tasks[e.id] != e {
		return false
	}
	delete(b.tasks, e.id)
	arrived := 0
	if e.arrived {
		arrived = 1
	}
	b.give(e.owner, -1, -e.bytes, -arrived)
	return true
}

// refuse takes a task out again that its runner has refused.
func (b *inbox) refuse(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.tasks[id]; e != nil {
		b.forget(e)
	}
}

// end notes how a task ended, and tells those who want to know.
func (b *inbox) end(id string, outcome any, err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.tasks[id]
	if e == nil || e.over {
		return
	}
	e.over, e.outcome, e.err, e.endedAt = true, outcome, err, now
	b.ended = append(b.ended, e)
	if e.first.to != nil {
		e.first.to.tell(e.first.number, outcome, err)
	}
	for _, f := range e.more {
		f.to.tell(f.number, outcome, err)
	}
	e.first, e.more = follower{}, nil
}

// follow has somebody told of the outcome, at once if it is there.
func (b *inbox) follow(owner, id string, f follower) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.tasks[id]
	if err := e.mayKnow(owner); err != nil {
		return err
	}
	switch {
	case e.over:
		f.to.tell(f.number, e.outcome, e.err)
	case e.first.to == nil:
		e.first = f
	case len(e.more) >= maxFollowers:
		return &actors.FullError{Limit: "MaxFollowers", Max: maxFollowers}
	default:
		e.more = append(e.more, f)
	}
	return nil
}

// leave takes back what follow has begun.
func (b *inbox) leave(id string, f follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.tasks[id]
	if e == nil {
		return
	}
	if e.first == f {
		e.first = follower{}
	}
	e.more = slices.DeleteFunc(e.more, func(other follower) bool { return other == f })
}

// arrive says that the outcome has arrived: it may go when there is need of room, and forget says that it need not be known any longer.
func (b *inbox) arrive(owner, id string, forget bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.tasks[id]
	if e.mayKnow(owner) != nil || !e.over {
		return
	}
	if !e.arrived {
		e.arrived = true
		b.give(owner, 0, 0, 1)
	}
	if forget {
		b.forget(e)
		if b.gone++; b.gone > len(b.ended)/2 { // seldom, or each would cost a walk through all
			b.drop(func(*entry) bool { return false })
		}
	}
}

// knows reports why this client may know nothing of the task.
func (b *inbox) knows(owner, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tasks[id].mayKnow(owner)
}
