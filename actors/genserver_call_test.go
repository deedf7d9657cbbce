package actors_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// TestGS08_OneAtATimeInTheOrderOfSending: the requests of one client are handled one at a time in the order in which they were
// sent, and each reply reaches its own call.
func TestGS08_OneAtATimeInTheOrderOfSending(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		type request struct{ client, n int }
		var inside atomic.Int32
		last := map[int]int{}
		handle := func(r request) {
			if inside.Add(1) != 1 {
				t.Error("two callbacks run at once")
			}
			if r.n != last[r.client]+1 {
				t.Errorf("client %d: request %d after %d", r.client, r.n, last[r.client])
			}
			last[r.client] = r.n
			runtime.Gosched()
			inside.Add(-1)
		}
		g := w.serve(t, ctx, &genServer{
			call: func(_ context.Context, message any, _ actors.From) (any, error) {
				handle(message.(request))
				return message, nil
			},
			cast: func(_ context.Context, message any) error { handle(message.(request)); return nil },
			info: func(_ context.Context, message any) error { handle(message.(request)); return nil },
		}, actors.GenServerOptions{})
		var clients sync.WaitGroup
		for client := range 10 {
			clients.Go(func() {
				for n := 1; n < 150; n += 3 {
					g.Cast(ctx, request{client, n})
					g.Info(ctx, request{client, n + 1})
					want := request{client, n + 2}
					if got, err := g.Call(ctx, want); got != want || err != nil {
						t.Errorf("the reply to %v is %v, %v", want, got, err)
					}
				}
			})
		}
		clients.Wait()
		if len(last) != 10 {
			t.Errorf("%d clients were served", len(last))
		}
	})
}

// TestGS09_ACallThatTimesOut: when no reply comes in time the caller fails, and the server neither hears of it nor stops.
//
// Adapted: the time is that of the caller's context, without a default of five seconds, and the failure is an error, the
// context's cause.
func TestGS09_ACallThatTimesOut(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		g := w.serve(t, ctx, &genServer{
			call: func(ctx context.Context, _ any, _ actors.From) (any, error) {
				time.Sleep(time.Minute)
				return nil, ctx.Err()
			},
			info:      func(_ context.Context, message any) error { log.add("%v", message); return nil },
			terminate: func(context.Context, error) { log.add("terminate") },
		}, actors.GenServerOptions{TrapExit: true})
		for name, c := range map[string]struct {
			with func() (context.Context, context.CancelFunc)
			want error
		}{
			"a deadline": {func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, time.Second) }, context.DeadlineExceeded},
			"a cause": {func() (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, time.Second, errBoom)
			}, errBoom},
		} {
			hurried, cancel := c.with()
			began := time.Now()
			if _, err := g.Call(hurried, "slow"); !errors.Is(err, c.want) || time.Since(began) != time.Second {
				t.Errorf("%s: %v after %s, want %v after a second", name, err, time.Since(began), c.want)
			}
			cancel()
			time.Sleep(time.Hour)
		}
		if _, err := g.Call(ctx, "patient"); err != nil {
			t.Errorf("a caller that waits: %v", err)
		}
		log.want(t, "")
	})
}

// TestGS10_ARequestThatNobodyWaitsForIsHandled: a call that timed out while it was queued is handled in full.
func TestGS10_ARequestThatNobodyWaitsForIsHandled(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		g := w.serve(t, ctx, &genServer{
			call: func(_ context.Context, request any, _ actors.From) (any, error) {
				log.add("%v", request)
				return "reply", actors.Continue("and on")
			},
			goOn: func(_ context.Context, argument any) error { log.add("%v", argument); return nil },
		}, actors.GenServerOptions{})
		busy(ctx, g, time.Minute)
		hurried, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := g.Call(hurried, "expired"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		log.want(t, "")
		time.Sleep(time.Hour)
		log.want(t, "expired, and on")
	})
}

// TestGS11_ALateReplyGoesNowhere: when the server replies after the caller has given up, nothing reaches the caller.
func TestGS11_ALateReplyGoesNowhere(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
		caller := w.serve(t, ctx, &genServer{info: func(_ context.Context, message any) error { log.add("%v", message); return nil }}, actors.GenServerOptions{})
		busy(ctx, g, time.Minute)
		within(t, ctx, caller, func(ctx context.Context) {
			hurried, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := g.Call(hurried, "late"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first call: %v", err)
			}
			if got, err := g.Call(ctx, "second"); got != "second" || err != nil {
				t.Errorf("the second call got %v, %v", got, err)
			}
		})
		log.want(t, "")
	})
}

// noRegistry is a registry in which nobody is.
type noRegistry struct{}

