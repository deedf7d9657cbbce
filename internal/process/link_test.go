package process_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// linker links itself with each PID that it is sent, and keeps the exits that it gets.
func linker(t *testing.T, ctx context.Context, system *process.System) (messages.PID, *[]messages.Exit) {
	t.Helper()
	exits := &[]messages.Exit{}
	return spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
		switch m := message.(type) {
		case messages.PID:
			process.Adopt(ctx, system, m, process.Place{})
		case messages.Exit:
			*exits = append(*exits, m)
		case error:
			return m
		}
		return nil
	}}, process.Options{TrapExit: true}), exits
}

func TestLinkMakesAChild(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		parent, exits := linker(t, ctx, system)
		a := spawn(t, ctx, system, &server{}, process.Options{})
		b := spawn(t, ctx, system, &server{}, process.Options{TrapExit: true})
		for _, pid := range []messages.PID{a, a, b} {
			system.Send(ctx, parent, pid)
		}
		synctest.Wait()
		system.Kill(a)
		synctest.Wait()
		if len(*exits) != 1 || (*exits)[0] != (messages.Exit{From: a, Reason: messages.Killed}) {
			t.Errorf("the parent got %v, want one exit", *exits)
		}
		_, got := watch(t, ctx, system, b)
		system.Send(ctx, parent, messages.Shutdown)
		if r := reasonOf(t, got()); r != messages.Shutdown {
			t.Errorf("the child ended with %v, want the reason of its parent", r)
		}
	})
}

// Whoever adopts a process that was its child and is just ending hears of the end again, however little of the process is left.
func TestAdoptOfAChildThatIsJustEnding(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		for range 300 {
			exits := 0
			parent := spawn(t, ctx, system, &server{handle: func(ctx context.Context, message any) error {
				switch m := message.(type) {
				case messages.PID:
					process.Adopt(ctx, system, m, process.Place{})
				case messages.Exit:
					if exits++; exits < 3 {
						process.Adopt(ctx, system, m.From, process.Place{})
					}
				}
				return nil
			}}, process.Options{TrapExit: true})
			child := spawn(t, ctx, system, &server{}, process.Options{})
			system.Send(ctx, parent, child)
			synctest.Wait()
			system.Kill(child)
			synctest.Wait()
			if exits != 3 {
				t.Fatalf("%d exits, want one for each time that it was adopted, 3", exits)
			}
		}
	})
}

func TestLinkWithNobody(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		parent, exits := linker(t, ctx, system)
		for _, pid := range []messages.PID{{Node: "elsewhere", ID: 1}, parent} {
			system.Send(ctx, parent, pid)
			synctest.Wait()
		}
		if len(*exits) != 1 || (*exits)[0].Reason != error(messages.NoProc) {
			t.Errorf("got %v, want one exit with NoProc", *exits)
		}
		process.Adopt(ctx, system, parent, process.Place{}) // from outside: nothing
	})
}

func TestALinkBeforeStays(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		boom := errors.New("boom")
		first, firstExits := linker(t, ctx, system)
		second, secondExits := linker(t, ctx, system)
		child := spawn(t, ctx, system, &server{handle: func(context.Context, any) error { return boom }}, process.Options{})
		system.Send(ctx, first, child)
		synctest.Wait()
		system.Send(ctx, second, child)
		synctest.Wait()
		system.Send(ctx, child, "end")
		synctest.Wait()
		for name, exits := range map[string][]messages.Exit{"first": *firstExits, "second": *secondExits} {
			if len(exits) != 1 || exits[0].Reason != boom {
				t.Errorf("the %s got %v, want one exit with boom", name, exits)
			}
		}
	})
}

// The system stops a process that belongs to nobody itself, also if somebody adopts it before it has heard of that.
func TestStopReachesAProcessThatIsAdoptedMeanwhile(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		parent, _ := linker(t, ctx, system)
		child := spawn(t, ctx, system, &server{handle: func(context.Context, any) error { time.Sleep(time.Minute); return nil }},
			process.Options{TrapExit: true})
		system.Send(ctx, child, "be busy")
		system.SendAfter(time.Second, parent, child)
		began := time.Now()
		bounded, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		if err := system.Stop(bounded); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("Stop took %s, want a minute", took)
		}
	})
}

