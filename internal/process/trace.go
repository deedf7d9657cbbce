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

// tracer hands events to an observer, who may be slow: then they are lost, and counted. The process never waits.
type tracer struct {
	mu     sync.Mutex
	events chan TraceEvent // nil once it is closed
	lost   int
	unhook func() bool // from the observer's context
}

func (t *tracer) add(e TraceEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.events == nil {
		return
	}
	e.Lost = t.lost
	select {
	case t.events <- e:
		t.lost = 0
	default:
		t.lost++
	}
}

func (t *tracer) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.events == nil {
		return
	}
	close(t.events)
	t.events = nil
	if t.unhook != nil {
		t.unhook()
	}
}

// DefaultTraceBuffer is how many events wait for an observer, unless Trace is told otherwise.
const DefaultTraceBuffer = 1000

// Trace gives what the target receives and sends from now on, until ctx ends or the process does; then the channel is
// closed. buffer is how many events may wait to be taken; zero is DefaultTraceBuffer. What comes beyond is lost and counted
// in the next event. The error is messages.NoProc, or ErrTraced: one observer at a time (OTP: sys:trace/2).
func (s *System) Trace(ctx context.Context, target messages.Target, buffer int) (<-chan TraceEvent, error) {
	p := s.find(target)
	if p == nil {
		return nil, messages.NoProc
	}
	if buffer <= 0 {
		buffer = DefaultTraceBuffer
	}
	t := &tracer{events: make(chan TraceEvent, buffer)}
	events := t.events
	if !p.tracer.CompareAndSwap(nil, t) {
		return nil, ErrTraced
	}
	end := func() {
		p.tracer.CompareAndSwap(t, nil)
		t.close()
	}
	unhook := context.AfterFunc(ctx, end)
	t.mu.Lock()
	t.unhook = unhook
	t.mu.Unlock()
	if !p.alive() {
		end() // it has ended in between, and tells nobody
	}
	return events, nil
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
