package process_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// drain gives what is in a trace now, and whether it is closed.
func drain(events <-chan process.TraceEvent) (list []process.TraceEvent, closed bool) {
	synctest.Wait()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return list, true
			}
			list = append(list, e)
		default:
			return list, false
		}
	}
}

func told(list []process.TraceEvent) string {
	var texts []string
	for _, e := range list {
		text := e.What
		if e.Message != nil {
			text += fmt.Sprint(" ", e.Message)
		}
		if e.Lost > 0 {
			text += fmt.Sprintf(" after %d lost", e.Lost)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

func trace(t *testing.T, ctx context.Context, system *process.System, target messages.Target, buffer int) <-chan process.TraceEvent {
	t.Helper()
	events, err := system.Trace(ctx, target, buffer)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// echo answers calls, passes on what it is sent to the process to, and ends with an error that it is sent.
func echo(system *process.System, to messages.PID) *server {
	return &server{handle: func(ctx context.Context, message any) error {
		switch m := message.(type) {
		case *process.Request:
			m.From.Reply(m.Message, nil)
		case error:
			return m
		default:
			system.Send(ctx, to, m)
		}
		return nil
	}}
}

func TestTrace(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		to, _ := watch(t, ctx, system, nil)
		pid := spawn(t, ctx, system, echo(system, to), process.Options{Name: "x"})
		system.Send(ctx, pid, "before")
		synctest.Wait()
		events := trace(t, ctx, system, messages.Name("x"), 0)
		system.Send(ctx, pid, 7)
		time.Sleep(time.Minute)
		system.Send(ctx, pid, errBoom)
		list, closed := drain(events)
		if got := told(list); got != "received 7, sent 7, received boom, ended" || !closed {
			t.Fatalf("got %s, closed %v", got, closed)
		}
		received, sent, ended := list[0], list[1], list[3]
		if received.PID != pid || received.Callback != "Handle" || received.At.IsZero() || ended.At.Sub(received.At) != time.Minute {
			t.Errorf("received: %+v", received)
		}
		if sent.Peer != messages.Target(to) || sent.PID != pid {
			t.Errorf("sent: %+v", sent)
		}
		if ended.Reason != errBoom {
			t.Errorf("ended: %+v", ended)
		}
		if _, err := system.Trace(ctx, pid, 0); err != messages.NoProc {
			t.Errorf("a trace of the dead: %v", err)
		}
	})
}

func TestOneObserverAtATime(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		pid := spawn(t, ctx, system, &server{}, process.Options{})
		watching, leave := context.WithCancel(ctx)
		first := trace(t, watching, system, pid, 10)
		if _, err := system.Trace(ctx, pid, 10); err != process.ErrTraced {
			t.Errorf("a second observer: %v", err)
		}
		system.Send(ctx, pid, 1)
		synctest.Wait()
		leave()
		synctest.Wait()
		system.Send(ctx, pid, 2)
		if list, closed := drain(first); told(list) != "received 1" || !closed {
			t.Errorf("the first got %s, closed %v", told(list), closed)
		}
		second := trace(t, ctx, system, pid, 10)
		system.Send(ctx, pid, 3)
		if list, closed := drain(second); told(list) != "received 3" || closed {
			t.Errorf("the second got %s, closed %v", told(list), closed)
		}
		left, gone := context.WithCancel(ctx)
		gone()
		other := spawn(t, ctx, system, &server{}, process.Options{})
		if list, closed := drain(trace(t, left, system, other, 10)); len(list) != 0 || !closed {
			t.Errorf("an observer who has left got %s, closed %v", told(list), closed)
		}
		trace(t, ctx, system, other, 10)
	})
}

func TestATraceThatNobodyReads(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		pid := spawn(t, ctx, system, echo(system, messages.PID{}), process.Options{})
		events := trace(t, ctx, system, pid, 2)
		send := func(from, to int) {
			for i := from; i <= to; i++ {
				if _, err := process.Call(ctx, system, pid, i); err != nil { // it does not wait for its observer
					t.Error(err)
				}
			}
			synctest.Wait()
		}
		message := func(list []process.TraceEvent) string {
			for i := range list {
				if r, ok := list[i].Message.(*process.Request); ok {
					list[i].Message = r.Message
				}
			}
			return told(list)
		}
		send(1, 5)
		list, _ := drain(events)
		if got := message(list); got != "received 1, received 2" {
			t.Errorf("got %s", got)
		}
		send(6, 9)
		system.Send(ctx, pid, errBoom)
		list, closed := drain(events)
		if got := message(list); got != "received 6 after 3 lost, received 7, ended after 3 lost" || !closed {
			t.Errorf("got %s, closed %v; the end is never lost", got, closed)
		}
	})
}

func TestTheTraceOfAFunctionAndOfAKilledProcess(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		to, _ := watch(t, ctx, system, nil)
		begin := make(chan struct{})
		f, err := process.SpawnFunc(ctx, system, func(ctx context.Context) error { <-begin; system.Send(ctx, to, "hi"); return nil }, process.Options{})
		if err != nil {
			t.Fatal(err)
		}
		events := trace(t, ctx, system, f, 10)
		close(begin)
		if list, closed := drain(events); told(list) != "sent hi, ended" || !closed || list[1].Reason != error(messages.Normal) {
			t.Errorf("a function: %s", told(list))
		}
		release := make(chan struct{})
		hung := spawn(t, ctx, system, &server{handle: func(ctx context.Context, _ any) error { <-release; system.Send(ctx, to, "late"); return nil }}, process.Options{})
		events = trace(t, ctx, system, hung, 10)
		system.Send(ctx, hung, "hang")
		synctest.Wait()
		system.Kill(hung)
		close(release)
		if list, closed := drain(events); told(list) != "received hang, ended" || !closed || list[1].Reason != error(messages.Killed) {
			t.Errorf("a killed one: %s", told(list))
		}
	})
}

func TestATraceKeepsTheOrderOverASuspend(t *testing.T) {
	inSystem(t, func(t *testing.T, ctx context.Context, system *process.System) {
		pid := spawn(t, ctx, system, &server{}, process.Options{})
		events := trace(t, ctx, system, pid, 1<<62) // as much as may be
		if err := system.Suspend(ctx, pid); err != nil {
			t.Fatal(err)
		}
		system.Send(ctx, pid, 1)
		system.Send(ctx, pid, 2)
		if list, _ := drain(events); len(list) != 0 {
			t.Errorf("while it is suspended: %s", told(list))
		}
		if err := system.Resume(ctx, pid); err != nil {
			t.Fatal(err)
		}
		if list, _ := drain(events); told(list) != "received 1, received 2" {
			t.Errorf("afterwards: %s", told(list))
		}
	})
}
