package supervisor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// after lets so much time pass, and compares what the children did then.
func (b *bench) after(d time.Duration, want string) {
	b.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	b.saw(want)
}

// Each further restart within the span waits twice as long, up to the longest wait, and failed tries wait likewise.
func TestBackoffDoubles(t *testing.T) {
	inBubble(t, func(b *bench) {
		a := b.kid("a")
		s := b.supervise(supervisor.Config{
			MaxRestarts: 100, MaxSeconds: time.Hour, Backoff: supervisor.Backoff{Initial: time.Second, Max: 5 * time.Second},
		}, a)
		a.answers = []error{errBoom, errBoom, errBoom}
		b.saw("+a")
		b.end(a, errBoom)
		b.system.Send(b.ctx, s.PID(), messages.Exit{From: a.pid(), Reason: errBoom}) // which it had before
		b.listed(s, "a?")
		b.saw("-a")
		b.after(time.Second-1, "")
		b.after(1, "!a")
		b.after(2*time.Second-1, "")
		b.after(1, "!a")
		b.after(4*time.Second-1, "")
		b.after(1, "!a")
		b.after(5*time.Second-1, "")
		b.after(1, "+a")
		b.end(a, errBoom)
		b.saw("-a")
		b.after(5*time.Second, "+a")
		time.Sleep(time.Hour + time.Second)
		b.end(a, errBoom) // the others are out of the span
		b.saw("-a")
		b.after(time.Second, "+a")
	})
}

func TestBackoffOfADynamicSupervisor(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.dynamic(supervisor.DynamicConfig{MaxRestarts: 3, MaxSeconds: time.Hour, MaxChildren: 1, Backoff: supervisor.Backoff{Initial: time.Second, Max: time.Minute}})
		a, why := b.kid("a"), b.watch(d.PID())
		b.add(d, a)
		a.answers = []error{errBoom}
		b.end(a, errBoom)
		b.listed(d, "a?")
		_, err := d.StartChild(b.ctx, b.kid("c").ChildSpec)
		b.wantErr(err, supervisor.ErrMaxChildren)
		b.saw("+a -a")
		b.after(time.Second, "!a")
		b.after(2*time.Second, "+a")
		b.end(a, errBoom)
		b.after(4*time.Second, "-a +a")
		b.end(a, errBoom)
		b.wantEnd(why, messages.Shutdown)
	})
}

// A child that waits is started no more once it is terminated or its supervisor stopped, nor a second time when its group was.
func TestWhatEndsABackoff(t *testing.T) {
	config := supervisor.Config{MaxRestarts: 9, Backoff: supervisor.Backoff{Initial: time.Second, Max: time.Second}}
	t.Run("terminate", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			s := b.supervise(config, a)
			b.end(a, errBoom)
			_, err := s.RestartChild(b.ctx, "a")
			b.wantErr(err, supervisor.ErrRestarting)
			b.wantErr(s.TerminateChild(b.ctx, "a"), nil)
			b.saw("+a -a")
			_, err = s.RestartChild(b.ctx, "a")
			b.wantErr(err, nil)
			b.after(time.Minute, "+a")
			b.end(a, errBoom)
			b.wantErr(s.TerminateChild(b.ctx, "a"), nil)
			b.wantErr(s.DeleteChild(b.ctx, "a"), nil)
			b.after(time.Minute, "-a")
		})
	})
	t.Run("terminate of a dynamic supervisor's", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			d, a := b.dynamic(supervisor.DynamicConfig{Backoff: config.Backoff}), b.kid("a")
			b.add(d, a)
			b.end(a, errBoom)
			b.wantErr(d.TerminateChild(b.ctx, a.pid()), nil)
			b.after(time.Minute, "+a -a")
			b.counted(d, supervisor.Counts{})
		})
	})
	t.Run("stop", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			d, s, a, c := b.dynamic(supervisor.DynamicConfig{Backoff: config.Backoff}), config, b.kid("a"), b.kid("c")
			b.add(d, a)
			static := b.supervise(s, c)
			b.end(a, errBoom)
			b.end(c, errBoom)
			b.wantErr(d.Stop(b.ctx), nil)
			b.wantErr(static.Stop(b.ctx), nil)
			b.after(time.Minute, "+a +c -a -c")
			if n := b.logged("child did not stop as told"); n != 0 {
				t.Errorf("%d lines about children that did not run, want none", n)
			}
		})
	})
	t.Run("the group", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			all := config
			all.Strategy = supervisor.OneForAll
			a, c := b.kid("a"), b.kid("c")
			s := b.supervise(all, a, c)
			b.did()
			b.end(a, errBoom) // the others live while it waits
			time.Sleep(time.Second / 2)
			b.end(c, errBoom)
			b.listed(s, "c? a?")
			b.after(time.Second/2, "-a -c +a +c")
			b.after(time.Minute, "")
		})
	})
}

// The end of a wait that was over just when the child was started with its group, and failed, is not the end of its next wait.
func TestAnOldWaitDoesNotEndTheNext(t *testing.T) {
	inBubble(t, func(b *bench) {
		first, second, slow := b.kid("first"), b.kid("second"), b.kid("slow")
		b.supervise(supervisor.Config{
			Strategy: supervisor.OneForAll, MaxRestarts: 9, Backoff: supervisor.Backoff{Initial: time.Second},
		}, first, second, slow)
		b.did()
		slow.stubborn = time.Second
		b.end(second, errBoom)
		time.Sleep(time.Second / 2)
		first.will(errBoom)
		b.end(first, errBoom)
		b.saw("-second -first")
		b.after(time.Second/2, "-slow")
		b.after(time.Second, "/slow !first") // the wait of the first was over in between
		b.after(time.Second-1, "")
		b.after(1, "+first +second +slow")
		b.after(time.Minute, "")
	})
}

func TestReportsOfASupervisor(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		k, quiet, gone := b.kid("k"), b.transient("quiet"), b.temporary("gone")
		for _, k := range []*kid{k, quiet, gone} {
			_, err := p.start(k.ChildSpec)
			b.wantErr(err, nil)
		}
		b.end(quiet, messages.Normal)
		b.end(gone, messages.Normal)
		if n := b.logged(""); n != 0 {
			b.t.Errorf("logged:\n%s", b.log.String())
		}
		k.answers = []error{errBoom}
		first := k.pid()
		b.end(k, messages.Normal)
		if n := b.logged("level=ERROR", "child ended", "child=k", "restart=permanent", "reason=normal", first.String()); n != 1 {
			b.t.Errorf("%d lines about the end, want one:\n%s", n, b.log.String())
		}
		if n := b.logged("level=ERROR", "child did not start", "child=k", "reason=boom"); n != 1 {
			b.t.Errorf("%d lines about the start, want one:\n%s", n, b.log.String())
		}
		if n := b.logged("supervisor="); n != 2 {
			b.t.Errorf("%d lines of the supervisor, want two:\n%s", n, b.log.String())
		}
	})
}
