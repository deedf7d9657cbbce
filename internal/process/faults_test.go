package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// nasty is an error whose methods do what they should not.
type nasty struct{ onError, onIs, onUnwrap func() }

func (n *nasty) Error() string { do(n.onError); return "nasty" }
func (n *nasty) Is(error) bool { do(n.onIs); return false }
func (n *nasty) Unwrap() error { do(n.onUnwrap); return n }

func do(f func()) {
	if f != nil {
		f()
	}
}

func panics() { panic("a method of the error panics") }

var nastyErrors = map[string]struct {
	err    *nasty
	goexit bool // where it is looked into: then that is the reason
}{
	"Error panics":  {&nasty{onError: panics}, false},
	"Error goexits": {&nasty{onError: runtime.Goexit}, false},
	"Is panics":     {&nasty{onIs: panics}, false},
	"Is goexits":    {&nasty{onIs: runtime.Goexit}, true},
	"Unwrap panics": {&nasty{onUnwrap: panics}, false},
	"wraps itself":  {&nasty{}, false},
}

// inLoggingSystem is inSystem with a logger.
func inLoggingSystem(t *testing.T, handler slog.Handler, test func(t *testing.T, ctx context.Context, system *process.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		system := process.NewSystem(process.Config{Logger: slog.New(handler)})
		test(t, t.Context(), system)
		if err := system.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		synctest.Wait()
		if n, abandoned := system.Len(), system.Abandoned(); n != 0 || abandoned != 0 {
			t.Errorf("%d processes live after Stop, %d goroutines are abandoned", n, abandoned)
		}
	})
}

func textHandler() slog.Handler { return slog.NewTextHandler(&bytes.Buffer{}, nil) }

func TestAFunctionEndsWhateverTheMethodsOfItsErrorDo(t *testing.T) {
	for name, c := range nastyErrors {
		for _, told := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", told ", told), func(t *testing.T) {
				inLoggingSystem(t, textHandler(), func(t *testing.T, ctx context.Context, system *process.System) {
					begin := make(chan struct{})
					pid, err := process.SpawnFunc(ctx, system, func(ctx context.Context) error {
						<-begin
						if told {
							<-ctx.Done()
						}
						return c.err
					}, process.Options{})
					if err != nil {
						t.Fatal(err)
					}
					_, got := watch(t, ctx, system, pid)
					close(begin)
					if told {
						system.Exit(ctx, pid, messages.Shutdown)
					}
					checkNasty(t, reasonOf(t, got()), c.err, c.goexit)
				})
			})
		}
	}
}

func TestAServerEndsOnceWhateverTheMethodsOfItsErrorDo(t *testing.T) {
	for name, c := range nastyErrors {
		t.Run(name, func(t *testing.T) {
			inLoggingSystem(t, textHandler(), func(t *testing.T, ctx context.Context, system *process.System) {
				endsOnce(t, ctx, system, c.err, func(reason error) { checkNasty(t, reason, c.err, false) })
			})
		})
	}
}

func checkNasty(t *testing.T, reason error, err *nasty, goexit bool) {
	t.Helper()
	want := error(err)
	if goexit {
		want = messages.ErrGoexit
	}
	if reason != want {
		t.Errorf("it ended with a %T", reason)
	}
}

// endsOnce has a server return the error and checks that it ends, and that nobody starts it again.
func endsOnce(t *testing.T, ctx context.Context, system *process.System, err error, check func(reason error)) {
	t.Helper()
	inits, ends := 0, 0
	s := &server{
		init:      func(context.Context) error { inits++; return nil },
		handle:    func(context.Context, any) error { return err },
		terminate: func(context.Context, error) { ends++ },
	}
	pid := spawn(t, ctx, system, s, process.Options{Name: "x"})
	_, got := watch(t, ctx, system, pid)
	system.Send(ctx, pid, "go")
	if _, err := process.Call(ctx, system, pid, "and on"); err == nil {
		t.Error("a call was answered")
	}
	check(reasonOf(t, got()))
	if inits != 1 || ends != 1 {
		t.Errorf("%d inits and %d ends, want one of each", inits, ends)
	}
	spawn(t, ctx, system, &server{}, process.Options{Name: "x"})
}

// handlerFunc is a slog.Handler that does f.
type handlerFunc func()

func (handlerFunc) Enabled(context.Context, slog.Level) bool    { return true }
func (f handlerFunc) Handle(context.Context, slog.Record) error { f(); return nil }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f handlerFunc) WithGroup(string) slog.Handler             { return f }

