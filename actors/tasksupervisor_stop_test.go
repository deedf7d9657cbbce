package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestTS11_BrutalKill: a task with BrutalKill, its own or its supervisor's, is declared dead at once when the supervisor stops; its monitors see Killed.
//
// Adapted: its goroutine goes on until it returns, and is counted.
func TestTS11_BrutalKill(t *testing.T) {
	t.Parallel()
	brutal := []actors.TaskOption{actors.WithShutdown(supervisor.BrutalKill)}
	for _, test := range []struct {
		config  time.Duration
		options []actors.TaskOption
	}{{supervisor.BrutalKill, nil}, {0, brutal}, {time.Hour, brutal}} {
		onStage(t, actors.TaskSupervisorConfig{Shutdown: test.config}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{})
			var task *actors.Task[int]
			var pid messages.PID
			if err := o.do(func(ctx context.Context) (err error) {
				if task, err = actors.AsyncNoLink(ctx, r.tasks, deaf(time.Hour, 1), test.options...); err != nil {
					return err
				}
				pid, err = r.tasks.StartChild(ctx, untilTold, test.options...)
				return err
			}); err != nil {
				r.Fatal(err)
			}
			heard := r.hear(pid)
			began := time.Now()
			if err := r.tasks.Stop(r.ctx); err != nil || time.Since(began) != 0 {
				r.Errorf("Stop: %v after %s", err, time.Since(began))
			}
			o.expectMessages("async", messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: messages.Killed})
			if reason := heard.reason(); reason != error(messages.Killed) || r.system.Abandoned() != 1 {
				r.Errorf("the child ended with %v, %d abandoned", reason, r.system.Abandoned())
			}
		})
	}
}

// TestTS12_StopOfTheSupervisor: when the supervisor stops, all tasks are told together, have their time to end, and their values still reach the owner; stubborn ones end Killed.
//
// Adapted: every task is of the kind that traps exits: it sees its context end, and may still return a value.
func TestTS12_StopOfTheSupervisor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config  time.Duration
		options []actors.TaskOption
		took    time.Duration
	}{
		"by default":          {0, nil, 5 * time.Second},
		"as configured":       {time.Minute, nil, time.Minute},
		"as the task says":    {time.Hour, []actors.TaskOption{actors.WithShutdown(time.Minute)}, time.Minute},
		"without a limit":     {supervisor.Infinity, nil, 10 * time.Hour},
		"which the task says": {0, []actors.TaskOption{actors.WithShutdown(supervisor.Infinity)}, 10 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, actors.TaskSupervisorConfig{Shutdown: test.config}, func(r *stage) {
				o := r.startServer(actors.GenServerOptions{})
				tasks := map[string]*actors.Task[int]{}
				for name, f := range map[string]func(ctx context.Context) (int, error){
					"plain": waiting, "stubborn": deaf(10*time.Hour, 1),
					"finishes": func(ctx context.Context) (int, error) { <-ctx.Done(); time.Sleep(time.Second); return 7, nil },
				} {
					if err := o.do(func(ctx context.Context) (err error) {
						tasks[name], err = actors.AsyncNoLink(ctx, r.tasks, f, test.options...)
						return err
					}); err != nil {
						r.Fatal(err)
					}
				}
				began := time.Now()
				if err := r.tasks.Stop(r.ctx); err != nil || time.Since(began) != test.took {
					r.Errorf("Stop: %v after %s, want %s", err, time.Since(began), test.took)
				}
				down := func(name string, reason error) messages.Down {
					return messages.Down{Ref: tasks[name].Ref(), PID: tasks[name].PID(), Reason: reason}
				}
				want := []any{
					down("plain", messages.Shutdown),
					messages.TaskReply{Ref: tasks["finishes"].Ref(), Value: 7}, down("finishes", messages.Normal),
				}
				if test.took == 10*time.Hour {
					want = append(want, messages.TaskReply{Ref: tasks["stubborn"].Ref(), Value: 1}, down("stubborn", messages.Normal))
				} else {
					want = append(want, down("stubborn", messages.Killed))
				}
				o.expectMessages("all", want...)
			})
		})
	}
	t.Run("impossible times are refused", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			config := actors.TaskSupervisorConfig{Shutdown: -3}
			if _, err := actors.StartTaskSupervisor(r.ctx, r.system, config); err == nil || !strings.Contains(err.Error(), "Shutdown is -3") {
				r.Errorf("a config: %v", err)
			}
			if _, err := actors.Tasks(r.system, r.tasks.Supervisor().PID(), config).StartChild(r.ctx, untilTold); err == nil || !strings.Contains(err.Error(), "is -3") {
				r.Errorf("an address: %v", err)
			}
		})
	})
	t.Run("a supervisor that is killed", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{})
			told := o.startNoLink(r.tasks, waiting)
			finishes := o.startNoLink(r.tasks, func(ctx context.Context) (int, error) { <-ctx.Done(); return 7, nil })
			r.system.Kill(r.tasks.Supervisor().PID())
			got := o.got()
			for _, want := range []any{
				messages.Down{Ref: told.Ref(), PID: told.PID(), Reason: messages.Killed},
				messages.TaskReply{Ref: finishes.Ref(), Value: 7}, messages.Down{Ref: finishes.Ref(), PID: finishes.PID(), Reason: messages.Normal},
			} {
				if !slices.Contains(got, want) {
					r.Errorf("got %v, want %v among it", got, want)
				}
			}
		})
	})
}

