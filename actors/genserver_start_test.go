package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestGS01_AStartWaitsForInit: a start returns when Init has, so that a PID which was handed out belongs to an initialised server.
//
// Adapted: protoactor's Spawn does not wait; the mailbox tells the starter when Init has returned.
func TestGS01_AStartWaitsForInit(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		state := "raw"
		began := time.Now()
		g := w.serve(t, ctx, &genServer{
			init: func(context.Context) error { time.Sleep(time.Minute); state = "initialised"; return nil },
			call: func(context.Context, any, actors.From) (any, error) { return state, nil },
		}, actors.GenServerOptions{})
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the start took %s, want as long as Init", took)
		}
		if got, err := g.Call(ctx, "state?"); got != "initialised" || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// failedStart starts a server whose Init does not succeed, from within a server that traps exits and from one that does not,
// and gives the error. Neither may hear of it in another way; no Terminate may run; nothing may be left.
func failedStart(t *testing.T, init func(ctx context.Context) error) (failed error) {
	t.Helper()
	for _, trap := range []bool{false, true} {
		inWorld(t, func(t *testing.T, ctx context.Context, w world) {
			var log journal
			starter := w.serve(t, ctx, &genServer{info: func(_ context.Context, message any) error { log.add("%v", message); return nil }},
				actors.GenServerOptions{TrapExit: trap})
			within(t, ctx, starter, func(ctx context.Context) {
				_, failed = actors.StartGenServer(ctx, w.System, &genServer{
					init:      init,
					terminate: func(context.Context, error) { log.add("terminate") },
				}, actors.GenServerOptions{Name: "x"})
				if pid, taken := w.Whereis("x"); taken {
					t.Errorf("the name is held by %v", pid)
				}
			})
			log.want(t, "")
			if !w.Alive(starter.PID()) || w.Len() != 1 {
				t.Errorf("the starter, trapping %v, lives: %v; %d processes, want it alone", trap, w.Alive(starter.PID()), w.Len())
			}
		})
	}
	return failed
}

// TestGS02_AFailedInitIsTheErrorOfTheStart: what Init fails with is the error of the start; Terminate does not run, and the
// starter lives on, whether it traps exits or not.
//
// Adapted: the starter gets the error and never an exit signal, so it does not die of a start that failed.
func TestGS02_AFailedInitIsTheErrorOfTheStart(t *testing.T) {
	for name, returned := range map[string]error{
		"an error":            errBoom,
		"a Stop":              actors.Stop(errBoom),
		"a Stop and Continue": errors.Join(actors.Continue("never"), actors.Stop(errBoom)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := failedStart(t, func(context.Context) error { return returned }); err != errBoom {
				t.Errorf("got %v, want the error of Init", err)
			}
		})
	}
}

// TestGS03_APanicInInitIsTheErrorOfTheStart: when Init panics, the start gives an error that holds the value and the stack, and
// Terminate does not run.
//
// Adapted: the error is a *messages.PanicError; a runtime.Goexit, which OTP has not, is messages.ErrGoexit.
func TestGS03_APanicInInitIsTheErrorOfTheStart(t *testing.T) {
	t.Run("panic", func(t *testing.T) {
		err := failedStart(t, func(context.Context) error { panic(errBoom) })
		if !errors.Is(err, errBoom) || !isPanic(err) {
			t.Errorf("got %v, want the panic with its stack", err)
		}
	})
	t.Run("goexit", func(t *testing.T) {
		if err := failedStart(t, func(context.Context) error { runtime.Goexit(); return nil }); err != messages.ErrGoexit {
			t.Errorf("got %v, want ErrGoexit", err)
		}
	})
}

