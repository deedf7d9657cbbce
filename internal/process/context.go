package process

import (
	"context"
	"errors"

	"github.com/taskrunner-go/taskrunner/messages"
)

// procContext is a process's context. It carries the process, so that what runs in the process knows who it is.
type procContext struct {
	context.Context
	proc *proc
}

type procKey struct{}

func (c *procContext) Value(key any) any {
	if key == (procKey{}) {
		return c.proc
	}
	return c.Context.Value(key)
}

func procOf(ctx context.Context) *proc {
	p, _ := ctx.Value(procKey{}).(*proc)
	return p
}

// Self gives the process in which ctx belongs, if it belongs in one: the context that a callback or a function of a
// process was given, or one made from it.
func Self(ctx context.Context) (messages.PID, bool) {
	if p := procOf(ctx); p != nil {
		return p.pid, true
	}
	return messages.PID{}, false
}

// ErrOtherSystem says that a process of one System wants to be linked to, or the owner of, one of another. Links, monitors and
// what they tell do not cross that border; messages and calls do.
var ErrOtherSystem = errors.New("process: the context belongs to a process of another system")

// Local is ErrOtherSystem if ctx belongs to a process of another system than s, else nil.
func Local(ctx context.Context, s *System) error {
	if p := procOf(ctx); p != nil && p.sys != s {
		return ErrOtherSystem
	}
	return nil
}

// localProc is the process of ctx, if it is one of s.
func (s *System) localProc(ctx context.Context) *proc {
	if p := procOf(ctx); p != nil && p.sys == s {
		return p
	}
	return nil
}

// TrapsExit reports whether the process in which ctx belongs traps exits.
func TrapsExit(ctx context.Context) bool {
	p := procOf(ctx)
	return p != nil && p.trapExit
}

// Ancestors gives the parent of the process in which ctx belongs, the parent of that, and so on, at most 100.
func Ancestors(ctx context.Context) []messages.PID {
	var list []messages.PID
	if p := procOf(ctx); p != nil {
		p.eachAncestor(func(pid messages.PID) bool {
			list = append(list, pid)
			return true
		})
	}
	return list
}

// isBelow reports whether the target is one of p's ancestors.
func (p *proc) isBelow(target messages.PID) (below bool) {
	p.eachAncestor(func(pid messages.PID) bool {
		below = pid == target
		return !below
	})
	return below
}

// eachAncestor visits the parent, the parent of that, and so on, until visit has seen enough.
func (p *proc) eachAncestor(visit func(pid messages.PID) bool) {
	for range maxAncestors {
		p.mu.Lock()
		parent := p.parent
		p.mu.Unlock()
		if parent == nil || !visit(parent.pid) {
			return
		}
		p = parent
	}
}

// maxAncestors ends a circle of processes that have adopted each other.
const maxAncestors = 100
