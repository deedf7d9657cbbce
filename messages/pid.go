package messages

import "strconv"

// PID identifies one process for ever. It is comparable, safe to copy and safe to keep: a PID is never reused,
// because Node is new at each start of a system. (protoactor's own PIDs are numbered from one again after a restart,
// so that an old one reaches a stranger.)
//
// The zero PID identifies nobody.
type PID struct {
	Node string // the system that runs the process; a new value for each start of a system
	ID   uint64 // counts up from 1 within the system
}

// IsZero reports whether p identifies nobody.
func (p PID) IsZero() bool { return p == PID{} }

// String gives the PID in the form <node.42>; the zero PID is <none>.
func (p PID) String() string {
	if p.IsZero() {
		return "<none>"
	}
	return "<" + p.Node + "." + strconv.FormatUint(p.ID, 10) + ">"
}

// Name is a name under which a process is registered in its system. One name has at most one holder at a time. The
// empty name is no name.
type Name string

// Ref identifies one monitor, so that its Down can be told from others. Refs are unique within a system.
type Ref uint64
