package actors_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestTK07_AwaitLeavesNoMessage: Await gives the bare value, and no message of the task comes after it, also if it was queued already.
func TestTK07_AwaitLeavesNoMessage(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, under := range r.starters() {
			r.expect(name, o.startAndAsk(under, after(time.Second, 7), awaiting), outcome{value: 7, ended: true, took: time.Second})
			r.expect(name+", queued", o.startAndAsk(under, at(8), pausing(time.Second), awaiting), outcome{value: 8, ended: true})
			r.expect(name+", an error", o.beginAndAsk(actors.AsyncNoLink[int], under, failing(errBoom), pausing(time.Second), awaiting),
				outcome{ended: true, err: errBoom})
			o.expectMessages(name)
		}
	})
	t.Run("what else is queued stays", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{TrapExit: true})
			var pid messages.PID
			note := func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
				pid = task.PID()
				r.system.Send(ctx, o.pid, "hello")
				return 0, false, nil
			}
			r.expect("await", o.startAndAsk(r.tasks, after(time.Millisecond, 1), note, pausing(time.Second), awaiting), outcome{value: 1, ended: true})
			o.expectMessages("other messages", "hello", messages.Exit{From: pid, Reason: messages.Normal})
		})
	})
}

// TestTK08_AwaitEndsWithItsContext: an await that takes too long fails, and its task goes on.
//
// Adapted: there is no timeout but that of ctx, not 5 s; the error is its cause, and ends neither caller nor task.
func TestTK08_AwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		task := o.start(r.tasks, after(time.Hour, 7))
		r.expect("too long", o.ask(task, awaitingFor(time.Second)), outcome{ended: true, err: context.DeadlineExceeded, took: time.Second})
		r.expect("the cause", o.ask(task, func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(errBoom)
			return awaiting(ctx, task)
		}), outcome{ended: true, err: errBoom})
		if !r.system.Alive(task.PID()) || !o.pid.IsZero() && !r.system.Alive(o.pid) {
			r.Error("the task or its owner has ended")
		}
		r.expect("no limit", o.ask(task, awaiting), outcome{value: 7, ended: true, took: time.Hour - time.Second})
		// A task that has ended has its outcome, whatever the context: the answer must not be a matter of chance.
		for range 20 {
			r.expect("both", o.startAndAsk(r.tasks, at(8), pausing(time.Second), awaitingFor(0)), outcome{value: 8, ended: true})
		}
	})
}

// TestTK09_NothingComesAfterATimeout: a task whose Await timed out runs to its end, and neither its value nor its Down is delivered.
func TestTK09_NothingComesAfterATimeout(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, under := range r.starters() {
			ran := false
			task := o.start(under, func(ctx context.Context) (int, error) {
				defer func() { ran = ctx.Err() == nil }()
				return after(time.Minute, 7)(ctx)
			})
			ref := task.Ref()
			r.expect(name, o.ask(task, awaitingFor(time.Second)), outcome{ended: true, err: context.DeadlineExceeded, took: time.Second})
			time.Sleep(time.Hour)
			o.expectMessages(name)
			if !ran || r.system.Alive(task.PID()) || task.Ref() != ref {
				r.Errorf("%s: it ran to the end: %v; its ref was %d and is %d", name, ran, ref, task.Ref())
			}
			r.expect(name+", again", o.ask(task, awaiting), outcome{value: 7, ended: true})
		}
	})
}

// TestTK10_AwaitOfTheDeadFailsAtOnce: when the task is dead without a value, or dies, Await fails at once with its reason.
//
// Adapted: the reason is the error.
func TestTK10_AwaitOfTheDeadFailsAtOnce(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for reason, end := range map[error]func(pid messages.PID){
			messages.Killed:   func(pid messages.PID) { r.system.Kill(pid) },
			messages.Shutdown: func(pid messages.PID) { r.system.Exit(r.ctx, pid, messages.Shutdown) },
			errBoom:           func(pid messages.PID) { r.system.Exit(r.ctx, pid, errBoom) },
		} {
			later := func(_ context.Context, task *actors.Task[int]) (int, bool, error) {
				time.AfterFunc(time.Second, func() { end(task.PID()) })
				return 0, false, nil
			}
			now := func(_ context.Context, task *actors.Task[int]) (int, bool, error) {
				end(task.PID())
				synctest.Wait()
				return 0, false, nil
			}
			r.expect("becomes dead", o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, waiting, later, awaiting), outcome{ended: true, err: reason, took: time.Second})
			r.expect("is dead", o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, waiting, now, awaiting), outcome{ended: true, err: reason})
		}
		o.expectMessages("after all")
	})
}

