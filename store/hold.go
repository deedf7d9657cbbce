package store

import (
	"fmt"
	"sync"
)

// Holder is a runner that runs on a store.
type Holder struct {
	Runner string // the name of the runner
	Node   string // the process that it runs in: running tasks of the two are alive for as long as it holds
	// Notify is told that something has changed. It is a hint: it may come late, or for nothing, and several changes may be
	// told as one. It is called from any goroutine of the store's, and must return at once. nil: nobody is told.
	Notify func(Signal)
}

// Validate reports why the holder cannot hold; the error wraps ErrInvalid.
func (h Holder) Validate() error {
	if err := ValidName("Runner", h.Runner); err != nil {
		return err
	}
	return ValidName("Node", h.Node)
}

// Signal says what has changed. Signals are combined by or.
type Signal uint8

const (
	// SignalWork: tasks may have become available, or wait for a time before the one that Claimed.Next has told. That a task becomes
	// due is not told: Claimed.Next tells when.
	SignalWork Signal = 1 << iota
	// SignalOutcomes: outcomes were recorded.
	SignalOutcomes
	// SignalCancels: cancels of tasks that run here were requested.
	SignalCancels
	// SignalTaken: running tasks may have been taken from the node, because it was thought dead. See Worker.Running.
	SignalTaken
)

// Exclusive may be implemented by a store. That it is exclusive says that no other process can use it, so that a runner knows by itself
// how many of its tasks wait, but for those of the caller's transactions. Of any other store a runner asks that before it refuses a task.
type Exclusive interface {
	// Exclusive answers the same at any time.
	Exclusive() bool
}

// Holders knows which runners run on a store of one process, for those who write a store. Its zero value is ready, and its
// methods are safe from any goroutine.
type Holders struct {
	mu   sync.Mutex
	held map[string]Holder // by runner
}

// Hold implements Worker.Hold.
func (h *Holders) Hold(holder Holder) (release func(), err error) {
	if err := holder.Validate(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, held := h.held[holder.Runner]; held {
		return nil, fmt.Errorf("%w: runner %q", ErrHeld, holder.Runner)
	}
	if h.held == nil {
		h.held = map[string]Holder{}
	}
	h.held[holder.Runner] = holder
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.held, holder.Runner)
	}), nil
}

// Alive reports whether the runner holds in this node.
func (h *Holders) Alive(runner, node string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	holder, held := h.held[runner]
	return held && holder.Node == node
}

// Notify tells the runner, or all if that is empty. It must not be called with a lock that the runner's own calls need.
func (h *Holders) Notify(runner string, s Signal) {
	h.mu.Lock()
	told := make([]func(Signal), 0, len(h.held))
	for name, holder := range h.held {
		if (runner == "" || runner == name) && holder.Notify != nil {
			told = append(told, holder.Notify)
		}
	}
	h.mu.Unlock()
	for _, notify := range told {
		notify(s)
	}
}
