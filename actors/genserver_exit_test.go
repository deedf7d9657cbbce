package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// account is a server with a state that its callbacks change before they fail.
type account struct {
	genServer
	balance int
}

func (a *account) HandleCast(_ context.Context, message any) error {
	a.balance += 100
	switch m := message.(type) {
	case error:
		return m
	case func():
		m()
	}
	return nil
}

func (a *account) HandleContinue(ctx context.Context, argument any) error {
	return a.HandleCast(ctx, argument)
}

// careful is an account that knows its state from before.
type careful struct{ account }

func (c *careful) Snapshot() (restore func()) {
	old := c.balance
	return func() { c.balance = old }
}

// TestGS26_ACallbackThatFails: when a callback fails, Terminate gets the reason, with the stack of a panic, also without trapping
// exits, and then the process ends with it; the state is that from before a callback that panicked.
//
// Adapted: Go changes state in place, so the state from before is there only for a Snapshotter; what a callback returns, an error
// too, it returns knowingly, and nothing is put back. A runtime.Goexit counts as a panic.
func TestGS26_ACallbackThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		message  any
		reason   func(error) bool
		plain    int // what Terminate sees of a balance of 100
		restored int // likewise, with a Snapshotter
	}{
		"an error":              {errBoom, is(errBoom), 200, 200},
		"a Stop":                {actors.Stop(errBoom), is(errBoom), 200, 200},
		"a panic":               {func() { panic(errBoom) }, isPanic, 200, 100},
		"a goexit":              {func() { runtime.Goexit() }, is(messages.ErrGoexit), 200, 100},
		"a panic in a continue": {actors.Continue(func() { panic(errBoom) }), isPanic, 300, 200},
	} {
		for _, snapshot := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", snapshot ", snapshot), func(t *testing.T) {
				inWorld(t, func(t *testing.T, ctx context.Context, w world) {
					with, want := &careful{}, c.plain
					var server any = &with.account
					if snapshot {
						server, want = with, c.restored
					}
					terminated := 0
					with.terminate = func(_ context.Context, reason error) {
						terminated++
						if with.balance != want || !c.reason(reason) {
							t.Errorf("Terminate got %v with %d, want %d", reason, with.balance, want)
						}
					}
					g := w.serve(t, ctx, server, actors.GenServerOptions{})
					end := w.end(t, ctx, g.PID())
					g.Cast(ctx, "a good one")
					g.Cast(ctx, c.message)
					g.Cast(ctx, "never")
					if reason := end(); !c.reason(reason) || terminated != 1 {
						t.Errorf("it ended with %v after %d Terminates", reason, terminated)
					}
				})
			})
		}
	}
}

// badSnapshot is a Snapshotter that does what it should not.
type badSnapshot struct {
	genServer
	snapshot func() func()
}

func (b *badSnapshot) Snapshot() func() { return b.snapshot() }

func TestASnapshotThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		snapshot func() func()
		callback func(context.Context) error
		alive    bool
	}{
		"it panics":                     {func() func() { panic("in Snapshot") }, func(context.Context) error { return nil }, false},
		"it goexits":                    {func() func() { runtime.Goexit(); return nil }, func(context.Context) error { return nil }, false},
		"its restore panics":            {func() func() { return func() { panic("in restore") } }, func(context.Context) error { panic(errBoom) }, false},
		"it gives nothing":              {func() func() { return nil }, func(context.Context) error { panic(errBoom) }, false},
		"it gives nothing, all is well": {func() func() { return nil }, func(context.Context) error { return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				terminated := false
				s := &badSnapshot{snapshot: c.snapshot}
				s.terminate = func(_ context.Context, reason error) {
					terminated = true
					if name == "it gives nothing" && !errors.Is(reason, errBoom) {
						t.Errorf("Terminate got %v, want the panic of the callback", reason)
					}
				}
				g := w.serve(t, ctx, s, actors.GenServerOptions{})
				g.Cast(ctx, c.callback)
				synctest.Wait()
				if w.Alive(g.PID()) != c.alive || terminated == c.alive {
					t.Errorf("alive %v, terminated %v, want alive %v", w.Alive(g.PID()), terminated, c.alive)
				}
			})
		})
	}
}