func (noRegistry) RegisterName(any, messages.PID) error       { return nil }
func (noRegistry) UnregisterName(any, messages.PID)           {}
func (noRegistry) WhereisName(any) (pid messages.PID, _ bool) { return pid, false }
func (noRegistry) String() string                             { return "none" }

// nobodies are targets without a process.
func nobodies(t *testing.T, ctx context.Context, w world) map[string]messages.Target {
	t.Helper()
	dead := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{Name: "dead"})
	if err := dead.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	return map[string]messages.Target{
		"a dead PID":              dead.PID(),
		"no PID":                  messages.PID{},
		"a PID of another system": messages.PID{Node: "elsewhere", ID: 1},
		"an unknown name":         messages.Name("unknown"),
		"the name of a dead one":  messages.Name("dead"),
		"an unknown key":          messages.Via{Registry: noRegistry{}, Key: 1},
		"no registry":             messages.Via{},
		"nothing":                 nil,
	}
}

// TestGS12_CallingNobodyFailsAtOnce: a call to a dead PID, to none or to an unknown name fails at once.
//
// Adapted: the failure is the error messages.NoProc.
func TestGS12_CallingNobodyFailsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		for name, target := range nobodies(t, ctx, w) {
			began := time.Now()
			if _, err := actors.Server(w.System, target).Call(ctx, "?"); err != messages.NoProc || time.Since(began) != 0 {
				t.Errorf("%s: %v after %s, want NoProc at once", name, err, time.Since(began))
			}
		}
	})
}

// TestGS13_TheServerDiesDuringACall: when the server ends during a call, however it does, the caller fails at once with the
// server's reason.
//
// Adapted: the caller waits for the server's end as well as for the reply; protoactor's future would wait for its timeout.
func TestGS13_TheServerDiesDuringACall(t *testing.T) {
	noReply := func(reason error) error { return errors.Join(actors.NoReply, actors.Stop(reason)) }
	for name, c := range map[string]struct {
		call callFunc
		want func(error) bool
	}{
		"stops normally without a reply": {func(context.Context, actors.From) (any, error) { return nil, noReply(nil) }, is(messages.Normal)},
		"stops with a reason, no reply":  {func(context.Context, actors.From) (any, error) { return nil, noReply(errBoom) }, is(errBoom)},
		"panics":                         {func(context.Context, actors.From) (any, error) { panic(errBoom) }, isPanic},
		"ends its goroutine":             {func(context.Context, actors.From) (any, error) { runtime.Goexit(); return nil, nil }, is(messages.ErrGoexit)},
		"goes on in vain, without a reply": {func(context.Context, actors.From) (any, error) {
			return nil, errors.Join(actors.NoReply, actors.Continue(errBoom))
		}, is(errBoom)},
		"keeps the caller and is killed": {func(ctx context.Context, _ actors.From) (any, error) {
			self, _ := actors.Self(ctx)
			return nil, errors.Join(actors.NoReply, actors.Continue(func(w world) { w.Kill(self) }))
		}, is(messages.Killed)},
		"keeps the caller and is told to exit": {func(ctx context.Context, _ actors.From) (any, error) {
			self, _ := actors.Self(ctx)
			return nil, errors.Join(actors.NoReply, actors.Continue(func(w world) { w.Exit(context.Background(), self, errBoom) }))
		}, is(errBoom)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				g := w.serve(t, ctx, &genServer{goOn: func(_ context.Context, argument any) error {
					if do, ok := argument.(func(world)); ok {
						do(w)
						return nil
					}
					return argument.(error)
				}}, actors.GenServerOptions{})
				began := time.Now()
				if reply, err := g.Call(ctx, c.call); reply != nil || !c.want(err) || time.Since(began) != 0 {
					t.Errorf("got %v, %v after %s", reply, err, time.Since(began))
				}
			})
		})
	}
	t.Run("killed while the callback hangs, with another call queued", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
			release := make(chan struct{})
			hung := pending(ctx, g, func(context.Context, actors.From) (any, error) { <-release; return "late", nil })
			queued := pending(ctx, g, "queued")
			w.Kill(g.PID())
			for _, answer := range []func() (any, error){hung, queued} {
				if reply, err := answer(); reply != nil || err != messages.Killed {
					t.Errorf("got %v, %v, want killed", reply, err)
				}
			}
			close(release)
		})
	})
}

func is(want error) func(error) bool { return func(err error) bool { return err == want } }

