package actors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// delays starts a task for each delay, whose value is its index; a negative one fails when its time is over.
func delays(ctx context.Context, under actors.Starter, how async, list ...time.Duration) ([]*actors.Task[int], error) {
	var tasks []*actors.Task[int]
	for i, d := range list {
		f := after(d, i)
		if d < 0 {
			f = func(ctx context.Context) (int, error) { _, _ = after(-d, 0)(ctx); return 0, errBoom }
		}
		task, err := how(ctx, under, f)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

// many starts tasks as the owner and asks for all, in one callback of a server.
func (o *owner) many(how async, list []time.Duration, ask func(ctx context.Context, tasks []*actors.Task[int]) error) (tasks []*actors.Task[int], took time.Duration) {
	o.r.Helper()
	if err := o.do(func(ctx context.Context) (err error) {
		if tasks, err = delays(ctx, o.r.tasks, how, list...); err != nil {
			return err
		}
		began := time.Now()
		err = ask(ctx, tasks)
		took = time.Since(began)
		return err
	}); err != nil {
		o.r.Fatal(err)
	}
	return tasks, took
}

// TestTK13_AwaitManyKeepsTheOrder: the values come in the order of the tasks, whatever the order of their ends; no tasks are done at once; other messages stay.
func TestTK13_AwaitManyKeepsTheOrder(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		tasks, took := o.many(actors.Async[int], []time.Duration{3 * time.Second, time.Second, 0, 2 * time.Second}, func(ctx context.Context, tasks []*actors.Task[int]) error {
			r.system.Send(ctx, o.pid, "hello")
			values, err := actors.AwaitMany(ctx, tasks...)
			if !slices.Equal(values, []int{0, 1, 2, 3}) {
				r.Errorf("got %v", values)
			}
			if none, err := actors.AwaitMany[int](ctx); len(none) != 0 || err != nil {
				r.Errorf("no tasks: %v, %v", none, err)
			}
			return err
		})
		if took != 3*time.Second {
			r.Errorf("it took %s", took)
		}
		if o.server {
			o.expectMessages("afterwards", "hello")
		}
		r.expect("each is consumed", o.ask(tasks[2], awaiting), outcome{ended: true, err: actors.ErrConsumed})
	})
	t.Run("what is wrong is an error and touches nothing", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.outside()
			task, other := o.start(r.tasks, at(7)), o.start(r.tasks, at(8))
			for want, tasks := range map[string][]*actors.Task[int]{
				"task 1 of 2 is nil":                {task, nil},
				"task 2 of 3 is nil or there twice": {task, other, task},
			} {
				if _, err := actors.AwaitMany(r.ctx, tasks...); err == nil || !strings.Contains(err.Error(), want) {
					r.Errorf("AwaitMany: %v, want %q", err, want)
				}
				if _, err := actors.YieldMany(r.ctx, actors.YieldOptions{}, tasks...); err == nil || !strings.Contains(err.Error(), want) {
					r.Errorf("YieldMany: %v, want %q", err, want)
				}
			}
			for _, options := range []actors.YieldOptions{{Limit: -1}, {OnTimeout: 3}, {OnTimeout: -1}} {
				if _, err := actors.YieldMany(r.ctx, options, task); err == nil || !strings.Contains(err.Error(), "Limit is ") {
					r.Errorf("YieldMany of %+v: %v", options, err)
				}
			}
			r.expect("the first", o.ask(task, awaiting), outcome{value: 7, ended: true})
			r.expect("the second", o.ask(other, awaiting), outcome{value: 8, ended: true})
			if _, err := actors.AwaitMany(r.ctx, task); !errors.Is(err, actors.ErrConsumed) {
				r.Errorf("a consumed task: %v", err)
			}
		})
	})
}

