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
	running sync.WaitGroup
}

// pending is one of them. It may fire before it is known here.
type pending struct{ timer *time.Timer }

func newTimers() *timers { return &timers{pending: map[*pending]struct{}{}} }

// after calls f after d, unless it is stopped before.
func (t *timers) after(d time.Duration, f func()) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := new(pending)
	p.timer = time.AfterFunc(d, func() {
		if t.begin(p) {
			defer t.running.Done()
			f()
		}
	})
	t.pending[p] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		p.timer.Stop()
		delete(t.pending, p)
	}
}

// begin reports whether the timer may do what it is there for. One that was stopped in this moment may not.
func (t *timers) begin(p *pending) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, mine := t.pending[p]
	delete(t.pending, p)
	if mine && !t.stopped {
		t.running.Add(1)
		return true
	}
	return false
}

// stop has none fire any more, and waits for those that have.
func (t *timers) stop() {
	t.mu.Lock()
	t.stopped = true
	for p := range t.pending {
		p.timer.Stop()
	}
	clear(t.pending)
	t.mu.Unlock()
	t.running.Wait()
}
