package process

import (
	"cmp"
	"slices"
	"sync"
)

// table holds the living processes. It is split, because each task enters and leaves it.
type table struct {
	shards [64]shard
}

type shard struct {
	mu    sync.Mutex
	procs map[uint64]*proc
}

func (t *table) init() {
	for i := range t.shards {
		t.shards[i].procs = map[uint64]*proc{}
	}
}

func (t *table) shard(id uint64) *shard { return &t.shards[id%uint64(len(t.shards))] }

func (t *table) add(p *proc) {
	s := t.shard(p.pid.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs[p.pid.ID] = p
}

func (t *table) remove(p *proc) {
	s := t.shard(p.pid.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.procs, p.pid.ID)
}

func (t *table) get(id uint64) *proc {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.procs[id]
}

func (t *table) len() int {
	n := 0
	t.each(func(*proc) { n++ })
	return n
}

// roots gives the processes that no living process is responsible for, newest first. If there is none, it gives all: a
// parent ended while we looked, or processes have made each other their children.
func (t *table) roots() []*proc {
	var roots, others []*proc
	t.each(func(p *proc) {
		if p.isRoot() {
			roots = append(roots, p)
		} else {
			others = append(others, p)
		}
	})
	if len(roots) == 0 {
		roots = others
	}
	slices.SortFunc(roots, func(a, b *proc) int { return cmp.Compare(b.pid.ID, a.pid.ID) })
	return roots
}

func (t *table) each(f func(*proc)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		procs := make([]*proc, 0, len(s.procs))
		for _, p := range s.procs {
			procs = append(procs, p)
		}
		s.mu.Unlock()
		for _, p := range procs {
			f(p)
		}
	}
}
