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

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a process made of functions; what is nil does nothing.
type server struct {
	init      func(ctx context.Context) error
	handle    func(ctx context.Context, message any) error
	terminate func(ctx context.Context, reason error)
}

func (s *server) Init(ctx context.Context) error {
	if s.init == nil {
		return nil
	}
	return s.init(ctx)
}

func (s *server) Handle(ctx context.Context, message any) error {
	if s.handle == nil {
		return nil
	}
	return s.handle(ctx, message)
}

func (s *server) Terminate(ctx context.Context, reason error) {
	if s.terminate != nil {
		s.terminate(ctx, reason)
	}
}

// inSystem runs the test in a bubble with a system that is stopped at the end.
func inSystem(t *testing.T, test func(t *testing.T, ctx context.Context, system *process.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		system := process.NewSystem(process.Config{})
		test(t, t.Context(), system)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := system.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		synctest.Wait()
		if n := system.Len(); n != 0 {
			t.Errorf("%d processes live after Stop", n)
		}
	})
}

func spawn(t *testing.T, ctx context.Context, system *process.System, s *server, options process.Options) messages.PID {
	t.Helper()
	pid, err := process.Spawn(ctx, system, s, options)
	if err != nil {
		t.Fatalf("Spawn: %v", err)
	}
	return pid
}

// watch starts a process that monitors the target, if there is one, and gives all that it is sent.
func watch(t *testing.T, ctx context.Context, system *process.System, target messages.Target) (messages.PID, func() []any) {
	t.Helper()
	var mu sync.Mutex
	var got []any
	pid := spawn(t, ctx, system, &server{
		init: func(ctx context.Context) error {
			if target != nil {
				system.Monitor(ctx, target)
			}
			return nil
		},
		handle: func(_ context.Context, message any) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, message)
			return nil
		},
	}, process.Options{TrapExit: true})
	return pid, func() []any {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return append([]any(nil), got...)
	}
}

func reasonOf(t *testing.T, got []any) error {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("got %d messages %v, want one Down", len(got), got)
	}
	down, ok := got[0].(messages.Down)
	if !ok {
		t.Fatalf("got %T, want Down", got[0])
	}
	return down.Reason
}

func TestSpawnWaitsForInit(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		initialised := false
		spawn(t, ctx, system, &server{init: func(context.Context) error {
			time.Sleep(time.Minute)
			initialised = true
			return nil
		}}, process.Options{})
		if !initialised {
			t.Error("Spawn returned before init did")
		}
	})
}

func TestFailedInitLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		init func(context.Context) error
		want error
	}{
		"error":  {func(context.Context) error { return boom }, boom},
		"panic":  {func(context.Context) error { panic(boom) }, boom},
		"goexit": {func(context.Context) error { runtime.Goexit(); return nil }, messages.ErrGoexit},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				terminated := false
				failing := &server{init: c.init, terminate: func(context.Context, error) { terminated = true }}
				if _, err := process.Spawn(ctx, system, failing, process.Options{Name: "x"}); !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if _, ok := system.Whereis("x"); ok || system.Len() != 0 {
					t.Error("something is left of the failed process")
				}
				spawn(t, ctx, system, &server{}, process.Options{Name: "x"})
				if terminated {
					t.Error("Terminate ran after a failed init")
				}
			})
		})
	}
}

func TestSpawnGivesUpWhenItsContextEnds(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		hurried, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		stopped := make(chan struct{})
		_, err := process.Spawn(hurried, system, &server{init: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // late all the same
			close(stopped)
			return nil
		}}, process.Options{Name: "x"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the deadline", err)
		}
		if _, ok := system.Whereis("x"); ok {
			t.Error("the name is still taken")
		}
		if n := system.Abandoned(); n != 1 {
			t.Errorf("Abandoned is %d while the init still runs, want 1", n)
		}
		<-stopped
		synctest.Wait()
		if n := system.Abandoned(); n != 0 {
			t.Errorf("Abandoned is %d after the init has returned, want 0", n)
		}
	})
}

func TestNameIsTakenBeforeInitAndOnce(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		var seen messages.PID
		holder := spawn(t, ctx, system, &server{init: func(context.Context) error {
			seen, _ = system.Whereis("x")
			return nil
		}}, process.Options{Name: "x"})
		if seen != holder {
			t.Errorf("in init the name is held by %v, want %v", seen, holder)
		}
		_, err := process.Spawn(ctx, system, &server{}, process.Options{Name: "x"})
		var taken *process.NameTakenError
		if !errors.As(err, &taken) || taken.Holder != holder {
			t.Errorf("got %v, want a NameTakenError with %v", err, holder)
		}
	})
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		pid, got := watch(t, ctx, system, nil)
		for i := range 1000 {
			system.Send(ctx, pid, i)
		}
		all := got()
		for i, message := range all {
			if message != i {
				t.Fatalf("message %d is %v", i, message)
			}
		}
		if len(all) != 1000 {
			t.Errorf("got %d messages, want 1000", len(all))
		}
	})
}

