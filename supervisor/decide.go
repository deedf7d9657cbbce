package supervisor

import "github.com/taskrunner-go/taskrunner/messages"

// verdict is what becomes of a child that ended.
type verdict int

const (
	forget  verdict = iota // its spec goes, nothing is counted
	restart                // it is started again, and that is counted
)

// decide says what becomes of a dynamic supervisor's child. It is the whole rule, and pure.
func decide(r Restart, reason error) verdict {
	switch {
	case r == Permanent:
		return restart // SV-08: however it ended
	case r == Transient && !messages.IsClean(reason):
		return restart // SV-09
	default:
		return forget // SV-10, and a transient child that ended clean
	}
}
