package supervisor_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestSV07_ARestartedChildIsNew: a restarted child has a new PID, fresh state and an empty mailbox, and is started as it was the
// first time.
//
// Adapted: protoactor restarts an actor in place, with its PID and its mailbox; ours is never restarted, a new one is started.
func TestSV07_ARestartedChildIsNew(t *testing.T) {
	inBubble(t, func(b *bench) {
		a := b.kid("a")
		b.supervise(supervisor.Config{}, a)
		first := a.pid()
		for _, message := range []any{"one", errBoom, "lost", "lost"} {
			b.system.Send(b.ctx, first, message)
		}
		synctest.Wait()
		if a.pid() == first || b.system.Alive(first) || !a.alive() {
			t.Fatalf("it has the PID %s, and had %s", a.pid(), first)
		}
		if count, err := process.Call(b.ctx, b.system, a.pid(), "how many?"); count != 0 || err != nil {
			t.Errorf("the new process has counted %v messages, %v; want none", count, err)
		}
		b.system.Send(b.ctx, first, "lost")
		if count, _ := process.Call(b.ctx, b.system, a.pid(), "how many?"); count != 0 {
			t.Error("a message for the old PID came to the new process")
		}
		b.saw("+a -a +a")
	})
}

// everyReason is how a child can end by itself, and whether that is clean.
var everyReason = []struct {
	reason error
	clean  bool
}{
	{messages.Normal, true},
	{messages.Shutdown, true},
	{shutdownWith, true},
	{fmt.Errorf("wrapped: %w", messages.Shutdown), true},
	{errBoom, false},
	{messages.Killed, false},
	{messages.NoProc, false},
	{panicked, false},
	{&messages.PanicError{Value: messages.Normal}, false},
	{fmt.Errorf("wrapped: %w", &messages.PanicError{Value: messages.Shutdown}), false},
}

// endsOf has a child of one restart type end for every reason under a supervisor that allows so many restarts.
func endsOf(t *testing.T, restart supervisor.Restart, limit int, check func(b *bench, k *kid, why func() error, s *supervisor.Supervisor, clean bool)) {
	t.Helper()
	for _, c := range everyReason {
		t.Run(c.reason.Error(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				k := b.kid("a").with(restart)
				s := b.supervise(supervisor.Config{MaxRestarts: limit}, k)
				why := b.watch(s.PID())
				b.end(k, c.reason)
				check(b, k, why, s, c.clean)
			})
		})
	}
}

// TestSV08_PermanentChildrenAreAlwaysRestarted: a permanent child is started again whatever it ended with, and that counts.
func TestSV08_PermanentChildrenAreAlwaysRestarted(t *testing.T) {
	endsOf(t, supervisor.Permanent, 1, func(b *bench, k *kid, why func() error, s *supervisor.Supervisor, _ bool) {
		b.listed(s, "a")
		if len(k.pids) != 2 || !k.alive() {
			b.t.Errorf("it was started %d times, want twice", len(k.pids))
		}
		b.end(k, messages.Normal)
		b.wantEnd(why, messages.Shutdown) // the second broke the limit of one
	})
}

// TestSV09_TransientChildrenAreRestartedAfterAFailure: a transient child that ended clean is not started again and keeps its spec;
// after any other end, a kill too, it is, and that counts.
func TestSV09_TransientChildrenAreRestartedAfterAFailure(t *testing.T) {
	endsOf(t, supervisor.Transient, 1, func(b *bench, k *kid, why func() error, s *supervisor.Supervisor, clean bool) {
		if clean {
			b.listed(s, "a!")
			if len(k.pids) != 1 {
				b.t.Errorf("it was started %d times, want once", len(k.pids))
			}
			_, err := s.RestartChild(b.ctx, "a")
			b.wantErr(err, nil)
			b.end(k, errBoom)
		}
		b.listed(s, "a") // so far one restart was counted, or a clean end would not have been free
		b.end(k, errBoom)
		b.wantEnd(why, messages.Shutdown)
	})
}

// TestSV10_TemporaryChildrenAreForgotten: a temporary child is never started again, its end does not count, and its spec is gone.
func TestSV10_TemporaryChildrenAreForgotten(t *testing.T) {
	endsOf(t, supervisor.Temporary, supervisor.NoRestarts, func(b *bench, k *kid, why func() error, s *supervisor.Supervisor, _ bool) {
		b.listed(s, "")
		b.wantEnd(why, nil)
		if len(k.pids) != 1 {
			b.t.Errorf("it was started %d times, want once", len(k.pids))
		}
		b.wantErr(s.DeleteChild(b.ctx, "a"), supervisor.ErrNotFound)
	})
}

