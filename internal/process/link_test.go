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
