package process

import (
	"context"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Send puts a message into the target's mailbox. It never blocks and never fails: a message for nobody is dropped (GS-17).
// What a process sends after it was declared dead is dropped too; ctx says who sends.
func (s *System) Send(ctx context.Context, to messages.Target, message any) {
	if target := s.find(to); target != nil {
		s.sendTo(ctx, target, to, message)
	}
}

// sendTo reports false if the sender was declared dead, so that nothing was sent.
func (s *System) sendTo(ctx context.Context, target *proc, to messages.Target, message any) bool {
	from := procOf(ctx)
	if from == nil {
		target.post(message)
		return true
	}
	if !from.sendWhileAlive(target, message) {
		return false
	}
	from.traceSent(target, to, message)
	return true
}

// sendWhileAlive holds the record, so that the message is queued before the process can be declared dead: otherwise it
// could come behind the Down.
func (p *proc) sendWhileAlive(target *proc, message any) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead.Load() {
		return false
	}
	target.post(message)
	return true
}

// SendAfter sends the message after d. The answer stops that, and reports whether it came in time.
func (s *System) SendAfter(d time.Duration, to messages.Target, message any) (stop func() bool) {
	return time.AfterFunc(d, func() { s.Send(context.Background(), to, message) }).Stop
}

// Kill declares the target dead: at once its monitors and links are told, its name is free and its messages are dropped.
// The goroutine is counted as abandoned until it ends. It reports whether this call was what ended it.
func (s *System) Kill(target messages.PID) bool {
	p := s.find(target)
	return p != nil && p.kill()
}

// Done is closed when the process has ended; at once if there is no such process.
func (s *System) Done(pid messages.PID) <-chan struct{} {
	return Watch(s, pid).Done()
}
