package process

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// ErrTraced says that somebody traces the process already.
var ErrTraced = errors.New("process: it is traced already")

// What a TraceEvent tells.
const (
	Received = "received" // a message came out of the mailbox, and its callback is about to run
	Sent     = "sent"     // the process sent a message or a call
	Ended    = "ended"    // the process has ended; the last event
)

// TraceEvent is one thing that a traced process did.
type TraceEvent struct {
	At       time.Time
	PID      messages.PID    // of the process
	What     string          // Received, Sent or Ended
	Peer     messages.Target // to whom it was Sent
	Callback string          // that handles what was Received
	Message  any             // what was Received or Sent, as its sender knows it: the receiver's own, to be read only
	Reason   error           // of the end
	Lost     int             // how many events before this one were lost, because nobody took them
}

// tracer hands events to an observer, who may be slow: then they are lost, and counted. The process never waits. The last place
// in the channel is for the end, so that this one is never lost.
type tracer struct {
	mu     sync.Mutex
	events chan TraceEvent // nil once it is closed
	lost   int
	forget func() bool // the end of the observer's context means nothing any more
}

func (t *tracer) add(e TraceEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.events == nil {
		return
	}
	if e.What != Ended && len(t.events) >= cap(t.events)-1 {
		t.lost++
		return
	}
	e.Lost, t.lost = t.lost, 0
	t.events <- e // there is room: nobody else sends
}

func (t *tracer) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.events == nil {
		return
	}
	close(t.events)
	t.events = nil
	if t.forget != nil {
		t.forget()
	}
}

// until ends the tracer with ctx.
func (t *tracer) until(ctx context.Context, end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget = context.AfterFunc(ctx, end)
}

// DefaultTraceBuffer is how many events wait for an observer, unless Trace is told otherwise.
const DefaultTraceBuffer = 1000

// maxTraceBuffer is where the memory for a trace, made at once, ends: about 100 MiB.
const maxTraceBuffer = 1 << 20

// Trace gives what the target receives and sends from now on, until ctx ends or the process does; then the channel is
// closed. buffer is how many events may wait to be taken; zero is DefaultTraceBuffer, and more than a million is a million.
// What comes beyond is lost and counted in the next event. The error is messages.NoProc, or ErrTraced: one observer at a time
// (OTP: sys:trace/2).
func (s *System) Trace(ctx context.Context, target messages.Target, buffer int) (<-chan TraceEvent, error) {
	p := s.find(target)
	if p == nil {
		return nil, messages.NoProc
	}
	if buffer <= 0 {
		buffer = DefaultTraceBuffer
	}
	buffer = min(buffer, maxTraceBuffer)
	t := &tracer{events: make(chan TraceEvent, buffer+1)}
	events := t.events
	if !p.tracer.CompareAndSwap(nil, t) {
		return nil, ErrTraced
	}
	end := func() {
		p.tracer.CompareAndSwap(t, nil)
		t.close()
	}
	t.until(ctx, end)
	if !p.alive() {
		end() // it has ended in between, and tells nobody
	}
	return events, nil
}

// traceSent tells the observer what p has sent. What it means is the target's to know: a call travels in a type of ours.
func (p *proc) traceSent(target *proc, to messages.Target, message any) {
	if p.tracer.Load() == nil {
		return
	}
	if target.box != nil {
		_, message = target.box.describe(message)
	}
	p.trace(TraceEvent{What: Sent, Peer: to, Message: message})
}

// trace tells the observer, if there is one.
func (p *proc) trace(e TraceEvent) {
	t := p.tracer.Load()
	if t == nil {
		return
	}
	e.At, e.PID = time.Now(), p.pid
	if p.box != nil && e.What == Received {
		e.Callback, e.Message = p.box.describe(e.Message)
	}
	t.add(e)
	if e.What == Ended {
		t.close()
	}
}