// underExit starts a server below a parent, and gives what sends it exit signals: from the parent, from another process.
func underExit(t *testing.T, ctx context.Context, w world, server any, trap bool) (g *actors.GenServer, parent, other func(reason error)) {
	t.Helper()
	from := func(sender *actors.GenServer) func(reason error) {
		return func(reason error) {
			within(t, ctx, sender, func(ctx context.Context) { w.Exit(ctx, g.PID(), reason) })
		}
	}
	p := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{TrapExit: true})
	within(t, ctx, p, func(ctx context.Context) { g = w.serve(t, ctx, server, actors.GenServerOptions{TrapExit: trap}) })
	return g, from(p), from(w.serve(t, ctx, &genServer{}, actors.GenServerOptions{TrapExit: true}))
}

// TestGS28_AnExitSignalEndsAServerThatDoesNotTrap: a signal with another reason than normal, from a linked process or the parent, ends
// a server that does not trap exits with that reason, in the midst of its queue and of its callback, and Terminate is not called.
//
// Adapted: Go cannot end a callback; its context is cancelled with the reason as cause, what it returns after that does not count
// (a panic does), and the rest of the queue is skipped.
func TestGS28_AnExitSignalEndsAServerThatDoesNotTrap(t *testing.T) {
	untilTold := func(ctx context.Context) { <-ctx.Done() }
	for name, c := range map[string]struct {
		callback castFunc
		want     func(error) bool
	}{
		"returns nil":       {func(ctx context.Context) error { untilTold(ctx); return nil }, is(errTwo)},
		"returns ctx.Err":   {func(ctx context.Context) error { untilTold(ctx); return ctx.Err() }, is(errTwo)},
		"returns the cause": {func(ctx context.Context) error { untilTold(ctx); return context.Cause(ctx) }, is(errTwo)},
		"returns an error":  {func(ctx context.Context) error { untilTold(ctx); return errBoom }, is(errTwo)},
		"stops":             {func(ctx context.Context) error { untilTold(ctx); return actors.Stop(nil) }, is(errTwo)},
		"continues":         {func(ctx context.Context) error { untilTold(ctx); return actors.Continue(1) }, is(errTwo)},
		"panics":            {func(ctx context.Context) error { untilTold(ctx); panic(errBoom) }, isPanic},
		"goexits":           {func(ctx context.Context) error { untilTold(ctx); runtime.Goexit(); return nil }, is(messages.ErrGoexit)},
	} {
		for _, sender := range []string{"the parent", "a linked process"} {
			t.Run("in a callback that "+name+", from "+sender, func(t *testing.T) {
				inWorld(t, func(t *testing.T, ctx context.Context, w world) {
					var log journal
					g, parent, _ := underExit(t, ctx, w, steered(&log), false)
					linked := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
					within(t, ctx, linked, func(ctx context.Context) { w.Link(ctx, g.PID()) })
					end := w.end(t, ctx, g.PID())
					g.Cast(ctx, c.callback)
					synctest.Wait() // it runs
					g.Cast(ctx, "queued")
					if sender == "the parent" {
						parent(errTwo)
					} else {
						linked.Cast(ctx, func(context.Context) error { return errTwo })
					}
					if reason := end(); !c.want(reason) {
						t.Errorf("it ended with %v", reason)
					}
					log.want(t, "")
				})
			})
		}
	}
	t.Run("in the midst of its queue", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			g, parent, _ := underExit(t, ctx, w, steered(&log), false)
			busy(ctx, g, time.Minute)
			end := w.end(t, ctx, g.PID())
			for range 10 {
				g.Cast(ctx, "queued")
			}
			parent(messages.Shutdown)
			time.Sleep(time.Hour)
			if reason := end(); reason != messages.Shutdown {
				t.Errorf("it ended with %v", reason)
			}
			log.want(t, "")
			if logged := w.logged(); logged != "" {
				t.Errorf("logged: %s", logged)
			}
		})
	})
	t.Run("while it waits", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			g, _, other := underExit(t, ctx, w, steered(&log), false)
			end := w.end(t, ctx, g.PID())
			other(errTwo)
			if reason := end(); reason != errTwo {
				t.Errorf("it ended with %v", reason)
			}
			log.want(t, "")
		})
	})
}

