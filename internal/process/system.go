package process

import (
	"context"
	"errors"
	"log/slog"
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
	// ErrCallingSelf says that a process called or stopped itself, or stopped its system, which would wait for ever (GS-14).
	ErrCallingSelf = errors.New("process: a process cannot wait for itself")
	// ErrIgnore is what an Init, or the Start of a child, answers that does not want its process, without that being a
	// failure: the process ends with messages.Normal, and the start gives ErrIgnore (GS-04).
	ErrIgnore = errors.New("process: the process is to be ignored")
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
	abandoned abandoned
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
	s.abandoned.procs = map[*proc]struct{}{}
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

// Len counts the living processes.
func (s *System) Len() int { return s.table.len() }

// Stop stops all processes and then the system: those that no other process started go first, newest first, each told
// to shut down and waited for. When ctx ends, what is left is killed. Stop is idempotent; the answer is the cause of ctx
// if something had to be killed. From within one of its processes, with the context of that, it is ErrCallingSelf.
func (s *System) Stop(ctx context.Context) error {
	if self := procOf(ctx); self != nil && self.sys == s && self.alive() {
		return ErrCallingSelf
	}
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
