package actors_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// steered is a server that notes all that it gets. A message that is an error is what its callback returns.
func steered(log *journal) *genServer {
	returned := func(message any) error {
		err, _ := message.(error)
		return err
	}
	return &genServer{
		call: func(_ context.Context, request any, _ actors.From) (any, error) {
			log.add("call %v", request)
			return "reply", returned(request)
		},
		cast: func(_ context.Context, message any) error { log.add("cast %v", message); return returned(message) },
		info: func(_ context.Context, message any) error { log.add("info %v", message); return returned(message) },
		goOn: func(_ context.Context, argument any) error {
			log.add("continue %v", argument)
			return returned(argument)
		},
		terminate: func(_ context.Context, reason error) { log.add("terminate %v", reason) },
	}
}

// TestGS22_ContinueComesFirst: what a callback continues with runs before all messages that are queued, those that were sent within
// Init too, and may continue in its turn.
//
// Adapted: the process loops within its turn, instead of sending itself a message.
func TestGS22_ContinueComesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		send func(ctx context.Context, g *actors.GenServer)
		want string
	}{
		"a cast":  {func(ctx context.Context, g *actors.GenServer) { g.Cast(ctx, "go") }, "cast go"},
		"an info": {func(ctx context.Context, g *actors.GenServer) { g.Info(ctx, "go") }, "info go"},
		"a call":  {func(ctx context.Context, g *actors.GenServer) { _ = pending(ctx, g, "go") }, "call go"},
	} {
		t.Run("after "+name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var log journal
				s := steered(&log)
				s.goOn = func(_ context.Context, argument any) error {
					log.add("continue %v", argument)
					if n := argument.(int); n < 3 {
						return actors.Continue(n + 1)
					}
					return nil
				}
				s.cast = func(_ context.Context, m any) error { log.add("cast %v", m); return goOn(m) }
				s.info = func(_ context.Context, m any) error { log.add("info %v", m); return goOn(m) }
				s.call = func(_ context.Context, m any, _ actors.From) (any, error) { log.add("call %v", m); return nil, goOn(m) }
				g := w.serve(t, ctx, s, actors.GenServerOptions{})
				busy(ctx, g, time.Second)
				c.send(ctx, g)
				g.Cast(ctx, "queued")
				time.Sleep(time.Minute)
				log.want(t, c.want+", continue 1, continue 2, continue 3, cast queued")
			})
		})
	}
	t.Run("after Init", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			s := steered(&log)
			s.init = func(ctx context.Context) error {
				self, _ := actors.Self(ctx)
				w.Send(ctx, self, "sent in Init")
				actors.Server(w.System, self).Cast(ctx, "from Init")
				return actors.Continue(1)
			}
			s.goOn = func(_ context.Context, argument any) error {
				time.Sleep(time.Second)
				log.add("continue %v", argument)
				if argument == 1 {
					return actors.Continue(2)
				}
				return nil
			}
			g := w.serve(t, ctx, s, actors.GenServerOptions{})
			g.Cast(ctx, "after the start")
			time.Sleep(time.Minute)
			log.want(t, "continue 1, continue 2, info sent in Init, cast from Init, cast after the start")
		})
	})
	t.Run("the reply of a call comes before it", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			g := w.serve(t, ctx, &genServer{goOn: func(context.Context, any) error { time.Sleep(time.Hour); return nil }}, actors.GenServerOptions{})
			began := time.Now()
			reply, err := g.Call(ctx, func(context.Context, actors.From) (any, error) { return "reply", actors.Continue(1) })
			if reply != "reply" || err != nil || time.Since(began) != 0 {
				t.Errorf("%v, %v after %s", reply, err, time.Since(began))
			}
		})
	})
	t.Run("it may stop", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			s := steered(&log)
			s.goOn = func(context.Context, any) error { return actors.Stop(errBoom) }
			g := w.serve(t, ctx, s, actors.GenServerOptions{})
			g.Cast(ctx, actors.Continue(1))
			g.Cast(ctx, "never")
			log.want(t, "cast actors: continue, terminate boom")
		})
	})
}

// goOn continues for the message go.
func goOn(message any) error {
	if message == "go" {
		return actors.Continue(1)
	}
	return nil
}

