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
// nothing left behind. When ctx ends first, the half-started process is killed; when it is killed or told to exit by somebody
// else, the error is that reason. Otherwise ctx has no hold over the process.
func (s *System) Spawn(ctx context.Context, process Process, options Options) (messages.PID, error) {
	p := s.newProc(options)
	if err := s.enter(p); err != nil {
		return messages.PID{}, err
	}
	m := &mailbox{proc: p, process: process, started: make(chan error, 1)}
	s.spawnActor(m)
	if err := m.await(ctx); err != nil {
		return messages.PID{}, err
	}
	if parent := procOf(ctx); options.Link && parent != nil {
		p.adopt(parent) // only now: a failed init does not reach its starter as an exit signal too (GS-02)
	}
	return p.pid, nil
}

// await waits for the init, but no longer than there is a process: one that was killed may hang in its init for ever.
func (m *mailbox) await(ctx context.Context) error {
	p := m.proc
	select {
	case err := <-m.started:
		return err
	case <-p.done():
	case <-ctx.Done():
		if p.kill() {
			return fmt.Errorf("process: init did not return in time: %w", context.Cause(ctx))
		}
		<-p.done()
	}
	select {
	case err := <-m.started: // the init had returned before
		return err
	default:
		return p.exitReason()
	}
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
	reason := messages.ErrGoexit // unless f returns or panics
	defer func() {
		if !p.finish(reason) {
			p.sys.abandoned.Add(-1) // it was killed, and only now ends
		}
	}()
	reason = p.endedBy(guard(func() error { return f(p.ctx) }))
}

// endedBy gives the reason of a function that ended with the given error: if that is no more than its cancelled context, it
// is the signal that cancelled it. Every error is looked into here, while the process lives: one whose methods hang or end
// their goroutine harms nobody else then.
func (p *proc) endedBy(err error) error {
	cancelled := messages.Is(err, context.Canceled)
	if exit := p.pendingExit(); exit != nil && cancelled {
		return exit
	}
	return orNormal(err)
}

// guard runs code that is not ours. A panic becomes its error.
func guard(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &messages.PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return f()
}

// mailbox is the actor of a process.
type mailbox struct {
	proc    *proc
	process Process
	started chan error // what the starter is told, once
}

type (
	wake      struct{}               // look at your signals
	stop      struct{ reason error } // end behind what is queued
	signalled struct{ message any }  // a Down or an Exit that is true: anybody can send one that only looks so
)

// errRestarted ends a process whose actor protoactor has restarted: its init would run a second time, under a PID that
// others know.
var errRestarted = errors.New("process: the actor was restarted")

// Receive is the actor. It never panics, so that protoactor never restarts it. A Goexit cannot be held up: protoactor's
// mailbox dies with the goroutine and would never take another message, so the process is ended and its actor forgotten
// right here.
func (m *mailbox) Receive(c actor.Context) {
	returned := false
	defer func() {
		if value := recover(); value != nil {
			m.fail(c, &messages.PanicError{Value: value, Stack: debug.Stack()})
		} else if !returned {
			m.goexit()
		}
	}()
	m.receive(c)
	returned = true
}

func (m *mailbox) receive(c actor.Context) {
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
	if p.actor.Load() != nil {
		m.fail(c, errRestarted)
		return
	}
	p.actor.Store(c.Self())
	err := m.init()
	if err != nil {
		m.end(c, err)
	}
	m.tell(err) // last: name and record are free when the starter hears of it
}

// tell answers the starter. Whatever comes after the first answer is too late for it.
func (m *mailbox) tell(err error) {
	select {
	case m.started <- err:
	default:
	}
}

func (m *mailbox) init() error {
	p := m.proc
	if p.name != "" {
		if err := p.sys.names.take(p.name, p); err != nil {
			return err
		}
	}
	if reason := p.over(); reason != nil {
		p.sys.names.release(p.name, p) // it may have been taken after the end had released it
		return reason
	}
	if err := guard(func() error { return m.process.Init(p.ctx) }); err != nil {
		return err
	}
	return p.over()
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
	case stop:
		m.terminate(c, t.reason, message)
	case signalled:
		m.signalled(c, t.message)
	case messages.Down:
		if !p.watches(t.Ref) { // else it is a lie, and the true one is still to come
			m.handle(c, message)
		}
	default:
		m.handle(c, message)
	}
}

func (m *mailbox) signalled(c actor.Context, message any) {
	switch t := message.(type) {
	case messages.Down:
		if _, wanted := m.proc.takeWatching(t.Ref); !wanted {
			return // demonitored after it was sent (TS-15)
		}
	case messages.Exit:
		if t.From == m.proc.parentPID() {
			m.terminate(c, t.Reason, message)
			return
		}
	}
	m.handle(c, message)
}

func (m *mailbox) handle(c actor.Context, message any) {
	if err := guard(func() error { return m.process.Handle(m.proc.ctx, message) }); err != nil {
		m.terminate(c, err, message)
	}
}

// terminate ends the process with its Terminate callback.
func (m *mailbox) terminate(c actor.Context, reason error, last any) {
	failed := guard(func() error {
		m.process.Terminate(m.proc.ctx, reason)
		return nil
	})
	if failed != nil {
		reason = failed // GS-35
	}
	clean := messages.IsClean(reason) // before the end, as in endedBy
	defer m.end(c, reason)            // whatever the logger does
	if !clean {
		m.proc.report(reason, last)
	}
}

// fail ends the process for what is no callback's fault.
func (m *mailbox) fail(c actor.Context, reason error) {
	defer m.tell(reason)
	defer m.end(c, reason)
	m.proc.report(reason, nil)
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

func (m *mailbox) goexit() {
	p := m.proc
	defer func() { // also when the logger ends the goroutine once more
		if !p.finish(messages.ErrGoexit) {
			m.gone()
		}
		p.sys.actors.ProcessRegistry.Remove(p.actor.Load())
		m.tell(messages.ErrGoexit)
	}()
	p.report(messages.ErrGoexit, nil)
}

// report logs an end that nobody wanted (GS-40). Only the type of the last message is named: it may hold secrets. What a
// logger does, and the Error method of a reason, is not ours: if it panics there is no line, and nothing else is lost.
func (p *proc) report(reason error, last any) {
	if !p.alive() {
		return
	}
	defer func() { _ = recover() }()
	p.sys.log.Error("process ended", "pid", p.pid.String(), "name", string(p.name),
		"reason", reason, "last_message", fmt.Sprintf("%T", last))
}
