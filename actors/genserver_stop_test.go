package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestGS36_StopReturnsWhenTheServerIsGone: Stop returns nil only when the process is gone, and Terminate runs with the reason, whether
// exits are trapped or not.
func TestGS36_StopReturnsWhenTheServerIsGone(t *testing.T) {
	for _, trap := range []bool{false, true} {
		for _, reason := range []error{messages.Normal, messages.Shutdown, errBoom, nil} {
			t.Run(fmt.Sprint("trapping ", trap, ", ", reason), func(t *testing.T) {
				inWorld(t, func(t *testing.T, ctx context.Context, w world) {
					var log journal
					g := w.serve(t, ctx, &genServer{terminate: func(ctx context.Context, reason error) {
						time.Sleep(time.Minute)
						log.add("terminated %v %v", reason, ctx.Err())
					}}, actors.GenServerOptions{TrapExit: trap, Name: "x"})
					began := time.Now()
					if err := g.StopWith(ctx, reason); err != nil || time.Since(began) != time.Minute {
						t.Errorf("Stop: %v after %s", err, time.Since(began))
					}
					if _, taken := w.Whereis("x"); taken || w.Alive(g.PID()) || w.Len() != 0 {
						t.Error("something is left of it")
					}
					if reason == nil {
						reason = messages.Normal
					}
					log.want(t, fmt.Sprint("terminated ", reason, " <nil>"))
				})
			})
		}
	}
}

// TestGS37_StopComesBehindTheQueue: messages that are queued when Stop is called are all handled before.
//
// Adapted: the order to stop is a message in the queue.
func TestGS37_StopComesBehindTheQueue(t *testing.T) {
	for _, trap := range []bool{false, true} {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			g := w.serve(t, ctx, steered(&log), actors.GenServerOptions{TrapExit: trap})
			busy(ctx, g, time.Minute)
			g.Cast(ctx, 1)
			g.Info(ctx, 2)
			answer := pending(ctx, g, 3)
			g.Cast(ctx, actors.Continue(4))
			if err := g.Stop(ctx); err != nil {
				t.Error(err)
			}
			if got, err := answer(); got != "reply" || err != nil {
				t.Errorf("the call that was queued: %v, %v", got, err)
			}
			log.want(t, "cast 1, info 2, call 3, cast actors: continue, continue 4, terminate normal")
		})
	}
}

// TestGS38_AStopThatTimesOut: when Terminate takes longer than the caller of Stop waits, the caller fails, and the server still goes on
// to end.
func TestGS38_AStopThatTimesOut(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		g := w.serve(t, ctx, &genServer{terminate: func(ctx context.Context, _ error) { time.Sleep(time.Minute); log.add("terminated, told %v", ctx.Err()) }},
			actors.GenServerOptions{})
		end := w.end(t, ctx, g.PID())
		hurried, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := g.Stop(hurried); !errors.Is(err, context.DeadlineExceeded) || !w.Alive(g.PID()) {
			t.Errorf("Stop: %v, alive %v", err, w.Alive(g.PID()))
		}
		time.Sleep(time.Hour)
		log.want(t, "terminated, told <nil>")
		if reason := end(); reason != messages.Normal {
			t.Errorf("it ended with %v", reason)
		}
	})
}