// TestGS14_AServerCannotCallItself: a server that calls itself gets an error instead of waiting for itself.
//
// Adapted: the caller is known by its context, and the error is ErrCallingSelf.
func TestGS14_AServerCannotCallItself(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{Name: "x"})
		within(t, ctx, g, func(ctx context.Context) {
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			for _, self := range []*actors.GenServer{g, actors.Server(w.System, messages.Name("x"))} {
				if _, err := self.Call(derived, "?"); err != actors.ErrCallingSelf {
					t.Errorf("got %v", err)
				}
			}
		})
		if got, err := g.Call(ctx, "on"); got != "on" || err != nil {
			t.Errorf("afterwards: %v, %v", got, err)
		}
	})
}

// TestGS15_ACallIsAnsweredLater: after NoReply anybody may answer the kept From, and the caller gets that; answering never fails,
// also when the caller is gone.
func TestGS15_ACallIsAnsweredLater(t *testing.T) {
	kept := make(chan actors.From, 1)
	keep := func(_ context.Context, from actors.From) (any, error) {
		kept <- from
		return "dropped", actors.NoReply
	}
	for name, answer := range map[string]func(t *testing.T, ctx context.Context, w world, g *actors.GenServer){
		"by a goroutine": func(*testing.T, context.Context, world, *actors.GenServer) { (<-kept).Reply("later", errBoom) },
		"by the server, in another callback": func(_ *testing.T, ctx context.Context, _ world, g *actors.GenServer) {
			g.Cast(ctx, func(context.Context) error { (<-kept).Reply("later", errBoom); return nil })
		},
		"by another process": func(t *testing.T, ctx context.Context, w world, _ *actors.GenServer) {
			other := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
			within(t, ctx, other, func(context.Context) { (<-kept).Reply("later", errBoom) })
		},
		"twice": func(*testing.T, context.Context, world, *actors.GenServer) {
			from := <-kept
			from.Reply("later", errBoom)
			from.Reply("twice", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				kept = make(chan actors.From, 1)
				g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
				got := pending(ctx, g, keep)
				if reply, err := g.Call(ctx, "meanwhile"); reply != "meanwhile" || err != nil {
					t.Errorf("the server is not free: %v, %v", reply, err)
				}
				answer(t, ctx, w, g)
				if reply, err := got(); reply != "later" || err != errBoom {
					t.Errorf("got %v, %v", reply, err)
				}
			})
		})
	}
	t.Run("to nobody", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			kept = make(chan actors.From, 1)
			g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
			hurried, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := g.Call(hurried, keep); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller: %v", err)
			}
			from := <-kept
			within(t, ctx, g, func(context.Context) { from.Reply("nobody waits", nil) })
			if err := g.Stop(ctx); err != nil {
				t.Error(err)
			}
			from.Reply("nobody lives", nil)
			actors.From{}.Reply("nobody at all", nil)
		})
	})
}

// TestGS16_TheReplyOfAStopComesAfterTerminate: when HandleCall returns Stop with a reply, Terminate runs first, then the reply is
// sent, then the process ends.
func TestGS16_TheReplyOfAStopComesAfterTerminate(t *testing.T) {
	for name, c := range map[string]struct {
		terminate func(ctx context.Context, reason error)
		reason    func(error) bool
	}{
		"terminate returns": {func(context.Context, error) {}, is(errBoom)},
		"terminate panics":  {func(context.Context, error) { panic("in Terminate") }, isPanic},
		"terminate goexits": {func(context.Context, error) { runtime.Goexit() }, is(messages.ErrGoexit)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				for range 20 {
					var log journal
					g := w.serve(t, ctx, &genServer{terminate: func(ctx context.Context, reason error) {
						time.Sleep(time.Second)
						log.add("terminate %v", reason)
						c.terminate(ctx, reason)
					}}, actors.GenServerOptions{})
					end := w.end(t, ctx, g.PID())
					reply, err := g.Call(ctx, func(context.Context, actors.From) (any, error) {
						return "bye", errors.Join(actors.Stop(errBoom), errTwo)
					})
					log.add("reply %v %v", reply, err)
					if reason := end(); !c.reason(reason) {
						t.Errorf("it ended with %v", reason)
					}
					log.want(t, "terminate boom, reply bye two") // and not the reason, which the caller gets when the end comes first
				}
			})
		})
	}
}

var errTwo = errors.New("two")

// TestGS17_CastingToNobody: a cast, or a send, to a dead PID or an unknown name does nothing and does not fail.
func TestGS17_CastingToNobody(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		g := w.serve(t, ctx, &genServer{info: func(_ context.Context, message any) error { log.add("%v", message); return nil }}, actors.GenServerOptions{TrapExit: true})
		for _, target := range nobodies(t, ctx, w) {
			say := func(ctx context.Context) {
				actors.Server(w.System, target).Cast(ctx, "x")
				actors.Server(w.System, target).Info(ctx, "x")
				w.Send(ctx, target, "x")
			}
			say(ctx)
			within(t, ctx, g, say)
		}
		log.want(t, "")
		if n := w.Len(); n != 1 {
			t.Errorf("%d processes", n)
		}
		if logged := w.logged(); logged != "" {
			t.Errorf("logged: %s", logged)
		}
	})
}