// A server that continues for ever handles no message, but it can be ended from outside.
func TestAServerThatContinuesForEver(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(ctx context.Context, w world, pid messages.PID)
		want error
	}{
		"told to exit": {func(ctx context.Context, w world, pid messages.PID) { w.Exit(ctx, pid, errBoom) }, errBoom},
		"killed":       {func(_ context.Context, w world, pid messages.PID) { w.Kill(pid) }, messages.Killed},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				turns, after := 0, 0
				g := w.serve(t, ctx, &genServer{
					init: func(context.Context) error { return actors.Continue(1) },
					goOn: func(ctx context.Context, _ any) error {
						time.Sleep(time.Second)
						turns++
						if ctx.Err() != nil {
							after++
						}
						return actors.Continue(1)
					},
					terminate: func(context.Context, error) { t.Error("Terminate ran (GS-28)") },
				}, actors.GenServerOptions{})
				end := w.end(t, ctx, g.PID())
				time.Sleep(time.Hour)
				if info, _ := w.Info(g.PID()); info.Callback != "HandleContinue int" {
					t.Errorf("it is seen in %q", info.Callback)
				}
				c.end(ctx, w, g.PID())
				time.Sleep(time.Minute)
				if reason := end(); reason != c.want || turns < 3600 || after > 1 {
					t.Errorf("it ended with %v after %d turns, %d of them too many", reason, turns, after)
				}
			})
		})
	}
}

// TestGS23_AStartDoesNotWaitForTheContinue: when Init continues, the start returns without waiting for that.
func TestGS23_AStartDoesNotWaitForTheContinue(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		began := time.Now()
		g := w.serve(t, ctx, &genServer{
			init: func(context.Context) error { return actors.Continue(1) },
			goOn: func(context.Context, any) error { time.Sleep(time.Minute); log.add("continued"); return nil },
		}, actors.GenServerOptions{})
		if took := time.Since(began); took != 0 {
			t.Errorf("the start took %s", took)
		}
		log.want(t, "")
		if _, err := g.Call(ctx, "?"); err != nil || time.Since(began) != time.Minute {
			t.Errorf("a call: %v after %s", err, time.Since(began))
		}
	})
	t.Run("that it fails is not the start's", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			g := w.serve(t, ctx, &genServer{
				init: func(context.Context) error { return actors.Continue(1) },
				goOn: func(context.Context, any) error { time.Sleep(time.Second); return errBoom },
			}, actors.GenServerOptions{})
			end := w.end(t, ctx, g.PID())
			time.Sleep(time.Minute)
			if reason := end(); reason != errBoom {
				t.Errorf("it ended with %v", reason)
			}
		})
	})
}

// TestGS24_ATimeout: after Timeout(d) HandleInfo gets one messages.Timeout when no message has come for d; it is not armed again by
// itself, and any message that comes first cancels it.
//
// Adapted: a timer of our own, which knows for which wait it is; protoactor's receive timeout stays on.
func TestGS24_ATimeout(t *testing.T) {
	timeout := func() error { return actors.Timeout(time.Minute) }
	t.Run("once", func(t *testing.T) {
		for name, start := range map[string]struct {
			server func(s *genServer)
			send   any
		}{
			"from Init":           {func(s *genServer) { s.init = func(context.Context) error { return timeout() } }, nil},
			"from a cast":         {func(*genServer) {}, func(context.Context) error { return timeout() }},
			"from HandleContinue": {func(s *genServer) { s.goOn = func(context.Context, any) error { return timeout() } }, func(context.Context) error { return actors.Continue(1) }},
		} {
			t.Run(name, func(t *testing.T) {
				inWorld(t, func(t *testing.T, ctx context.Context, w world) {
					var log journal
					s := steered(&log)
					start.server(s)
					began := time.Now()
					s.info = func(_ context.Context, message any) error {
						log.add("%T after %s", message, time.Since(began))
						return nil
					}
					g := w.serve(t, ctx, s, actors.GenServerOptions{})
					if start.send != nil {
						g.Cast(ctx, start.send)
					}
					time.Sleep(24 * time.Hour)
					log.want(t, "messages.Timeout after 1m0s")
				})
			})
		}
	})
	t.Run("armed again by its own callback", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			n := 0
			w.serve(t, ctx, &genServer{
				init: func(context.Context) error { return timeout() },
				info: func(context.Context, any) error {
					if n++; n < 3 {
						return timeout()
					}
					return nil
				},
			}, actors.GenServerOptions{})
			time.Sleep(time.Hour)
			synctest.Wait()
			if n != 3 {
				t.Errorf("%d timeouts, want 3", n)
			}
		})
	})
	t.Run("cancelled by any message", func(t *testing.T) {
		for name, send := range map[string]func(ctx context.Context, g *actors.GenServer){
			"call": func(ctx context.Context, g *actors.GenServer) { _, _ = g.Call(ctx, "x") },
			"cast": func(ctx context.Context, g *actors.GenServer) { g.Cast(ctx, "x") },
			"info": func(ctx context.Context, g *actors.GenServer) { g.Info(ctx, "x") },
		} {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var log journal
				s := steered(&log)
				s.init = func(context.Context) error { return timeout() }
				g := w.serve(t, ctx, s, actors.GenServerOptions{})
				time.Sleep(time.Minute - 1)
				send(ctx, g)
				time.Sleep(time.Hour)
				log.want(t, name+" x")
			})
		}
	})
	t.Run("a message beside the timer that has gone off", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			s := steered(&log)
			g := w.serve(t, ctx, s, actors.GenServerOptions{})
			g.Cast(ctx, timeout())
			time.Sleep(time.Minute - time.Second)
			busy(ctx, g, time.Hour) // cancels it
			g.Cast(ctx, timeout())  // arms a new one, after the hour
			time.Sleep(time.Hour + time.Second)
			log.want(t, "cast actors: timeout, cast actors: timeout")
			time.Sleep(time.Hour)
			log.want(t, "cast actors: timeout, cast actors: timeout, info {}")
		})
	})
	t.Run("with NoReply", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var from actors.From
			g := w.serve(t, ctx, &genServer{
				call: func(_ context.Context, _ any, f actors.From) (any, error) {
					from = f
					return nil, errors.Join(actors.NoReply, timeout())
				},
				info: func(context.Context, any) error { from.Reply("in the end", nil); return nil },
			}, actors.GenServerOptions{})
			began := time.Now()
			if got, err := g.Call(ctx, "?"); got != "in the end" || err != nil || time.Since(began) != time.Minute {
				t.Errorf("%v, %v after %s", got, err, time.Since(began))
			}
		})
	})
	t.Run("it does not outlive its server", func(t *testing.T) {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			for _, end := range []func(g *actors.GenServer){
				func(g *actors.GenServer) { w.Kill(g.PID()) },
				func(g *actors.GenServer) { _ = g.Stop(ctx) },
				func(g *actors.GenServer) { w.Exit(ctx, g.PID(), errBoom) },
			} {
				g := w.serve(t, ctx, &genServer{init: func(context.Context) error { return timeout() }}, actors.GenServerOptions{Name: "x"})
				end(g)
				synctest.Wait()
				s := steered(&log)
				s.terminate = nil
				next := w.serve(t, ctx, s, actors.GenServerOptions{Name: "x"})
				time.Sleep(time.Hour)
				if err := next.Stop(ctx); err != nil {
					t.Error(err)
				}
			}
			log.want(t, "")
		})
	})
}

