package process

import "sync"

// abandoned holds the processes that were declared dead and whose code still runs. Go cannot end a goroutine; so they are
// counted and shown until they end.
type abandoned struct {
	mu    sync.Mutex
	procs map[*proc]struct{}
}

func (a *abandoned) add(p *proc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.procs[p] = struct{}{}
}

func (a *abandoned) remove(p *proc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.procs, p)
}

func (a *abandoned) list() []*proc {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*proc, 0, len(a.procs))
	for p := range a.procs {
		list = append(list, p)
	}
	return list
}

// Abandoned counts the goroutines of processes that were declared dead and still run: code that does not look at its
// context. Processes lists them.
func (s *System) Abandoned() int {
	s.abandoned.mu.Lock()
	defer s.abandoned.mu.Unlock()
	return len(s.abandoned.procs)
}
