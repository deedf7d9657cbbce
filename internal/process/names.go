package process

import (
	"sync"

	"github.com/taskrunner-go/taskrunner/messages"
)

// names says who holds which name. It is flat and not a map of protoactor's, whose names hang on their parents.
type names struct {
	mu      sync.Mutex
	holders map[messages.Name]*proc
}

// take registers p under the name, unless a living process has it. One that is dead but not cleaned up yet has lost it
// (RG-07).
func (n *names) take(name messages.Name, p *proc) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if holder := n.holders[name]; holder != nil && holder.alive() {
		return &NameTakenError{Name: name, Holder: holder.pid}
	}
	n.holders[name] = p
	return nil
}

func (n *names) release(name messages.Name, p *proc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.holders[name] == p {
		delete(n.holders, name)
	}
}

func (n *names) get(name messages.Name) *proc {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.holders[name]
}

// register gives the process its names, before its init runs (GS-06).
func (p *proc) register() error {
	if p.name != "" {
		if err := p.sys.names.take(p.name, p); err != nil {
			return err
		}
	}
	if p.via != nil {
		err := guard(func() error { return p.via.Registry.RegisterName(p.via.Key, p.pid) })
		p.viaTaken = err == nil
		return err
	}
	return nil
}

// unregister gives back the name in a registry, of a process that has not come to life. Of the end of one that has, the registry
// learns itself, as in OTP: it is the user's code, and the end of a process must not wait for that.
func (p *proc) unregister() {
	if p.viaTaken {
		_ = guard(func() error {
			p.via.Registry.UnregisterName(p.via.Key, p.pid)
			return nil
		})
	}
}

// find gives the living process that the target means, or nil.
func (s *System) find(target messages.Target) *proc {
	switch t := target.(type) {
	case messages.PID:
		if p := s.record(t); p != nil && p.alive() {
			return p
		}
	case messages.Name:
		if p := s.names.get(t); p != nil && p.alive() {
			return p
		}
	case messages.Via:
		if pid, ok := whereisVia(t); ok {
			return s.find(pid)
		}
	}
	return nil
}

func whereisVia(via messages.Via) (pid messages.PID, ok bool) {
	if via.Registry == nil {
		return pid, false
	}
	failed := guard(func() error {
		pid, ok = via.Registry.WhereisName(via.Key)
		return nil
	})
	return pid, ok && failed == nil
}

// record gives the process of that PID also while it ends, until everybody has been told.
func (s *System) record(pid messages.PID) *proc {
	if pid.Node != s.node {
		return nil
	}
	return s.table.get(pid.ID)
}

// Whereis gives the process that holds the name now. It may be dead a moment later (RG-03).
func (s *System) Whereis(name messages.Name) (messages.PID, bool) {
	p := s.find(name)
	return p.pidOrNone(), p != nil
}

// PIDOf gives the living process that the target means now, or the zero PID.
func PIDOf(s *System, target messages.Target) messages.PID { return s.find(target).pidOrNone() }

func (p *proc) pidOrNone() messages.PID {
	if p == nil {
		return messages.PID{}
	}
	return p.pid
}

// Alive reports whether the target is a living process now.
func (s *System) Alive(target messages.Target) bool {
	p := s.find(target)
	return p != nil && p.alive()
}

// What gives the server or function of the living process that the target means, or nil.
func What(s *System, target messages.Target) any {
	if p := s.find(target); p != nil {
		return p.what
	}
	return nil
}