// TestGS29_TheParentsSignalEndsAServerThatTraps: an exit signal of the parent runs Terminate with its reason and ends the server with
// that, without HandleInfo.
//
// Adapted: trapping exits is an option of the start. For a server that was started from outside of all processes, a signal from
// nobody is the parent's.
func TestGS29_TheParentsSignalEndsAServerThatTraps(t *testing.T) {
	for _, reason := range []error{messages.Shutdown, errBoom, messages.Normal, messages.Killed} {
		t.Run(reason.Error(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var log journal
				g, parent, _ := underExit(t, ctx, w, steered(&log), true)
				end := w.end(t, ctx, g.PID())
				parent(reason)
				if got := end(); got != reason {
					t.Errorf("it ended with %v", got)
				}
				log.want(t, "terminate "+reason.Error())
			})
		})
	}
	t.Run("the parent ends", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			parent := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
			within(t, ctx, parent, func(ctx context.Context) { w.serve(t, ctx, steered(&log), actors.GenServerOptions{TrapExit: true}) })
			parent.Cast(ctx, func(context.Context) error { return errBoom })
			log.want(t, "terminate boom")
		})
	})
	t.Run("no parent", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			g := w.serve(t, ctx, steered(&log), actors.GenServerOptions{TrapExit: true})
			w.Exit(ctx, g.PID(), errBoom)
			log.want(t, "terminate boom")
		})
	})
}

// TestGS30_AnotherProcessSignalIsAMessage: an exit signal of a process that is not the parent is a message in HandleInfo for a server
// that traps exits, which lives on.
//
// Adapted: the message is a messages.Exit.
func TestGS30_AnotherProcessSignalIsAMessage(t *testing.T) {
	for _, reason := range []error{messages.Shutdown, errBoom, messages.Normal, messages.Killed} {
		t.Run(reason.Error(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var got []any
				g, _, other := underExit(t, ctx, w, &genServer{info: func(_ context.Context, m any) error { got = append(got, m); return nil }}, true)
				other(reason)
				synctest.Wait()
				if len(got) != 1 || got[0].(messages.Exit).Reason != reason || got[0].(messages.Exit).From.IsZero() || !w.Alive(g.PID()) {
					t.Errorf("got %v, alive %v", got, w.Alive(g.PID()))
				}
			})
		})
	}
	t.Run("the end of a child", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var got []any
			var child *actors.GenServer
			g := w.serve(t, ctx, &genServer{info: func(_ context.Context, m any) error { got = append(got, m); return nil }}, actors.GenServerOptions{TrapExit: true})
			within(t, ctx, g, func(ctx context.Context) { child = w.serve(t, ctx, &genServer{}, actors.GenServerOptions{}) })
			child.Cast(ctx, func(context.Context) error { return errBoom })
			synctest.Wait()
			if want := (messages.Exit{From: child.PID(), Reason: errBoom}); len(got) != 1 || got[0] != want || !w.Alive(g.PID()) {
				t.Errorf("got %v, alive %v", got, w.Alive(g.PID()))
			}
		})
	})
}

// TestGS31_ANormalSignalEndsNobody: an exit signal with reason normal does nothing to a server that does not trap exits.
func TestGS31_ANormalSignalEndsNobody(t *testing.T) {
	for name, normal := range map[string]error{"normal": messages.Normal, "none": nil, "wrapped": fmt.Errorf("done: %w", messages.Normal)} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var log journal
				g, parent, other := underExit(t, ctx, w, steered(&log), false)
				parent(normal)
				other(normal)
				linked := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
				within(t, ctx, linked, func(ctx context.Context) { w.Link(ctx, g.PID()) })
				if err := linked.StopWith(ctx, normal); err != nil {
					t.Error(err)
				}
				if got, err := g.Call(ctx, "?"); got != "reply" || err != nil {
					t.Errorf("afterwards: %v, %v", got, err)
				}
				log.want(t, "call ?")
			})
		})
	}
}

