package postgres

import (
	"sync"
	"time"
)

// young are the tasks in bundles of this handle: they run, in their first run, and nothing has happened to them yet. It is a copy
// of what the database says, and may be behind it: who takes a bundle deletes its row, without which nothing is written.
type young struct {
	mu    sync.Mutex
	tasks map[uuid]egg
	nests map[uuid]*nest // by the ids of their bundles
}

// egg is where a young task is.
type egg struct {
	nest *nest
	i    int
}

// nest is a bundle and what is left in it.
type nest struct {
	*bundle

	left   int
	landed bool      // an earlier try has inserted it
	known  bool      // that it was inserted; if not, that may be under way
	born   time.Time // when it was known
}

func newYoung() *young { return &young{tasks: map[uuid]egg{}, nests: map[uuid]*nest{}} }

// expect notes that a bundle is about to be inserted: it is no stray.
func (y *young) expect(b *bundle) *nest {
	y.mu.Lock()
	defer y.mu.Unlock()
	n := &nest{bundle: b, left: b.n}
	y.nests[b.id] = n
	return n
}

// hatch makes the tasks of an inserted bundle known.
func (y *young) hatch(n *nest, now time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	n.known, n.born = true, now
	for i, id := range n.ids() {
		y.tasks[id] = egg{nest: n, i: i}
	}
}

// find gives the place of a young task.
func (y *young) find(id uuid) (egg, bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	e, ok := y.tasks[id]
	return e, ok
}

// remove takes out tasks that have left their nests, and nests that are empty.
func (y *young) remove(ids []uuid) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, id := range ids {
		e, ok := y.tasks[id]
		if !ok {
			continue
		}
		delete(y.tasks, id)
		if e.nest.left--; e.nest.left == 0 {
			delete(y.nests, e.nest.id)
		}
	}
}

// drop forgets a nest: its bundle was taken by another, or is to be looked for anew.
func (y *young) drop(n *nest) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.nests, n.id)
	for _, id := range n.ids() {
		if e, ok := y.tasks[id]; ok && e.nest == n {
			delete(y.tasks, id)
		}
	}
}

// known reports whether this handle knows the bundle, or is inserting it.
func (y *young) known(bundle uuid) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.nests[bundle] != nil
}

// left gives the tasks that are left in a nest; ok is false if the bundle is not known to be inserted.
func (y *young) left(bundle uuid) (ids []uuid, ok bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	n := y.nests[bundle]
	if n == nil || !n.known {
		return nil, false
	}
	for _, id := range n.ids() {
		if e, there := y.tasks[id]; there && e.nest == n {
			ids = append(ids, id)
		}
	}
	return ids, true
}

// old gives the ids of the tasks of the nests that were born before, for at most limit tasks or one nest.
func (y *young) old(before time.Time, limit int) (ids []uuid) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, n := range y.nests {
		if !n.known || !n.born.Before(before) || len(ids) > 0 && len(ids)+n.left > limit {
			continue
		}
		for _, id := range n.ids() {
			if e, there := y.tasks[id]; there && e.nest == n {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
