package process_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// shower is a server whose state is what a function gives.
type shower struct {
	server
	state func() any
}

func (s *shower) State() any { return s.state() }

// secret hides itself.
type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("(hidden)") }

func TestState(t *testing.T) {
	for name, c := range map[string]struct {
		state any
		want  string
	}{
		"a value":                {struct{ N int }{7}, "{N:7}"},
		"nothing":                {nil, "<nil>"},
		"hidden":                 {secret("hunter2"), "(hidden)"},
		"long":                   {strings.Repeat("ä", 5000), strings.Repeat("ä", 1024) + "…"},
		"cut between characters": {"x" + strings.Repeat("ä", 5000), "x" + strings.Repeat("ä", 1023) + "…"},
		"panics":                 {func() any { panic("ouch") }, "(its State: panic: ouch)"},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				pid, err := process.Spawn(ctx, system, &shower{state: func() any {
					if f, ok := c.state.(func() any); ok {
						return f()
					}
					return c.state
				}}, process.Options{Name: "x"})
				if err != nil {
					t.Fatal(err)
				}
				for _, target := range []messages.Target{pid, messages.Name("x")} {
					if got, err := system.State(ctx, target); got != c.want || err != nil {
						t.Errorf("%q, %v, want %q", got, err, c.want)
					}
				}
				if !system.Alive(pid) {
					t.Error("it died of being looked at")
				}
			})
		})
	}
}

// observers are what asks a process between two of its messages.
var observers = map[string]func(ctx context.Context, s *process.System, target messages.Target) error{
	"State": func(ctx context.Context, s *process.System, target messages.Target) error {
		_, err := s.State(ctx, target)
		return err
	},
	"Suspend": func(ctx context.Context, s *process.System, target messages.Target) error {
		return s.Suspend(ctx, target)
	},
	"Resume": func(ctx context.Context, s *process.System, target messages.Target) error {
		return s.Resume(ctx, target)
	},
}

func TestLookingAtWhatCannotAnswer(t *testing.T) {
	for name, look := range observers {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				if err := look(ctx, system, messages.Name("nobody")); err != messages.NoProc {
					t.Errorf("nobody: %v", err)
				}
				f, err := process.SpawnFunc(ctx, system, func(ctx context.Context) error { <-ctx.Done(); return nil }, process.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if err := look(ctx, system, f); err != process.ErrNoMailbox {
					t.Errorf("a function: %v", err)
				}
				self := newDoer(t, ctx, system, process.Options{})
				self.do(func(ctx context.Context) {
					if err := look(ctx, system, self.pid); err != process.ErrCallingSelf {
						t.Errorf("itself: %v", err)
					}
				})
				release := make(chan struct{})
				hung := spawn(t, ctx, system, &server{handle: func(context.Context, any) error { <-release; return nil }}, process.Options{})
				system.Send(ctx, hung, "hang")
				hurried, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				if err := look(hurried, system, hung); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("one that hangs: %v", err)
				}
				time.AfterFunc(time.Second, func() { system.Kill(hung) })
				if err := look(ctx, system, hung); err != messages.Killed {
					t.Errorf("one that is killed meanwhile: %v", err)
				}
				close(release)
			})
		})
	}
}

func TestAStateThatHangs(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		release := make(chan struct{})
		hangs := &shower{state: func() any { <-release; return nil }}
		goexits := &shower{state: func() any { runtime.Goexit(); return nil }}
		first, err := process.Spawn(ctx, system, hangs, process.Options{})
		if err != nil {
			t.Fatal(err)
		}
		hurried, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := system.State(hurried, first); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("State: %v", err)
		}
		if info, _ := system.Info(first); info.Status != process.Running || info.Callback != "State" {
			t.Errorf("it is seen %s in %q", info.Status, info.Callback)
		}
		system.Kill(first)
		close(release)
		second, err := process.Spawn(ctx, system, goexits, process.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := system.State(ctx, second); err != messages.ErrGoexit {
			t.Errorf("a State that ends its goroutine: %v", err)
		}
	})
}

func TestSuspendAndResume(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		pid, got := watch(t, ctx, system, nil)
		var want []any
		send := func(n int) {
			for range n {
				system.Send(ctx, pid, len(want))
				want = append(want, len(want))
			}
		}
		check := func(n int, status process.Status) {
			t.Helper()
			if all := got(); !slices.Equal(all, want[:n]) {
				t.Errorf("got %v, want %v", all, want[:n])
			}
			if info, _ := system.Info(pid); info.Mailbox != len(want)-n || info.Status != status || info.Callback != "" {
				t.Errorf("it is seen %s in %q with %d messages, want %s with %d", info.Status, info.Callback, info.Mailbox, status, len(want)-n)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		send(3)
		must(system.Suspend(ctx, pid))
		check(3, process.Suspended) // what was sent before is handled
		send(3)
		check(3, process.Suspended)
		must(system.Suspend(ctx, pid)) // twice is once
		if _, err := system.State(ctx, pid); err != nil {
			t.Errorf("State of a suspended one: %v", err)
		}
		check(3, process.Suspended)
		must(system.Resume(ctx, pid))
		send(1)
		check(7, process.Waiting)
		must(system.Resume(ctx, pid))
		check(7, process.Waiting)
	})
}

