package remote

import (
	"sync"
	"time"
)

// timers are those that are still to fire, so that whoever stops can stop them.
type timers struct {
	mu      sync.Mutex
	stopped bool
	pending map[*time.Timer]struct{}
	running sync.WaitGroup
}

func newTimers() *timers { return &timers{pending: map[*time.Timer]struct{}{}} }

// after calls f after d, unless it is stopped before.
func (t *timers) after(d time.Duration, f func()) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		if t.begin(timer) {
			defer t.running.Done()
			f()
		}
	})
	t.pending[timer] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		timer.Stop()
		delete(t.pending, timer)
	}
}

// begin reports whether the timer may do what it is there for. One that was stopped in this moment may not.
func (t *timers) begin(timer *time.Timer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, pending := t.pending[timer]
	delete(t.pending, timer)
	if pending && !t.stopped {
		t.running.Add(1)
		return true
	}
	return false
}

// stop has none fire any more, and waits for those that have.
func (t *timers) stop() {
	t.mu.Lock()
	t.stopped = true
	for timer := range t.pending {
		timer.Stop()
	}
	clear(t.pending)
	t.mu.Unlock()
	t.running.Wait()
}
