package process

import (
	"context"
	"fmt"
	"runtime/debug"

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
	// Via registers it in a registry, before its init runs; an error of that is the error of the start (RG-02).
	Via messages.Via
	// Link makes the process that ctx belongs to its parent: linked, and told to stop before the parent does. Outside of
	// a process it means nothing.
	Link bool
	// TrapExit turns exit signals into messages (messages.Exit), and that of the parent into an orderly end behind what is
	// queued (GS-29, GS-30, GS-33).
	TrapExit bool
	// What is the server or the function, for those who look at the process (Info).
	What any
	// Before is called when the process has its PID and is in the records, before any of its code runs: for links and
	// monitors that must not come late.
	Before func(pid messages.PID)
	// After is told of the end, once, whoever brings it about, when links and monitors have been told and nothing is left
	// in the records, but before Done is closed. It must not block.
	After func(reason error)
}

// Spawn starts a process with a mailbox and returns when its init has: with the PID, or with the error of the init and
// nothing left behind. When ctx ends first, the half-started process is killed; when it is killed or told to exit by somebody
// else, the error is that reason. Otherwise ctx has no hold over the process.
func Spawn(ctx context.Context, s *System, process Process, options Options) (messages.PID, error) {
	if options.What == nil {
		options.What = process
	}
	p := s.newProc(options)
	m := newMailbox(p, process)
	p.box = m
	if err := s.enter(ctx, p, options); err != nil {
		return messages.PID{}, err
	}
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
		if err != nil {
			<-p.done() // names and record are free when the starter hears of it (GS-07)
		}
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

// enter puts a new process into the records. While the system stops, only a child of a living process gets in: its parent is
// not stopped yet, and may have to start it again; and it is stopped with it. Stop sets its flag before it looks into the
// table, and enter looks at the flag, and at the parent, afterwards, so that one of them sees the other.
func (s *System) enter(ctx context.Context, p *proc, options Options) error {
	if err := Local(ctx, s); err != nil && options.Link {
		return err
	}
	s.table.add(p)
	parent := s.localProc(ctx)
	if s.stopping.Load() && !(options.Link && parent != nil && parent.alive()) {
		p.finish(messages.Shutdown, messages.Shutdown)
		return ErrStopped
	}
	if options.Before != nil {
		options.Before(p.pid)
	}
	return nil
}

// SpawnFunc starts a process that runs f in a goroutine of its own and ends with what f returns: nil is messages.Normal,
// a panic a *messages.PanicError, a runtime.Goexit messages.ErrGoexit. An exit signal cancels f's context with the reason
// as its cause; f may still end as it likes. Name, Via and TrapExit of the options are not for functions.
func SpawnFunc(ctx context.Context, s *System, f func(ctx context.Context) error, options Options) (messages.PID, error) {
	if options.What == nil {
		options.What = f
	}
	p := s.newProc(Options{What: options.What, After: options.After})
	if err := s.enter(ctx, p, options); err != nil {
		return messages.PID{}, err
	}
	if parent := procOf(ctx); options.Link && parent != nil {
		p.adopt(parent)
	}
	go p.run(f)
	return p.pid, nil
}

func (p *proc) run(f func(ctx context.Context) error) {
	reason, shown := messages.ErrGoexit, messages.ErrGoexit // unless f returns or panics
	defer func() {
		if !p.finish(reason, shown) {
			p.sys.abandoned.remove(p) // it was killed, and only now ends
		}
	}()
	reason = p.endedBy(guard(func() error { return f(p.ctx) }))
	shown = unsettled // for as long as Settle takes, which an error may not let return
	shown = Settle(reason)
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
