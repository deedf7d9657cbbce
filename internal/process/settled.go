package process

import (
	"context"
	"log/slog"

	"github.com/taskrunner-go/taskrunner/messages"
)

// settled is a reason as others may look at it. The methods of a reason are the user's code: they may hang, panic, or end
// their goroutine, and answer otherwise each time. So they are asked once, in the process that ends for it, and nobody
// else has to.
type settled struct {
	text          string
	clean, normal bool
}

func (s *settled) Error() string { return s.text }

// Is makes errors.Is, and so messages.IsClean, answer as the reason itself did.
func (s *settled) Is(target error) bool {
	return s.normal && target == error(messages.Normal) || s.clean && !s.normal && target == error(messages.Shutdown)
}

// unsettled stands for a reason that ends the goroutine of whoever asks its methods.
const unsettled = messages.ExitReason("(an error whose methods do not return)")

// Settle asks the methods of a reason. What has none of the user's stays as it is.
func Settle(reason error) error {
	if _, known := reason.(messages.ExitReason); known { //nolint:errorlint // what wraps one is not known
		return reason
	}
	s := &settled{clean: messages.IsClean(reason)}
	s.normal = s.clean && messages.Is(reason, messages.Normal)
	failed := guard(func() error {
		s.text = reason.Error()
		return nil
	})
	if failed != nil {
		s.text = "(an error whose Error method panics)"
	}
	return s
}

// Report logs what went wrong. The handler is the user's: it has a goroutine of its own, since a panic could be held up here,
// and a runtime.Goexit could not.
func Report(s *System, message string, fields ...any) {
	if !s.log.Enabled(context.Background(), slog.LevelError) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		s.log.Error(message, fields...)
	}()
	<-done
}

// EndHandler is a Process that is told of the end of those whom it is linked with, if it traps exits, or monitors, by the end
// itself: in place of a messages.Exit or Down in Handle. What it finds there was made up.
type EndHandler interface {
	HandleEnd(ctx context.Context, pid messages.PID, end Ending) error
}
