// Package calls counts the calls of a store that are under way, so that its Close can wait for them.
package calls

import "sync"

// Gate lets calls in until it is closed. It is no sync.WaitGroup, which must not be added to while somebody waits for zero, and no
// sync.RWMutex, which would have calls that come too late wait for Close. Its methods are safe from any goroutine.
type Gate struct {
	mu     sync.Mutex
	calls  int
	closed bool
	idle   chan struct{} // closed when the gate is and no call is under way
}

// NewGate makes one that is open.
func NewGate() *Gate { return &Gate{idle: make(chan struct{})} }

// Enter begins a call, unless the gate is closed. Who entered must leave.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.calls++
	return true
}

// Leave ends a call.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	if g.closed && g.calls == 0 {
		close(g.idle)
	}
}

// Close lets nobody in any more, and gives what is closed when all have left. It is called once.
func (g *Gate) Close() (idle <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.calls == 0 {
		close(g.idle)
	}
	return g.idle
}
