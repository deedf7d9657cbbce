package supervisor

import (
	"fmt"
	"time"
)

// Backoff has a supervisor wait before it starts a child again. OTP has none: it tries at once, and again, until the
// intensity is used up, which for a child that needs a server that is down takes milliseconds (SV-23). The zero value is OTP's
// way.
//
// The first restart within MaxSeconds waits Initial, each further one twice as long, at most Max. Only restarts are put off;
// meanwhile the child is listed as restarting, and others are served. A wait is no pardon: choose MaxSeconds so that the
// restarts which are to break the limit fall within it.
type Backoff struct {
	Initial time.Duration // before the first restart; zero does not wait
	Max     time.Duration // the longest wait; zero is Initial
}

func (b Backoff) validate() error {
	switch {
	case b.Initial < 0:
		return fmt.Errorf("supervisor: Backoff.Initial is %s, want zero or a positive duration", b.Initial)
	case b.Max != 0 && b.Max < b.Initial:
		return fmt.Errorf("supervisor: Backoff.Max is %s, want zero or at least Initial, %s", b.Max, b.Initial)
	}
	return nil
}

// delay is how long to wait before the n-th restart of the window, counted from one. It is pure.
func (b Backoff) delay(n int) time.Duration {
	if b.Initial == 0 {
		return 0
	}
	longest := max(b.Max, b.Initial)
	wait := b.Initial
	for range n - 1 {
		if wait > longest/2 { // mutate:equivalent: from exactly half, doubling gives longest too
			return longest
		}
		wait *= 2
	}
	return wait
}