// TestSV11_OneForOne: under one_for_one only the child that ended is started again.
func TestSV11_OneForOne(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d := b.kid("a"), b.kid("c"), b.kid("d")
		b.supervise(supervisor.Config{Strategy: supervisor.OneForOne}, a, c, d)
		b.did()
		b.end(c, errBoom)
		b.saw("-c +c")
	})
}

// TestSV12_OneForAll: under one_for_all all others are stopped, newest first, and then all are started in their order.
//
// Adapted: protoactor's own strategy restarts in place and in no order, so it is not used.
func TestSV12_OneForAll(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d, e := b.kid("a"), b.kid("c"), b.kid("d"), b.kid("e")
		s := b.supervise(supervisor.Config{Strategy: supervisor.OneForAll, MaxRestarts: 9}, a, c, d, e)
		b.did()
		b.end(c, errBoom)
		b.saw("-c -e -d -a +a +c +d +e")
		b.end(a, errBoom)
		b.saw("-a -e -d -c +a +c +d +e")
		b.end(e, errBoom)
		b.saw("-e -d -c -a +a +c +d +e")
		b.listed(s, "e d c a")
	})
}

// TestSV13_RestForOne: under rest_for_one those that were started after the child are stopped, newest first, and it and they are
// started in order; those before it are left alone.
//
// Adapted: protoactor has nothing like it.
func TestSV13_RestForOne(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d, e := b.kid("a"), b.kid("c"), b.kid("d"), b.kid("e")
		s := b.supervise(supervisor.Config{Strategy: supervisor.RestForOne, MaxRestarts: 9}, a, c, d, e)
		b.did()
		b.end(c, errBoom)
		b.saw("-c -e -d +c +d +e")
		b.end(e, errBoom)
		b.saw("-e +e")
		b.end(a, errBoom)
		b.saw("-a -e -d -c +a +c +d +e")
		b.listed(s, "e d c a")
	})
}

// TestSV14_ATemporarySiblingStaysDown: a temporary sibling is stopped with its group and not started again.
func TestSV14_ATemporarySiblingStaysDown(t *testing.T) {
	for _, strategy := range []supervisor.Strategy{supervisor.OneForAll, supervisor.RestForOne} {
		t.Run(strategy.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a := b.kid("a")
				s := b.supervise(supervisor.Config{Strategy: strategy}, a, b.temporary("t"), b.kid("c"))
				b.did()
				b.end(a, errBoom)
				b.saw("-a -c -t +a +c")
				b.listed(s, "c a")
			})
		})
	}
}

// TestSV15_AGroupRestartStartsThoseThatDidNotRun: siblings whose spec was kept while they did not run are started with their group:
// a transient one that ended clean, one that was terminated, one that did not want to start.
func TestSV15_AGroupRestartStartsThoseThatDidNotRun(t *testing.T) {
	for _, strategy := range []supervisor.Strategy{supervisor.OneForAll, supervisor.RestForOne} {
		t.Run(strategy.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a, done, stopped, unwilling := b.kid("a"), b.transient("done"), b.kid("stopped"), b.kid("unwilling")
				unwilling.answers = []error{supervisor.ErrIgnore}
				s := b.supervise(supervisor.Config{Strategy: strategy}, a, done, stopped, unwilling)
				b.end(done, messages.Normal)
				b.wantErr(s.TerminateChild(b.ctx, "stopped"), nil)
				b.listed(s, "unwilling! stopped! done! a")
				b.did()
				b.end(a, errBoom)
				b.saw("-a +a +done +stopped +unwilling")
				b.listed(s, "unwilling stopped done a")
			})
		})
	}
}

// TestSV16_ACleanEndIsNoGroupRestart: when a transient or temporary child ends without being started again, its siblings are left
// alone.
func TestSV16_ACleanEndIsNoGroupRestart(t *testing.T) {
	inBubble(t, func(b *bench) {
		done, gone := b.transient("done"), b.temporary("gone")
		b.supervise(supervisor.Config{Strategy: supervisor.OneForAll}, b.kid("a"), done, gone, b.kid("c"))
		b.did()
		b.end(done, messages.Normal)
		b.end(gone, errBoom)
		b.saw("-done -gone")
	})
}

// TestSV17_AGroupRestartCountsOnce: a group restart is one restart, however many children it touches.
func TestSV17_AGroupRestartCountsOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		a := b.kid("a")
		s := b.supervise(supervisor.Config{Strategy: supervisor.OneForAll, MaxRestarts: 2}, a, b.kid("c"), b.kid("d"), b.kid("e"))
		why := b.watch(s.PID())
		b.end(a, errBoom)
		b.end(a, errBoom)
		b.wantEnd(why, nil)
		b.end(a, errBoom)
		b.wantEnd(why, messages.Shutdown)
	})
}