// TestGS25_ATimeoutOfZero: with a timeout of zero a message that is queued already is handled and no Timeout is seen; without one
// the Timeout comes at once.
//
// Adapted: the timeout is a message behind what is queued, and worth nothing if that was anything.
func TestGS25_ATimeoutOfZero(t *testing.T) {
	for name, zero := range map[string]error{"zero": actors.Timeout(0), "negative": actors.Timeout(-time.Hour)} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var log journal
				g := w.serve(t, ctx, steered(&log), actors.GenServerOptions{})
				g.Cast(ctx, zero)
				log.want(t, "cast actors: timeout, info {}")
				busy(ctx, g, time.Second)
				g.Cast(ctx, zero)
				g.Cast(ctx, "queued")
				time.Sleep(time.Minute)
				log.want(t, "cast actors: timeout, info {}, cast actors: timeout, cast queued")
			})
		})
	}
}

// The timer of a Timeout goes with its server, however that ends: it would keep the system in memory until it fires.
func TestATimeoutGoesWithItsServer(t *testing.T) {
	day := 24 * time.Hour
	for name, end := range map[string]func(s *actors.System, pid messages.PID){
		"killed":                  func(s *actors.System, pid messages.PID) { s.Kill(pid) },
		"an exit signal":          func(s *actors.System, pid messages.PID) { s.Exit(context.Background(), pid, errBoom) },
		"told to stop":            func(s *actors.System, pid messages.PID) { _ = actors.Server(s, pid).Stop(context.Background()) },
		"killed within a message": func(s *actors.System, pid messages.PID) { actors.Server(s, pid).Cast(context.Background(), "kill") },
	} {
		t.Run(name, func(t *testing.T) {
			waits := func() weak.Pointer[actors.System] { // so that nothing of it is left on the stack
				system := actors.NewSystem(actors.SystemConfig{})
				g, err := actors.StartGenServer(t.Context(), system, &genServer{
					init: func(context.Context) error { return actors.Timeout(day) },
					cast: func(ctx context.Context, _ any) error {
						self, _ := actors.Self(ctx)
						system.Kill(self)
						return actors.Timeout(day)
					},
				}, actors.GenServerOptions{})
				if err != nil {
					t.Fatal(err)
				}
				end(system, g.PID())
				<-system.Done(g.PID())
				if err := system.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				return weak.Make(system)
			}()
			for began := time.Now(); waits.Value() != nil; runtime.GC() {
				if time.Since(began) > 10*time.Second {
					t.Fatal("the system is kept although its last server is gone")
				}
			}
		})
	}
}
