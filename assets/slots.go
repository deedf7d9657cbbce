package assets

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// slotPatience is how long the slots of a host may all stay taken before no move waits for one any more. A move waits
	// inside its task, so that all tasks of a runner could else stand for one host that hangs, and starve all other hosts.
	slotPatience = 2 * time.Second
	// slotGlance is how long a move waits where that is known already. Without it, a hundred thousand moves to such a host
	// would spin through the database as fast as it can claim them.
	slotGlance = 50 * time.Millisecond
	// minSnooze and maxSnooze limit, by chance between them, when a move that did not wait comes again.
	minSnooze = 5 * time.Second
	maxSnooze = 30 * time.Second
)

// slots count the requests to one host or bucket that run at the same time.
type slots struct {
	host string
	room chan struct{} // has as many elements as are taken

	mu    sync.Mutex
	moved time.Time // when one was last taken or given back
}

func newSlots(host string, limit int) *slots {
	return &slots{host: host, room: make(chan struct{}, limit)}
}

// acquire waits for a slot as long as slots are given back, and fails with ErrBusy where they are not.
func (s *slots) acquire(ctx context.Context) (release func(), err error) {
	select {
	case s.room <- struct{}{}:
		return s.taken(), nil
	default:
	}
	timer := time.NewTimer(max(s.patience(), slotGlance))
	defer timer.Stop()
	for {
		select {
		case s.room <- struct{}{}:
			return s.taken(), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
			left := s.patience()
			if left <= 0 {
				return nil, failure(ErrBusy, "all %d requests to %s that Config.MaxPerHost allows are taken, and none has ended for %s",
					cap(s.room), s.host, slotPatience)
			}
			timer.Reset(left)
		}
	}
}

// wait waits for a slot for as long as ctx allows.
func (s *slots) wait(ctx context.Context) (release func(), err error) {
	select {
	case s.room <- struct{}{}:
		return s.taken(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stuck reports whether all slots are taken and have been for longer than a move waits.
func (s *slots) stuck() bool { return len(s.room) == cap(s.room) && s.patience() <= 0 }

// taken notes that a slot was taken, and gives what gives it back.
func (s *slots) taken() (release func()) {
	s.note()
	return func() {
		s.note()
		<-s.room
	}
}

func (s *slots) note() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = time.Now()
}

// patience is what is left of slotPatience.
func (s *slots) patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slotPatience - time.Since(s.moved)
}

// snooze gives a time to come again.
func snooze() time.Duration { return minSnooze + rand.N(maxSnooze-minSnooze) }