func TestDownNeverOvertakesAMessage(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		const runs = 500
		sent := map[messages.PID]bool{}
		downs := 0
		watcher := spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
			self, _ := process.Self(ctx)
			switch m := message.(type) {
			case string:
				for range runs {
					begin := make(chan struct{})
					pid, _ := process.SpawnFunc(ctx, system, func(ctx context.Context) error {
						<-begin
						me, _ := process.Self(ctx)
						system.Send(ctx, self, me)
						return nil
					}, process.Options{})
					system.Monitor(ctx, pid)
					close(begin)
				}
			case messages.PID:
				sent[m] = true
			case messages.Down:
				downs++
				if !sent[m.PID] {
					t.Error("a Down came before the message")
				}
			}
			return nil
		}}, process.Options{})
		system.Send(ctx, watcher, "go")
		synctest.Wait()
		if downs != runs {
			t.Errorf("%d Downs, want %d", downs, runs)
		}
	})
}

func TestReasons(t *testing.T) {
	boom := errors.New("boom")
	is := func(want error) func(error) bool { return func(r error) bool { return r == want } }
	for name, c := range map[string]struct {
		handle func() error
		check  func(error) bool
	}{
		"normal":   {func() error { return messages.Normal }, is(messages.Normal)},
		"shutdown": {func() error { return messages.Shutdown }, is(messages.Shutdown)},
		"shutdown with a value": {func() error { return &messages.ShutdownWith{Value: 7} }, func(r error) bool {
			var s *messages.ShutdownWith
			return errors.As(r, &s) && s.Value == 7 && errors.Is(r, messages.Shutdown)
		}},
		"error": {func() error { return boom }, is(boom)},
		"panic": {func() error { panic("ouch") }, func(r error) bool {
			var p *messages.PanicError
			return errors.As(r, &p) && p.Value == "ouch" && len(p.Stack) > 0
		}},
		"goexit": {func() error { runtime.Goexit(); return nil }, is(messages.ErrGoexit)},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				pid := spawn(t, ctx, system, &server{handle: func(context.Context, any) error { return c.handle() }}, process.Options{})
				_, got := watch(t, ctx, system, pid)
				system.Send(ctx, pid, "go")
				if r := reasonOf(t, got()); !c.check(r) {
					t.Errorf("Down says %v", r)
				}
				if system.Alive(pid) {
					t.Error("still alive")
				}
			})
		})
	}
}

func TestFunctionReasons(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		f    func(context.Context) error
		want error
	}{
		"nil":    {func(context.Context) error { return nil }, messages.Normal},
		"error":  {func(context.Context) error { return boom }, boom},
		"panic":  {func(context.Context) error { panic(boom) }, boom},
		"goexit": {func(context.Context) error { runtime.Goexit(); return nil }, messages.ErrGoexit},
		"told":   {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, messages.Shutdown},
	} {
		t.Run(name, func(t *testing.T) {
			inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
				begin := make(chan struct{})
				pid, err := process.SpawnFunc(ctx, system, func(ctx context.Context) error { <-begin; return c.f(ctx) }, process.Options{})
				if err != nil {
					t.Fatal(err)
				}
				_, got := watch(t, ctx, system, pid)
				close(begin)
				if name == "told" {
					system.Exit(ctx, pid, messages.Shutdown)
				}
				if r := reasonOf(t, got()); !errors.Is(r, c.want) {
					t.Errorf("Down says %v, want %v", r, c.want)
				}
			})
		})
	}
}

func TestMonitorOfNobody(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		for _, target := range []messages.Target{messages.PID{Node: "elsewhere", ID: 1}, messages.Name("nobody"), messages.PID{}} {
			_, got := watch(t, ctx, system, target)
			if r := reasonOf(t, got()); r != messages.NoProc {
				t.Errorf("monitor of %v: %v, want NoProc", target, r)
			}
		}
		if ref := system.Monitor(ctx, messages.Name("nobody")); ref != 0 {
			t.Errorf("a monitor outside of a process has ref %d, want 0", ref)
		}
	})
}