// TestTS13_NoSupervisor: when the task supervisor does not run, each way to start a task fails in the caller.
//
// Adapted: it is the error messages.NoProc, so that a server that starts tasks need not die of it.
func TestTS13_NoSupervisor(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		if err := r.tasks.Stop(r.ctx); err != nil {
			r.Fatal(err)
		}
		for name, tasks := range map[string]*actors.TaskSupervisor{
			"stopped": r.tasks, "never there": actors.Tasks(r.system, messages.Name("nobody"), actors.TaskSupervisorConfig{}),
		} {
			for how, start := range map[string]func(ctx context.Context) error{
				"StartChild":  func(ctx context.Context) error { _, err := tasks.StartChild(ctx, untilTold); return err },
				"StartTask":   func(ctx context.Context) error { _, err := actors.StartTaskLink(ctx, tasks, untilTold); return err },
				"Async":       func(ctx context.Context) error { _, err := actors.Async(ctx, tasks, at(1)); return err },
				"AsyncNoLink": func(ctx context.Context) error { _, err := actors.AsyncNoLink(ctx, tasks, at(1)); return err },
				"Children":    func(ctx context.Context) error { _, err := tasks.Children(ctx); return err },
				"Stop":        tasks.Stop,
			} {
				if err := o.do(start); !errors.Is(err, messages.NoProc) {
					r.Errorf("%s, %s: %v", name, how, err)
				}
			}
		}
		o.expectMessages("afterwards")
	})
	t.Run("it dies while it is asked", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			if err := r.system.Suspend(r.ctx, r.tasks.Supervisor().PID()); err != nil {
				r.Fatal(err)
			}
			time.AfterFunc(time.Second, func() { r.system.Kill(r.tasks.Supervisor().PID()) })
			if task, err := actors.AsyncNoLink(r.ctx, r.tasks, at(1)); task != nil || !errors.Is(err, messages.Killed) {
				r.Errorf("%v, %v", task, err)
			}
		})
	})
}

// TestAStartIsKnownOrNotThere: when the caller gives up while the supervisor is busy, there is no task; when it gets one, it knows it.
func TestAStartIsKnownOrNotThere(t *testing.T) {
	t.Parallel()
	t.Run("busy", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			sup := r.tasks.Supervisor().PID()
			if err := r.system.Suspend(r.ctx, sup); err != nil {
				r.Fatal(err)
			}
			ctx, cancel := context.WithTimeoutCause(r.ctx, time.Second, errBoom)
			defer cancel()
			var ran atomic.Int32
			for _, restart := range []supervisor.Restart{supervisor.Temporary, supervisor.Permanent} {
				pid, err := r.tasks.StartChild(ctx, func(ctx context.Context) error { ran.Add(1); return untilTold(ctx) }, actors.WithRestart(restart))
				if !pid.IsZero() || !errors.Is(err, errBoom) {
					r.Errorf("%s: %s, %v", restart, pid, err)
				}
			}
			if err := r.system.Resume(r.ctx, sup); err != nil {
				r.Fatal(err)
			}
			r.expectIdle("afterwards")
			if ran.Load() != 0 {
				r.Errorf("%d ran", ran.Load())
			}
		})
	})
	t.Run("in the same moment", func(t *testing.T) { // as many times as fit, at real speed
		system := actors.NewSystem(actors.SystemConfig{})
		tasks, err := actors.StartTaskSupervisor(t.Context(), system, actors.TaskSupervisorConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var started, known int32
		var ran atomic.Int32
		for i := range 1000 {
			ctx, cancel := context.WithCancel(t.Context())
			if i%2 == 0 {
				go func() {
					for range i % 60 {
						runtime.Gosched()
					}
					cancel()
				}()
			}
			task, err := actors.AsyncNoLink(ctx, tasks, func(context.Context) (int, error) {
				ran.Add(1)
				cancel() // its start has begun, and the answer is on its way
				return 1, nil
			})
			if cancel(); err != nil {
				continue
			}
			started++
			if value, err := task.Await(t.Context()); value == 1 && err == nil {
				known++
			}
		}
		if err := system.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if started != known || ran.Load() != known {
			t.Errorf("%d started, %d known, %d ran", started, known, ran.Load())
		}
	})
}

