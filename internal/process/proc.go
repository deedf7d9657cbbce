package process

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/taskrunner-go/taskrunner/messages"
)

// proc is the record of one process: who it is, who is to be told of its end, and whether it has ended. It is the truth
// about the process; the actor and the goroutine only carry it out.
//
// Two records are never locked at once. Where two must agree (links, monitors), one is written, then the other, and whoever
// finds the other one dead tells the first.
type proc struct {
	sys      *System
	pid      messages.PID
	name     messages.Name
	via      *messages.Via // where else it is registered; nil: nowhere
	viaTaken bool          // of its own goroutine alone
	trapExit bool
	what     any      // the server or the function that it runs, for those who look
	box      *mailbox // nil for a function's process
	ctx      context.Context
	cancel   context.CancelCauseFunc
	actor    atomic.Pointer[actor.PID] // the mailbox's; nil without one, and until init runs
	place    atomic.Pointer[Place]     // under its supervisor; nil without one
	tracer   atomic.Pointer[tracer]    // nil unless somebody looks on
	after    func(reason error)        // is told of the end when all others have been; nil: nothing is
	work     Work                      // the same, of a process that SpawnWork has started

	dead    atomic.Bool
	exiting atomic.Bool // exit is set: the process is to end before it handles anything more
	killing atomic.Bool // somebody declares it dead

	mu       sync.Mutex
	exit     error // the signal that is to end it
	reason   error // why it ended; set once, together with dead
	shown    error // the same, for those who must not call its methods
	gone     bool  // everybody has been told of the end
	ended    chan struct{}
	parent   *proc
	links    map[*proc]struct{}       // children, and others that are linked
	watchers []watcher                // who is to get a Down
	watching map[messages.Ref]watched // whom it monitors itself
}

type watcher struct {
	ref  messages.Ref
	proc *proc
}

// watched is who is monitored.
type watched struct {
	proc    *proc // nil: there was nobody, and the Down that says so is still queued
	replied bool  // the TaskReply that belongs to the monitor was handled
}

func (s *System) newProc(options Options) *proc {
	p := &proc{
		sys:      s,
		pid:      messages.PID{Node: s.node, ID: s.lastID.Add(1)},
		name:     options.Name,
		trapExit: options.TrapExit,
		what:     options.What,
		after:    options.After,
	}
	if options.Via.Registry != nil {
		via := options.Via // else all options would go to the heap, for each process
		p.via = &via
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p.ctx, p.cancel = &procContext{Context: ctx, proc: p}, cancel
	return p
}

func (p *proc) alive() bool { return !p.dead.Load() }

// done is closed when the process has ended and nothing of it is left in the records. It is made on demand: few of a
// million tasks are waited for.
func (p *proc) done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = make(chan struct{})
		if p.gone {
			close(p.ended)
		}
	}
	return p.ended
}

// exitReason is why the process ended. Valid once it is dead.
func (p *proc) exitReason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

func (p *proc) parentPID() messages.PID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parent == nil {
		return messages.PID{}
	}
	return p.parent.pid
}

// isRoot reports whether no living process is responsible for this one.
func (p *proc) isRoot() bool {
	p.mu.Lock()
	parent := p.parent
	p.mu.Unlock()
	return parent == nil || !parent.alive()
}

// kill declares the process dead: its code goes on until it returns, but nothing of it counts any more.
func (p *proc) kill() bool {
	if !p.killing.CompareAndSwap(false, true) {
		return false // somebody does it now, and what is entered below is theirs
	}
	p.sys.abandoned.add(p) // before the end is visible, so that its goroutine cannot leave first
	if !p.finish(messages.Killed, messages.Killed) {
		p.sys.abandoned.remove(p)
		return false
	}
	if pid := p.actor.Load(); pid != nil {
		p.sys.actors.Root.Stop(pid) // answered by Stopped as soon as no callback runs
	}
	return true
}

// finish ends the process in the records, with its reason and how that is shown (Settle): once, whoever comes first. It
// tells the monitors and the linked processes, and reports whether it was the one that ended it.
func (p *proc) finish(reason, shown error) bool {
	p.mu.Lock()
	if p.dead.Load() {
		p.mu.Unlock()
		return false
	}
	p.reason, p.shown = reason, shown
	p.dead.Store(true)
	parent, links, watchers, watching := p.parent, p.links, p.watchers, p.watching
	p.links, p.watchers, p.watching = nil, nil, nil
	p.mu.Unlock()

	p.cancel(reason)
	if p.name != "" {
		p.sys.names.release(p.name, p)
	}
	for ref, target := range watching {
		if target.proc != nil {
			target.proc.dropWatcher(ref)
		}
	}
	p.tellLinked(parent, links) // first, so that a link ends its process before that sees the Down (TK-05)
	for _, w := range watchers {
		w.proc.post(signalled{messages.Down{Ref: w.ref, PID: p.pid, Reason: reason}, Ending{p}, true})
	}
	p.leave()
	p.trace(TraceEvent{What: Ended, Reason: reason})
	return true
}

// leave is the last of an end. The table comes after the links have been told: so Link knows that behind a process which
// it does not find there is nothing to come. Whoever waits comes after the table: it finds nothing, and its supervisor has
// heard of the end before it hears of the waiter.
func (p *proc) leave() {
	p.sys.table.remove(p)
	if p.after != nil {
		p.after(p.reason)
	}
	if p.work != nil {
		p.work.Ended(p.reason)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	if p.ended != nil {
		close(p.ended)
	}
}

// pendingExit is the reason to end now, or nil.
func (p *proc) pendingExit() error {
	if !p.exiting.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// over is why the process is not to go on: it was declared dead, or a signal is to end it. Nil says that it may.
func (p *proc) over() error {
	if !p.alive() {
		return p.exitReason()
	}
	return p.pendingExit()
}
