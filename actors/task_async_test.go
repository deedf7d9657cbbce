package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestTK01_AsyncGivesAHandle: who starts a task gets a handle with its PID, Ref, owner and function, is linked to it, and monitors it.
//
// Adapted: the function is seen with System.Info by its PID; an owner without a mailbox has no monitor and Ref 0, and
// outside of all processes there is no owner and no link.
func TestTK01_AsyncGivesAHandle(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, under := range r.starters() {
			linked, unlinked := o.start(under, waiting), o.startNoLink(under, waiting)
			for _, task := range []*actors.Task[int]{linked, unlinked} {
				info, ok := r.system.Info(task.PID())
				if !ok || task.Owner() != o.pid || !strings.HasSuffix(info.What, "actors_test.waiting") {
					r.Errorf("%s: owner %s, want %s; %+v", name, task.Owner(), o.pid, info)
				}
				if (task.Ref() != 0) != o.server || (info.MonitoredBy == 1) != o.server {
					r.Errorf("%s: ref %d, monitored by %d", name, task.Ref(), info.MonitoredBy)
				}
				if isLinked := slices.Contains(info.Links, o.pid); isLinked != (task == linked && !o.pid.IsZero()) {
					r.Errorf("%s: linked to its owner: %v", name, isLinked)
				}
			}
			r.expect("stop", o.ask(linked, shuttingDown(0)), outcome{})
			r.expect("stop", o.ask(unlinked, shuttingDown(0)), outcome{})
		}
	})
	t.Run("what is wrong is an error and starts nothing", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			for want, start := range map[string]func() (*actors.Task[int], error){
				"func is nil":  func() (*actors.Task[int], error) { return actors.Async[int](r.ctx, r.tasks, nil) },
				"under is nil": func() (*actors.Task[int], error) { return actors.Async(r.ctx, nil, waiting) },
				"TaskOption 2 of 2": func() (*actors.Task[int], error) {
					return actors.Async(r.ctx, r.tasks, waiting, actors.WithShutdown(1), nil)
				},
				"WithShutdown is -3": func() (*actors.Task[int], error) {
					return actors.Async(r.ctx, r.tasks, waiting, actors.WithShutdown(-3))
				},
				"WithRestart is 7": func() (*actors.Task[int], error) { return actors.Async(r.ctx, r.tasks, waiting, actors.WithRestart(7)) },
				"WithRestart is permanent": func() (*actors.Task[int], error) {
					return actors.AsyncNoLink(r.ctx, actors.Unsupervised(r.system), waiting, actors.WithRestart(supervisor.Permanent))
				},
			} {
				if task, err := start(); task != nil || err == nil || !strings.Contains(err.Error(), want) {
					r.Errorf("got %v, %v; want an error with %q", task, err, want)
				}
			}
			ended, cancel := context.WithCancelCause(r.ctx)
			cancel(errBoom)
			for name, under := range r.starters() {
				if task, err := actors.Async(ended, under, waiting); task != nil || !errors.Is(err, errBoom) {
					r.Errorf("%s: a context that has ended: %v, %v", name, task, err)
				}
			}
			if n := r.system.Len(); n != 1 {
				r.Errorf("%d processes, want the supervisor alone", n)
			}
		})
	})
}