func TestDemonitorFlushes(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		target := spawn(t, ctx, system, &server{}, process.Options{})
		downs := 0
		watcher := spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
			switch message.(type) {
			case messages.Down:
				downs++
			case string:
				ref := system.Monitor(ctx, target)
				system.Kill(target) // its Down is queued now
				system.Demonitor(ctx, ref)
			}
			return nil
		}}, process.Options{})
		system.Send(ctx, watcher, "go")
		synctest.Wait()
		if downs != 0 {
			t.Errorf("got %d Downs after Demonitor", downs)
		}
	})
}

func TestKillDeclaresAHangingProcessDead(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		release := make(chan struct{})
		terminated := false
		pid := spawn(t, ctx, system, &server{
			handle:    func(context.Context, any) error { <-release; return nil },
			terminate: func(context.Context, error) { terminated = true },
		}, process.Options{Name: "x"})
		_, got := watch(t, ctx, system, pid)
		system.Send(ctx, pid, "hang")
		synctest.Wait()
		if !system.Kill(pid) {
			t.Fatal("Kill did nothing")
		}
		if r := reasonOf(t, got()); r != messages.Killed {
			t.Errorf("Down says %v, want killed", r)
		}
		if _, ok := system.Whereis("x"); ok {
			t.Error("the name is not free")
		}
		if n := system.Abandoned(); n != 1 {
			t.Errorf("Abandoned is %d, want 1", n)
		}
		close(release)
		synctest.Wait()
		if n := system.Abandoned(); n != 0 {
			t.Errorf("Abandoned is %d after the callback returned, want 0", n)
		}
		if terminated || system.Kill(pid) {
			t.Error("the dead process went on")
		}
	})
}

func TestWhatADeadProcessSendsIsDropped(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		release := make(chan messages.PID)
		pid, _ := process.SpawnFunc(ctx, system, func(ctx context.Context) error {
			system.Send(ctx, <-release, "late")
			return nil
		}, process.Options{})
		to, got := watch(t, ctx, system, pid)
		system.Kill(pid)
		release <- to
		if r := reasonOf(t, got()); r != messages.Killed {
			t.Errorf("Down says %v, want killed", r)
		}
		if n := system.Abandoned(); n != 0 {
			t.Errorf("Abandoned is %d, want 0", n)
		}
	})
}

func TestCalls(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		boom := errors.New("boom")
		later := make(chan process.From, 1)
		pid := spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
			request, ok := message.(*process.Request)
			if !ok {
				return nil
			}
			switch request.Message {
			case "echo":
				request.From.Reply("echo", nil)
				request.From.Reply("twice", nil)
			case "fail":
				request.From.Reply(nil, boom)
			case "later":
				later <- request.From
			case "self":
				self, _ := process.Self(ctx)
				request.From.Reply(process.Call(ctx, system, self, "echo"))
			case "die":
				return boom
			}
			return nil
		}}, process.Options{Name: "server"})
		if v, err := process.Call(ctx, system, messages.Name("server"), "echo"); v != "echo" || err != nil {
			t.Errorf("echo: %v, %v", v, err)
		}
		if _, err := process.Call(ctx, system, pid, "fail"); err != boom {
			t.Errorf("fail: %v", err)
		}
		if _, err := process.Call(ctx, system, pid, "self"); !errors.Is(err, process.ErrCallingSelf) {
			t.Errorf("self: %v", err)
		}
		hurried, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := process.Call(hurried, system, pid, "later"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("later: %v", err)
		}
		(<-later).Reply("too late", nil)
		if _, err := process.Call(ctx, system, pid, "die"); err != boom {
			t.Errorf("die: %v", err)
		}
		if _, err := process.Call(ctx, system, pid, "echo"); err != messages.NoProc {
			t.Errorf("dead: %v", err)
		}
	})
}

func TestStopProcessHandlesTheQueueFirst(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		var log []string
		pid := spawn(t, ctx, system, &server{
			handle: func(_ context.Context, message any) error {
				time.Sleep(time.Second)
				log = append(log, fmt.Sprint(message))
				return nil
			},
			terminate: func(_ context.Context, reason error) { log = append(log, reason.Error()) },
		}, process.Options{})
		system.Send(ctx, pid, 1)
		system.Send(ctx, pid, 2)
		if err := process.Stop(ctx, system, pid, messages.Normal); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(log); got != "[1 2 normal]" {
			t.Errorf("got %s", got)
		}
		if err := process.Stop(ctx, system, pid, messages.Normal); err != messages.NoProc {
			t.Errorf("second stop: %v, want NoProc", err)
		}
	})
}

