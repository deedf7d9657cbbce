package supervisor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

func significant(k *kid) *kid {
	k.Significant = true
	return k
}

// TestSV35_AutomaticShutdown: with any_significant a supervisor stops the rest and ends with shutdown when a significant transient child
// ends clean or a significant temporary one ends anyhow; with all_significant when the last that runs has; one that is to be
// restarted does not count as ended.
func TestSV35_AutomaticShutdown(t *testing.T) {
	for name, c := range map[string]struct {
		auto    supervisor.AutoShutdown
		restart supervisor.Restart
		reason  error
		ends    bool
	}{
		"any, transient, normal":        {supervisor.AnySignificant, supervisor.Transient, messages.Normal, true},
		"any, transient, shutdown":      {supervisor.AnySignificant, supervisor.Transient, messages.Shutdown, true},
		"any, transient, shutdown with": {supervisor.AnySignificant, supervisor.Transient, shutdownWith, true},
		"any, transient, crash":         {supervisor.AnySignificant, supervisor.Transient, errBoom, false},
		"any, transient, killed":        {supervisor.AnySignificant, supervisor.Transient, messages.Killed, false},
		"any, temporary, normal":        {supervisor.AnySignificant, supervisor.Temporary, messages.Normal, true},
		"any, temporary, crash":         {supervisor.AnySignificant, supervisor.Temporary, errBoom, true},
		"any, temporary, killed":        {supervisor.AnySignificant, supervisor.Temporary, messages.Killed, true},
		"all, transient, normal":        {supervisor.AllSignificant, supervisor.Transient, messages.Normal, false},
		"all, temporary, crash":         {supervisor.AllSignificant, supervisor.Temporary, errBoom, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				k, other := significant(b.kid("k").with(c.restart)), significant(b.transient("other"))
				why := b.watch(b.supervise(supervisor.Config{AutoShutdown: c.auto}, b.kid("a"), k, other, b.kid("z")).PID())
				b.did()
				b.end(k, c.reason)
				if !c.ends {
					b.wantEnd(why, nil)
					if got := b.did(); strings.Contains(got, "-a") || strings.Contains(got, "-other") {
						t.Errorf("the children did %q, want the others left alone", got)
					}
					return
				}
				b.wantEnd(why, messages.Shutdown)
				if got := b.did(); !strings.HasSuffix(got, "-z -other -a") || strings.Contains(got, "+") {
					t.Errorf("the children did %q, want the rest stopped, newest first", got)
				}
			})
		})
	}
	t.Run("all, the last", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			x, y, z := significant(b.transient("x")), significant(b.temporary("y")), significant(b.transient("z"))
			plain := b.transient("plain")
			s := b.supervise(supervisor.Config{AutoShutdown: supervisor.AllSignificant}, b.kid("a"), x, y, z, plain)
			why := b.watch(s.PID())
			b.end(plain, messages.Normal) // not significant
			b.end(x, messages.Normal)
			b.end(y, errBoom)
			b.end(z, errBoom) // is restarted
			b.wantEnd(why, nil)
			b.listed(s, "plain! z x! a")
			b.end(z, messages.Normal)
			b.wantEnd(why, messages.Shutdown)
		})
	})
	t.Run("all, one is about to be restarted", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			x, y := significant(b.transient("x")), significant(b.transient("y"))
			s := b.supervise(supervisor.Config{AutoShutdown: supervisor.AllSignificant, Backoff: supervisor.Backoff{Initial: time.Second}}, x, y)
			why := b.watch(s.PID())
			b.end(x, errBoom)
			b.end(y, messages.Normal)
			b.listed(s, "y! x?")
			time.Sleep(time.Second)
			synctest.Wait()
			b.listed(s, "y! x")
			b.wantEnd(why, nil)
			b.end(x, messages.Normal)
			b.wantEnd(why, messages.Shutdown)
		})
	})
	t.Run("of a child that was added", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			s := b.supervise(supervisor.Config{AutoShutdown: supervisor.AnySignificant}, b.kid("a"))
			why, k := b.watch(s.PID()), significant(b.temporary("k"))
			_, err := s.StartChild(b.ctx, k.ChildSpec)
			b.wantErr(err, nil)
			b.end(k, messages.Normal)
			b.wantEnd(why, messages.Shutdown)
		})
	})
	t.Run("under a supervisor", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			k := significant(b.transient("k"))
			low := b.nest(supervisor.Config{
				Name: "low", Strategy: supervisor.OneForOne, AutoShutdown: supervisor.AnySignificant, Children: specs([]*kid{k}),
			})
			s := b.supervise(supervisor.Config{}, low.with(supervisor.Transient))
			b.end(k, messages.Normal)
			b.listed(s, "low!")
		})
	})
}

// TestSV36_WhatIsNoAutomaticShutdown: an end by request or by a group restart is none, nor is one of a child that is not significant; and
// a significant child that is permanent, or whose supervisor never shuts down by itself, is refused.
func TestSV36_WhatIsNoAutomaticShutdown(t *testing.T) {
	for _, auto := range []supervisor.AutoShutdown{supervisor.AnySignificant, supervisor.AllSignificant} {
		t.Run(auto.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a, plain := b.kid("a"), b.temporary("plain")
				s := b.supervise(supervisor.Config{Strategy: supervisor.OneForAll, AutoShutdown: auto},
					a, significant(b.transient("x")), significant(b.temporary("y")), significant(b.temporary("w")), plain)
				why := b.watch(s.PID())
				b.end(plain, errBoom)
				b.wantErr(s.TerminateChild(b.ctx, "w"), nil)
				b.end(a, errBoom) // takes y with it for ever
				b.listed(s, "x a")
				b.wantErr(s.TerminateChild(b.ctx, "x"), nil)
				synctest.Wait()
				b.wantEnd(why, nil)
				b.listed(s, "x! a")
			})
		})
	}
	t.Run("refused", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			for want, config := range map[string]supervisor.Config{
				"AutoShutdown": {Children: specs([]*kid{significant(b.transient("k"))})},
				"Restart":      {AutoShutdown: supervisor.AnySignificant, Children: specs([]*kid{significant(b.kid("k"))})},
			} {
				config.Strategy = supervisor.OneForOne
				_, err := supervisor.Start(b.ctx, b.system, config)
				if err == nil || !strings.Contains(err.Error(), "Significant is true") || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error about Significant and %s", err, want)
				}
			}
			s := b.supervise(supervisor.Config{})
			if _, err := s.StartChild(b.ctx, significant(b.transient("k")).ChildSpec); err == nil {
				t.Error("a significant child was added to a supervisor that never shuts down by itself")
			}
			if _, err := b.dynamic(supervisor.DynamicConfig{}).StartChild(b.ctx, significant(b.transient("k")).ChildSpec); err == nil {
				t.Error("a significant child was added to a dynamic supervisor")
			}
			b.saw("")
		})
	})
}
