package process

import (
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"
)

// newActorSystem makes protoactor's system without its habits: its metrics (eight times the cost of a message), its
// coloured log on stderr, its log of whole messages, which may hold secrets, and the throttle of that log, which leaves a
// goroutine behind for a second after each dead letter.
func newActorSystem() *actor.ActorSystem {
	return actor.NewActorSystem(
		actor.WithDeadLetterThrottleCount(0),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }),
	)
}

// spawnActor starts the actor that gives a process its mailbox. The actor handles Started, which runs the process's
// init, before any message.
func (s *System) spawnActor(m *mailbox) {
	s.actors.Root.Spawn(actor.PropsFromFunc(m.Receive))
}

// delivery carries every message of ours through protoactor, so that it never looks inside: it would act on its own
// types (PoisonPill, MessageBatch, …) wherever they come from.
type delivery struct{ message any }

func (p *proc) post(message any) {
	if pid := p.actor.Load(); pid != nil && p.alive() {
		p.sys.actors.Root.Send(pid, &delivery{message})
	}
}