// TestTK02_TheReplyComesBeforeTheDown: an owner gets the value and then a Down with Normal, in this order and nothing else.
//
// Adapted: owners without a mailbox get no messages, but ask.
func TestTK02_TheReplyComesBeforeTheDown(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		for name, under := range r.starters() {
			for how, start := range map[string]async{"linked": actors.Async[int], "not linked": actors.AsyncNoLink[int]} {
				o := r.startServer(actors.GenServerOptions{})
				const n = 1000
				tasks := map[messages.Ref]messages.PID{}
				for i := range n {
					task := o.begin(start, under, at(i))
					tasks[task.Ref()] = task.PID()
				}
				got := o.got()
				if len(got) != 2*n || len(tasks) != n {
					r.Fatalf("%s, %s: %d messages of %d tasks", name, how, len(got), len(tasks))
				}
				replied := map[messages.Ref]bool{}
				for _, message := range got {
					switch m := message.(type) {
					case messages.TaskReply:
						replied[m.Ref] = true
					case messages.Down:
						if !replied[m.Ref] || tasks[m.Ref] != m.PID || m.Reason != error(messages.Normal) {
							r.Errorf("%s, %s: %+v, replied before: %v", name, how, m, replied[m.Ref])
						}
						delete(tasks, m.Ref)
					}
				}
				if len(tasks) != 0 {
					r.Errorf("%s, %s: %d tasks without a Down", name, how, len(tasks))
				}
			}
		}
	})
	eachOwner(t, func(r *stage, o *owner) {
		task := o.start(r.tasks, at(7))
		if o.server {
			o.expectMessages("a server", messages.TaskReply{Ref: task.Ref(), Value: 7}, messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: messages.Normal})
			return
		}
		o.expectMessages("without a mailbox")
		r.expect("await", o.ask(task, awaiting), outcome{value: 7, ended: true})
	})
}

// ways are the ways out of a function that is no value.
var ways = map[string]struct {
	f    func(ctx context.Context) (int, error)
	want func(err error) bool
}{
	"an error": {failing(errBoom), func(err error) bool { return err == errBoom }},
	"a wrapped error": {failing(fmt.Errorf("moving: %w", errBoom)), func(err error) bool {
		return errors.Is(err, errBoom) && err.Error() == "moving: boom"
	}},
	"a panic": {panicking, func(err error) bool {
		panicked, ok := errors.AsType[*messages.PanicError](err)
		return ok && panicked.Value == "ouch" && strings.Contains(string(panicked.Stack), "actors_test.panicking")
	}},
	"a shutdown": {failing(messages.Shutdown), func(err error) bool { return err == error(messages.Shutdown) }},
}

func panicking(context.Context) (int, error) { panic("ouch") }

// TestTK03_AFailureIsADownAlone: a task that fails sends no value; its Down says why, with the stack of a panic.
//
// Adapted: an error is OTP's exit and a panic its raise and its throw; both come as Go errors.
func TestTK03_AFailureIsADownAlone(t *testing.T) {
	t.Parallel()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				task := o.startNoLink(r.tasks, way.f)
				if !o.server {
					if got := o.ask(task, awaiting); got.value != 0 || !way.want(got.err) {
						r.Errorf("got %+v", got)
					}
					return
				}
				got := o.got()
				if len(got) != 1 {
					r.Fatalf("got %v, want a Down alone", got)
				}
				if down, ok := got[0].(messages.Down); !ok || down.Ref != task.Ref() || down.PID != task.PID() || !way.want(down.Reason) {
					r.Errorf("got %+v", got[0])
				}
			})
		})
	}
}

// TestTK04_AnEndWithoutAValueIsNoValue: a function that ends its process without returning gives no value, to nobody.
//
// Adapted: exit(:normal) is the error messages.Normal in Go; runtime.Goexit is a reason of its own, messages.ErrGoexit.
func TestTK04_AnEndWithoutAValueIsNoValue(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]struct {
		f    func(ctx context.Context) (int, error)
		want error
	}{
		"Normal": {failing(messages.Normal), messages.Normal},
		"Goexit": {func(context.Context) (int, error) { runtime.Goexit(); return 1, nil }, messages.ErrGoexit},
	} {
		t.Run(name, func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				r.expect("await", o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, way.f, awaiting), outcome{ended: true, err: way.want})
				r.expect("yield", o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, way.f, yielding(time.Hour)), outcome{ended: true, err: way.want})
				o.expectMessages("after both")
				if task := o.startNoLink(r.tasks, way.f); o.server {
					o.expectMessages("not asked", messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: way.want})
				}
			})
		})
	}
}