// TestSV23_AFailedRestartIsTriedAgainAtOnce: a restart that fails is tried again at once, each try counting, until it works or the
// limit is broken.
func TestSV23_AFailedRestartIsTriedAgainAtOnce(t *testing.T) {
	t.Run("until it works", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			s := b.supervise(supervisor.Config{MaxRestarts: 3}, a)
			why, began := b.watch(s.PID()), time.Now()
			a.answers = []error{errBoom, errBoom}
			b.end(a, errBoom)
			b.saw("+a -a !a !a +a")
			if took := time.Since(began); took != 0 {
				t.Errorf("it took %s, want no wait", took)
			}
			b.end(a, errBoom)
			b.wantEnd(why, messages.Shutdown) // the failed tries were counted
		})
	})
	t.Run("until the limit is broken", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			s := b.supervise(supervisor.Config{MaxRestarts: 3}, b.kid("before"), a)
			why := b.watch(s.PID())
			b.did()
			a.answers = []error{errBoom, errBoom, errBoom, errBoom, errBoom}
			b.end(a, errBoom)
			b.saw("-a !a !a !a -before")
			b.wantEnd(why, messages.Shutdown)
		})
	})
}

// TestSV26_AGroupRestartThatFailsIsTriedAgain: when a later child fails to start in a group restart, one_for_all stops those just
// started and tries the whole group again; rest_for_one tries again from the failed child on.
func TestSV26_AGroupRestartThatFailsIsTriedAgain(t *testing.T) {
	for strategy, want := range map[supervisor.Strategy]string{
		supervisor.OneForAll:  "-a -e -d -c +a +c !d -c -a +a +c !d -c -a +a +c +d +e",
		supervisor.RestForOne: "-a -e -d -c +a +c !d !d +d +e",
	} {
		t.Run(strategy.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a, d := b.kid("a"), b.kid("d")
				s := b.supervise(supervisor.Config{Strategy: strategy, MaxRestarts: 3}, a, b.kid("c"), d, b.kid("e"))
				why := b.watch(s.PID())
				b.did()
				d.answers = []error{errBoom, errBoom}
				b.end(a, errBoom)
				b.saw(want)
				b.listed(s, "e d c a")
				b.end(a, errBoom) // the fourth
				b.wantEnd(why, messages.Shutdown)
			})
		})
	}
}

// Each child of a group is listed with how often it was started again, and why it ended the last time.
func TestAGroupRestartIsListed(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d := b.kid("a"), b.kid("c"), b.kid("d")
		s := b.supervise(supervisor.Config{Strategy: supervisor.RestForOne}, a, c, d)
		b.end(d, errBoom)
		b.end(c, messages.Normal)
		list, _ := s.WhichChildren(b.ctx)
		for i, want := range []supervisor.Child{
			{ID: "d", PID: d.pid(), Restarts: 2, LastExit: messages.Shutdown},
			{ID: "c", PID: c.pid(), Restarts: 1, LastExit: messages.Normal},
			{ID: "a", PID: a.pid()},
		} {
			if list[i] != want {
				t.Errorf("listed %+v, want %+v", list[i], want)
			}
			if info, _ := b.system.Info(want.PID); info.Place != (process.Place{ID: want.ID, Restarts: want.Restarts, LastExit: want.LastExit}) {
				t.Errorf("%s stands at %+v", want.ID, info.Place)
			}
		}
	})
}

// A supervisor that is killed while it starts a group again starts nobody any more, and what it has started ends with it.
func TestAKillInAGroupRestart(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d := b.kid("a"), b.kid("c"), b.kid("d")
		start := c.Start
		c.Start = func(context.Context) (messages.PID, error) { return start(b.ctx) } // else it fails with its context
		s := b.supervise(supervisor.Config{Strategy: supervisor.OneForAll}, a, c, d)
		c.slow = time.Second
		b.end(a, errBoom)
		b.system.Kill(s.PID())
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, k := range []*kid{a, c, d} {
			if k.alive() {
				t.Errorf("%s outlived its supervisor", k.ID)
			}
		}
		if d.tries != 1 {
			t.Errorf("d was started %d times, want once: its supervisor was dead", d.tries)
		}
	})
}

// A Start that takes no notice of its context may give a process when its supervisor is dead: that ends at once.
func TestAChildThatComesTooLate(t *testing.T) {
	inBubble(t, func(b *bench) {
		a := b.kid("a")
		start := a.Start
		a.Start = func(context.Context) (messages.PID, error) { return start(b.ctx) }
		s := b.supervise(supervisor.Config{}, a)
		a.slow = time.Second
		b.end(a, errBoom)
		b.system.Kill(s.PID())
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(a.pids) != 2 || a.alive() {
			t.Errorf("started %d times; the last lives: %v", len(a.pids), a.alive())
		}
	})
}