// TestTK14_AwaitManyFailsWithTheFirstFailure: when one of the tasks ends without a value, the call fails at once with its reason, and no message of the others comes.
func TestTK14_AwaitManyFailsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		tasks, took := o.many(actors.AsyncNoLink[int], []time.Duration{time.Hour, -time.Second, time.Minute, 0}, func(ctx context.Context, tasks []*actors.Task[int]) error {
			values, err := actors.AwaitMany(ctx, tasks...)
			if values != nil || !errors.Is(err, errBoom) {
				r.Errorf("got %v, %v", values, err)
			}
			return nil
		})
		if took != time.Second || !r.system.Alive(tasks[0].PID()) {
			r.Errorf("it took %s; the others live: %v", took, r.system.Alive(tasks[0].PID()))
		}
		time.Sleep(2 * time.Hour)
		o.expectMessages("of the others")
		r.expect("the failure was given out", o.ask(tasks[1], awaiting), outcome{ended: true, err: actors.ErrConsumed})
		for i, task := range tasks {
			if i != 1 {
				r.expect("the others were not", o.ask(task, awaiting), outcome{value: i, ended: true})
			}
		}
	})
	t.Run("a context that ends", func(t *testing.T) {
		eachOwner(t, func(r *stage, o *owner) {
			tasks, took := o.many(actors.AsyncNoLink[int], []time.Duration{time.Hour, 0}, func(ctx context.Context, tasks []*actors.Task[int]) error {
				ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errBoom)
				defer cancel()
				if values, err := actors.AwaitMany(ctx, tasks...); values != nil || !errors.Is(err, errBoom) {
					r.Errorf("got %v, %v", values, err)
				}
				return nil
			})
			time.Sleep(2 * time.Hour)
			o.expectMessages("afterwards")
			if took != time.Second {
				r.Errorf("it took %s", took)
			}
			for i, task := range tasks {
				r.expect("none was given out", o.ask(task, awaiting), outcome{value: i, ended: true})
			}
		})
	})
}

// yielded is what YieldMany gave, without the tasks.
func (r *stage) yielded(ctx context.Context, options actors.YieldOptions, tasks []*actors.Task[int]) []outcome {
	r.Helper()
	list, err := actors.YieldMany(ctx, options, tasks...)
	if err != nil || len(list) != len(tasks) {
		r.Fatalf("YieldMany: %d of %d, %v", len(list), len(tasks), err)
	}
	if !slices.EqualFunc(list, tasks, func(y actors.Yielded[int], task *actors.Task[int]) bool { return y.Task == task }) {
		r.Error("the tasks are others")
	}
	var outcomes []outcome
	for _, y := range list {
		outcomes = append(outcomes, outcome{value: y.Value, ended: y.Ended, err: y.Err})
	}
	return outcomes
}

// TestTK17_YieldManyWithinOneTime: each task comes with its value, its reason or nothing, in the order of the tasks, within one time for all.
func TestTK17_YieldManyWithinOneTime(t *testing.T) {
	t.Parallel()
	mixed := []time.Duration{2 * time.Second, time.Hour, -time.Second, 0, 3 * time.Second, time.Minute}
	for _, test := range []struct {
		timeout time.Duration
		want    []outcome
		took    time.Duration
	}{
		{0, []outcome{{}, {}, {}, {}, {}, {}}, 0},
		{-time.Second, []outcome{{}, {}, {}, {}, {}, {}}, 0},
		{5 * time.Second, []outcome{{value: 0, ended: true}, {}, {ended: true, err: errBoom}, {value: 3, ended: true}, {value: 4, ended: true}, {}}, 5 * time.Second},
		{2 * time.Hour, []outcome{{value: 0, ended: true}, {value: 1, ended: true}, {ended: true, err: errBoom}, {value: 3, ended: true}, {value: 4, ended: true}, {value: 5, ended: true}}, time.Hour},
	} {
		t.Run(test.timeout.String(), func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				_, took := o.many(actors.AsyncNoLink[int], mixed, func(ctx context.Context, tasks []*actors.Task[int]) error {
					if got := r.yielded(ctx, actors.YieldOptions{Timeout: test.timeout}, tasks); !slices.Equal(got, test.want) {
						r.Errorf("got %v, want %v", got, test.want)
					}
					return nil
				})
				if took != test.took {
					r.Errorf("it took %s, want %s", took, test.took)
				}
			})
		})
	}
	t.Run("what has ended is there without waiting", func(t *testing.T) {
		eachOwner(t, func(r *stage, o *owner) {
			o.many(actors.AsyncNoLink[int], []time.Duration{time.Second, time.Hour, -time.Second}, func(ctx context.Context, tasks []*actors.Task[int]) error {
				time.Sleep(time.Minute)
				want := []outcome{{value: 0, ended: true}, {}, {ended: true, err: errBoom}}
				if got := r.yielded(ctx, actors.YieldOptions{}, tasks); !slices.Equal(got, want) {
					r.Errorf("got %v, want %v", got, want)
				}
				return nil
			})
		})
	})
	t.Run("a context that ends gives nothing out", func(t *testing.T) {
		eachOwner(t, func(r *stage, o *owner) {
			o.many(actors.AsyncNoLink[int], []time.Duration{0, time.Hour}, func(ctx context.Context, tasks []*actors.Task[int]) error {
				short, cancel := context.WithTimeoutCause(ctx, time.Second, errBoom)
				defer cancel()
				if list, err := actors.YieldMany(short, actors.YieldOptions{Timeout: time.Minute}, tasks...); list != nil || !errors.Is(err, errBoom) {
					r.Errorf("got %v, %v", list, err)
				}
				want := []outcome{{value: 0, ended: true}, {}}
				if got := r.yielded(ctx, actors.YieldOptions{Timeout: time.Second}, tasks); !slices.Equal(got, want) {
					r.Errorf("then %v, want %v", got, want)
				}
				return nil
			})
		})
	})
}

