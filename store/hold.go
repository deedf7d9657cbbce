package store

import (
	"fmt"
	"sync"
)

// Holders knows which runners use a store. Every store embeds one. Its zero value is ready, and its methods are safe from any
// goroutine.
type Holders struct {
	mu   sync.Mutex
	held map[string]bool
}

// Hold says that a runner of this name runs on the store, until release is called. A second one of the same name is refused with
// ErrHeld: it would take the first one's running tasks for those of a process that died.
func (h *Holders) Hold(runner string) (release func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[runner] {
		return nil, fmt.Errorf("%w: runner %q", ErrHeld, runner)
	}
	if h.held == nil {
		h.held = map[string]bool{}
	}
	h.held[runner] = true
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.held, runner)
	}), nil
}
