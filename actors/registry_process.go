package actors

import (
	"context"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// registryProcess cleans up behind holders that die. The table is used by everybody without it.
type registryProcess[K comparable, V any] struct {
	system *System
	config RegistryConfig
	table  *registryTable[K, V]
	self   messages.PID
	refs   map[messages.PID]messages.Ref // of the holders that it monitors
}

func newRegistryProcess[K comparable, V any](system *System, config RegistryConfig) *registryProcess[K, V] {
	return &registryProcess[K, V]{system: system, config: config, table: newRegistryTable[K, V](), refs: map[messages.PID]messages.Ref{}}
}

// look has the process see whether it must monitor a holder: those who register and unregister do so at the same time, and
// the table alone knows what came last.
type look struct{ pid messages.PID }

func (l look) String() string { return "look at " + l.pid.String() }

// ProcessTitle says what it is, for those who look at the process.
func (p *registryProcess[K, V]) ProcessTitle() string { return "registry" }

// Describe names the callback for a message, in the words of a GenServer.
func (p *registryProcess[K, V]) Describe(message any) (callback string, sent any) {
	if r, ok := message.(*process.Request); ok {
		return "HandleCall", r.Message
	}
	return "HandleInfo", message
}

// State is what System.State shows.
func (p *registryProcess[K, V]) State() any { return p.table.snapshot() }

func (p *registryProcess[K, V]) Init(ctx context.Context) error {
	p.self, _ = process.Self(ctx)
	return nil
}

func (p *registryProcess[K, V]) Handle(ctx context.Context, message any) error {
	switch m := message.(type) {
	case look:
		p.look(ctx, m.pid)
	case messages.Down:
		if ref, ok := p.refs[m.PID]; ok && ref == m.Ref { // else somebody made it up
			delete(p.refs, m.PID)
			p.table.removeAll(m.PID)
		}
	case *process.Request:
		m.From.Reply(nil, ErrNotHandled)
	}
	return nil
}

func (p *registryProcess[K, V]) look(ctx context.Context, pid messages.PID) {
	ref, watched := p.refs[pid]
	switch holds := p.table.has(pid); {
	case holds && !watched:
		p.refs[pid] = p.system.Monitor(ctx, pid)
	case watched && !holds:
		p.system.Demonitor(ctx, ref)
		delete(p.refs, pid)
	}
}

func (p *registryProcess[K, V]) Terminate(context.Context, error) {}

// changed is what follows a change: the holder is monitored, or not any more, and the listeners are told.
func (p *registryProcess[K, V]) changed(pid messages.PID, event any) {
	ctx := context.Background()
	p.system.Send(ctx, p.self, look{pid})
	if event == nil {
		return
	}
	for _, listener := range p.config.Listeners {
		p.system.Send(ctx, listener, event)
	}
}
