package process

import (
	"context"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Send puts a message into the target's mailbox. It never blocks and never fails: a message for nobody is dropped (GS-17).
// What a process sends after it was declared dead is dropped too; ctx says who sends.
func (s *System) Send(ctx context.Context, to messages.Target, message any) {
	target := s.find(to)
	if target == nil {
		return
	}
	if from := procOf(ctx); from != nil {
		from.sendWhileAlive(target, message)
		return
	}
	target.post(message)
}

// sendWhileAlive holds the record, so that the message is queued before the process can be declared dead: otherwise it
// could come behind the Down.
func (p *proc) sendWhileAlive(target *proc, message any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dead.Load() {
		target.post(message)
	}
}

// SendAfter sends the message after d. The answer stops that, and reports whether it came in time.
func (s *System) SendAfter(d time.Duration, to messages.Target, message any) (stop func() bool) {
	return time.AfterFunc(d, func() { s.Send(context.Background(), to, message) }).Stop
}

// Monitor has a Down sent to the process that ctx belongs to when the target ends; at once, with reason NoProc, if
// there is no such process. Outside of a process with a mailbox nobody could get it: then the answer is 0, no monitor.
func (s *System) Monitor(ctx context.Context, target messages.Target) messages.Ref {
	self := procOf(ctx)
	if self == nil || self.actor.Load() == nil {
		return 0
	}
	ref := messages.Ref(s.lastRef.Add(1))
	watched := s.find(target)
	self.addWatching(ref, watched)
	if watched == nil || !watched.addWatcher(watcher{ref: ref, proc: self}) {
		pid, _ := target.(messages.PID)
		self.post(signalled{messages.Down{Ref: ref, PID: pid, Reason: messages.NoProc}})
	}
	return ref
}

// Demonitor ends a monitor. Its Down will not be seen any more, also when it is queued already.
func (s *System) Demonitor(ctx context.Context, ref messages.Ref) {
	self := procOf(ctx)
	if self == nil {
		return
	}
	if watched, ok := self.takeWatching(ref); ok && watched != nil {
		watched.dropWatcher(ref)
	}
}

// Link makes the target a child of the process that ctx belongs to, as if that had started it with Options.Link. Whom the
// target was linked to before, it stays linked to. If there is no such process, ctx's gets an exit signal with reason
// NoProc. Outside of a process it does nothing.
func (s *System) Link(ctx context.Context, target messages.PID) {
	self := procOf(ctx)
	if self == nil || self.pid == target {
		return
	}
	if p := s.record(target); p != nil {
		p.adopt(self)
	} else {
		self.signal(target, messages.NoProc)
	}
}

// Exit sends an exit signal from the process that ctx belongs to, or from nobody. A nil reason is messages.Normal.
func (s *System) Exit(ctx context.Context, target messages.PID, reason error) {
	from, _ := Self(ctx)
	if p := s.find(target); p != nil {
		p.signal(from, orNormal(reason))
	}
}

// orNormal gives a reason for an end without one.
func orNormal(reason error) error {
	if reason == nil {
		return messages.Normal
	}
	return reason
}

// Kill declares the target dead: at once its monitors and links are told, its name is free and its messages are dropped.
// The goroutine is counted as abandoned until it ends. It reports whether this call was what ended it.
func (s *System) Kill(target messages.PID) bool {
	p := s.find(target)
	return p != nil && p.kill()
}

// Done is closed when the process has ended; at once if there is no such process.
func (s *System) Done(pid messages.PID) <-chan struct{} {
	if p := s.find(pid); p != nil {
		return p.done()
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

// StopProcess ends the target in order, behind the messages that are queued, and waits until it is gone. A function's process
// gets an exit signal instead. The answer is nil if it ended with the reason given; what it ended with, if not; NoProc if
// there is no such process; the cause of ctx if that ended first, and then the process still goes on to end (GS-36 to
// GS-39). A nil reason is messages.Normal.
func (s *System) StopProcess(ctx context.Context, target messages.Target, reason error) error {
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
// NoProc if there is none, with ErrCallingSelf from within itself, and with the cause of ctx when that ends: the process
// then handles the request all the same (GS-10).
func (s *System) Call(ctx context.Context, to messages.Target, message any) (any, error) {
	p := s.find(to)
	if p == nil {
		return nil, messages.NoProc
	}
	if p == procOf(ctx) {
		return nil, ErrCallingSelf
	}
	answers := make(chan answer, 1)
	p.post(&Request{From: From{answers}, Message: message})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-p.done():
		return answered(answers, p.exitReason())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
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
