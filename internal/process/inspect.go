package process

import (
	"context"
	"errors"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/taskrunner-go/taskrunner/messages"
)

// ErrNoMailbox says that the process is one of a function, which handles no messages.
var ErrNoMailbox = errors.New("process: it has no mailbox")

const levelReport = slog.LevelError

// A Process may say more of itself to those who look at it.
type (
	// AfterInit runs after the starter has its PID, and before any message.
	AfterInit interface {
		AfterInit(ctx context.Context) error
	}
	// Inspectable says what the process's state is; without it, it is the process itself. It is called within the
	// process, so that it sees no half of a change.
	Inspectable interface {
		State() any
	}
	// Describer names the callback that handles a message, and the message as its sender knows it.
	Describer interface {
		Describe(message any) (callback string, sent any)
	}
)

// order is what an observer has a mailbox do, between two messages.
type order struct {
	do   func(m *mailbox)
	done chan struct{} // closed when it is done
}

// State gives the state of the target as text, made in its process between two messages; it waits until its turn has
// come. The error is messages.NoProc, ErrNoMailbox, ErrCallingSelf, the reason of the process if that ends first, or the cause
// of ctx (OTP: sys:get_state/1).
func (s *System) State(ctx context.Context, target messages.Target) (string, error) {
	states := make(chan string, 1) // it may come when nobody waits any more
	if err := s.order(ctx, target, func(m *mailbox) { states <- m.state() }); err != nil {
		return "", err
	}
	return <-states, nil
}

// Suspend has the target handle no more messages until Resume; it returns when the callback that runs has ended. What
// comes meanwhile waits. Exit signals and orders to stop still end it (OTP: sys:suspend/1). The errors are those of State.
func (s *System) Suspend(ctx context.Context, target messages.Target) error {
	return s.order(ctx, target, func(m *mailbox) { m.suspended.Store(true) })
}

// Resume ends a Suspend: the target handles what has waited, in its order. Resume does not wait for that. One that is not
// suspended stays as it is. The errors are those of State.
func (s *System) Resume(ctx context.Context, target messages.Target) error {
	return s.order(ctx, target, func(m *mailbox) { m.suspended.Store(false) })
}

// order waits until the target has carried it out.
func (s *System) order(ctx context.Context, target messages.Target, do func(m *mailbox)) error {
	p := s.find(target)
	if err := p.reachable(ctx); err != nil {
		return err
	}
	o := order{do, make(chan struct{})}
	p.post(o)
	select {
	case <-o.done:
		return nil
	case <-p.done():
		return o.orElse(p.exitReason())
	case <-ctx.Done():
		return o.orElse(context.Cause(ctx))
	}
}

// orElse is nil if the order was carried out after all.
func (o order) orElse(err error) error {
	select {
	case <-o.done:
		return nil
	default:
		return err
	}
}

// obey carries out an order. Whoever gave it goes on before what was held is handled: a message among it may wait for him.
func (m *mailbox) obey(c actor.Context, o order) {
	m.current.Store(&delivery{observed{}})
	o.do(m)
	m.current.Store(nil)
	close(o.done)
	if !m.suspended.Load() {
		m.release(c)
	}
}

// release handles what was held.
func (m *mailbox) release(c actor.Context) {
	held := m.held
	m.held = nil
	for _, d := range held {
		m.holding.Add(-1)
		m.deliver(c, d)
	}
}

// Doing says for those who look that the process that ctx belongs to runs another callback now than the one that its message
// is for.
func Doing(ctx context.Context, callback string, argument any) {
	if self := procOf(ctx); self != nil && self.box != nil {
		self.box.current.Store(&delivery{doing{callback, argument}})
	}
}

// state renders the state. It runs in the process.
func (m *mailbox) state() (text string) {
	state := any(m.process)
	if i, ok := m.process.(Inspectable); ok {
		if err := guard(func() error { state = i.State(); return nil }); err != nil {
			return "(its State: " + err.Error() + ")"
		}
	}
	return Render(state)
}

// describe names the callback for a message, and the message as its sender knows it.
func (m *mailbox) describe(message any) (callback string, sent any) {
	switch t := message.(type) {
	case nil:
		return "", nil
	case initializing:
		return "Init", nil
	case observed:
		return "State", nil
	case terminating:
		return "Terminate", nil
	case doing:
		return t.callback, t.argument
	case stop:
		return "Terminate", t.reason
	case signalled:
		return m.describe(t.message)
	}
	if d, ok := m.process.(Describer); ok {
		return d.Describe(message)
	}
	return "Handle", message
}
