package supervisor

import (
	"github.com/taskrunner-go/taskrunner/messages"
)

// ending is the end of a child by itself, as far as it matters for what becomes of it.
type ending struct {
	restart     Restart
	reason      error
	significant bool
	auto        AutoShutdown // of the supervisor
	others      bool         // another significant child runs, or is about to be started again
}

// verdict is what becomes of a child that ended by itself.
type verdict int

const (
	again  verdict = iota // it is started again, and that is counted
	stay                  // it is not, but its spec stays (SV-09)
	forget                // it is not, and its spec goes (SV-10)
	giveUp                // it is not, and the supervisor ends (SV-35)
)

// decide says what becomes of a child that ended by itself. It is the whole rule, and pure.
func decide(e ending) verdict {
	switch {
	case e.restart == Permanent:
		return again // SV-08: however it ended
	case e.restart == Transient && !messages.IsClean(e.reason):
		return again // SV-09
	case e.significant && e.auto == AnySignificant:
		return giveUp
	case e.significant && e.auto == AllSignificant && !e.others:
		return giveUp
	case e.restart == Temporary:
		return forget
	default:
		return stay
	}
}

// group is who is stopped and started again with a child that is to be started again: the children from which to which, of
// n in the order of their start. It is pure.
func group(s Strategy, index, n int) (from, to int) {
	switch s {
	case OneForAll:
		return 0, n
	case RestForOne:
		return index, n
	default:
		return index, index + 1
	}
}

// isShutdownError reports whether a child that was told to stop has ended for a reason that is worth a report: any but
// messages.Shutdown itself, those of a clean end for a child that need not run for ever, and the kill that was asked for
// (SH-07). It is pure.
func isShutdownError(r Restart, brutal bool, reason error) bool {
	switch {
	case brutal && messages.Is(reason, messages.Killed):
		return false
	case r != Permanent && messages.IsClean(reason):
		return false
	default:
		return reason != error(messages.Shutdown) //nolint:errorlint // {shutdown, value} and what wraps it are others
	}
}
