package process

import (
	"context"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Monitor has a Down sent to the process that ctx belongs to when the target ends; at once, with reason NoProc, if
// there is no such process. Outside of a process of this system with a mailbox nobody could get it: then the answer is 0,
// no monitor.
func (s *System) Monitor(ctx context.Context, target messages.Target) messages.Ref {
	self := s.localProc(ctx)
	if self == nil || self.actor.Load() == nil {
		return 0
	}
	ref := messages.Ref(s.lastRef.Add(1))
	other := s.find(target)
	self.addWatching(ref, other)
	if other == nil || !other.addWatcher(watcher{ref: ref, proc: self}) {
		pid, _ := target.(messages.PID)
		self.post(signalled{messages.Down{Ref: ref, PID: pid, Reason: messages.NoProc}, Ending{}, true})
	}
	return ref
}

// Demonitor ends a monitor. Its Down will not be seen any more, also when it is queued already (TS-15); nor will the
// TaskReply of a task with this Ref.
func (s *System) Demonitor(ctx context.Context, ref messages.Ref) { Claim(ctx, ref) }

// Claim ends a monitor as Demonitor does, for one who has its news from elsewhere. It reports whether they are news: the
// process that ctx belongs to has neither ended the monitor before nor got a message of it.
func Claim(ctx context.Context, ref messages.Ref) bool {
	self := procOf(ctx)
	if self == nil {
		return false
	}
	target, ok := self.takeWatching(ref)
	if ok && target.proc != nil {
		target.proc.dropWatcher(ref)
	}
	return ok && !target.replied
}

// Claimable reports what Claim would, and ends nothing.
func Claimable(ctx context.Context, ref messages.Ref) bool {
	self := procOf(ctx)
	if self == nil {
		return false
	}
	self.mu.Lock()
	defer self.mu.Unlock()
	target, ok := self.watching[ref]
	return ok && !target.replied
}

// Answer sends the value of a task to its owner. It comes before the Down with the same Ref, and not at all once the owner
// has ended that monitor (TK-02, TK-09).
func Answer(ctx context.Context, s *System, owner messages.PID, ref messages.Ref, value any) {
	if target := s.find(owner); target != nil {
		s.sendTo(ctx, target, owner, signalled{messages.TaskReply{Ref: ref, Value: value}, Ending{}, false})
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
		p.watching = map[messages.Ref]watched{}
	}
	p.watching[ref] = watched{proc: target}
}

// watches reports whether the monitor is one of p's own, so that its Down is still to come.
func (p *proc) watches(ref messages.Ref) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.watching[ref]
	return ok
}

// takeReply notes that the TaskReply of a monitor is handled; false says that it must not be seen.
func (p *proc) takeReply(ref messages.Ref) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	target, ok := p.watching[ref]
	if ok {
		target.replied = true
		p.watching[ref] = target
	}
	return ok
}

// takeWatching removes a monitor of p's own; false says that it was removed before, so that its Down must not be seen.
func (p *proc) takeWatching(ref messages.Ref) (watched, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	target, ok := p.watching[ref]
	delete(p.watching, ref)
	return target, ok
}
