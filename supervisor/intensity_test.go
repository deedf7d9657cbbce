package supervisor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestSV18_OneCounterPerSupervisor: restarts are counted once per supervisor, over all its children, and each supervisor has a
// counter of its own.
//
// Adapted: protoactor counts per child, so its strategies are not used.
func TestSV18_OneCounterPerSupervisor(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d := b.kid("a"), b.kid("c"), b.kid("d")
		why := b.watch(b.supervise(supervisor.Config{MaxRestarts: 2}, a, c, d).PID())
		other := b.kid("other")
		whyOther := b.watch(b.supervise(supervisor.Config{MaxRestarts: 2}, other).PID())
		b.end(a, errBoom)
		b.end(other, errBoom)
		b.end(c, errBoom)
		b.wantEnd(why, nil)
		b.end(d, errBoom)
		b.wantEnd(why, messages.Shutdown)
		b.end(other, errBoom)
		b.wantEnd(whyOther, nil)
	})
}

// TestSV19_TheLimitIsBrokenByOneMore: with a limit of N the N+1-th restart within the span breaks it, and with none allowed the
// first.
func TestSV19_TheLimitIsBrokenByOneMore(t *testing.T) {
	for limit, allowed := range map[int]int{supervisor.NoRestarts: 0, 1: 1, 2: 2, 7: 7} {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			why := b.watch(b.supervise(supervisor.Config{MaxRestarts: limit}, a).PID())
			for range allowed {
				b.end(a, errBoom)
			}
			b.wantEnd(why, nil)
			b.end(a, errBoom)
			b.wantEnd(why, messages.Shutdown)
			if len(a.pids) != 1+allowed {
				t.Errorf("limit %d: started %d times, want %d", limit, len(a.pids), 1+allowed)
			}
		})
	}
}

// TestSV20_TheWindowSlides: the span slides, and a restart counts up to and including the moment at which it is as old as the span.
//
// Adapted: OTP counts whole seconds, so that one second can be almost two; here the span is as long as it says.
func TestSV20_TheWindowSlides(t *testing.T) {
	for name, c := range map[string]struct {
		gap  time.Duration
		want error
	}{
		"within":       {time.Second - 1, messages.Shutdown},
		"at the edge":  {time.Second, messages.Shutdown},
		"just outside": {time.Second + 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a := b.kid("a")
				why := b.watch(b.supervise(supervisor.Config{MaxRestarts: 2, MaxSeconds: time.Second}, a).PID())
				b.end(a, errBoom)
				time.Sleep(c.gap / 2)
				b.end(a, errBoom)
				time.Sleep(c.gap - c.gap/2)
				b.end(a, errBoom)
				b.wantEnd(why, c.want)
			})
		})
	}
	t.Run("on and on", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			why := b.watch(b.supervise(supervisor.Config{MaxRestarts: 2, MaxSeconds: time.Second}, a).PID())
			for range 20 {
				b.end(a, errBoom)
				time.Sleep(time.Second/2 + 1)
			}
			b.wantEnd(why, nil)
		})
	})
}

// TestSV21_ABrokenLimitEndsTheSupervisor: when the limit is broken the dead child is not tried again, the others are stopped newest
// first, and the supervisor itself ends with shutdown.
//
// Adapted: protoactor stops that child alone; here the process of the supervisor ends.
func TestSV21_ABrokenLimitEndsTheSupervisor(t *testing.T) {
	for _, strategy := range []supervisor.Strategy{supervisor.OneForOne, supervisor.OneForAll, supervisor.RestForOne} {
		t.Run(strategy.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				c := b.kid("c")
				s := b.supervise(supervisor.Config{Strategy: strategy, MaxRestarts: supervisor.NoRestarts}, b.kid("a"), c, b.kid("d"))
				why := b.watch(s.PID())
				b.did()
				b.end(c, errBoom)
				b.saw("-c -d -a")
				b.wantEnd(why, messages.Shutdown)
				if n := b.system.Len(); n != 0 {
					t.Errorf("%d processes are left", n)
				}
				if n := b.logged("too many restarts", "child=c"); n != 1 {
					t.Errorf("%d lines say why, want one", n)
				}
				_, err := s.CountChildren(b.ctx)
				b.wantErr(err, messages.NoProc)
			})
		})
	}
}

// TestSV22_AttemptsMultiplyLevelByLevel: a supervisor that gave up is restarted by its parent only if it is permanent, and that is one
// restart there; so the attempts of all levels multiply before the top gives up.
func TestSV22_AttemptsMultiplyLevelByLevel(t *testing.T) {
	t.Run("permanent", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			leaf := b.kid("leaf")
			low := b.nest(supervisor.Config{Name: "low", Strategy: supervisor.OneForOne, MaxRestarts: 2, Children: specs([]*kid{leaf})})
			middle := b.nest(supervisor.Config{Name: "middle", Strategy: supervisor.OneForOne, MaxRestarts: 3, Children: specs([]*kid{low})})
			why := b.watch(b.supervise(supervisor.Config{MaxRestarts: 1}, middle).PID())
			leaf.doomed = errBoom // only now: else all may be over before it is watched
			b.end(leaf, errBoom)
			b.wantEnd(why, messages.Shutdown)
			if leaf.tries != 3*4*2 || low.tries != 4*2 || middle.tries != 2 {
				t.Errorf("%d, %d and %d starts, want 24, 8 and 2", leaf.tries, low.tries, middle.tries)
			}
		})
	})
	for restart, want := range map[supervisor.Restart]string{supervisor.Transient: "low!", supervisor.Temporary: ""} {
		t.Run(restart.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				leaf := b.kid("leaf")
				leaf.doomed = errBoom
				low := b.nest(supervisor.Config{Name: "low", Strategy: supervisor.OneForOne, MaxRestarts: 2, Children: specs([]*kid{leaf})})
				top := b.supervise(supervisor.Config{MaxRestarts: supervisor.NoRestarts}, low.with(restart))
				synctest.Wait()
				b.listed(top, want)
				if got := strings.Count(b.did(), "+leaf"); got != 3 {
					t.Errorf("%d starts of the leaf, want 3", got)
				}
			})
		})
	}
}
