package process_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// doer is a process that runs what it is sent, and keeps what else it gets.
type doer struct {
	pid    messages.PID
	system *process.System
	got    []any // between two synctest.Wait
}

type work = func(ctx context.Context) error

func newDoer(t *testing.T, ctx context.Context, system *process.System, options process.Options) *doer {
	t.Helper()
	d := &doer{system: system}
	d.pid = spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
		if f, ok := message.(work); ok {
			return f(ctx)
		}
		d.got = append(d.got, message)
		return nil
	}}, options)
	return d
}

// do runs f in the process, and waits for that.
func (d *doer) do(f func(ctx context.Context)) {
	d.system.Send(context.Background(), d.pid, func(ctx context.Context) error { f(ctx); return nil })
	synctest.Wait()
}

// end ends the process with the reason.
func (d *doer) end(reason error) {
	d.system.Send(context.Background(), d.pid, func(context.Context) error { return reason })
	synctest.Wait()
}

var errBoom = errors.New("boom")

func (d *doer) wantExit(t *testing.T, from messages.PID, reason error) {
	t.Helper()
	synctest.Wait()
	if want := (messages.Exit{From: from, Reason: reason}); len(d.got) != 1 || d.got[0] != any(want) {
		t.Errorf("got %v, want one %v", d.got, want)
	}
	d.got = nil
}

func (d *doer) wantNothing(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if len(d.got) != 0 || !d.system.Alive(d.pid) {
		t.Errorf("got %v, alive %v, want nothing", d.got, d.system.Alive(d.pid))
	}
}

func TestALinkIsOne(t *testing.T) {
	trap := process.Options{TrapExit: true}
	for name, link := range map[string]func(system *process.System, a, b *doer){
		"once":           func(s *process.System, a, b *doer) { a.do(func(ctx context.Context) { s.Link(ctx, b.pid) }) },
		"from the other": func(s *process.System, a, b *doer) { b.do(func(ctx context.Context) { s.Link(ctx, a.pid) }) },
		"twice": func(s *process.System, a, b *doer) {
			a.do(func(ctx context.Context) { s.Link(ctx, b.pid); s.Link(ctx, b.pid) })
		},
		"from both": func(s *process.System, a, b *doer) {
			a.do(func(ctx context.Context) { s.Link(ctx, b.pid) })
			b.do(func(ctx context.Context) { s.Link(ctx, a.pid) })
		},
		"unlinked and again": func(s *process.System, a, b *doer) {
			a.do(func(ctx context.Context) { s.Link(ctx, b.pid); s.Unlink(ctx, b.pid); s.Link(ctx, b.pid) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				for range 2 { // either of them ends
					a, b := newDoer(t, ctx, system, trap), newDoer(t, ctx, system, trap)
					link(system, a, b)
					b.end(errBoom)
					a.wantExit(t, b.pid, errBoom)
					link(system, b, newDoer(t, ctx, system, trap)) // of a dead process: nothing
					a.wantNothing(t)
				}
			})
		})
	}
}

func TestALinkBesideThatOfAChild(t *testing.T) {
	for name, link := range map[string]func(system *process.System, parent *doer, child messages.PID){
		"none": func(*process.System, *doer, messages.PID) {},
		"by the parent": func(s *process.System, parent *doer, child messages.PID) {
			parent.do(func(ctx context.Context) { s.Link(ctx, child) })
		},
		"by the child": func(s *process.System, parent *doer, child messages.PID) {
			s.Send(context.Background(), child, func(ctx context.Context) error { s.Link(ctx, parent.pid); return nil })
		},
		"adopted once more": func(s *process.System, parent *doer, child messages.PID) {
			parent.do(func(ctx context.Context) { process.Adopt(ctx, s, child, process.Place{}) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				parent := newDoer(t, ctx, system, process.Options{TrapExit: true})
				var child *doer
				start := func() {
					parent.do(func(ctx context.Context) {
						child = newDoer(t, ctx, system, process.Options{Link: true, TrapExit: true})
					})
					link(system, parent, child.pid)
				}
				start()
				child.end(errBoom)
				parent.wantExit(t, child.pid, errBoom)
				start()
				_, got := watch(t, ctx, system, child.pid)
				parent.end(errTwo)
				if r := reasonOf(t, got()); r != errTwo {
					t.Errorf("the child ended with %v, want the reason of its parent", r)
				}
			})
		})
	}
}

