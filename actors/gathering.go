package actors

import "sync"

// gathering is what the runner's server is to deal with and has not taken yet, in order. Whoever puts the first tells it, once for all
// that come until it takes them: under load it has as much to do with a message as with a task. What has gathered outlives the server,
// so that its next incarnation goes on with it.
type gathering[T any] struct {
	mu    sync.Mutex
	items []T
}

// put reports whether nothing was there before.
func (g *gathering[T]) put(items ...T) (first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first = len(g.items) == 0
	g.items = append(g.items, items...)
	return first
}

func (g *gathering[T]) take() []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	items := g.items
	g.items = nil
	return items
}