func TestProcessesThatAreEachOthersChildrenAreStopped(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		a, _ := linker(t, ctx, system)
		b, _ := linker(t, ctx, system)
		system.Send(ctx, a, b)
		system.Send(ctx, b, a)
		synctest.Wait()
	})
}

// TestALinkIsToldBeforeAMonitor: who is both linked to a process and monitors it ends before it sees the Down (TK-05); one that
// traps exits gets the Exit first.
func TestALinkIsToldBeforeAMonitor(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		for i := range 300 {
			target := spawn(t, ctx, system, &server{}, process.Options{})
			var got []any
			pid := spawn(t, ctx, system, &server{
				init: func(ctx context.Context) error {
					system.Link(ctx, target)
					system.Monitor(ctx, target)
					return nil
				},
				handle: func(_ context.Context, message any) error { got = append(got, message); return nil },
			}, process.Options{TrapExit: i%2 == 0})
			system.Kill(target)
			synctest.Wait()
			if i%2 == 1 && (len(got) != 0 || system.Alive(pid)) {
				t.Fatalf("it lives: %v, and saw %v", system.Alive(pid), got)
			}
			if i%2 == 0 {
				if _, ok := got[0].(messages.Exit); !ok || len(got) != 2 {
					t.Fatalf("got %v, want an Exit and then a Down", got)
				}
			}
		}
	})
}

// lateInit fails after its init, when it is told to.
type lateInit struct{ server }

func (l *lateInit) AfterInit(ctx context.Context) error {
	<-ctx.Done()
	return errors.New("after init")
}

// TestASignalDuringACallbackIsTheReason: it ends the process with its own reason, whatever the callback makes of it, and
// without Terminate (GS-28). Only a panic is told in its place, as for a function: it must not look like a clean end.
func TestASignalDuringACallbackIsTheReason(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		for name, answer := range map[string]func(ctx context.Context) error{
			"nil":     func(context.Context) error { return nil },
			"wrapped": func(ctx context.Context) error { return errors.Join(errors.New("reading"), ctx.Err()) },
			"normal":  func(context.Context) error { return messages.Normal },
		} {
			var terminated error
			pid := spawn(t, ctx, system, &server{
				handle:    func(ctx context.Context, _ any) error { <-ctx.Done(); return answer(ctx) },
				terminate: func(_ context.Context, reason error) { terminated = reason },
			}, process.Options{})
			_, got := watch(t, ctx, system, pid)
			system.Send(ctx, pid, "work")
			synctest.Wait()
			system.Exit(ctx, pid, messages.Shutdown)
			r := reasonOf(t, got())
			_, panicked := errors.AsType[*messages.PanicError](r)
			if panicked != (name == "panic") || !panicked && r != messages.Shutdown || terminated != nil {
				t.Errorf("%s: it ended with %v, Terminate with %v", name, r, terminated)
			}
		}
		late := &lateInit{}
		late.terminate = func(_ context.Context, reason error) { t.Errorf("Terminate with %v", reason) }
		pid, err := process.Spawn(ctx, system, late, process.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, got := watch(t, ctx, system, pid)
		system.Exit(ctx, pid, messages.Shutdown)
		if r := reasonOf(t, got()); r != messages.Shutdown {
			t.Errorf("after init: it ended with %v", r)
		}
	})
}

// TestAfterComesWhenAllHaveBeenTold: Options.After finds the process gone from the records and its parent told, so that who
// waits for it comes behind.
func TestAfterComesWhenAllHaveBeenTold(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		parent, exits := linker(t, ctx, system)
		var ended error
		pid, err := process.SpawnFunc(ctx, system, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, process.Options{
			After: func(reason error) {
				ended = reason
				if n := system.Len(); n != 1 {
					t.Errorf("%d processes, want the parent alone", n)
				}
				synctest.Wait()
				if len(*exits) != 1 {
					t.Errorf("the parent was not told")
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		system.Send(ctx, parent, pid)
		synctest.Wait()
		system.Exit(ctx, pid, messages.Shutdown)
		<-system.Done(pid)
		if ended != error(messages.Shutdown) {
			t.Errorf("ended with %v", ended)
		}
	})
}
