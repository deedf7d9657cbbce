package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestDS01_TheDefaults: without options a dynamic supervisor is one for one with three restarts in five seconds, without a limit of
// children, and leaves their starts as they are; a bad limit is refused with its name.
func TestDS01_TheDefaults(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, a := b.dynamic(supervisor.DynamicConfig{}), b.kid("a")
		why := b.watch(d.PID())
		for i := range 100 {
			b.add(d, b.kid(fmt.Sprint(i)))
		}
		b.add(d, a)
		b.did()
		for range 3 {
			b.end(a, errBoom)
		}
		b.saw("-a +a -a +a -a +a")
		time.Sleep(5 * time.Second)
		b.wantEnd(why, nil)
		b.end(a, errBoom)
		b.wantEnd(why, messages.Shutdown)
	})
	for want, config := range map[string]supervisor.DynamicConfig{
		"MaxChildren is -2":      {MaxChildren: -2},
		"MaxRestarts is -2":      {MaxRestarts: -2},
		"MaxSeconds is -1ns":     {MaxSeconds: -1},
		"Backoff.Initial is -1s": {Backoff: supervisor.Backoff{Initial: -time.Second}},
		"Backoff.Max is 1ns":     {Backoff: supervisor.Backoff{Initial: 2, Max: 1}},
	} {
		_, err := supervisor.StartDynamic(t.Context(), process.NewSystem(process.Config{}), config)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "want ") {
			t.Errorf("got %v, want an error with %q, and what was expected", err, want)
		}
	}
}

// TestDS02_IDsMayBeAlike: children of the same ID, or of none, all start.
func TestDS02_IDsMayBeAlike(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.dynamic(supervisor.DynamicConfig{})
		b.add(d, b.kid("a"), b.kid("a"), b.kid(""), b.kid(""))
		b.counted(d, supervisor.Counts{Specs: 4, Active: 4, Workers: 4})
	})
}

// TestDS03_BadSpecsNeverReachTheSupervisor: a malformed child spec is an error, with the name of its field, without the supervisor being
// asked.
func TestDS03_BadSpecsNeverReachTheSupervisor(t *testing.T) {
	nobody := supervisor.Dynamic(process.NewSystem(process.Config{}), messages.Name("nobody"))
	start := func(context.Context) (messages.PID, error) { return messages.PID{}, nil }
	for want, spec := range map[string]supervisor.ChildSpec{
		"Start is nil":        {},
		"Restart is 7":        {Start: start, Restart: 7},
		"Type is -1":          {Start: start, Type: -1},
		"Shutdown is -3":      {Start: start, Shutdown: -3},
		"Significant is true": {Start: start, Significant: true, Restart: supervisor.Temporary},
	} {
		_, err := nobody.StartChild(t.Context(), spec)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "want ") {
			t.Errorf("got %v, want an error with %q, and what was expected", err, want)
		}
	}
	_, err := nobody.StartChild(t.Context(), supervisor.ChildSpec{Start: start})
	if !errors.Is(err, messages.NoProc) {
		t.Errorf("a good spec: got %v, want noproc", err)
	}
}

// giving is a child whose Start gives what it is told, and no process of its own.
func giving(give func() (messages.PID, error)) supervisor.ChildSpec {
	return supervisor.ChildSpec{ID: "given", Restart: supervisor.Temporary, Start: func(context.Context) (messages.PID, error) { return give() }}
}

// TestDS04_WhatAStartGives: the PID or the error that a Start gives is passed on as it is.
//
// Adapted: the answer of a Start is a PID and an error; neither of them is an error too.
func TestDS04_WhatAStartGives(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, a := b.dynamic(supervisor.DynamicConfig{}), b.kid("a")
		pid, err := d.StartChild(b.ctx, a.ChildSpec)
		if err != nil || pid != a.pid() {
			t.Errorf("got %s, %v; want the PID of its process", pid, err)
		}
		_, err = d.StartChild(b.ctx, giving(func() (messages.PID, error) { return a.pid(), errBoom }))
		if err != errBoom {
			t.Errorf("got %v, want boom as it is", err)
		}
		_, err = d.StartChild(b.ctx, giving(func() (messages.PID, error) { return messages.PID{}, nil }))
		if err == nil || !strings.Contains(err.Error(), `"given"`) {
			t.Errorf("neither: got %v, want an error that names the child", err)
		}
		b.counted(d, supervisor.Counts{Specs: 1, Active: 1, Workers: 1})
	})
}