// TestGS32_AParentThatEndsNormally: when the parent ends normally, a linked child that traps exits terminates with normal, and one that
// does not lives on without a parent.
//
// Adapted: protoactor would stop both; parents and links are a record of ours, and OTP's rule holds.
func TestGS32_AParentThatEndsNormally(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		var traps, plain *actors.GenServer
		parent := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
		within(t, ctx, parent, func(ctx context.Context) {
			traps = w.serve(t, ctx, steered(&log), actors.GenServerOptions{TrapExit: true})
			plain = w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
		})
		end := w.end(t, ctx, traps.PID())
		if err := parent.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if reason := end(); reason != messages.Normal {
			t.Errorf("the one that traps ended with %v", reason)
		}
		log.want(t, "terminate normal")
		if got, err := plain.Call(ctx, "on"); got != "on" || err != nil {
			t.Errorf("the one that does not: %v, %v", got, err)
		}
		if info, _ := w.Info(plain.PID()); len(info.Links) != 0 {
			t.Errorf("it is linked with %v", info.Links)
		}
	})
}

// TestGS33_TheQueueComesBeforeTheParentsSignal: a server that traps exits handles what was queued before the parent's signal first,
// and Terminate comes after.
//
// Adapted: the signal is a message in the queue; protoactor's Stop would overtake.
func TestGS33_TheQueueComesBeforeTheParentsSignal(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		g, parent, _ := underExit(t, ctx, w, steered(&log), true)
		busy(ctx, g, time.Minute)
		g.Cast(ctx, 1)
		g.Info(ctx, 2)
		answer := pending(ctx, g, 3)
		parent(messages.Shutdown)
		g.Cast(ctx, "behind it")
		if got, err := answer(); got != "reply" || err != nil {
			t.Errorf("the call that was queued: %v, %v", got, err)
		}
		log.want(t, "cast 1, info 2, call 3, terminate shutdown")
	})
}

// TestGS34_AKilledServerRunsNothingMore: when a server is killed neither Terminate nor any other callback runs, and who watches sees
// messages.Killed.
//
// Adapted: the process is declared dead; code that runs already may go on until it looks at its context, and is counted meanwhile.
func TestGS34_AKilledServerRunsNothingMore(t *testing.T) {
	for _, trap := range []bool{false, true} {
		t.Run(fmt.Sprint("trapping ", trap), func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var log journal
				s := steered(&log)
				s.init = func(context.Context) error { return actors.Timeout(time.Second) }
				g := w.serve(t, ctx, s, actors.GenServerOptions{TrapExit: trap, Name: "x"})
				end := w.end(t, ctx, g.PID())
				release, told := make(chan struct{}), false
				g.Cast(ctx, func(ctx context.Context) error {
					<-release // it does not look at its context
					told = context.Cause(ctx) == messages.Killed
					return actors.Continue("and on")
				})
				g.Cast(ctx, "queued")
				synctest.Wait()
				if !w.Kill(g.PID()) || w.Kill(g.PID()) {
					t.Error("Kill says that it did not end it, or that it did so twice")
				}
				if reason := end(); reason != messages.Killed {
					t.Errorf("it ended with %v", reason)
				}
				if _, taken := w.Whereis("x"); taken || w.Alive(g.PID()) || w.Abandoned() != 1 {
					t.Errorf("the name is taken %v, alive %v, abandoned %d", taken, w.Alive(g.PID()), w.Abandoned())
				}
				close(release)
				time.Sleep(time.Minute)
				log.want(t, "")
				if !told || w.Abandoned() != 0 {
					t.Errorf("its context was cancelled %v, abandoned %d", told, w.Abandoned())
				}
			})
		})
	}
}