func TestAServerEndsOnceWhateverTheLoggerDoes(t *testing.T) {
	boom := errors.New("boom")
	for name, handler := range map[string]handlerFunc{"panics": panics, "goexits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			inLoggingSystem(t, handler, func(t *testing.T, ctx context.Context, system *process.System) {
				endsOnce(t, ctx, system, boom, func(reason error) {
					if reason != boom {
						t.Errorf("it ended with %v, want boom", reason)
					}
				})
				pid := spawn(t, ctx, system, &server{handle: func(context.Context, any) error { runtime.Goexit(); return nil }}, process.Options{})
				if _, err := process.Call(ctx, system, pid, "go"); err != messages.ErrGoexit {
					t.Errorf("after a Goexit: %v", err)
				}
			})
		})
	}
}

func TestAPanicIsNoCleanEnd(t *testing.T) {
	for name, value := range map[string]error{
		"normal":   fmt.Errorf("wrapped: %w", messages.Normal),
		"shutdown": messages.Shutdown,
		"canceled": context.Canceled,
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			inLoggingSystem(t, slog.NewTextHandler(&log, nil), func(t *testing.T, ctx context.Context, system *process.System) {
				var linked messages.PID
				pid := spawn(t, ctx, system, &server{
					init: func(ctx context.Context) (err error) {
						linked, err = process.Spawn(ctx, system, &server{}, process.Options{Link: true})
						return err
					},
					handle: func(context.Context, any) error { panic(value) },
				}, process.Options{})
				system.Send(ctx, pid, "go")
				synctest.Wait()
				if system.Alive(linked) {
					t.Error("who was linked took it for a normal end (GS-31)")
				}
				if !strings.Contains(log.String(), "process ended") {
					t.Error("nothing was logged (GS-40)")
				}
				told, _ := process.SpawnFunc(ctx, system, func(ctx context.Context) error { <-ctx.Done(); panic(value) }, process.Options{})
				_, got := watch(t, ctx, system, told)
				system.Exit(ctx, told, messages.Shutdown)
				if _, ok := errors.AsType[*messages.PanicError](reasonOf(t, got())); !ok {
					t.Error("a function that was told to stop, and panicked, seems to have stopped")
				}
				stopped := spawn(t, ctx, system, &server{terminate: func(context.Context, error) { panic(value) }}, process.Options{})
				if err := process.Stop(ctx, system, stopped, value); err == nil {
					t.Error("Stop took the panic for the end it had asked for (GS-39)")
				}
			})
		})
	}
}

func TestAnEndBeforeTheDownOfNobodyWasSeen(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		release := make(chan struct{})
		pid := spawn(t, ctx, system, &server{handle: func(ctx context.Context, _ any) error {
			system.Monitor(ctx, messages.Name("nobody"))
			<-release
			return nil
		}}, process.Options{})
		system.Send(ctx, pid, "go")
		synctest.Wait()
		if !system.Kill(pid) {
			t.Error("Kill did nothing")
		}
		close(release)
	})
}

func TestTheStarterDoesNotWaitForADeadProcess(t *testing.T) {
	for name, end := range map[string]struct {
		how  func(ctx context.Context, system *process.System, pid messages.PID)
		want error
	}{
		"killed": {func(_ context.Context, s *process.System, pid messages.PID) { s.Kill(pid) }, messages.Killed},
		"the system was stopped": {func(ctx context.Context, s *process.System, _ messages.PID) {
			hurried, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := s.Stop(hurried); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Stop: %v", err)
			}
		}, messages.Killed},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				release, started := make(chan struct{}), make(chan error, 1)
				go func() {
					_, err := process.Spawn(ctx, system, &server{init: func(context.Context) error { <-release; return nil }}, process.Options{Name: "x"})
					started <- err
				}()
				synctest.Wait()
				pid, _ := system.Whereis("x")
				end.how(ctx, system, pid)
				synctest.Wait()
				select {
				case err := <-started:
					if !errors.Is(err, end.want) {
						t.Errorf("Spawn: %v, want %v", err, end.want)
					}
				default:
					t.Error("Spawn waits for an init that hangs in a dead process")
				}
				close(release)
			})
		})
	}
}