// TestDS05_AChildThatIgnores: when a child does not want to start, the caller gets ErrIgnore and nothing is kept.
func TestDS05_AChildThatIgnores(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, a := b.dynamic(supervisor.DynamicConfig{MaxChildren: 1}), b.kid("a")
		a.answers = []error{errNotToday}
		_, err := d.StartChild(b.ctx, a.ChildSpec)
		b.wantErr(err, supervisor.ErrIgnore)
		b.counted(d, supervisor.Counts{})
		if n := b.logged(""); n != 0 {
			t.Errorf("logged %s", b.log.String())
		}
	})
}

// TestDS06_AStartThatPanics: when a Start panics, the caller gets an error that describes it, and the supervisor lives.
//
// Adapted: a panic is recovered and becomes a PanicError; a runtime.Goexit is ErrGoexit.
func TestDS06_AStartThatPanics(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, a := b.dynamic(supervisor.DynamicConfig{}), b.kid("a")
		b.add(d, a)
		_, err := d.StartChild(b.ctx, giving(func() (messages.PID, error) { panic("oops") }))
		described, ok := errors.AsType[*messages.PanicError](err)
		if !ok || described.Value != "oops" || !strings.Contains(string(described.Stack), "TestDS06") {
			t.Errorf("got %v, want a PanicError with its value and stack", err)
		}
		_, err = d.StartChild(b.ctx, giving(func() (messages.PID, error) { runtime.Goexit(); return messages.PID{}, nil }))
		b.wantErr(err, messages.ErrGoexit)
		b.counted(d, supervisor.Counts{Specs: 1, Active: 1, Workers: 1})
		b.saw("+a")
	})
}

// failing is a worker whose init fails.
type failing struct{ worker }

func (failing) Init(context.Context) error { return errBoom }

// TestDS07_AnInitThatFails: when the init of a child fails, the caller gets the bare reason, it is not tried again, and it takes no place.
func TestDS07_AnInitThatFails(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, tries := b.dynamic(supervisor.DynamicConfig{MaxChildren: 1}), 0
		_, err := d.StartChild(b.ctx, supervisor.ChildSpec{Start: func(ctx context.Context) (messages.PID, error) {
			tries++
			return process.Spawn(ctx, b.system, &failing{}, process.Options{Link: true})
		}})
		if err != errBoom {
			t.Errorf("got %v, want the bare reason", err)
		}
		synctest.Wait()
		if tries != 1 {
			t.Errorf("%d tries, want one", tries)
		}
		b.add(d, b.kid("a"))
	})
}

// TestDS08_MaxChildren: with as many children as there may be the next start is refused with ErrMaxChildren, until one of them has
// ended; NoChildren refuses all.
func TestDS08_MaxChildren(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, first, third := b.dynamic(supervisor.DynamicConfig{MaxChildren: 2}), b.temporary("first"), b.kid("third")
		b.add(d, first, b.kid("second"))
		_, err := d.StartChild(b.ctx, third.ChildSpec)
		full, ok := errors.AsType[*supervisor.MaxChildrenError](err)
		if !ok || full.Limit != 2 || !errors.Is(err, supervisor.ErrMaxChildren) || third.tries != 0 {
			t.Errorf("got %v after %d tries, want a MaxChildrenError of 2 and no try", err, third.tries)
		}
		b.end(first, messages.Normal)
		b.add(d, third)
	})
	inBubble(t, func(b *bench) {
		_, err := b.dynamic(supervisor.DynamicConfig{MaxChildren: supervisor.NoChildren}).StartChild(b.ctx, b.kid("a").ChildSpec)
		b.wantErr(err, supervisor.ErrMaxChildren)
		if full, ok := errors.AsType[*supervisor.MaxChildrenError](err); !ok || full.Limit != 0 {
			t.Errorf("got %v, want a limit of 0", err)
		}
	})
}

// loopingUnder starts a child that fails in so many attempts of a restart, a second each, and has it end.
func (b *bench) loopingUnder(d *supervisor.DynamicSupervisor, failures int) *kid {
	a := b.kid("a")
	b.add(d, a)
	a.slow = time.Second
	for range failures {
		a.answers = append(a.answers, errBoom)
	}
	b.end(a, errBoom)
	return a
}

// TestDS09_RestartingChildrenCount: children that wait to be restarted count for the limit of children.
func TestDS09_RestartingChildrenCount(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.dynamic(supervisor.DynamicConfig{MaxChildren: 1, MaxRestarts: 1000})
		a := b.loopingUnder(d, 1000)
		_, err := d.StartChild(b.ctx, b.kid("c").ChildSpec)
		b.wantErr(err, supervisor.ErrMaxChildren)
		b.wantErr(d.TerminateChild(b.ctx, a.pid()), nil)
		b.add(d, b.kid("c"))
	})
}