// TestGS39_AStopThatCannotBe: stopping a dead or unknown server, or oneself, fails at once; when the server ends for another reason than
// the one asked for, Stop fails with that.
//
// Adapted: the failures are the errors messages.NoProc and ErrCallingSelf, and the reason itself.
func TestGS39_AStopThatCannotBe(t *testing.T) {
	t.Run("nobody", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			for name, target := range nobodies(t, ctx, w) {
				if err := actors.Server(w.System, target).Stop(ctx); err != messages.NoProc {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	})
	t.Run("itself", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{Name: "x"})
			within(t, ctx, g, func(ctx context.Context) {
				for _, self := range []*actors.GenServer{g, actors.Server(w.System, messages.Name("x"))} {
					if err := self.Stop(ctx); err != actors.ErrCallingSelf {
						t.Errorf("got %v", err)
					}
				}
				if err := w.Stop(ctx); err != actors.ErrCallingSelf {
					t.Errorf("its system: %v", err)
				}
			})
			if !w.Alive(g.PID()) {
				t.Error("it died of that")
			}
		})
	})
	for name, c := range map[string]struct {
		before func(ctx context.Context, w world, g *actors.GenServer)
		want   func(error) bool
	}{
		"a queued message ends it": {func(ctx context.Context, _ world, g *actors.GenServer) {
			g.Cast(ctx, func(context.Context) error { return errTwo })
		}, is(errTwo)},
		"it is killed": {func(_ context.Context, w world, g *actors.GenServer) {
			time.AfterFunc(time.Second, func() { w.Kill(g.PID()) })
		}, is(messages.Killed)},
		"Terminate fails": {func(context.Context, world, *actors.GenServer) {}, isPanic},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				s := &genServer{}
				if name == "Terminate fails" {
					s.terminate = func(context.Context, error) { panic("in Terminate") }
				}
				g := w.serve(t, ctx, s, actors.GenServerOptions{})
				busy(ctx, g, time.Minute)
				c.before(ctx, w, g)
				if err := g.Stop(ctx); !c.want(err) {
					t.Errorf("Stop: %v", err)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

// secretive shows less of itself than it has.
type secretive struct {
	genServer
	password string
}

func (s *secretive) FormatStatus() any { return "a secretive server" }

// TestGS40_OnlyABadEndIsLogged: a server that ends with anything but normal, shutdown or shutdown with a value is logged with its name,
// the last message, its state and the reason; with those three nothing is.
func TestGS40_OnlyABadEndIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		end   any // what it is cast
		parts []string
	}{
		"an error":    {errBoom, []string{"reason=boom", "last_message=boom"}},
		"a Stop":      {actors.Stop(errBoom), []string{"reason=boom", "last_message=\"actors: stop: boom\""}},
		"killed":      {messages.Killed, []string{"reason=killed"}},
		"a panic":     {func(context.Context) error { panic("ouch") }, []string{`reason="panic: ouch"`, "stack=", "genserver_stop_test.go"}},
		"a continue":  {actors.Continue(errBoom), []string{"reason=boom", "last_message=boom"}},
		"not handled": {func(context.Context) error { return actors.ErrNotHandled }, []string{"has no callback for it"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				s := &secretive{password: "hunter2"}
				s.cast = func(_ context.Context, message any) error { return message.(error) }
				s.goOn = func(_ context.Context, argument any) error { return argument.(error) }
				g := w.serve(t, ctx, s, actors.GenServerOptions{Name: "x"})
				g.Cast(ctx, c.end)
				log := w.logged()
				checkLog(t, log, "level=ERROR", `msg="process ended"`, "pid="+g.PID().String(), "name=x", "process=*actors_test.secretive", `state="a secretive server"`)
				checkLog(t, log, c.parts...)
				if strings.Contains(log, "hunter2") || strings.Count(log, "\n") != 1 {
					t.Errorf("logged: %s", log)
				}
			})
		})
	}
	withValue := &messages.ShutdownWith{Value: "at night"}
	for name, end := range map[string]error{
		"normal": messages.Normal, "shutdown": messages.Shutdown, "shutdown with a value": withValue,
		"normal wrapped": fmt.Errorf("done: %w", messages.Normal), "stop": actors.Stop(nil), "stop with a value": actors.Stop(withValue),
	} {
		for _, how := range []string{"returned", "asked for"} {
			t.Run(name+" "+how, func(t *testing.T) {
				inWorld(t, func(t *testing.T, ctx context.Context, w world) {
					g := w.serve(t, ctx, &genServer{cast: func(context.Context, any) error { return end }}, actors.GenServerOptions{})
					g.Cast(ctx, "end")
					if how == "asked for" {
						g = w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
						reason := end
						if stop := errors.Unwrap(end); stop != nil {
							reason = stop
						}
						if err := g.StopWith(ctx, reason); err != nil {
							t.Error(err)
						}
					}
					if log := w.logged(); log != "" || w.Alive(g.PID()) {
						t.Errorf("alive %v, logged: %s", w.Alive(g.PID()), log)
					}
				})
			})
		}
	}
}

// runKeeper keeps the runs that it is cast, and fails with a pointer to one.
type runKeeper struct {
	Last any
	all  []messages.Run
}

func (k *runKeeper) HandleCast(_ context.Context, message any) error {
	switch m := message.(type) {
	case messages.Run:
		k.Last, k.all = m, append(k.all, m)
	case *messages.Run:
		return errBoom
	}
	return nil
}

func TestTheArgumentsOfARunAreNotShown(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		run := messages.Run{TaskID: "0198", Kind: "mail", Args: []byte("hunter2")}
		const shown = "[task=0198 kind=mail args_bytes=7]"
		g := w.serve(t, ctx, &runKeeper{}, actors.GenServerOptions{})
		g.Cast(ctx, run)
		state, err := w.State(ctx, g.PID())
		if want := "&{Last:" + shown + " all:[(a messages.Run)]}"; state != want || err != nil {
			t.Errorf("the state is %s, %v, want %s", state, err, want)
		}
		g.Cast(ctx, &run)
		w.serve(t, ctx, &onlyTerminate{make(chan error, 1)}, actors.GenServerOptions{}).Info(ctx, run)
		log := w.logged()
		checkLog(t, log, `msg="process ended"`, `last_message="`+shown, `state="&{Last:`+shown, `msg="message not handled"`, `message="`+shown)
		for _, form := range []string{"%s", "%v", "%x"} {
			if secret := strings.Trim(fmt.Sprintf(form, run.Args), "[]"); strings.Contains(log, secret) {
				t.Errorf("%s is in the log:\n%s", secret, log)
			}
		}
	})
}

// TestRG14_TheGapOfARestart: while a named child is being started again, what is sent to its name is lost without an error; afterwards
// the name means the new process.
func TestRG14_TheGapOfARestart(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		byName := actors.Server(w.System, messages.Name("x"))
		spec := actors.GenServerSpec(w.System, func() any { return steered(&log) }, actors.GenServerOptions{Name: "x"})
		if _, err := supervisor.Start(ctx, w.System, supervisor.Config{
			Strategy: supervisor.OneForOne, Children: []supervisor.ChildSpec{spec}, Backoff: supervisor.Backoff{Initial: time.Minute, Max: time.Minute},
		}); err != nil {
			t.Fatal(err)
		}
		first := byName.PID()
		w.Kill(first)
		byName.Cast(ctx, "lost")
		synctest.Wait()
		byName.Cast(ctx, "lost too")
		if _, err := byName.Call(ctx, "in the gap"); err != messages.NoProc {
			t.Errorf("a call in the gap: %v", err)
		}
		time.Sleep(time.Hour)
		byName.Cast(ctx, "heard")
		log.want(t, "cast heard")
		if second := byName.PID(); second == first || second.IsZero() {
			t.Errorf("the name means %v, and meant %v", second, first)
		}
	})
}
