package actors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestTK19_ShutdownEndsATask: Shutdown unlinks the task, tells it to stop, and declares it dead when its time is over; an end that it was told to is no outcome.
//
// Adapted: the task sees its context end with the cause messages.Shutdown; the goroutine of one that does not stop is abandoned.
func TestTK19_ShutdownEndsATask(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, under := range r.starters() {
			var cause error
			r.expect(name+": one that heeds it", o.startAndAsk(under, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return 0, fmt.Errorf("reading: %w", ctx.Err())
			}, pausing(1), shuttingDown(0)), outcome{})
			if cause != error(messages.Shutdown) {
				r.Errorf("%s: told %v", name, cause)
			}
			r.expect(name+": by its cause", o.startAndAsk(under, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, fmt.Errorf("reading: %w", context.Cause(ctx))
			}, pausing(1), shuttingDown(0)), outcome{})
			r.expect(name+": the default time", o.startAndAsk(under, deaf(time.Hour, 1), pausing(1), shuttingDown(0)),
				outcome{ended: true, err: messages.Killed, took: supervisor.DefaultShutdown})
			if n := r.system.Abandoned(); n != 1 {
				r.Errorf("%s: %d abandoned", name, n)
			}
			// It was linked, and its failure would end the owner.
			r.expect(name+": unlinked", o.startAndAsk(under, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, errBoom
			}, pausing(1), shuttingDown(0)), outcome{ended: true, err: errBoom})
			time.Sleep(2 * time.Hour)
			o.expectMessages(name)
			if !o.pid.IsZero() && !r.system.Alive(o.pid) || r.system.Abandoned() != 0 {
				r.Errorf("%s: the owner lives: %v; %d abandoned", name, r.system.Alive(o.pid), r.system.Abandoned())
			}
		}
	})
	t.Run("impossible times are refused and touch nothing", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.outside()
			task := o.start(r.tasks, after(time.Second, 1))
			if got := o.ask(task, shuttingDown(-3)); got.err == nil || got.ended || got.err.Error() != "actors: Shutdown: timeout is -3, want a duration, supervisor.BrutalKill or Infinity" {
				r.Errorf("got %s", got)
			}
			r.expect("then", o.ask(task, awaiting), outcome{value: 1, ended: true, took: time.Second})
		})
	})
	t.Run("a caller that gives up stops the task all the same", func(t *testing.T) {
		eachOwner(t, func(r *stage, o *owner) {
			task := o.startNoLink(r.tasks, deaf(time.Hour, 1))
			r.expect("gives up", o.ask(task, func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return task.Shutdown(ctx, time.Minute)
			}), outcome{err: context.DeadlineExceeded, took: time.Second})
			time.Sleep(2 * time.Minute)
			if r.system.Alive(task.PID()) {
				r.Error("the task lives")
			}
			if o.server {
				o.expectMessages("afterwards", messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: messages.Killed})
				return
			}
			r.expect("again", o.ask(task, shuttingDown(0)), outcome{ended: true, err: messages.Killed})
		})
	})
}

// TestTK20_AValueDuringShutdownIsKept: a task that has finished, or finishes while it is told to stop, gives its value.
func TestTK20_AValueDuringShutdownIsKept(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, under := range r.starters() {
			for _, timeout := range []time.Duration{0, time.Second, supervisor.Infinity} {
				r.expect(name+": had finished", o.startAndAsk(under, at(7), pausing(1), shuttingDown(timeout)), outcome{value: 7, ended: true})
				r.expect(name+": finishes", o.startAndAsk(under, func(ctx context.Context) (int, error) {
					<-ctx.Done()
					time.Sleep(time.Second / 2)
					return 8, nil
				}, pausing(1), shuttingDown(timeout)), outcome{value: 8, ended: true, took: time.Second / 2})
			}
			r.expect(name+": takes long", o.startAndAsk(under, deaf(time.Hour, 9), shuttingDown(supervisor.Infinity)), outcome{value: 9, ended: true, took: time.Hour})
		}
		o.expectMessages("all")
	})
}

// TestTK21_WhatShutdownReports: a task that had to be killed when its time was over gives Killed, one that was to be killed nothing, one whose outcome was given out NoProc.
func TestTK21_WhatShutdownReports(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		r.expect("had to be killed", o.startAndAsk(r.tasks, deaf(time.Hour, 1), shuttingDown(time.Second)), outcome{ended: true, err: messages.Killed, took: time.Second})
		r.expect("was to be killed", o.startAndAsk(r.tasks, deaf(time.Hour, 1), shuttingDown(supervisor.BrutalKill)), outcome{})
		r.expect("was given out", o.startAndAsk(r.tasks, at(1), awaiting, shuttingDown(time.Second)), outcome{ended: true, err: messages.NoProc})
		r.expect("was ignored", o.startAndAsk(r.tasks, waiting, ignoring, shuttingDown(time.Second)), outcome{ended: true, err: messages.NoProc})
		r.expect("twice", o.startAndAsk(r.tasks, waiting, shuttingDown(0), shuttingDown(0)), outcome{ended: true, err: messages.NoProc})
		r.expect("killed by another", o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, waiting, func(_ context.Context, task *actors.Task[int]) (int, bool, error) {
			r.system.Kill(task.PID())
			return 0, false, nil
		}, shuttingDown(time.Second)), outcome{ended: true, err: messages.Killed})
		got := o.startAndAsk(r.tasks, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, &messages.ShutdownWith{Value: "half"}
		}, shuttingDown(0))
		if with, ok := errors.AsType[*messages.ShutdownWith](got.err); !ok || !got.ended || with.Value != "half" {
			r.Errorf("a shutdown that says more: %s", got)
		}
		got = o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, panicking, pausing(1), shuttingDown(0))
		if _, ok := errors.AsType[*messages.PanicError](got.err); !ok || !got.ended {
			r.Errorf("a panic: %s", got)
		}
		o.expectMessages("all")
		if task := o.start(r.tasks, at(1)); o.server {
			synctest.Wait()
			r.expect("came as messages", o.ask(task, shuttingDown(0)), outcome{ended: true, err: messages.NoProc})
		}
		time.Sleep(2 * time.Hour)
	})
}