// A message that was held may wait for whoever resumes the process.
func TestResumeDoesNotWaitForWhatWasHeld(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		operator := newDoer(t, ctx, system, process.Options{})
		d := newDoer(t, ctx, system, process.Options{})
		if err := system.Suspend(ctx, d.pid); err != nil {
			t.Fatal(err)
		}
		system.Send(ctx, d.pid, func(ctx context.Context) error { return process.Stop(ctx, system, operator.pid, nil) })
		system.Send(ctx, d.pid, "after")
		operator.do(func(ctx context.Context) {
			if err := system.Resume(ctx, d.pid); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if system.Alive(operator.pid) || system.Alive(d.pid) == (len(d.got) == 0) {
			t.Errorf("the operator lives %v, the other got %v", system.Alive(operator.pid), d.got)
		}
	})
}

func TestASuspendedProcessCanBeEnded(t *testing.T) {
	for _, trap := range []bool{false, true} {
		for name, c := range map[string]struct {
			end       func(ctx context.Context, system *process.System, parent *doer, pid messages.PID)
			reason    error
			terminate int // 1 if Terminate runs, also without trapping; 2 only with it
		}{
			"stopped": {func(ctx context.Context, s *process.System, _ *doer, pid messages.PID) {
				_ = process.Stop(ctx, s, pid, errTwo)
			}, errTwo, 1},
			"killed":          {func(_ context.Context, s *process.System, _ *doer, pid messages.PID) { s.Kill(pid) }, messages.Killed, 0},
			"its parent ends": {func(_ context.Context, _ *process.System, parent *doer, _ messages.PID) { parent.end(errTwo) }, errTwo, 2},
			"its parent says so": {func(_ context.Context, s *process.System, parent *doer, pid messages.PID) {
				parent.do(func(ctx context.Context) { s.Exit(ctx, pid, errTwo) })
			}, errTwo, 2},
			"the system stops": {func(ctx context.Context, s *process.System, _ *doer, _ messages.PID) { _ = s.Stop(ctx) }, messages.Shutdown, 2},
		} {
			t.Run(fmt.Sprint(name, ", trapping ", trap), func(t *testing.T) {
				inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
					var reason error
					handled, terminated := 0, 0
					parent := newDoer(t, ctx, system, process.Options{})
					var pid messages.PID
					parent.do(func(ctx context.Context) {
						pid = spawn(t, ctx, system, &server{
							handle:    func(context.Context, any) error { handled++; return nil },
							terminate: func(context.Context, error) { terminated++ },
						}, process.Options{Link: true, TrapExit: trap, After: func(err error) { reason = err }})
					})
					if err := system.Suspend(ctx, pid); err != nil {
						t.Fatal(err)
					}
					system.Send(ctx, pid, "held")
					var err error
					go func() { _, err = process.Call(ctx, system, pid, "held too") }()
					synctest.Wait()
					c.end(ctx, system, parent, pid)
					synctest.Wait()
					wantTerminate := c.terminate == 1 || c.terminate == 2 && trap
					if reason != c.reason || err != c.reason || handled != 0 || (terminated == 1) != wantTerminate {
						t.Errorf("it ended with %v, its caller got %v; %d handled, %d terminated", reason, err, handled, terminated)
					}
				})
			})
		}
	}
}

func TestASignalOfAStrangerWaitsForASuspendedProcess(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		stranger := newDoer(t, ctx, system, process.Options{})
		d := newDoer(t, ctx, system, process.Options{TrapExit: true})
		if err := system.Suspend(ctx, d.pid); err != nil {
			t.Fatal(err)
		}
		system.Send(ctx, d.pid, "first")
		stranger.do(func(ctx context.Context) { system.Exit(ctx, d.pid, errBoom) })
		d.wantNothing(t)
		if err := system.Resume(ctx, d.pid); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(d.got) != 2 || d.got[0] != "first" || d.got[1] != any(messages.Exit{From: stranger.pid, Reason: errBoom}) {
			t.Errorf("got %v", d.got)
		}
	})
}

func TestInfo(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		if _, ok := system.Info(messages.Name("nobody")); ok {
			t.Error("nobody is seen")
		}
		parent := newDoer(t, ctx, system, process.Options{TrapExit: true, Name: "parent"})
		var child *doer
		parent.do(func(ctx context.Context) {
			child = newDoer(t, ctx, system, process.Options{Link: true})
			process.Adopt(ctx, system, child.pid, process.Place{ID: "c", Restarts: 3, LastExit: errBoom})
			system.Monitor(ctx, child.pid)
			system.Monitor(ctx, child.pid)
		})
		got, _ := system.Info(messages.Name("parent"))
		want := process.Info{PID: parent.pid, Name: "parent", What: "*process_test.server", Status: process.Waiting, TrapExit: true, Links: []messages.PID{child.pid}, Monitors: 2}
		if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("the parent is seen as %#v, want %#v", got, want)
		}
		got, _ = system.Info(child.pid)
		want = process.Info{PID: child.pid, Parent: parent.pid, What: "*process_test.server", Status: process.Waiting, Links: []messages.PID{parent.pid}, MonitoredBy: 2,
			Place: process.Place{ID: "c", Restarts: 3, LastExit: errBoom}}
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("the child is seen as %#v, want %#v", got, want)
		}
	})
}