func TestExitSignals(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		terminated := false
		plain := spawn(t, ctx, system, &server{terminate: func(context.Context, error) { terminated = true }}, process.Options{})
		sender := spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
			system.Exit(ctx, plain, message.(error))
			return nil
		}}, process.Options{})
		system.Send(ctx, sender, messages.Normal)
		synctest.Wait()
		if !system.Alive(plain) {
			t.Fatal("a normal exit signal killed (GS-31)")
		}
		_, got := watch(t, ctx, system, plain)
		system.Send(ctx, sender, messages.Shutdown)
		if r := reasonOf(t, got()); r != messages.Shutdown || terminated {
			t.Errorf("reason %v, terminated %v; want shutdown without terminate (GS-28)", r, terminated)
		}
	})
}

func TestTheEndOfAParentReachesItsChildren(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		boom := errors.New("boom")
		var child, function messages.PID
		parent := spawn(t, ctx, system, &server{
			init: func(ctx context.Context) (err error) {
				child, err = process.Spawn(ctx, system, &server{}, process.Options{Link: true})
				if err == nil {
					function, err = process.SpawnFunc(ctx, system, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, process.Options{Link: true})
				}
				return err
			},
			handle: func(context.Context, any) error { return boom },
		}, process.Options{})
		_, gotChild := watch(t, ctx, system, child)
		_, gotFunction := watch(t, ctx, system, function)
		system.Send(ctx, parent, "die")
		if r := reasonOf(t, gotChild()); r != boom {
			t.Errorf("child: %v, want boom", r)
		}
		if r := reasonOf(t, gotFunction()); r != boom {
			t.Errorf("function: %v, want boom", r)
		}
	})
}

func TestATrappingParentGetsExit(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		exits := make(chan messages.Exit, 1)
		spawn(t, ctx, system, &server{
			init: func(ctx context.Context) error {
				_, err := process.SpawnFunc(ctx, system, func(context.Context) error { return nil }, process.Options{Link: true})
				return err
			},
			handle: func(_ context.Context, message any) error {
				if exit, ok := message.(messages.Exit); ok {
					exits <- exit
				}
				return nil
			},
		}, process.Options{TrapExit: true})
		if exit := <-exits; exit.Reason != messages.Normal {
			t.Errorf("got %v", exit)
		}
	})
}

func TestStopOfTheSystemKillsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := process.NewSystem(process.Config{})
		release := make(chan struct{})
		pid, _ := process.Spawn(t.Context(), system, &server{handle: func(context.Context, any) error { <-release; return nil }}, process.Options{})
		system.Send(t.Context(), pid, "hang")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := system.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v, want the deadline", err)
		}
		if err := system.Stop(ctx); err != nil {
			t.Errorf("second Stop: %v", err)
		}
		if _, err := process.Spawn(t.Context(), system, &server{}, process.Options{}); !errors.Is(err, process.ErrStopped) {
			t.Errorf("Spawn after Stop: %v", err)
		}
		close(release)
		synctest.Wait()
		if n := system.Abandoned(); n != 0 {
			t.Errorf("Abandoned is %d", n)
		}
	})
}

// While the system stops, a process whose turn has not come may still start its own children, as a supervisor must; they are
// stopped with it. Nobody else starts anything.
func TestAParentStartsChildrenUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, system := t.Context(), process.NewSystem(process.Config{})
		linked, unlinked := errors.New("not tried"), error(nil)
		var child messages.PID
		parent := spawn(t, ctx, system, &server{handle: func(ctx context.Context, _ any) error {
			child, linked = process.Spawn(ctx, system, &server{}, process.Options{Link: true})
			_, unlinked = process.SpawnFunc(ctx, system, func(context.Context) error { return nil }, process.Options{})
			return nil
		}}, process.Options{TrapExit: true})
		spawn(t, ctx, system, &server{terminate: func(ctx context.Context, _ error) { // newer, so it is stopped first
			system.Send(ctx, parent, "start a child")
			synctest.Wait()
			if linked != nil || !system.Alive(child) || !errors.Is(unlinked, process.ErrStopped) {
				t.Errorf("its child: %v, anybody else: %v", linked, unlinked)
			}
		}}, process.Options{TrapExit: true})
		if err := system.Stop(ctx); err != nil || system.Len() != 0 {
			t.Errorf("Stop: %v; %d are left", err, system.Len())
		}
	})
}

func TestTimers(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		pid, got := watch(t, ctx, system, nil)
		system.SendAfter(time.Second, pid, "tick")
		stop := system.SendAfter(time.Second, pid, "never")
		if !stop() {
			t.Error("the timer could not be stopped")
		}
		time.Sleep(2 * time.Second)
		if all := got(); len(all) != 1 || all[0] != "tick" {
			t.Errorf("got %v, want one tick", all)
		}
	})
}