var errTwo = errors.New("two")

func TestUnlink(t *testing.T) {
	for name, c := range map[string]struct {
		unlink func(system *process.System, parent, child *doer)
	}{
		"by the parent": {func(s *process.System, parent, child *doer) {
			parent.do(func(ctx context.Context) { s.Unlink(ctx, child.pid) })
		}},
		"by the child": {func(s *process.System, parent, child *doer) {
			child.do(func(ctx context.Context) { s.Unlink(ctx, parent.pid) })
		}},
		"twice": {func(s *process.System, parent, child *doer) {
			child.do(func(ctx context.Context) { s.Unlink(ctx, parent.pid); s.Unlink(ctx, parent.pid) })
		}},
		"linked twice": {func(s *process.System, parent, child *doer) {
			child.do(func(ctx context.Context) { s.Link(ctx, parent.pid); s.Unlink(ctx, parent.pid) })
		}},
	} {
		for _, ends := range []string{"child", "parent"} {
			t.Run(name+", the "+ends+" ends", func(t *testing.T) {
				inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
					parent := newDoer(t, ctx, system, process.Options{TrapExit: true})
					var child *doer
					parent.do(func(ctx context.Context) {
						child = newDoer(t, ctx, system, process.Options{Link: true, TrapExit: true})
					})
					c.unlink(system, parent, child)
					if info, _ := system.Info(parent.pid); len(info.Links) != 0 {
						t.Errorf("the parent has links %v", info.Links)
					}
					if ends == "child" {
						child.end(errBoom)
						parent.wantNothing(t)
						return
					}
					parent.end(errBoom)
					child.wantNothing(t)
				})
			})
		}
	}
	t.Run("of a stranger, of nobody, of itself, from outside", func(t *testing.T) {
		inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
			a := newDoer(t, ctx, system, process.Options{})
			b := newDoer(t, ctx, system, process.Options{})
			a.do(func(ctx context.Context) {
				system.Unlink(ctx, b.pid)
				system.Unlink(ctx, a.pid)
				system.Unlink(ctx, messages.PID{})
				system.Link(ctx, a.pid)
			})
			system.Unlink(ctx, a.pid)
			system.Link(ctx, a.pid)
			b.end(errBoom)
			a.wantNothing(t)
		})
	})
}

// A child that unlinked itself is told to stop all the same when the system stops: then it belongs to its parent still.
func TestTheSystemStopsAChildThatUnlinked(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		parent := newDoer(t, ctx, system, process.Options{})
		parent.do(func(ctx context.Context) {
			child := newDoer(t, ctx, system, process.Options{Link: true})
			system.Unlink(ctx, child.pid)
		})
	})
}

func TestAnExitSignalToAFunction(t *testing.T) {
	for name, c := range map[string]struct {
		reason, want error
		told         bool
	}{
		"another": {errBoom, errBoom, true},
		"normal":  {messages.Normal, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				from := newDoer(t, ctx, system, process.Options{})
				var cause error
				pid, err := process.SpawnFunc(ctx, system, func(ctx context.Context) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					return ctx.Err()
				}, process.Options{})
				if err != nil {
					t.Fatal(err)
				}
				_, got := watch(t, ctx, system, pid)
				from.do(func(ctx context.Context) { system.Exit(ctx, pid, c.reason) })
				if !c.told {
					if all := got(); len(all) != 0 || cause != nil {
						t.Errorf("it ended: %v, cause %v", all, cause)
					}
					return
				}
				if r := reasonOf(t, got()); r != c.want || cause != c.reason {
					t.Errorf("it ended with %v, its context with %v", r, cause)
				}
			})
		})
	}
}

