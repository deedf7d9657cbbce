package actors

import (
	"context"
	"sync"
	"time"
)

// ends are the ends of tasks, by their index, in the order in which they came. It is no channel: nobody who ends may wait
// for whoever takes.
type ends struct {
	mu    sync.Mutex
	order []int
	wake  chan struct{}
	close []func()
}

func newEnds[R any](tasks []*Task[R]) *ends {
	e := &ends{wake: make(chan struct{}, 1)}
	for i, t := range tasks {
		e.add(&t.task, i)
	}
	return e
}

// add has the end of the task come with that index.
func (e *ends) add(t *task, i int) { e.close = append(e.close, t.onEnd(func() { e.put(i) })) }

// leave has no more ends come. Whoever made it calls it, since a task that is asked again and again would keep them all.
func (e *ends) leave() {
	for _, cancel := range e.close {
		cancel()
	}
}

func (e *ends) put(i int) {
	e.mu.Lock()
	e.order = append(e.order, i)
	e.mu.Unlock()
	poke(e.wake)
}

func (e *ends) take() (int, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.order) == 0 {
		return 0, false
	}
	i := e.order[0]
	e.order = e.order[1:]
	return i, true
}

func (e *ends) len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.order)
}

// next waits for the next end; it gives -1 when over fires first, and the cause of ctx when that ends.
func (e *ends) next(ctx context.Context, over <-chan time.Time) (int, error) {
	for {
		if i, ok := e.take(); ok {
			return i, nil
		}
		select {
		case <-e.wake:
		case <-over:
			return -1, nil
		case <-ctx.Done():
			return -1, context.Cause(ctx)
		}
	}
}
