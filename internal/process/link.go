package process

import (
	"context"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Link links the process that ctx belongs to with the target, both ways: when one ends for another reason than
// messages.Normal, the other gets an exit signal, which ends it, or becomes a messages.Exit if it traps exits. If there is no
// such process, ctx's own gets a signal with reason NoProc. Outside of a process of this system it does nothing.
func (s *System) Link(ctx context.Context, target messages.PID) {
	self := s.localProc(ctx)
	if self == nil || self.pid == target {
		return
	}
	p := s.record(target)
	if p == nil {
		self.signalEnd(target, Ending{})
		return
	}
	self.linkWith(p)
}

// Unlink ends a link, whoever made it, also that of a child with its parent: neither hears of the other's end. A supervisor
// stops its child all the same (SH-09).
func (s *System) Unlink(ctx context.Context, target messages.PID) {
	self := s.localProc(ctx)
	if p := s.record(target); self != nil && p != nil {
		self.unlink(p)
		p.unlink(self)
	}
}

// Exit sends an exit signal from the process that ctx belongs to, or from nobody. A nil reason is messages.Normal, which ends
// nobody but the sender itself (GS-31); from nobody it is an order like any other.
func (s *System) Exit(ctx context.Context, target messages.PID, reason error) {
	from, _ := Self(ctx)
	if p := s.find(target); p != nil {
		reason = orNormal(reason)
		p.signal(from, reason, messages.Is(reason, messages.Normal), Ending{}, false)
	}
}

// orNormal gives a reason for an end without one.
func orNormal(reason error) error {
	if reason == nil {
		return messages.Normal
	}
	return reason
}

// Place is where a process stands under its supervisor.
type Place struct {
	ID       string // of the child spec
	Restarts int    // how often the supervisor has started a child here anew
	LastExit error  // why the process before ended; nil for the first
}

// Adopt makes the target a child of the process that ctx belongs to, as if that had started it with Options.Link: linked,
// and stopped by it. Whom the target was linked to before, it stays linked to. If there is no such process, ctx's gets an exit
// signal with reason NoProc. Outside of a process it does nothing.
func Adopt(ctx context.Context, s *System, target messages.PID, place Place) {
	self := s.localProc(ctx)
	if self == nil || self.pid == target {
		return
	}
	p := s.record(target)
	if p == nil {
		self.signalEnd(target, Ending{})
		return
	}
	p.place.Store(&place)
	p.adopt(self)
}

// Adoptable reports whether the process that ctx belongs to may make the target its child: it is neither itself nor one of
// those above it, nor the child of another that lives, nor of another system. One that has ended may be: its end is heard of.
func Adoptable(ctx context.Context, s *System, target messages.PID) bool {
	self, p := s.localProc(ctx), s.record(target)
	if self == nil || target.Node != s.node || target == self.pid || self.isBelow(target) {
		return false
	}
	if p == nil {
		return true
	}
	p.mu.Lock()
	parent := p.parent
	p.mu.Unlock()
	return parent == nil || parent == self || !parent.alive()
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
// that is dead already the parent is told, also if that was its parent before: it may have had that Exit before it asked again.
func (p *proc) adopt(parent *proc) {
	p.mu.Lock()
	dead := p.dead.Load()
	if p.parent == parent && !dead {
		p.mu.Unlock()
		return
	}
	if !dead {
		if p.parent != nil {
			p.link(p.parent)
		}
		p.parent = parent
	}
	p.mu.Unlock()
	switch {
	case dead:
		parent.unlink(p) // else it may tell the parent as well
		parent.signalEnd(p.pid, Ending{p})
	case !parent.addLink(p):
		p.signalEnd(parent.pid, Ending{parent})
	case !p.alive() && parent.unlink(p):
		// It died between the two writes, when the parent's link was not there yet.
		parent.signalEnd(p.pid, Ending{p})
	}
}

// linkWith enters each in the other's record. Whoever dies in between is found dead by the other.
func (p *proc) linkWith(other *proc) {
	if !p.addLink(other) {
		return
	}
	if !other.addLink(p) {
		if p.unlink(other) {
			p.signalEnd(other.pid, Ending{other})
		}
		return
	}
	if !p.alive() && other.unlink(p) {
		other.signalEnd(p.pid, Ending{p}) // it died before the entry was there, and has not told other
	}
}

// tellLinked sends each linked process one signal, however often the two were linked. Whoever takes the entry out of the
// other's record sends it: an Unlink that came first has taken it. That a child is linked with its parent is written at the
// parent alone.
func (p *proc) tellLinked(parent *proc, links map[*proc]struct{}) {
	if parent != nil && parent.unlink(p) {
		parent.signalEnd(p.pid, Ending{p})
	}
	for other := range links {
		if other.unlink(p) || other.parentPID() == p.pid {
			other.signalEnd(p.pid, Ending{p})
		}
	}
}

// signalEnd is the exit signal of a linked process that has ended.
func (p *proc) signalEnd(from messages.PID, end Ending) {
	p.signal(from, end.Reason(), messages.Is(end.Shown(), messages.Normal), end, true)
}

// signal is an exit signal from a process or, with the zero PID, from the system (OTP: Process.exit/2). normal says that the
// reason is messages.Normal, which whoever may ask its methods has asked. ended says that from has ended, and end is that.
func (p *proc) signal(from messages.PID, reason error, normal bool, end Ending, ended bool) {
	switch {
	case p.trapExit && p.actor.Load() != nil:
		p.post(signalled{messages.Exit{From: from, Reason: reason}, end, ended})
	case normal && !from.IsZero() && from != p.pid:
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