// TestDS10_ASlowStartHoldsUpAllOthers: while the init of a child runs every other request waits.
func TestDS10_ASlowStartHoldsUpAllOthers(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, slow, quick := b.dynamic(supervisor.DynamicConfig{}), b.kid("slow"), b.kid("quick")
		slow.slow = time.Minute
		began := time.Now()
		go func() { _, _ = d.StartChild(b.ctx, slow.ChildSpec) }()
		synctest.Wait()
		b.add(d, quick)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the other start took %s, want a minute", took)
		}
		b.saw("+slow +quick")
	})
}

// TestDS11_TemporaryChildrenAreNotCounted: crashes of temporary children count nothing, even where no restart is allowed.
func TestDS11_TemporaryChildrenAreNotCounted(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.dynamic(supervisor.DynamicConfig{MaxRestarts: supervisor.NoRestarts})
		for range 50 {
			k := b.temporary("t")
			b.add(d, k)
			b.end(k, errBoom)
		}
		b.counted(d, supervisor.Counts{})
		k := b.kid("p")
		why := b.watch(d.PID())
		b.add(d, k)
		b.end(k, errBoom)
		b.wantEnd(why, messages.Shutdown)
	})
}

// TestDS12_ABrokenLimitStopsAll: when the limit is broken the supervisor ends with shutdown and all its children, related or not, are
// stopped. A child that always crashes has then run once, and once per restart allowed.
func TestDS12_ABrokenLimitStopsAll(t *testing.T) {
	for _, restart := range []supervisor.Restart{supervisor.Permanent, supervisor.Transient} {
		t.Run(restart.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				d, other, doomed := b.dynamic(supervisor.DynamicConfig{}), b.temporary("other"), b.kid("doomed").with(restart)
				why := b.watch(d.PID())
				doomed.doomed = errBoom
				b.add(d, other)
				whyOther := b.watch(other.pid())
				b.add(d, doomed)
				b.wantEnd(why, messages.Shutdown)
				b.wantEnd(whyOther, messages.Shutdown)
				if doomed.tries != 1+supervisor.DefaultMaxRestarts || b.system.Len() != 0 {
					t.Errorf("%d starts, %d processes left; want 4 and none", doomed.tries, b.system.Len())
				}
				if n, told := b.logged("too many restarts", "child=doomed"), b.logged("child did not stop as told"); n != 1 || told != 0 {
					t.Errorf("%d lines say why, want one; %d that it was stopped, want none", n, told)
				}
			})
		})
	}
}

// TestDS13_AFailedRestartIsTriedAgain: when a restart fails the child is listed as restarting, others are served, and it is tried again,
// each try counting.
func TestDS13_AFailedRestartIsTriedAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.dynamic(supervisor.DynamicConfig{MaxRestarts: 5})
		a, why := b.loopingUnder(d, 2), b.watch(d.PID())
		b.listed(d, "a?")
		b.system.Send(b.ctx, d.PID(), messages.Exit{From: a.pid(), Reason: errBoom}) // which it had before
		b.counted(d, supervisor.Counts{Specs: 1, Workers: 1})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		b.saw("+a -a !a !a +a")
		list, _ := d.WhichChildren(b.ctx)
		if want := (supervisor.Child{ID: "a", PID: a.pid(), Restarts: 3, LastExit: errBoom}); len(list) != 1 || list[0] != want {
			t.Errorf("listed %+v, want %+v", list, want)
		}
		a.slow = 0
		b.end(a, errBoom)
		b.end(a, errBoom)
		b.wantEnd(why, nil) // five of five
		b.end(a, errBoom)
		b.wantEnd(why, messages.Shutdown)
	})
	t.Run("until the limit is broken", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			d := b.dynamic(supervisor.DynamicConfig{MaxRestarts: 2})
			why := b.watch(d.PID())
			b.loopingUnder(d, 1000)
			time.Sleep(time.Minute)
			b.wantEnd(why, messages.Shutdown)
			b.saw("+a -a !a !a")
		})
	})
}

// TestDS14_ARestartThatIgnores: when a child does not want to be restarted it is dropped without an error.
func TestDS14_ARestartThatIgnores(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, a := b.dynamic(supervisor.DynamicConfig{}), b.kid("a")
		b.add(d, a)
		a.answers = []error{errNotToday}
		b.end(a, errBoom)
		b.saw("+a -a ~a")
		b.counted(d, supervisor.Counts{})
		if n := b.logged("child did not start"); n != 0 {
			t.Errorf("logged %s", b.log.String())
		}
	})
}

