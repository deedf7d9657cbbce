package process

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/messages"
)

// What callers branch on.
var (
	// ErrStopped says that the system is stopping or has stopped, so that nothing can be started in it.
	ErrStopped = errors.New("process: the system is stopped")
	// ErrCallingSelf says that a process called or stopped itself, which would wait for ever (GS-14).
	ErrCallingSelf = errors.New("process: a process cannot wait for itself")
)

// NameTakenError says that a process of this name is running already (RG-01).
type NameTakenError struct {
	Name   messages.Name // that was asked for
	Holder messages.PID  // of the process that has it
}

func (e *NameTakenError) Error() string {
	return "process: the name " + string(e.Name) + " is taken by " + e.Holder.String()
}

// Config configures a System. Its zero value works.
type Config struct {
	Logger *slog.Logger // where crashes are reported; nil: nowhere
}

// System is where processes live. One is enough for a program; it costs about 3 MiB, most of it protoactor's registry.
// All methods are safe from any goroutine.
type System struct {
	node      string
	log       *slog.Logger
	actors    *actor.ActorSystem
	table     table
	names     names
	lastID    atomic.Uint64
	lastRef   atomic.Uint64
	abandoned atomic.Int64
	stopping  atomic.Bool
	stopOnce  sync.Once
}

// NewSystem starts a system. Stop it with Stop.
func NewSystem(config Config) *System {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &System{node: newNode(), log: config.Logger, actors: newActorSystem()}
	s.table.init()
	s.names.holders = map[messages.Name]*proc{}
	return s
}

// newNode gives a name that no other start of a system has, short enough to be read in a log: the last 48 random bits of
// a UUID. Within one database a few million starts make two alike with a chance of one in a hundred.
func newNode() string {
	id := uuid.NewString()
	return id[len(id)-12:]
}

// Node names this start of the system; it is part of each PID.
func (s *System) Node() string { return s.node }

// Abandoned counts the goroutines of processes that were declared dead and still run: code that does not look at its
// context. Go cannot end them.
func (s *System) Abandoned() int { return int(s.abandoned.Load()) }

// Len counts the living processes.
func (s *System) Len() int { return s.table.len() }

// Stop stops all processes and then the system: those that no other process started go first, newest first, each told
// to shut down and waited for. When ctx ends, what is left is killed. Stop is idempotent; the answer is the cause of ctx
// if something had to be killed.
func (s *System) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	var late error
	for roots := s.table.roots(); len(roots) > 0; roots = s.table.roots() {
		for _, p := range roots {
			late = errors.Join(late, s.stopRoot(ctx, p))
		}
	}
	s.stopOnce.Do(s.actors.Shutdown)
	return late
}

func (s *System) stopRoot(ctx context.Context, p *proc) error {
	p.shutdown()
	select {
	case <-p.done():
		return nil
	case <-ctx.Done():
		if p.kill() {
			return context.Cause(ctx)
		}
		return nil
	}
}

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

// names says who holds which name. It is flat and not a map of protoactor's, whose names hang on their parents.
type names struct {
	mu      sync.Mutex
	holders map[messages.Name]*proc
}

// take registers p under the name, unless a living process has it. One that is dead but not cleaned up yet has lost it
// (RG-07).
func (n *names) take(name messages.Name, p *proc) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if holder := n.holders[name]; holder != nil && holder.alive() {
		return &NameTakenError{Name: name, Holder: holder.pid}
	}
	n.holders[name] = p
	return nil
}

func (n *names) release(name messages.Name, p *proc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.holders[name] == p {
		delete(n.holders, name)
	}
}

func (n *names) get(name messages.Name) *proc {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.holders[name]
}

// find gives the living process that the target means, or nil.
func (s *System) find(target messages.Target) *proc {
	switch t := target.(type) {
	case messages.PID:
		if p := s.record(t); p != nil && p.alive() {
			return p
		}
	case messages.Name:
		if p := s.names.get(t); p != nil && p.alive() {
			return p
		}
	}
	return nil
}

// record gives the process of that PID also while it ends, until everybody has been told.
func (s *System) record(pid messages.PID) *proc {
	if pid.Node != s.node {
		return nil
	}
	return s.table.get(pid.ID)
}

// Whereis gives the process that holds the name now. It may be dead a moment later (RG-03).
func (s *System) Whereis(name messages.Name) (messages.PID, bool) {
	if p := s.find(name); p != nil {
		return p.pid, true
	}
	return messages.PID{}, false
}

// Alive reports whether the target is a living process now.
func (s *System) Alive(target messages.Target) bool {
	p := s.find(target)
	return p != nil && p.alive()
}