// TestTK18_WhatBecomesOfTheUnfinished: those that have not ended in time go on, or their outcomes are dropped, or they are killed; none of that if the limit was reached.
//
// Adapted: a kill declares dead; its goroutine may go on.
func TestTK18_WhatBecomesOfTheUnfinished(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		options  actors.YieldOptions
		took     time.Duration
		alive    bool // the last task, afterwards
		messages bool // come of it later
		linked   bool // it still is
	}{
		{"LeaveRunning", actors.YieldOptions{Timeout: time.Minute}, time.Minute, true, true, true},
		{"IgnoreTask", actors.YieldOptions{Timeout: time.Minute, OnTimeout: actors.IgnoreTask}, time.Minute, true, false, false},
		{"KillTask", actors.YieldOptions{Timeout: time.Minute, OnTimeout: actors.KillTask}, time.Minute, false, false, false},
		{"IgnoreTask, but the limit", actors.YieldOptions{Timeout: time.Minute, OnTimeout: actors.IgnoreTask, Limit: 1}, time.Second, true, true, true},
		{"KillTask, but the limit", actors.YieldOptions{Timeout: time.Minute, OnTimeout: actors.KillTask, Limit: 1}, time.Second, true, true, true},
		{"KillTask, a limit not reached", actors.YieldOptions{Timeout: time.Minute, OnTimeout: actors.KillTask, Limit: 2}, time.Minute, false, false, false},
		{"KillTask, at once", actors.YieldOptions{OnTimeout: actors.KillTask}, 0, false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				tasks, took := o.many(actors.Async[int], []time.Duration{time.Second, time.Hour}, func(ctx context.Context, tasks []*actors.Task[int]) error {
					want := []outcome{{ended: test.took > 0}, {}}
					if got := r.yielded(ctx, test.options, tasks); !slices.Equal(got, want) {
						r.Errorf("got %v, want %v", got, want)
					}
					return nil
				})
				last := tasks[1]
				info, alive := r.system.Info(last.PID())
				if took != test.took || alive != test.alive || alive && slices.Contains(info.Links, o.pid) != (test.linked && !o.pid.IsZero()) {
					r.Errorf("it took %s; alive: %v, links %v", took, alive, info.Links)
				}
				time.Sleep(2 * time.Hour)
				var want []any
				if test.messages && o.server {
					want = []any{messages.TaskReply{Ref: last.Ref(), Value: 1}, messages.Down{Ref: last.Ref(), PID: last.PID(), Reason: messages.Normal}}
				}
				o.expectMessages("later", want...)
				if !o.pid.IsZero() && !r.system.Alive(o.pid) {
					r.Error("the owner has ended")
				}
			})
		})
	}
	t.Run("names", func(t *testing.T) {
		t.Parallel()
		for o, want := range map[actors.OnTimeout]string{actors.LeaveRunning: "leave running", actors.IgnoreTask: "ignore", actors.KillTask: "kill", 9: "OnTimeout(9)"} {
			if o.String() != want {
				t.Errorf("got %s, want %s", o, want)
			}
		}
	})
}

// TestYieldManyKeepsNothing: a task that is polled for long keeps nothing of the polls.
func TestYieldManyKeepsNothing(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		o := r.outside()
		task := o.start(r.tasks, waiting)
		for range 1000 {
			r.yielded(r.ctx, actors.YieldOptions{}, []*actors.Task[int]{task})
			r.expect("nothing", o.ask(task, yielding(0)), outcome{})
		}
		if n := task.Listeners(); n != 0 {
			r.Errorf("%d listeners", n)
		}
		r.expect("stop", o.ask(task, shuttingDown(0)), outcome{})
		synctest.Wait()
	})
}
