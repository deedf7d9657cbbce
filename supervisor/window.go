package supervisor

import (
	"fmt"
	"time"
)

// Defaults of the restart intensity; Elixir's, not Erlang's (SV-04).
const (
	DefaultMaxRestarts = 3
	DefaultMaxSeconds  = 5 * time.Second
)

// NoRestarts is a MaxRestarts that allows none, OTP's 0 (SV-19).
const NoRestarts = -1

// window counts the restarts of one supervisor, over all its children (SV-18), within a span that slides (SV-20). It is
// pure: the time is passed in.
type window struct {
	limit    int
	span     time.Duration
	restarts []time.Time // within the span of the newest, oldest first
}

// newWindow fills in what a config leaves to the defaults.
func newWindow(maxRestarts int, maxSeconds time.Duration) window {
	w := window{limit: maxRestarts, span: maxSeconds}
	switch maxRestarts {
	case 0:
		w.limit = DefaultMaxRestarts
	case NoRestarts:
		w.limit = 0
	}
	if w.span == 0 {
		w.span = DefaultMaxSeconds
	}
	return w
}

func validIntensity(maxRestarts int, maxSeconds time.Duration) error {
	switch {
	case maxRestarts < NoRestarts:
		return fmt.Errorf("supervisor: MaxRestarts is %d, want a number or NoRestarts", maxRestarts)
	case maxSeconds < 0:
		return fmt.Errorf("supervisor: MaxSeconds is %s, want a positive duration", maxSeconds)
	}
	return nil
}

// add counts one restart and reports whether the limit still holds: with limit N, the N+1-th within the span breaks it
// (SV-19). The edge of the span is inclusive. OTP counts whole seconds; we do not, so that a span is as long as it says.
func (w *window) add(now time.Time) bool {
	for len(w.restarts) > 0 && now.Sub(w.restarts[0]) > w.span {
		w.restarts = w.restarts[1:]
	}
	w.restarts = append(w.restarts, now)
	return len(w.restarts) <= w.limit
}