// TestTK05_AFailureEndsTheLinkedOwner: an owner that does not trap exits ends with the reason of its linked task, before it sees a message of it.
//
// Adapted: it ends when the callback that runs returns, whatever that returns; the process of a function sees its context
// end. Outside of a process there is nobody to end.
func TestTK05_AFailureEndsTheLinkedOwner(t *testing.T) {
	t.Parallel()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				for kind, under := range r.starters() {
					if o.pid.IsZero() {
						r.expect("outside", o.startAndAsk(under, after(0, 1), awaiting), outcome{value: 1, ended: true, took: 1})
						continue
					}
					next := r.startServer(actors.GenServerOptions{})
					if !o.server {
						next = r.startFunction()
					}
					heard := r.hear(next.pid)
					next.start(under, way.f)
					if reason := heard.reason(); !way.want(reason) {
						r.Errorf("%s: the owner ended with %v", kind, reason)
					}
					next.expectMessages(kind)
					if next.terminated != nil {
						r.Errorf("%s: Terminate ran: %v", kind, next.terminated)
					}
				}
			})
		})
	}
	t.Run("never sees the Down", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			for range 300 {
				o := r.startServer(actors.GenServerOptions{})
				o.start(r.tasks, failing(errBoom))
				o.expectMessages("dead")
				if r.system.Alive(o.pid) {
					r.Fatal("the owner lives")
				}
			}
		})
	})
	t.Run("while it waits", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{})
			heard := r.hear(o.pid)
			o.end(func(ctx context.Context) error {
				task, err := actors.Async(ctx, r.tasks, failing(errBoom))
				if err == nil {
					_, err = task.Await(ctx)
				}
				return fmt.Errorf("callback: %w", err)
			})
			if reason := heard.reason(); reason != errBoom || o.terminated != nil {
				r.Errorf("ended with %v, Terminate with %v", reason, o.terminated)
			}
		})
	})
	t.Run("an owner that traps exits lives", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{TrapExit: true})
			task := o.start(r.tasks, failing(errBoom))
			o.expectMessages("trapping", messages.Exit{From: task.PID(), Reason: errBoom}, messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: errBoom})
			task = o.start(r.tasks, at(1))
			o.expectMessages("a value", messages.TaskReply{Ref: task.Ref(), Value: 1}, messages.Exit{From: task.PID(), Reason: messages.Normal},
				messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: messages.Normal})
		})
	})
}

// TestTK06_TheOwnersEndEndsTheLinkedTask: when the owner ends abnormally its linked task does too, but not when it ends normally.
//
// Adapted: the task sees its context end, with the owner's reason as the cause, and ends with that.
func TestTK06_TheOwnersEndEndsTheLinkedTask(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		how  func(r *stage, o *owner)
		want error // of the task; nil: it lives
	}{
		"an error": {func(_ *stage, o *owner) { o.end(func(context.Context) error { return errBoom }) }, errBoom},
		"shutdown": {func(r *stage, o *owner) { r.system.Exit(r.ctx, o.pid, messages.Shutdown) }, messages.Shutdown},
		"killed":   {func(r *stage, o *owner) { r.system.Kill(o.pid) }, messages.Killed},
		"normal":   {func(_ *stage, o *owner) { o.end(func(context.Context) error { return messages.Normal }) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				if o.pid.IsZero() {
					return // nobody who could end
				}
				var heard []*owner
				for _, under := range r.starters() {
					heard = append(heard, r.hear(o.start(under, waiting).PID()))
				}
				end.how(r, o)
				synctest.Wait()
				if r.system.Alive(o.pid) {
					r.Error("the owner lives")
				}
				for _, h := range heard {
					if reason := h.reason(); !errors.Is(reason, end.want) {
						r.Errorf("the task ended with %v, want %v", reason, end.want)
					}
				}
			})
		})
	}
}