// TestGS35_ATerminateThatFails: when Terminate itself panics, that is the reason in place of the original one.
func TestGS35_ATerminateThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail func()
		want func(error) bool
	}{
		"panics":  {func() { panic(errTwo) }, func(err error) bool { return isPanic(err) && errors.Is(err, errTwo) }},
		"goexits": {runtime.Goexit, is(messages.ErrGoexit)},
	} {
		for _, reason := range []error{messages.Normal, errBoom} {
			t.Run(fmt.Sprint(name, " for ", reason), func(t *testing.T) {
				inWorld(t, func(t *testing.T, ctx context.Context, w world) {
					g := w.serve(t, ctx, &genServer{terminate: func(_ context.Context, got error) {
						if got != reason {
							t.Errorf("Terminate got %v", got)
						}
						c.fail()
					}}, actors.GenServerOptions{})
					end := w.end(t, ctx, g.PID())
					g.Cast(ctx, func(context.Context) error { return reason })
					if got := end(); !c.want(got) {
						t.Errorf("it ended with %v", got)
					}
					checkLog(t, w.logged(), "process ended")
				})
			})
		}
	}
}

// TestALateReplyIsNoSuccess: what HandleCall returns after an exit signal has ended its server is not the caller's answer: the
// caller gets the reason (GS-13, GS-28).
func TestALateReplyIsNoSuccess(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		g := w.serve(t, ctx, &genServer{call: func(ctx context.Context, _ any, _ actors.From) (any, error) {
			<-ctx.Done()
			return "late", nil
		}}, actors.GenServerOptions{})
		time.AfterFunc(time.Second, func() { w.Exit(ctx, g.PID(), errBoom) })
		if reply, err := g.Call(ctx, "question"); reply != nil || err != errBoom {
			t.Errorf("got %v, %v, want the reason", reply, err)
		}
	})
}

// stubbornNames is a registry of a user's whose UnregisterName does what it must not.
type stubbornNames struct{ unregister func() }

func (stubbornNames) RegisterName(any, messages.PID) error       { return nil }
func (n stubbornNames) UnregisterName(any, messages.PID)         { n.unregister() }
func (stubbornNames) WhereisName(any) (pid messages.PID, _ bool) { return pid, false }
func (stubbornNames) String() string                             { return "stubborn" }

// TestAForeignRegistryHoldsUpNoEnd: a server that is registered in one ends, and is started again, whatever that does.
func TestAForeignRegistryHoldsUpNoEnd(t *testing.T) {
	for name, unregister := range map[string]func(){"goexits": runtime.Goexit, "panics": func() { panic("ouch") }} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				starts := 0
				spec := actors.GenServerSpec(w.System, func() any {
					starts++
					return &genServer{info: func(context.Context, any) error { return errBoom }}
				}, actors.GenServerOptions{Name: "x", Via: messages.Via{Registry: stubbornNames{unregister}, Key: 1}})
				starts = 0
				if _, err := supervisor.Start(ctx, w.System, supervisor.Config{Strategy: supervisor.OneForOne, Children: []supervisor.ChildSpec{spec}}); err != nil {
					t.Fatal(err)
				}
				w.Send(ctx, messages.Name("x"), "end")
				synctest.Wait()
				if _, ok := w.Whereis("x"); !ok || starts != 2 {
					t.Errorf("%d starts; it lives: %v", starts, ok)
				}
			})
		})
	}
}

// TestTwoSystemsDoNotLink: a process owns nothing in another system, whose monitors could not tell it anything.
func TestTwoSystemsDoNotLink(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		other := actors.NewSystem(actors.SystemConfig{})
		g := w.serve(t, ctx, &genServer{call: func(ctx context.Context, _ any, _ actors.From) (any, error) {
			_, task := actors.AsyncNoLink(ctx, actors.Unsupervised(other), func(context.Context) (int, error) { return 1, nil })
			_, linked := actors.StartTaskLink(ctx, actors.Unsupervised(other), func(context.Context) error { return nil })
			_, server := actors.StartGenServer(ctx, other, &genServer{}, actors.GenServerOptions{})
			_, free := actors.StartGenServer(ctx, other, &genServer{}, actors.GenServerOptions{NoLink: true})
			return []error{task, linked, server, free}, nil
		}}, actors.GenServerOptions{})
		got, err := actors.Call[[]error](ctx, g, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range got {
			if want := i < 3; errors.Is(err, actors.ErrOtherSystem) != want || !want && err != nil {
				t.Errorf("way %d: %v, refused should be %v", i, err, want)
			}
		}
		if err := other.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}