// mover is a GenServer in the shape that is documented for one that starts tasks.
type mover struct {
	system *actors.System
	tasks  *actors.TaskSupervisor
	runs   map[messages.Ref]string
	log    []string
}

func (m *mover) HandleCast(ctx context.Context, message any) error {
	name := message.(string)
	task, err := actors.AsyncNoLink(ctx, m.tasks, func(ctx context.Context) (string, error) {
		switch name {
		case "error":
			return "", errBoom
		case "panic":
			panic("ouch")
		case "slow":
			_, err := after(time.Hour, 1)(ctx)
			return "done", err
		}
		return "done", nil
	})
	if err != nil {
		m.log = append(m.log, fmt.Sprint(name, " refused"))
		return nil //nolint:nilerr // a task that is refused is no reason for the server to end
	}
	m.runs[task.Ref()] = name
	return nil
}

func (m *mover) HandleCall(context.Context, any, actors.From) (any, error) { return "here", nil }

func (m *mover) HandleInfo(ctx context.Context, message any) error {
	switch message := message.(type) {
	case messages.TaskReply:
		m.system.Demonitor(ctx, message.Ref)
		m.log = append(m.log, fmt.Sprint(m.runs[message.Ref], " ", message.Value))
		delete(m.runs, message.Ref)
	case messages.Down:
		m.log = append(m.log, fmt.Sprint(m.runs[message.Ref], " failed"))
		delete(m.runs, message.Ref)
	}
	return nil
}

// TestTS14_AServerThatStartsTasks: the documented shape: the server keeps refs in a map, ends the monitor at the reply, drops the ref at the Down, and never waits.
func TestTS14_AServerThatStartsTasks(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{MaxChildren: 4}, func(r *stage) {
		m := &mover{system: r.system, tasks: r.tasks, runs: map[messages.Ref]string{}}
		g, err := actors.StartGenServer(r.ctx, r.system, m, actors.GenServerOptions{})
		if err != nil {
			r.Fatal(err)
		}
		for _, name := range []string{"quick", "error", "panic", "slow"} {
			g.Cast(r.ctx, name)
			synctest.Wait()
		}
		began := time.Now()
		if reply, err := g.Call(r.ctx, "are you there?"); reply != "here" || err != nil || time.Since(began) != 0 {
			r.Errorf("%v, %v after %s: the server waits for its tasks", reply, err, time.Since(began))
		}
		g.Info(r.ctx, messages.TaskReply{Ref: 1 << 40, Value: "forged"})
		for range 4 {
			g.Cast(r.ctx, "slow")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		want := []string{"quick done", "error failed", "panic failed", " forged", "slow refused", "slow done", "slow done", "slow done", "slow done"}
		if !slices.Equal(m.log, want) || len(m.runs) != 0 || !r.system.Alive(g.PID()) {
			r.Errorf("got %q, want %q; the server lives: %v; it keeps %v", m.log, want, r.system.Alive(g.PID()), m.runs)
		}
		if info, _ := r.system.Info(g.PID()); info.Monitors != 0 {
			r.Errorf("%d monitors are left", info.Monitors)
		}
	})
}

// TestTS15_ADemonitorBeforeTheReply: after its monitor was ended, neither the reply nor the Down of a task arrives, also if they were queued already.
func TestTS15_ADemonitorBeforeTheReply(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		for name, under := range r.starters() {
			o := r.startServer(actors.GenServerOptions{})
			for _, pause := range []time.Duration{0, time.Minute} {
				ran := false
				demonitor := func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
					time.Sleep(pause)
					r.system.Demonitor(ctx, task.Ref())
					r.system.Demonitor(ctx, task.Ref())
					return 0, false, nil
				}
				o.startAndAsk(under, func(context.Context) (int, error) { time.Sleep(time.Second); ran = true; return 7, nil }, demonitor)
				o.beginAndAsk(actors.AsyncNoLink[int], under, failing(errBoom), demonitor)
				time.Sleep(time.Hour)
				if o.expectMessages(name); !ran {
					r.Errorf("%s: it did not run to its end", name)
				}
			}
		}
	})
	for _, start := range []func(r *stage) *owner{(*stage).startFunction, (*stage).outside} {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) { // who has no mailbox has nothing to end, and may ask all the same
			o := start(r)
			r.expect("await", o.startAndAsk(r.tasks, after(time.Second, 7), func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
				r.system.Demonitor(ctx, task.Ref())
				return 0, false, nil
			}, awaiting), outcome{value: 7, ended: true, took: time.Second})
		})
	}
}
