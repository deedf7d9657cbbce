package remote

import (
	"sync"
	"time"
)

// timers are those that are still to fire, so that whoever stops can stop them.
type timers struct {
	mu      sync.Mutex
	stopped bool
	pending map[*pending]struct{}
	owners  map[string]int // how many each client has
	running sync.WaitGroup
}

// pending is one of them. It may fire before it is known here.
type pending struct {
	among *timers
	owner string
	timer *time.Timer
	leave func() // lets go of what would have dropped it
}

func newTimers() *timers {
	return &timers{pending: map[*pending]struct{}{}, owners: map[string]int{}}
}

// after calls f after d, unless it is dropped before.
func (t *timers) after(owner string, d time.Duration, f func()) *pending {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &pending{among: t, owner: owner}
	p.timer = time.AfterFunc(d, func() {
		if !t.begin(p) {
			return
		}
		defer t.running.Done()
		f()
		p.leave()
	})
	p.leave = func() {}
	t.pending[p] = struct{}{}
	t.owners[owner]++
	return p
}

// of is how many an owner has.
func (t *timers) of(owner string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owners[owner]
}

// holds keeps what is to be called when p has fired or all are stopped; at once if it is not pending any more.
func (t *timers) holds(p *pending, leave func()) {
	t.mu.Lock()
	_, there := t.pending[p]
	if there {
		p.leave = leave
	}
	t.mu.Unlock()
	if !there {
		leave()
	}
}

// drop has p fire no more. It waits for nothing.
func (t *timers) drop(p *pending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.timer.Stop()
	t.forget(p)
}

// tell drops a timer that is there for a task which has ended.
func (p *pending) tell(uint64, any, error) { p.among.drop(p) }

// forget reports whether p was pending. It is called with the lock.
func (t *timers) forget(p *pending) bool {
	if _, there := t.pending[p]; !there {
		return false
	}
	delete(t.pending, p)
	if t.owners[p.owner]--; t.owners[p.owner] == 0 {
		delete(t.owners, p.owner)
	}
	return true
}

// begin reports whether the timer may do what it is there for. One that was stopped in this moment may not.
func (t *timers) begin(p *pending) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forget(p) && !t.stopped {
		t.running.Add(1)
		return true
	}
	return false
}

// stop has none fire any more, and waits for those that have.
func (t *timers) stop() {
	t.mu.Lock()
	t.stopped = true
	all := t.pending
	t.pending, t.owners = map[*pending]struct{}{}, map[string]int{}
	t.mu.Unlock()
	for p := range all {
		p.timer.Stop()
		p.leave()
	}
	t.running.Wait()
}
