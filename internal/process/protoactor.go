package process

import (
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"
)

// newActorSystem makes protoactor's system without its habits: its metrics (eight times the cost of a message), its
// coloured log on stderr, and what it does with a message for nobody. That it logs whole, secrets and all, and each leaves
// a goroutine behind for a second; a new event stream, which nobody has subscribed to, ends both.
func newActorSystem() *actor.ActorSystem {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
	system.EventStream = eventstream.NewEventStream()
	return system
}

// spawnActor starts the actor that gives a process its mailbox. The actor handles Started, which runs the process's
// init, before any message.
func (s *System) spawnActor(m *mailbox) {
	s.actors.Root.Spawn(actor.PropsFromFunc(m.Receive,
		actor.WithMailbox(func() actor.Mailbox { return m.queue }), actor.WithDispatcher(dispatcher{})))
}

func newQueue() actor.Mailbox { return actor.Unbounded()() }

// delivery carries every message of ours through protoactor, so that it never looks inside: it would act on its own
// types (PoisonPill, MessageBatch, …) wherever they come from.
type delivery struct{ message any }

// takesMessages reports whether there is a mailbox yet: a process is in the table a moment before it has one.
func (p *proc) takesMessages() bool { return p.actor.Load() != nil }

func (p *proc) post(message any) {
	if pid := p.actor.Load(); pid != nil && p.alive() {
		p.sys.actors.Root.Send(pid, &delivery{message})
	}
}

// dispatcher runs a mailbox that has messages in a goroutine of its own, as protoactor's does.
type dispatcher struct{}

func (dispatcher) Schedule(f func()) {
	go func() {
		grow()
		f()
	}()
}

// Throughput is after how many messages a mailbox lets other goroutines run: as many as with protoactor's.
func (dispatcher) Throughput() int { return 300 }