func TestTheStatusOfAProcess(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		release := make(chan struct{})
		pid := spawn(t, ctx, system, &server{handle: func(context.Context, any) error { <-release; return nil }}, process.Options{})
		see := func(status process.Status, callback string, mailbox int) {
			t.Helper()
			synctest.Wait()
			all := system.Processes()
			if len(all) != 1 || all[0].PID != pid || all[0].Status != status || all[0].Callback != callback || all[0].Mailbox < mailbox {
				t.Errorf("seen as %+v, want %s in %q", all, status, callback)
			}
		}
		see(process.Waiting, "", 0)
		system.Send(ctx, pid, 7)
		system.Send(ctx, pid, "queued")
		see(process.Running, "Handle int", 1)
		system.Exit(ctx, pid, errBoom)
		see(process.Exiting, "Handle int", 1)
		system.Kill(pid)
		see(process.Abandoned, "Handle int", 1)
		close(release)
		synctest.Wait()
		if all := system.Processes(); len(all) != 0 {
			t.Errorf("it is seen after its end: %v", all)
		}
	})
}

func TestTree(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		a := newDoer(t, ctx, system, process.Options{Name: "a"})
		a.do(func(ctx context.Context) {
			b := newDoer(t, ctx, system, process.Options{Name: "b", Link: true})
			newDoer(t, ctx, system, process.Options{Name: "c", Link: true})
			process.Adopt(ctx, system, b.pid, process.Place{ID: "first", Restarts: 2, LastExit: errors.New("two\nlines")})
		})
		newDoer(t, ctx, system, process.Options{Name: "d", TrapExit: true})
		synctest.Wait()
		text := system.Tree()
		for _, info := range system.Processes() {
			text = strings.ReplaceAll(text, info.PID.String(), "<pid>")
		}
		want := "node " + system.Node() + `, 4 processes
├─ <pid> a *process_test.server
│  ├─ <pid> b *process_test.server id=first restarts=2 last exit: two lines
│  └─ <pid> c *process_test.server
└─ <pid> d *process_test.server
`
		if text != want {
			t.Errorf("got\n%s\nwant\n%s", text, want)
		}
	})
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) { // a circle is drawn, and has an end
		a, b := newDoer(t, ctx, system, process.Options{}), newDoer(t, ctx, system, process.Options{})
		a.do(func(ctx context.Context) { process.Adopt(ctx, system, b.pid, process.Place{}) })
		b.do(func(ctx context.Context) { process.Adopt(ctx, system, a.pid, process.Place{}) })
		if text := system.Tree(); !strings.Contains(text, "2 processes") || !strings.Contains(text, a.pid.String()) || !strings.Contains(text, b.pid.String()) {
			t.Errorf("got\n%s", text)
		}
	})
}

// Many look while many work, come and go. It is for the race detector, and for whoever waits for ever.
func TestLookingWhileProcessesWork(t *testing.T) {
	system := process.NewSystem(process.Config{})
	ctx := t.Context()
	var workers, lookers sync.WaitGroup
	for n := range 4 {
		workers.Go(func() {
			for i := range 100 {
				name := messages.Name(fmt.Sprint("p", (n+i)%3))
				pid, err := process.Spawn(ctx, system, &server{handle: func(_ context.Context, message any) error {
					if message == "end" {
						return messages.Shutdown
					}
					return nil
				}}, process.Options{Name: name, TrapExit: i%2 == 0})
				if err != nil {
					pid, _ = system.Whereis(name)
				}
				for range 10 {
					system.Send(ctx, pid, i)
				}
				system.Send(ctx, pid, "end")
				if i%5 == 0 {
					system.Kill(pid)
				}
			}
		})
	}
	stop := make(chan struct{})
	for range 2 {
		lookers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_ = system.Tree()
				for _, info := range system.Processes() {
					watched, done := context.WithCancel(ctx)
					events, _ := system.Trace(watched, info.PID, 1)
					for _, look := range observers { // a Suspend may come last
						_ = look(ctx, system, info.PID)
					}
					_ = system.Resume(ctx, info.PID)
					_, _ = system.Info(info.PID)
					done()
					for events != nil {
						if _, ok := <-events; !ok {
							break
						}
					}
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	lookers.Wait()
	if err := system.Stop(ctx); err != nil {
		t.Error(err)
	}
	if n := system.Abandoned(); n != 0 {
		t.Logf("%d goroutines end a moment later", n)
	}
}