// TestGS04_AnInitThatIgnores: a start whose Init returns ErrIgnore gives ErrIgnore and the process ends normally; any other error
// is that of the start, as it is; Terminate runs for neither.
//
// Adapted: OTP's :ignore is the sentinel ErrIgnore, and {:error, reason} is an ordinary error.
func TestGS04_AnInitThatIgnores(t *testing.T) {
	for name, c := range map[string]struct{ returned, start, end error }{
		"ignore":         {actors.ErrIgnore, actors.ErrIgnore, messages.Normal},
		"ignore wrapped": {fmt.Errorf("not today: %w", actors.ErrIgnore), actors.ErrIgnore, messages.Normal},
		"error":          {errBoom, errBoom, errBoom},
	} {
		t.Run(name, func(t *testing.T) {
			if err := failedStart(t, func(context.Context) error { return c.returned }); err != c.start {
				t.Errorf("the start: %v, want %v", err, c.start)
			}
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var end func() error
				_, _ = actors.StartGenServer(ctx, w.System, &genServer{init: func(ctx context.Context) error {
					self, _ := actors.Self(ctx)
					end = w.end(t, context.Background(), self)
					return c.returned
				}}, actors.GenServerOptions{})
				if reason := end(); reason != c.end {
					t.Errorf("the process ended with %v, want %v", reason, c.end)
				}
				if log := w.logged(); log != "" {
					t.Errorf("logged: %s", log)
				}
			})
		})
	}
}

// TestGS05_AnInitThatTakesTooLong: when Init takes longer than the starter waits, the start fails, the half-started process is
// dead, and its name is free.
//
// Adapted: the timeout is an option, or that of the start's context, and so is the error; Init's own context is cancelled, and an Init that
// returns late is discarded.
func TestGS05_AnInitThatTakesTooLong(t *testing.T) {
	for name, late := range map[string]error{"late success": nil, "late continue": actors.Continue(1), "late error": errBoom, "by option": nil} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				var log journal
				options, want := actors.GenServerOptions{Name: "x", Timeout: time.Second}, actors.ErrInitTimeout
				hurried, cancel := context.WithCancel(ctx)
				if name != "by option" {
					options.Timeout, want = 0, context.DeadlineExceeded
					hurried, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				began := time.Now()
				_, err := actors.StartGenServer(hurried, w.System, &genServer{
					init: func(ctx context.Context) error {
						<-ctx.Done()
						log.add("told after %s: %v", time.Since(began), context.Cause(ctx))
						time.Sleep(time.Minute)
						log.add("late")
						return late
					},
					goOn:      func(context.Context, any) error { log.add("continue"); return nil },
					terminate: func(context.Context, error) { log.add("terminate") },
				}, options)
				if !errors.Is(err, want) || time.Since(began) != time.Second {
					t.Errorf("got %v after %s, want %v after a second", err, time.Since(began), want)
				}
				if n := w.Len(); n != 0 {
					t.Errorf("%d processes live", n)
				}
				second := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{Name: "x"})
				if n := w.Abandoned(); n != 1 {
					t.Errorf("%d goroutines are abandoned while Init runs, want 1", n)
				}
				time.Sleep(time.Hour)
				log.want(t, "told after 1s: killed, late")
				if pid, _ := w.Whereis("x"); pid != second.PID() || w.Abandoned() != 0 {
					t.Errorf("afterwards %v has the name, %d are abandoned", pid, w.Abandoned())
				}
			})
		})
	}
}

// TestGS06_TheNameIsThereInInit: a server is registered under its name before its Init runs.
func TestGS06_TheNameIsThereInInit(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		w.serve(t, ctx, &genServer{init: func(ctx context.Context) error {
			self, _ := actors.Self(ctx)
			if holder, ok := w.Whereis("x"); !ok || holder != self {
				t.Errorf("in Init the name is held by %v, want %v", holder, self)
			}
			return nil
		}}, actors.GenServerOptions{Name: "x"})
	})
}

