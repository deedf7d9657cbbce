package postgres

import "sync"

// gate counts the calls under way, so that Close can wait for them. It is no sync.WaitGroup, which must not be added to while
// somebody waits for zero.
type gate struct {
	mu     sync.Mutex
	calls  int
	closed bool
	idle   chan struct{} // closed when the gate is and no call is under way
}

// enter begins a call, unless the gate is closed. Who entered must leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.calls++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	if g.closed && g.calls == 0 {
		close(g.idle)
	}
}

// close lets nobody in any more, and gives what is closed when all have left. It is called once.
func (g *gate) close() (idle <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.calls == 0 {
		close(g.idle)
	}
	return g.idle
}
