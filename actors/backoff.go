package actors

import (
	"fmt"
	"time"
)

// Backoff says how long a task waits before it is tried again. Its zero value is 1 s, 2 s, 4 s … up to an hour, each less
// up to half of it by chance, so that tasks that failed together do not come back together.
type Backoff struct {
	Base   time.Duration // after the first attempt; doubles with each; zero is DefaultBackoffBase
	Max    time.Duration // never longer; zero is DefaultBackoffMax
	Jitter float64       // the share of the wait that is left to chance, 0 to 1; zero is DefaultBackoffJitter, NoJitter is none
}

// Defaults of Backoff.
const (
	DefaultBackoffBase   = time.Second
	DefaultBackoffMax    = time.Hour
	DefaultBackoffJitter = 0.5

	// NoJitter is a Jitter of nothing.
	NoJitter = -1
)

func (b Backoff) withDefaults() Backoff {
	if b.Base == 0 {
		b.Base = DefaultBackoffBase
	}
	if b.Max == 0 {
		b.Max = max(DefaultBackoffMax, b.Base)
	}
	switch b.Jitter {
	case 0:
		b.Jitter = DefaultBackoffJitter
	case NoJitter:
		b.Jitter = 0
	}
	return b
}

func (b Backoff) validate() error {
	switch {
	case b.Base < 0:
		return fmt.Errorf("actors: Backoff.Base is %s, want a positive duration", b.Base)
	case b.Max < 0, b.Max != 0 && b.Max < b.Base:
		return fmt.Errorf("actors: Backoff.Max is %s, want at least Base (%s)", b.Max, b.Base)
	case b.Jitter != NoJitter && !(b.Jitter >= 0 && b.Jitter <= 1): // nor NaN
		return fmt.Errorf("actors: Backoff.Jitter is %v, want 0 to 1, or NoJitter", b.Jitter)
	}
	return nil
}

// wait is the time before the next attempt, given how many were made and a chance from 0 to 1.
func (b Backoff) wait(attempts int, chance float64) time.Duration {
	wait := b.Base
	for i := 1; i < attempts && wait < b.Max; i++ {
		wait *= 2 // cannot overflow: it stops at Max, and 2*Max is far from it
		if wait <= 0 {
			wait = b.Max
		}
	}
	wait = min(wait, b.Max)
	return max(0, wait-time.Duration(float64(wait)*b.Jitter*chance)) // a float64 of a long wait may be rounded up
}
