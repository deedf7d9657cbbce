package supervisor

import "time"

// Defaults of the restart intensity; Elixir's, not Erlang's (SV-04).
const (
	DefaultMaxRestarts = 3
	DefaultMaxSeconds  = 5 * time.Second
)

// window counts the restarts of one supervisor, over all its children (SV-18), within a span that slides (SV-20). It is
// pure: the time is passed in.
type window struct {
	limit    int
	span     time.Duration
	restarts []time.Time // within the span of the newest, oldest first
}

// add counts one restart and reports whether the limit still holds: with limit N, the N+1-th within the span breaks it
// (SV-19). The edge of the span is inclusive. OTP counts whole seconds; we do not, so that a span is as long as it says.
func (w *window) add(now time.Time) bool {
	kept := w.restarts[:0]
	for _, at := range w.restarts {
		if now.Sub(at) <= w.span {
			kept = append(kept, at)
		}
	}
	w.restarts = append(kept, now)
	return len(w.restarts) <= w.limit
}
