package process

import (
	"context"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Stop ends the target in order, behind the messages that are queued, and waits until it is gone. A function's process
// gets an exit signal instead. The answer is nil if it ended with the reason given; what it ended with, if not; NoProc if
// there is no such process; the cause of ctx if that ended first, and then the process still goes on to end (GS-36 to
// GS-39). A nil reason is messages.Normal.
func Stop(ctx context.Context, s *System, target messages.Target, reason error) error {
	reason = orNormal(reason)
	p := s.find(target)
	if p == nil {
		return messages.NoProc
	}
	if p == procOf(ctx) {
		return ErrCallingSelf
	}
	if p.actor.Load() != nil {
		p.post(stop{reason})
	} else {
		p.interrupt(reason)
	}
	select {
	case <-p.done():
		return differs(p.exitReason(), reason)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func differs(got, want error) error {
	if messages.Is(got, want) {
		return nil
	}
	return got
}

// Request is a call as the called process gets it.
type Request struct {
	From    From // who waits
	Message any  // what it asks
}

// From is who waits for the answer to a call. It may be kept and answered later, by anybody, once.
type From struct {
	answer chan<- answer
}

type answer struct {
	value any
	err   error
}

// Reply answers the call. It never blocks and never fails; an answer after the first, or for a caller who is gone, is
// dropped.
func (f From) Reply(value any, err error) {
	select {
	case f.answer <- answer{value, err}:
	default:
	}
}

// Call sends a request and waits for the answer. It fails with the reason of the process if that ends first (GS-13), with
// NoProc if there is none, with ErrNoMailbox if it is that of a function, with ErrCallingSelf from within itself, and with
// the cause of ctx when that ends: the process then handles the request all the same (GS-10). A process that was declared
// dead calls nobody: it gets its own reason.
func Call(ctx context.Context, s *System, to messages.Target, message any) (any, error) {
	p := s.find(to)
	if err := p.reachable(ctx); err != nil {
		return nil, err
	}
	answers := make(chan answer, 1)
	if !s.sendTo(ctx, p, to, &Request{From: From{answers}, Message: message}) {
		return nil, procOf(ctx).exitReason()
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-p.done():
		return answered(answers, p.exitReason())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// reachable is why nothing can be asked of the process with ctx, or nil.
func (p *proc) reachable(ctx context.Context) error {
	switch {
	case p == nil || p.box != nil && !p.takesMessages():
		return messages.NoProc
	case p.box == nil:
		return ErrNoMailbox
	case p == procOf(ctx):
		return ErrCallingSelf
	}
	return nil
}

// answered prefers an answer that was given just before the end.
func answered(answers <-chan answer, reason error) (any, error) {
	select {
	case a := <-answers:
		return a.value, a.err
	default:
		return nil, reason
	}
}

// Ending is the end of a process, for one who waits for it without being told.
type Ending struct{ proc *proc }

// Watch gives the end of the process, also if that has begun. If there is no such process it was over before.
func Watch(s *System, pid messages.PID) Ending { return Ending{s.record(pid)} }

// Done is closed when the process has ended and nothing of it is left.
func (e Ending) Done() <-chan struct{} {
	if e.proc == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return e.proc.done()
}

// Reason is why it ended, once Done is closed; NoProc if there was no such process.
func (e Ending) Reason() error {
	if e.proc == nil {
		return messages.NoProc
	}
	return e.proc.exitReason()
}

// Shown is the reason as others may look at it (Settle).
func (e Ending) Shown() error {
	if e.proc == nil {
		return messages.NoProc
	}
	e.proc.mu.Lock()
	defer e.proc.mu.Unlock()
	return e.proc.shown
}