// TestTK11_OnlyTheOwnerMayAsk: anybody but the owner gets an error at once, from each way of asking, and the owner can still use the task.
//
// Adapted: it is ErrNotOwner; the caller says who it is by its context. Outside of all processes everybody is one owner.
func TestTK11_OnlyTheOwnerMayAsk(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		mine, own := o.start(r.tasks, waiting), o.start(r.tasks, waiting)
		ended := o.start(r.tasks, at(7))
		synctest.Wait()
		strangers := map[string]*owner{
			"a server": r.startServer(actors.GenServerOptions{}), "a function": r.startFunction(), "outside": r.outside(),
		}
		if o.pid.IsZero() {
			delete(strangers, "outside")
		}
		for name, stranger := range strangers {
			for way, ask := range map[string]ask{
				"Await": awaiting, "Yield": yielding(time.Hour), "Shutdown": shuttingDown(0), "Ignore": ignoring,
				"AwaitMany": func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
					_, err := actors.AwaitMany(ctx, task)
					return 0, true, err
				},
				"YieldMany": func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
					_, err := actors.YieldMany(ctx, actors.YieldOptions{Timeout: time.Hour, OnTimeout: actors.KillTask}, task)
					return 0, true, err
				},
			} {
				for _, task := range []*actors.Task[int]{mine, ended} {
					if got := stranger.ask(task, ask); !errors.Is(got.err, actors.ErrNotOwner) || got.took != 0 {
						r.Errorf("%s by %s: %s", way, name, got)
					}
				}
			}
		}
		if !r.system.Alive(mine.PID()) {
			r.Error("a stranger has ended the task")
		}
		r.expect("by the owner", o.ask(mine, shuttingDown(0)), outcome{})
		r.expect("by the owner", o.ask(own, shuttingDown(0)), outcome{})
		if !o.server { // a server has its messages already
			r.expect("by the owner", o.ask(ended, awaiting), outcome{value: 7, ended: true})
		}
	})
}

// TestTK12_AnOutcomeIsGivenOutOnce: a task whose outcome was given out cannot be awaited again.
//
// Adapted: ErrConsumed comes at once, where OTP waits for the whole timeout; also when a server got the value as a message.
func TestTK12_AnOutcomeIsGivenOutOnce(t *testing.T) {
	t.Parallel()
	again := map[string]ask{"Await": awaiting, "Yield": yielding(time.Hour), "Ignore": ignoring}
	eachOwner(t, func(r *stage, o *owner) {
		for first, way := range map[string]ask{
			"Await": awaiting, "Yield": yielding(time.Hour), "Shutdown": shuttingDown(0), "Ignore": ignoring, "Ignore, when over": func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
				time.Sleep(time.Minute)
				return ignoring(ctx, task)
			},
		} {
			for second, other := range again {
				got := o.startAndAsk(r.tasks, after(time.Second, 7), way, other)
				if !errors.Is(got.err, actors.ErrConsumed) || got.took != 0 || got.value != 0 {
					r.Errorf("%s after %s: %s", second, first, got)
				}
			}
		}
	})
	t.Run("by messages", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			for name, ask := range again {
				o := r.startServer(actors.GenServerOptions{})
				both := o.start(r.tasks, at(7))
				synctest.Wait()
				r.expect(name+" after both", o.ask(both, ask), outcome{err: actors.ErrConsumed, ended: name == "Await"})
				ended := o.start(r.tasks, at(7))
				r.expect(name+" after a Demonitor", o.ask(ended, func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
					r.system.Demonitor(ctx, task.Ref())
					return ask(ctx, task)
				}), outcome{err: actors.ErrConsumed, ended: name == "Await"})
			}
		})
	})
	t.Run("by the reply alone", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			asker := &replyAsker{under: r.tasks}
			g, err := actors.StartGenServer(r.ctx, r.system, asker, actors.GenServerOptions{})
			if err != nil {
				r.Fatal(err)
			}
			for range 100 {
				g.Cast(r.ctx, "start")
				synctest.Wait()
				r.expect("in HandleInfo of the reply", asker.got, outcome{ended: true, err: actors.ErrConsumed})
			}
		})
	})
}

// replyAsker awaits its task when it has the value already.
type replyAsker struct {
	under actors.Starter
	task  *actors.Task[int]
	got   outcome
}

func (a *replyAsker) HandleCast(ctx context.Context, _ any) (err error) {
	a.task, err = actors.AsyncNoLink(ctx, a.under, at(7))
	return err
}

func (a *replyAsker) HandleInfo(ctx context.Context, message any) error {
	if _, ok := message.(messages.TaskReply); ok {
		a.got = askFor(ctx, a.task, []ask{awaiting})
	}
	return nil
}