// TestGS07_AFailedStartFreesTheName: when Init fails or ignores, the name is free before the start returns.
//
// Adapted: names are a record of ours, which is written before the starter is told.
func TestGS07_AFailedStartFreesTheName(t *testing.T) {
	for name, init := range map[string]func(context.Context) error{
		"error":  func(context.Context) error { return errBoom },
		"ignore": func(context.Context) error { return actors.ErrIgnore },
		"panic":  func(context.Context) error { panic(errBoom) },
		"goexit": func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				for range 100 {
					_, err := actors.StartGenServer(ctx, w.System, &genServer{init: init}, actors.GenServerOptions{Name: "x"})
					if _, taken := errors.AsType[*actors.NameTakenError](err); taken || err == nil {
						t.Fatalf("got %v", err)
					}
				}
				w.serve(t, ctx, &genServer{}, actors.GenServerOptions{Name: "x"})
			})
		})
	}
}

// TestRG01_ANameIsTakenOnce: a start under a name that is taken fails with the PID of the holder, who hears nothing of it.
//
// Adapted: the error is a *NameTakenError; names stand in one flat record of ours, and not below their parents as protoactor's.
func TestRG01_ANameIsTakenOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var log journal
		holder := w.serve(t, ctx, &genServer{
			info:      func(_ context.Context, message any) error { log.add("%v", message); return nil },
			terminate: func(context.Context, error) { log.add("terminate") },
		}, actors.GenServerOptions{Name: "x", TrapExit: true})
		starter := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{Name: "starter"})
		for _, from := range []string{"outside", "a process", "the holder"} {
			try := func(ctx context.Context) {
				_, err := actors.StartGenServer(ctx, w.System, &genServer{init: func(context.Context) error { t.Error("its Init ran"); return nil }},
					actors.GenServerOptions{Name: "x"})
				taken, ok := errors.AsType[*actors.NameTakenError](err)
				if !ok || taken.Holder != holder.PID() || taken.Name != "x" {
					t.Errorf("from %s: %v", from, err)
				}
			}
			switch from {
			case "outside":
				try(ctx)
			case "a process":
				within(t, ctx, starter, try)
			default:
				within(t, ctx, holder, try)
			}
		}
		log.want(t, "")
		if pid, _ := w.Whereis("x"); pid != holder.PID() {
			t.Errorf("now %v has the name", pid)
		}
	})
}

// TestRG03_LookingUpAName: an unknown name is held by nobody; a PID that was found may be dead a moment later.
func TestRG03_LookingUpAName(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		if pid, ok := w.Whereis("nobody"); ok || !pid.IsZero() {
			t.Errorf("an unknown name: %v, %v", pid, ok)
		}
		g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{Name: "x"})
		found, ok := w.Whereis("x")
		if !ok || found != g.PID() || !w.Alive(found) {
			t.Errorf("found %v, %v, want %v", found, ok, g.PID())
		}
		w.Kill(found)
		if _, ok := w.Whereis("x"); ok || w.Alive(found) {
			t.Error("it is found, or alive, after its end")
		}
		if _, err := actors.Server(w.System, found).Call(ctx, "?"); err != messages.NoProc {
			t.Errorf("a call to the PID that was found: %v", err)
		}
		synctest.Wait()
	})
}

// A spec asks for a server at its starts alone, and what newServer does wrong is a failed start.
func TestGenServerSpecAsksAtTheStart(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		asked := 0
		spec := actors.GenServerSpec(w.System, func() *genServer { asked++; return &genServer{} }, actors.GenServerOptions{})
		if asked != 0 || spec.ID != "*actors_test.genServer" {
			t.Errorf("before any start: asked %d times, ID %q", asked, spec.ID)
		}
		s, err := supervisor.Start(ctx, w.System, supervisor.Config{Strategy: supervisor.OneForOne, Children: []supervisor.ChildSpec{spec}})
		if err != nil || asked != 1 {
			t.Fatalf("asked %d times, %v", asked, err)
		}
		for want, newServer := range map[string]func() any{
			"newServer is nil": nil,
			"boom":             func() any { panic("boom") },
			"goroutine":        func() any { runtime.Goexit(); return nil },
			"server is a":      func() any { return nil },
		} {
			spec := actors.GenServerSpec(w.System, newServer, actors.GenServerOptions{})
			spec.ID = want
			if _, err := s.StartChild(ctx, spec); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
				t.Errorf("got %v, want a failed start with %q", err, want)
			}
		}
	})
}