// TestGS18_AllElseGoesToHandleInfo: whatever is neither a call nor a cast goes to HandleInfo, in the order of the mailbox with the rest.
func TestGS18_AllElseGoesToHandleInfo(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		note := func(message any) { log.add("%T", message) }
		g := w.serve(t, ctx, &genServer{
			call: func(_ context.Context, message any, _ actors.From) (any, error) {
				note([]any{message})
				return nil, nil
			},
			cast: func(_ context.Context, message any) error { note(map[any]bool{message: true}); return nil },
			info: func(_ context.Context, message any) error { note(message); return nil },
		}, actors.GenServerOptions{TrapExit: true})
		monitored := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
		linked := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
		within(t, ctx, g, func(ctx context.Context) {
			w.Monitor(ctx, monitored.PID())
			w.Link(ctx, linked.PID())
			if _, err := actors.AsyncNoLink(ctx, actors.Unsupervised(w.System), func(context.Context) (int, error) { time.Sleep(5 * time.Second); return 1, nil }); err != nil {
				t.Error(err)
			}
		})
		w.SendAfter(time.Second, g.PID(), "a timer")
		busy(ctx, g, time.Minute) // so that all queues
		g.Cast(ctx, "cast")
		time.Sleep(2 * time.Second)
		w.Kill(monitored.PID())
		g.Info(ctx, 7)
		w.Kill(linked.PID())
		answer := pending(ctx, g, "call")
		time.Sleep(10 * time.Second)
		w.Send(ctx, g.PID(), messages.Timeout{})
		if _, err := answer(); err != nil {
			t.Error(err)
		}
		log.want(t, "map[interface {}]bool, string, messages.Down, int, messages.Exit, []interface {}, messages.TaskReply, messages.Down, messages.Timeout")
	})
}

// onlyTerminate is a server without any other callback.
type onlyTerminate struct{ reasons chan error }

func (o *onlyTerminate) Terminate(_ context.Context, reason error) { o.reasons <- reason }

// TestGS19_WithoutHandleInfo: a server without HandleInfo logs each message, with what it is, who it is and the message, and carries
// on unchanged.
func TestGS19_WithoutHandleInfo(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		server := &onlyTerminate{make(chan error, 1)}
		g := w.serve(t, ctx, server, actors.GenServerOptions{TrapExit: true})
		g.Info(ctx, "unexpected")
		checkLog(t, w.logged(), "level=ERROR", `msg="message not handled"`, "pid="+g.PID().String(), "process=*actors_test.onlyTerminate", "message=unexpected")
		g.Info(ctx, wrapsItself{})
		w.Exit(ctx, g.PID(), nil)
		if reason := <-server.reasons; reason != messages.Normal {
			t.Errorf("it ended with %v, want the order", reason)
		}
	})
}

// TestGS20_WithoutACallback: a server that gets a call, a cast or a continue that it has no callback for ends, and the caller fails.
//
// Adapted: the callbacks are optional interfaces; the reason is ErrNotHandled, with the callback and the type of the message.
func TestGS20_WithoutACallback(t *testing.T) {
	for name, send := range map[string]func(ctx context.Context, g *actors.GenServer) error{
		"HandleCall": func(ctx context.Context, g *actors.GenServer) error { _, err := g.Call(ctx, 7); return err },
		"HandleCast": func(ctx context.Context, g *actors.GenServer) error { g.Cast(ctx, 7); return actors.ErrNotHandled },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				server := &onlyTerminate{make(chan error, 1)}
				g := w.serve(t, ctx, server, actors.GenServerOptions{})
				end := w.end(t, ctx, g.PID())
				if err := send(ctx, g); !errors.Is(err, actors.ErrNotHandled) {
					t.Errorf("the caller got %v", err)
				}
				want := actors.ErrNotHandled.Error() + ": " + name + " for int"
				if reason := end(); reason.Error() != want || !errors.Is(reason, actors.ErrNotHandled) || <-server.reasons != reason {
					t.Errorf("it ended with %v, want %s", reason, want)
				}
			})
		})
	}
	t.Run("HandleContinue", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			g := w.serve(t, ctx, continues{}, actors.GenServerOptions{})
			synctest.Wait()
			if err := g.Stop(ctx); err != messages.NoProc {
				t.Errorf("it lives: %v", err)
			}
			checkLog(t, w.logged(), "HandleContinue for float64")
		})
	})
}

// continues has no HandleContinue.
type continues struct{}

func (continues) Init(context.Context) error { return actors.Continue(1.5) }