// TestDS15_TerminateChild: a child that is terminated is stopped and not restarted; a second try does not find it; and the old PID
// addresses a child that is stuck restarting.
func TestDS15_TerminateChild(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, a := b.dynamic(supervisor.DynamicConfig{MaxRestarts: 1000}), b.kid("a")
		b.add(d, a)
		b.wantErr(d.TerminateChild(b.ctx, a.pid()), nil)
		b.saw("+a -a")
		b.wantErr(d.TerminateChild(b.ctx, a.pid()), supervisor.ErrNotFound)
		b.wantErr(d.TerminateChild(b.ctx, messages.PID{}), supervisor.ErrNotFound)
		stuck := b.loopingUnder(d, 1000)
		b.wantErr(d.TerminateChild(b.ctx, stuck.pid()), nil)
		tries := stuck.tries
		time.Sleep(time.Minute)
		synctest.Wait()
		if stuck.tries != tries {
			t.Errorf("%d tries after that", stuck.tries-tries)
		}
		b.counted(d, supervisor.Counts{})
	})
	t.Run("served meanwhile, and twice at once", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			d, slow, began := b.dynamic(supervisor.DynamicConfig{}), b.kid("slow"), time.Now()
			slow.stubborn = 3 * time.Second
			b.add(d, slow)
			answers := make(chan error, 2)
			for range 2 {
				go func() { answers <- d.TerminateChild(b.ctx, slow.pid()) }()
			}
			synctest.Wait()
			b.add(d, b.kid("other"))
			if took := time.Since(began); took != 0 {
				t.Errorf("another start took %s, want no wait", took)
			}
			b.wantErr(<-answers, nil)
			b.wantErr(<-answers, nil)
			if took := time.Since(began); took != 3*time.Second {
				t.Errorf("the answers came after %s, want 3s", took)
			}
		})
	})
}

// TestDS16_ListAndCount: the list has each child with what it is, in no order, and the count says how many there are, how many run, and
// how many are supervisors and workers.
func TestDS16_ListAndCount(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.dynamic(supervisor.DynamicConfig{MaxRestarts: 1000})
		low, c := b.nest(supervisor.Config{Name: "low", Strategy: supervisor.OneForOne}), b.transient("c")
		b.add(d, low, c)
		b.loopingUnder(d, 1000)
		list, err := d.WhichChildren(b.ctx)
		b.wantErr(err, nil)
		want := map[string]supervisor.Child{
			"low": {ID: "low", PID: low.pid(), Type: supervisor.TypeSupervisor},
			"c":   {ID: "c", PID: c.pid(), Restart: supervisor.Transient},
			"a":   {ID: "a", Restarting: true, LastExit: errBoom},
		}
		for _, got := range list {
			if got.Restarts = 0; len(list) != 3 || got != want[got.ID] {
				t.Errorf("got %+v, want %+v", got, want[got.ID])
			}
		}
		b.counted(d, supervisor.Counts{Specs: 3, Active: 2, Supervisors: 1, Workers: 2})
	})
}

// TestDS17_Extra: what the supervisor gives all its children reaches each at its start and at each restart.
//
// Adapted: OTP puts arguments before those of the child; here a function wraps the child's Start.
func TestDS17_Extra(t *testing.T) {
	type key struct{}
	inBubble(t, func(b *bench) {
		var got []any
		d := b.dynamic(supervisor.DynamicConfig{Extra: func(start supervisor.StartFunc) supervisor.StartFunc {
			return func(ctx context.Context) (messages.PID, error) { return start(context.WithValue(ctx, key{}, "extra")) }
		}})
		a := b.kid("a")
		start := a.Start
		a.Start = func(ctx context.Context) (messages.PID, error) {
			got = append(got, ctx.Value(key{}))
			return start(ctx)
		}
		b.add(d, a)
		b.end(a, errBoom)
		if len(got) != 2 || got[0] != "extra" || got[1] != "extra" {
			t.Errorf("the starts got %v, want extra twice", got)
		}
	})
	t.Run("that panics", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			d := b.dynamic(supervisor.DynamicConfig{Extra: func(supervisor.StartFunc) supervisor.StartFunc { panic("oops") }})
			_, err := d.StartChild(b.ctx, b.kid("a").ChildSpec)
			if _, ok := errors.AsType[*messages.PanicError](err); !ok {
				t.Errorf("got %v, want a PanicError", err)
			}
			b.counted(d, supervisor.Counts{})
		})
	})
}