// TestTK15_YieldMayBeTriedAgain: Yield gives the value, the reason, or nothing when its time is over, and then it may be tried again.
func TestTK15_YieldMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		r.expect("a value", o.startAndAsk(r.tasks, after(time.Second, 7), yielding(time.Hour)), outcome{value: 7, ended: true, took: time.Second})
		r.expect("a reason", o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, failing(errBoom), yielding(time.Hour)), outcome{ended: true, err: errBoom})
		task := o.start(r.tasks, after(time.Hour, 8))
		for _, timeout := range []time.Duration{time.Second, 0, -time.Second, time.Minute} {
			r.expect("nothing", o.ask(task, yielding(timeout)), outcome{took: max(timeout, 0)})
		}
		r.expect("a context that has ended", o.ask(task, func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errBoom)
			defer cancel()
			return task.Yield(ctx, time.Minute)
		}), outcome{err: errBoom, took: time.Second})
		r.expect("in the end", o.ask(task, yielding(2*time.Hour)), outcome{value: 8, ended: true, took: time.Hour - 62*time.Second})
		o.expectMessages("after all")
		task = o.start(r.tasks, after(time.Second, 9))
		r.expect("nothing", o.ask(task, yielding(0)), outcome{})
		if time.Sleep(time.Minute); o.server { // whoever gives up has the messages
			o.expectMessages("left alone", messages.TaskReply{Ref: task.Ref(), Value: 9}, messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: messages.Normal})
		}
	})
}

// TestTK16_TheReplyWins: when a task has both replied and ended, Yield and Shutdown give the value, and the Down is dropped.
func TestTK16_TheReplyWins(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, way := range map[string]ask{
			"Yield": yielding(0), "Shutdown": shuttingDown(time.Second), "brutal": shuttingDown(supervisor.BrutalKill), "Ignore": ignoring, "Await": awaiting,
		} {
			r.expect(name, o.startAndAsk(r.tasks, at(7), pausing(time.Second), way), outcome{value: 7, ended: true})
			o.expectMessages(name)
		}
	})
	t.Run("also over a kill in the same moment", func(t *testing.T) {
		ctx := t.Context()
		system := actors.NewSystem(actors.SystemConfig{})
		s, err := actors.StartTaskSupervisor(ctx, system, actors.TaskSupervisorConfig{Shutdown: supervisor.BrutalKill})
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			task, err := actors.AsyncNoLink(ctx, s, at(1))
			if err != nil {
				t.Fatal(err)
			}
			value, ended, err := task.Shutdown(ctx, supervisor.BrutalKill)
			if ended != (value == 1) || err != nil {
				t.Fatalf("%d, %v, %v: want the value or nothing", value, ended, err)
			}
		}
		if err := system.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("a value after the death is none", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{})
			task := o.startNoLink(r.tasks, deaf(time.Minute, 7))
			r.system.Kill(task.PID())
			o.expectMessages("killed", messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: messages.Killed})
			out := r.outside()
			late := out.startNoLink(r.tasks, deaf(time.Minute, 7))
			r.system.Kill(late.PID())
			time.Sleep(time.Hour)
			o.expectMessages("late")
			r.expect("late", out.ask(late, awaiting), outcome{ended: true, err: messages.Killed})
		})
	})
}

// TestTK22_IgnoreDropsWhatIsStillToCome: Ignore gives the outcome that is there; or nothing, and then the task runs on, unlinked, and nothing of it comes.
func TestTK22_IgnoreDropsWhatIsStillToCome(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		r.expect("a value", o.startAndAsk(r.tasks, at(7), pausing(1), ignoring), outcome{value: 7, ended: true})
		r.expect("a reason", o.beginAndAsk(actors.AsyncNoLink[int], r.tasks, failing(errBoom), pausing(1), ignoring), outcome{ended: true, err: errBoom})
		ran := false
		task := o.start(r.tasks, func(ctx context.Context) (int, error) {
			time.Sleep(time.Hour)
			ran = ctx.Err() == nil
			return 0, errBoom // it would end a linked owner
		})
		r.expect("nothing yet", o.ask(task, ignoring), outcome{})
		if !r.system.Alive(task.PID()) {
			r.Error("the task has ended")
		}
		time.Sleep(2 * time.Hour)
		o.expectMessages("later")
		if !ran || !o.pid.IsZero() && !r.system.Alive(o.pid) {
			r.Errorf("the task ran to its end: %v; the owner lives: %v", ran, r.system.Alive(o.pid))
		}
		r.expect("again", o.ask(task, awaiting), outcome{ended: true, err: actors.ErrConsumed})
	})
}
