package process

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Process is what runs in a mailbox process. No two of its methods run at once. They may block, but nothing else is
// handled meanwhile.
type Process interface {
	// Init runs first. The starter waits for it; an error is the starter's, and the process was never there.
	Init(ctx context.Context) error
	// Handle handles one message. An error ends the process with that reason; messages.Normal is a good end.
	Handle(ctx context.Context, message any) error
	// Terminate runs last, unless the process was killed or got an exit signal that it does not trap (GS-28). ctx ends
	// when the process is killed while it terminates.
	Terminate(ctx context.Context, reason error)
}

// Options say how a process is started. The zero value is a process without a name that belongs to the system.
type Options struct {
	// Name registers the process, before its init runs.
	Name messages.Name
	// Link makes the process that ctx belongs to its parent: linked, and told to stop before the parent does. Outside of
	// a process it means nothing.
	Link bool
	// TrapExit turns exit signals into messages (messages.Exit), and that of the parent into an orderly end behind what is
	// queued (GS-29, GS-30, GS-33).
	TrapExit bool
}

// Spawn starts a process with a mailbox and returns when its init has: with the PID, or with the error of the init and
// nothing left behind. When ctx ends first, the half-started process is killed. Otherwise ctx has no hold over the process.
func (s *System) Spawn(ctx context.Context, process Process, options Options) (messages.PID, error) {
	p := s.newProc(options)
	if err := s.enter(p); err != nil {
		return messages.PID{}, err
	}
	m := &mailbox{proc: p, process: process, started: make(chan error, 1)}
	if options.Link {
		m.parent = procOf(ctx)
	}
	s.spawnActor(m)
	select {
	case err := <-m.started:
		return m.answer(err)
	case <-ctx.Done():
		if !p.kill() { // it ended by itself
			return m.answer(<-m.started)
		}
		return messages.PID{}, fmt.Errorf("process: init did not return in time: %w", context.Cause(ctx))
	}
}

func (m *mailbox) answer(err error) (messages.PID, error) {
	if err != nil {
		return messages.PID{}, err
	}
	return m.proc.pid, nil
}

// enter puts a new process into the records. Stop sets its flag before it looks there, and enter looks at the flag
// afterwards, so that one of them sees the other.
func (s *System) enter(p *proc) error {
	s.table.add(p)
	if s.stopping.Load() {
		p.finish(messages.Shutdown)
		return ErrStopped
	}
	return nil
}

// SpawnFunc starts a process that runs f in a goroutine of its own and ends with what f returns: nil is messages.Normal,
// a panic a *messages.PanicError, a runtime.Goexit messages.ErrGoexit. An exit signal cancels f's context with the reason
// as its cause; f may still end as it likes. Name and TrapExit of the options are not for functions.
func (s *System) SpawnFunc(ctx context.Context, f func(ctx context.Context) error, options Options) (messages.PID, error) {
	p := s.newProc(Options{})
	if err := s.enter(p); err != nil {
		return messages.PID{}, err
	}
	if parent := procOf(ctx); options.Link && parent != nil {
		p.adopt(parent)
	}
	go p.run(f)
	return p.pid, nil
}

func (p *proc) run(f func(ctx context.Context) error) {
	reason := messages.ErrGoexit
	defer func() {
		if value := recover(); value != nil {
			reason = &messages.PanicError{Value: value, Stack: debug.Stack()}
		}
		if !p.finish(p.endedBy(reason)) {
			p.sys.abandoned.Add(-1) // it was killed, and only now ends
		}
	}()
	if reason = f(p.ctx); reason == nil {
		reason = messages.Normal
	}
}

// endedBy gives the reason of a function that ended with the given one: if that is no more than its cancelled context, it
// is the signal that cancelled it.
func (p *proc) endedBy(reason error) error {
	if exit := p.pendingExit(); exit != nil && errors.Is(reason, context.Canceled) {
		return exit
	}
	return reason
}

// mailbox is the actor of a process.
type mailbox struct {
	proc    *proc
	process Process
	parent  *proc // to be linked to when init has succeeded
	started chan error
}