func TestAPIDIsHandedOutOnlyOfWhatLives(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(ctx context.Context, system *process.System, self messages.PID)
		want error
	}{
		"killed":  {func(_ context.Context, s *process.System, self messages.PID) { s.Kill(self) }, messages.Killed},
		"told to": {func(ctx context.Context, s *process.System, self messages.PID) { s.Exit(ctx, self, messages.Shutdown) }, messages.Shutdown},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				exits := 0
				var err error
				parent := spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
					if _, ok := message.(messages.Exit); ok {
						exits++
						return nil
					}
					_, err = process.Spawn(ctx, system, &server{init: func(ctx context.Context) error {
						self, _ := process.Self(ctx)
						c.end(context.Background(), system, self)
						return nil
					}}, process.Options{Name: "x", Link: true})
					return nil
				}}, process.Options{TrapExit: true})
				system.Send(ctx, parent, "go")
				synctest.Wait()
				if err != c.want || exits != 0 {
					t.Errorf("Spawn: %v, and %d exits; want %v and none (GS-02)", err, exits, c.want)
				}
				if _, ok := system.Whereis("x"); ok || system.Len() != 1 {
					t.Error("something is left of it")
				}
			})
		})
	}
}

// A child may end as soon as its init has returned, before its starter has linked it.
func TestTheEndOfEachChildIsHeardOnce(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		const children = 500
		ended := map[messages.PID]int{}
		parent := spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
			if exit, ok := message.(messages.Exit); ok {
				ended[exit.From]++
				return nil
			}
			for range children {
				_, err := process.Spawn(ctx, system, &server{
					init: func(ctx context.Context) error {
						self, _ := process.Self(ctx)
						system.Send(ctx, self, "end")
						return nil
					},
					handle: func(context.Context, any) error { return messages.Shutdown },
				}, process.Options{Link: true})
				if err != nil {
					t.Error(err)
				}
				self, err := process.SpawnFunc(ctx, system, func(context.Context) error { return nil }, process.Options{})
				if err != nil {
					t.Error(err)
				}
				process.Adopt(ctx, system, self, process.Place{})
			}
			return nil
		}}, process.Options{TrapExit: true})
		system.Send(ctx, parent, "go")
		synctest.Wait()
		for pid, times := range ended {
			if times != 1 {
				t.Errorf("%d exits from %v", times, pid)
			}
		}
		if len(ended) != 2*children {
			t.Errorf("%d children ended, want %d", len(ended), 2*children)
		}
	})
}

func TestWhoeverSawTheEndFindsNothingMore(t *testing.T) {
	system := process.NewSystem(process.Config{})
	ctx := t.Context()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				pid, err := process.Spawn(ctx, system, &server{handle: func(context.Context, any) error { return messages.Shutdown }}, process.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := process.Call(ctx, system, pid, "end"); err != messages.Shutdown {
					t.Errorf("a call that ends it: %v", err)
				}
				if _, err := process.Call(ctx, system, pid, "again"); err != messages.NoProc {
					t.Errorf("a call after its end: %v, want NoProc (GS-12)", err)
				}
			}
		})
	}
	all.Wait()
	if n := system.Len(); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if err := system.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestWhatLooksLikeASignalIsAMessage(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		child, got := watch(t, ctx, system, nil)
		forged := []any{messages.Exit{}, messages.Exit{Reason: messages.Killed}, messages.Exit{From: child, Reason: messages.Killed}, messages.Down{PID: child}}
		for _, message := range forged {
			system.Send(ctx, child, message)
		}
		if all := got(); fmt.Sprint(all) != fmt.Sprint(forged) || !system.Alive(child) {
			t.Errorf("got %v, want %v", all, forged)
		}
	})
}

func TestAForgedDownDoesNotHideTheTrueOne(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		target := spawn(t, ctx, system, &server{}, process.Options{})
		watcher, got := watch(t, ctx, system, target)
		for ref := range messages.Ref(10) {
			system.Send(ctx, watcher, messages.Down{Ref: ref + 1, PID: target, Reason: messages.Normal})
		}
		before := len(got())
		system.Kill(target)
		all := got()
		if before != 9 || len(all) != 10 || all[9].(messages.Down).Reason != messages.Killed {
			t.Errorf("got %v", all)
		}
	})
}

func TestAnEndWithoutAReasonIsNormal(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		for name, end := range map[string]func(pid messages.PID){
			"Exit": func(pid messages.PID) { system.Exit(ctx, pid, nil) },
			"Stop": func(pid messages.PID) {
				if err := process.Stop(ctx, system, pid, nil); err != nil {
					t.Errorf("Stop: %v", err)
				}
			},
		} {
			for _, trap := range []bool{false, true} {
				pid := spawn(t, ctx, system, &server{}, process.Options{TrapExit: trap})
				_, got := watch(t, ctx, system, pid)
				end(pid)
				if r := reasonOf(t, got()); r != messages.Normal {
					t.Errorf("%s, trapping %v: %v, want normal", name, trap, r)
				}
			}
		}
	})
}