func TestTheFirstSignalCounts(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		pid := spawn(t, ctx, system, &server{handle: func(ctx context.Context, _ any) error { <-ctx.Done(); return nil }}, process.Options{})
		_, got := watch(t, ctx, system, pid)
		system.Send(ctx, pid, "busy")
		for i := range 10 {
			system.Exit(ctx, pid, fmt.Errorf("signal %d", i))
		}
		if r := reasonOf(t, got()); r.Error() != "signal 0" {
			t.Errorf("it ended with %v", r)
		}
	})
}

func TestANameIsFreeAfterEachEnd(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context, system *process.System, pid messages.PID){
		"stopped": func(ctx context.Context, s *process.System, pid messages.PID) { _ = process.Stop(ctx, s, pid, errBoom) },
		"killed":  func(_ context.Context, s *process.System, pid messages.PID) { s.Kill(pid) },
		"told":    func(ctx context.Context, s *process.System, pid messages.PID) { s.Exit(ctx, pid, errBoom) },
		"panics": func(ctx context.Context, s *process.System, pid messages.PID) {
			s.Send(ctx, pid, func(context.Context) error { panic(1) })
		},
		"goexits": func(ctx context.Context, s *process.System, pid messages.PID) {
			s.Send(ctx, pid, func(context.Context) error { runtime.Goexit(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				for range 10 {
					d := newDoer(t, ctx, system, process.Options{Name: "x"})
					done := system.Done(d.pid)
					end(ctx, system, d.pid)
					<-done
					if pid, taken := system.Whereis("x"); taken {
						t.Fatalf("%v still has the name", pid)
					}
				}
			})
		})
	}
}

func TestATimerToAName(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		system.SendAfter(time.Minute, messages.Name("x"), "tick")
		first := newDoer(t, ctx, system, process.Options{Name: "x"})
		system.SendAfter(time.Minute, first.pid, "for the first")
		system.Kill(first.pid)
		second := newDoer(t, ctx, system, process.Options{Name: "x"})
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(second.got) != 1 || second.got[0] != "tick" || len(first.got) != 0 {
			t.Errorf("the second got %v, the first %v", second.got, first.got)
		}
		stop := system.SendAfter(0, second.pid, "at once")
		synctest.Wait()
		if len(second.got) != 2 || stop() {
			t.Errorf("a timer of zero: got %v", second.got)
		}
	})
}

// What goes on after it was declared dead is counted, each once, and shown, until it ends, however that happens.
func TestWhatGoesOnIsCounted(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		const n = 5
		release := make(chan struct{})
		hangs := map[string]func() error{
			"returns": func() error { <-release; return nil },
			"fails":   func() error { <-release; return errBoom },
			"panics":  func() error { <-release; panic("late") },
			"goexits": func() error { <-release; runtime.Goexit(); return nil },
		}
		var pids []messages.PID
		for _, hang := range hangs {
			for range n {
				pid := spawn(t, ctx, system, &server{handle: func(context.Context, any) error { return hang() }}, process.Options{})
				system.Send(ctx, pid, "hang")
				f, err := process.SpawnFunc(ctx, system, func(context.Context) error { return hang() }, process.Options{})
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid, f)
			}
		}
		synctest.Wait()
		var killers sync.WaitGroup
		for range 3 {
			for _, pid := range pids {
				killers.Go(func() { system.Kill(pid) })
			}
		}
		killers.Wait()
		if got := system.Abandoned(); got != len(pids) || system.Len() != 0 {
			t.Errorf("%d are abandoned and %d live, want %d and 0", got, system.Len(), len(pids))
		}
		shown := system.Processes()
		for _, info := range shown {
			if info.Status != process.Abandoned {
				t.Errorf("%v is %s", info.PID, info.Status)
			}
		}
		if len(shown) != len(pids) {
			t.Errorf("%d are shown", len(shown))
		}
		close(release)
		synctest.Wait()
		if n, shown := system.Abandoned(), system.Processes(); n != 0 || len(shown) != 0 {
			t.Errorf("%d are abandoned afterwards, %v shown", n, shown)
		}
	})
}
