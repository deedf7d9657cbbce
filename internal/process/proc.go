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
	trapExit bool
	ctx      context.Context
	cancel   context.CancelCauseFunc
	actor    atomic.Pointer[actor.PID] // the mailbox; nil without one, and until init runs

	dead    atomic.Bool
	exiting atomic.Bool // exit is set: the process is to end before it handles anything more

	mu       sync.Mutex
	exit     error // the signal that is to end it
	reason   error // why it ended; set once, together with dead
	killed   bool  // it was declared dead by somebody else, and its goroutine may still run
	gone     bool  // everybody has been told of the end
	ended    chan struct{}
	parent   *proc
	links    map[*proc]struct{}     // children, and others that are linked
	watchers []watcher              // who is to get a Down
	watching map[messages.Ref]*proc // whom it monitors itself
}

type watcher struct {
	ref  messages.Ref
	proc *proc
}

func (s *System) newProc(options Options) *proc {
	p := &proc{
		sys:      s,
		pid:      messages.PID{Node: s.node, ID: s.lastID.Add(1)},
		name:     options.Name,
		trapExit: options.TrapExit,
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

// finish ends the process in the records: once, whoever comes first. It tells the monitors and the linked processes and
// reports whether it was the one that ended it.
func (p *proc) finish(reason error) bool { return p.end(reason, false) }

// kill declares the process dead: its code goes on until it returns, but nothing of it counts any more.
func (p *proc) kill() bool {
	p.sys.abandoned.Add(1) // before the end is visible, so that its goroutine cannot subtract first
	if !p.end(messages.Killed, true) {
		p.sys.abandoned.Add(-1)
		return false
	}
	if pid := p.actor.Load(); pid != nil {
		p.sys.actors.Root.Stop(pid) // answered by Stopped as soon as no callback runs
	}
	return true
}

func (p *proc) end(reason error, killed bool) bool {
	p.mu.Lock()
	if p.dead.Load() {
		p.mu.Unlock()
		return false
	}
	p.reason, p.killed = reason, killed
	p.dead.Store(true)
	parent, links, watchers, watching := p.parent, p.links, p.watchers, p.watching
	p.links, p.watchers, p.watching = nil, nil, nil
	p.mu.Unlock()

	p.cancel(reason)
	if p.name != "" {
		p.sys.names.release(p.name, p)
	}
	for ref, target := range watching {
		if target != nil { // nil: there was nobody, and the Down that says so is still queued
			target.dropWatcher(ref)
		}
	}
	for _, w := range watchers {
		w.proc.post(signalled{messages.Down{Ref: w.ref, PID: p.pid, Reason: reason}})
	}
	p.tellLinked(parent, links, reason)
	p.leave()
	return true
}

// leave is the last of an end. The table comes after the links have been told: so Link knows that behind a process which
// it does not find there is nothing to come. Whoever waits comes after the table: it finds nothing.
func (p *proc) leave() {
	p.sys.table.remove(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	if p.ended != nil {
		close(p.ended)
	}
}

func (p *proc) tellLinked(parent *proc, links map[*proc]struct{}, reason error) {
	if parent != nil && parent.unlink(p) {
		parent.signal(p.pid, reason)
	}
	for other := range links {
		other.unlink(p)
		other.signal(p.pid, reason)
	}
}

// signal is an exit signal from a process or, with the zero PID, from the system (OTP: Process.exit/2).
func (p *proc) signal(from messages.PID, reason error) {
	switch {
	case p.trapExit && p.actor.Load() != nil:
		p.post(signalled{messages.Exit{From: from, Reason: reason}})
	case messages.Is(reason, messages.Normal) && !from.IsZero():
		// GS-31: a normal end is no reason for others to end.
	default:
		p.interrupt(reason)
	}
}

// shutdown is the order of the system, whoever the parent is: orderly for a process that traps exits, else an interrupt.
func (p *proc) shutdown() {
	if p.trapExit && p.actor.Load() != nil {
		p.post(stop{messages.Shutdown})
	} else {
		p.interrupt(messages.Shutdown)
	}
}

// interrupt makes the process end before it handles anything more (GS-28): its context is cancelled, the callback that
// runs may return, the queue behind it is not handled.
func (p *proc) interrupt(reason error) {
	p.mu.Lock()
	first := p.exit == nil && !p.dead.Load()
	if first {
		p.exit = reason
	}
	p.mu.Unlock()
	if first {
		p.exiting.Store(true)
		p.cancel(reason)
		p.post(wake{})
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

// addLink enters other in p's links, unless p is dead.
func (p *proc) addLink(other *proc) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead.Load() {
		return false
	}
	p.link(other)
	return true
}

// link is addLink for one who holds the lock.
func (p *proc) link(other *proc) {
	if p.links == nil {
		p.links = map[*proc]struct{}{}
	}
	p.links[other] = struct{}{}
}

// unlink takes other out of p's links and reports whether it was there.
func (p *proc) unlink(other *proc) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.links[other]
	delete(p.links, other)
	return ok
}

// adopt makes p the child of parent: linked both ways, and stopped by it. A parent that it had before stays linked. Of a p
// that is dead already the parent is told, once, like of any other.
func (p *proc) adopt(parent *proc) {
	p.mu.Lock()
	if p.parent == parent {
		p.mu.Unlock()
		return
	}
	dead := p.dead.Load()
	if !dead {
		if p.parent != nil {
			p.link(p.parent)
		}
		p.parent = parent
	}
	p.mu.Unlock()
	switch {
	case dead:
		parent.signal(p.pid, p.exitReason())
	case !parent.addLink(p):
		p.signal(parent.pid, parent.exitReason())
	case !p.alive() && parent.unlink(p):
		// It died between the two writes, when the parent's link was not there yet.
		parent.signal(p.pid, p.exitReason())
	}
}

// addWatcher reports false if p is dead, so that no Down will come of itself.
func (p *proc) addWatcher(w watcher) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead.Load() {
		return false
	}
	p.watchers = append(p.watchers, w)
	return true
}

func (p *proc) dropWatcher(ref messages.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.watchers {
		if w.ref == ref {
			last := len(p.watchers) - 1
			p.watchers[i] = p.watchers[last]
			p.watchers[last] = watcher{}
			p.watchers = p.watchers[:last]
			return
		}
	}
}

// addWatching enters a monitor of p's own.
func (p *proc) addWatching(ref messages.Ref, target *proc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watching == nil {
		p.watching = map[messages.Ref]*proc{}
	}
	p.watching[ref] = target
}

// watches reports whether the monitor is one of p's own, so that its Down is still to come.
func (p *proc) watches(ref messages.Ref) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.watching[ref]
	return ok
}

// takeWatching removes a monitor of p's own; false says that it was removed before, so that its Down must not be seen.
func (p *proc) takeWatching(ref messages.Ref) (*proc, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	target, ok := p.watching[ref]
	delete(p.watching, ref)
	return target, ok
}
