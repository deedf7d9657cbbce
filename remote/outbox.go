package remote

import (
	"context"
	"runtime"
	"sync"
)

// outbox is what is to be sent over a stream, in its order. Whoever puts never waits: how much can gather is limited by those who put. While
// one message is being sent, the next gathers; there is no timer.
type outbox[T any] struct {
	mu    sync.Mutex
	items []T
	bytes int // of the items, as far as they were weighed
	wake  chan struct{}
	taken chan struct{} // somebody waits for less
}

func newOutbox[T any]() *outbox[T] {
	return &outbox[T]{wake: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

func (o *outbox[T]) put(items ...T) {
	o.mu.Lock()
	first := len(o.items) == 0
	o.items = append(o.items, items...)
	o.mu.Unlock()
	if first {
		poke(o.wake)
	}
}

// putWithin puts what has so many bytes, unless there would be more of them than limit. One is always taken.
func (o *outbox[T]) putWithin(item T, bytes, limit int) bool {
	o.mu.Lock()
	first := len(o.items) == 0
	if !first && o.bytes+bytes > limit {
		o.mu.Unlock()
		return false
	}
	o.items = append(o.items, item)
	o.bytes += bytes
	o.mu.Unlock()
	if first {
		poke(o.wake)
	}
	return true
}

// take takes all that has gathered, into the memory of what was taken before.
func (o *outbox[T]) take(empty []T) []T {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(empty)
	items := o.items
	o.items, o.bytes = empty[:0], 0
	poke(o.taken)
	return items
}

func (o *outbox[T]) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items)
}

// weigh adds to how much is in it, until the next take.
func (o *outbox[T]) weigh(bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes += bytes
}

// isBelow reports whether less than so many items, and so many bytes, are in it.
func (o *outbox[T]) isBelow(items, bytes int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items) < items && o.bytes < bytes
}

// settle lets those run first who are about to put something more: the first to come would else have a message for itself.
func (o *outbox[T]) settle() { yieldWhile(o.len) }

// yieldWhile lets others run for as long as a number grows by it.
func yieldWhile(number func() int) {
	for before := -1; before < number(); {
		before = number()
		runtime.Gosched()
	}
}

// below waits until less than so much is in it, and reports false if ctx ended first.
func (o *outbox[T]) below(ctx context.Context, items, bytes int) bool {
	for !o.isBelow(items, bytes) {
		select {
		case <-o.taken:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