type (
	wake struct{}               // look at your signals
	stop struct{ reason error } // end behind what is queued
)

// Receive is the actor. It never panics, and protoactor never restarts it.
func (m *mailbox) Receive(c actor.Context) {
	switch message := c.Message().(type) {
	case *delivery:
		m.deliver(c, message.message)
	case *actor.Started:
		m.start(c)
	case *actor.Stopped:
		m.gone()
	}
}

func (m *mailbox) start(c actor.Context) {
	p := m.proc
	p.actor.Store(c.Self())
	if err := m.init(); err != nil {
		p.finish(err)
		c.Stop(c.Self())
		m.started <- err // last: name and record are free when the starter hears of it
		return
	}
	if m.parent != nil {
		p.adopt(m.parent)
	}
	m.started <- nil
}

func (m *mailbox) init() error {
	p := m.proc
	if reason := p.pendingExit(); reason != nil {
		return reason
	}
	if p.name != "" {
		if err := p.sys.names.take(p.name, p); err != nil {
			return err
		}
	}
	if !p.alive() { // killed; the name may have been taken after its release
		p.sys.names.release(p.name, p)
		return p.exitReason()
	}
	return m.call(func() error { return m.process.Init(p.ctx) })
}

func (m *mailbox) deliver(c actor.Context, message any) {
	p := m.proc
	if !p.alive() {
		return
	}
	if reason := p.pendingExit(); reason != nil {
		m.end(c, reason)
		return
	}
	switch t := message.(type) {
	case wake:
		return
	case stop:
		m.terminate(c, t.reason, message)
		return
	case messages.Down:
		if _, wanted := p.takeWatching(t.Ref); !wanted {
			return // demonitored after it was sent (TS-15)
		}
	case messages.Exit:
		if t.From == p.parentPID() {
			m.terminate(c, t.Reason, message)
			return
		}
	}
	if err := m.call(func() error { return m.process.Handle(p.ctx, message) }); err != nil {
		m.terminate(c, err, message)
	}
}

// terminate ends the process with its Terminate callback.
func (m *mailbox) terminate(c actor.Context, reason error, last any) {
	failed := m.call(func() error {
		m.process.Terminate(m.proc.ctx, reason)
		return nil
	})
	if failed != nil {
		reason = failed // GS-35
	}
	m.proc.report(reason, last)
	m.end(c, reason)
}

// end ends the process and its actor. What is still queued is not handled; protoactor drops it.
func (m *mailbox) end(c actor.Context, reason error) {
	m.proc.finish(reason)
	c.Stop(c.Self())
}

// gone runs when the actor is no more: only now is a killed process's goroutine known to be free.
func (m *mailbox) gone() {
	m.proc.mu.Lock()
	killed := m.proc.killed
	m.proc.mu.Unlock()
	if killed {
		m.proc.sys.abandoned.Add(-1)
	}
}

// call runs one callback. A panic becomes its error. A Goexit cannot be held up: protoactor's mailbox dies with the
// goroutine and would never take another message, so the process is ended and its actor forgotten right here.
func (m *mailbox) call(callback func() error) (err error) {
	returned := false
	defer func() {
		if value := recover(); value != nil {
			err = &messages.PanicError{Value: value, Stack: debug.Stack()}
		} else if !returned {
			m.goexit()
		}
	}()
	err = callback()
	returned = true
	return err
}

func (m *mailbox) goexit() {
	p := m.proc
	p.report(messages.ErrGoexit, nil)
	if !p.finish(messages.ErrGoexit) {
		m.gone()
	}
	p.sys.actors.ProcessRegistry.Remove(p.actor.Load())
	select {
	case m.started <- messages.ErrGoexit: // it was the init
	default:
	}
}

// report logs an end that nobody wanted (GS-40). Only the type of the last message is named: it may hold secrets.
func (p *proc) report(reason error, last any) {
	if messages.IsClean(reason) || !p.alive() {
		return
	}
	p.sys.log.Error("process ended", "pid", p.pid.String(), "name", string(p.name),
		"reason", reason, "last_message", fmt.Sprintf("%T", last))
}
