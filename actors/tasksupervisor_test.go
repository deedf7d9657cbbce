package actors_test

import (
	"context"
	"errors"
	"fmt"
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

func untilTold(ctx context.Context) error { _, err := waiting(ctx); return err }

// TestTS01_TheNameIsTheID: a task supervisor as a child has its name as the ID, so that two without a name clash.
func TestTS01_TheNameIsTheID(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		start := func(names ...messages.Name) (*supervisor.Supervisor, error) {
			config := supervisor.Config{Strategy: supervisor.OneForOne}
			for _, name := range names {
				config.Children = append(config.Children, actors.TaskSupervisorConfig{Name: name}.ChildSpec(r.system))
			}
			return supervisor.Start(r.ctx, r.system, config)
		}
		s, err := start("a", "b", "")
		if err != nil {
			r.Fatal(err)
		}
		list, err := s.WhichChildren(r.ctx)
		var ids []string
		for _, child := range list {
			ids = append(ids, child.ID)
			if child.Type != supervisor.TypeSupervisor || child.Restart != supervisor.Permanent {
				r.Errorf("%+v, want a permanent supervisor", child)
			}
		}
		slices.Sort(ids)
		if !slices.Equal(ids, []string{"a", "b", "task_supervisor"}) || err != nil {
			r.Errorf("the IDs are %v (%v)", ids, err)
		}
		if task := r.outside().start(actors.Tasks(r.system, messages.Name("b"), actors.TaskSupervisorConfig{}), at(7)); task != nil {
			r.expect("by its name", r.outside().ask(task, awaiting), outcome{value: 7, ended: true})
		}
		if _, err := s.StartChild(r.ctx, actors.TaskSupervisorConfig{}.ChildSpec(r.system)); !errors.Is(err, supervisor.ErrAlreadyStarted) {
			r.Errorf("a second one without a name: %v", err)
		}
		if _, err := start("", ""); err == nil {
			r.Error("two without a name in one list were taken")
		}
		if _, err := start("b"); err == nil {
			r.Error("a name was taken twice")
		}
	})
}

// TestTS02_AsyncIsAChildAndLinked: a task of Async is the supervisor's child, and linked to and monitored by its caller.
//
// Adapted: these are records of ours; a caller without a mailbox monitors nothing.
func TestTS02_AsyncIsAChildAndLinked(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		task := o.start(r.tasks, waiting)
		sup := r.tasks.Supervisor().PID()
		pids, err := r.tasks.Children(r.ctx)
		if !slices.Equal(pids, []messages.PID{task.PID()}) || err != nil {
			r.Errorf("the children are %v (%v)", pids, err)
		}
		info, _ := r.system.Info(task.PID())
		want := []messages.PID{sup}
		if !o.pid.IsZero() {
			want = append(want, o.pid)
		}
		if info.Parent != sup || !slices.Equal(info.Links, want) || (info.MonitoredBy == 1) != o.server {
			r.Errorf("%+v, want the parent %s, the links %v", info, sup, want)
		}
		r.expect("stop", o.ask(task, shuttingDown(0)), outcome{})
	})
}

// TestTS03_ANoLinkFailureIsADownAlone: when a task of AsyncNoLink fails, its caller gets only a Down, and lives.
func TestTS03_ANoLinkFailureIsADownAlone(t *testing.T) {
	t.Parallel()
	for _, trap := range []bool{false, true} {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{TrapExit: trap})
			task := o.startNoLink(r.tasks, failing(errBoom))
			o.expectMessages("failed", messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: errBoom})
			task = o.startNoLink(r.tasks, waiting)
			r.system.Kill(task.PID())
			o.expectMessages("killed", messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: messages.Killed})
			if !r.system.Alive(o.pid) {
				r.Error("the caller has ended")
			}
		})
	}
}

// TestTS04_ANoLinkTaskOutlivesItsCaller: however the caller of a task of AsyncNoLink ends, the task runs to its end.
func TestTS04_ANoLinkTaskOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(r *stage, o *owner){
		"normal":   func(_ *stage, o *owner) { o.end(func(context.Context) error { return messages.Normal }) },
		"an error": func(_ *stage, o *owner) { o.end(func(context.Context) error { return errBoom }) },
		"a panic":  func(_ *stage, o *owner) { o.end(func(context.Context) error { panic("ouch") }) },
		"shutdown": func(r *stage, o *owner) { r.system.Exit(r.ctx, o.pid, messages.Shutdown) },
		"killed":   func(r *stage, o *owner) { r.system.Kill(o.pid) },
	} {
		t.Run(name, func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				if o.pid.IsZero() {
					return // nobody who could end
				}
				var ran atomic.Int32
				for _, under := range r.starters() {
					o.startNoLink(under, func(ctx context.Context) (int, error) {
						value, err := after(time.Minute, 1)(ctx)
						ran.Add(int32(value))
						return value, err
					})
				}
				end(r, o)
				time.Sleep(time.Hour)
				if r.system.Alive(o.pid) || ran.Load() != 2 {
					r.Errorf("the caller lives: %v; %d of 2 ran to their end", r.system.Alive(o.pid), ran.Load())
				}
			})
		})
	}
}

// TestTS05_StartChildTellsNobody: StartChild gives the PID; no message of the task comes, and nobody is linked to it but the supervisor.
func TestTS05_StartChildTellsNobody(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for _, f := range []func(ctx context.Context) error{untilTold, moveAll} {
			var pid messages.PID
			if err := o.do(func(ctx context.Context) (err error) { pid, err = r.tasks.StartChild(ctx, f); return err }); err != nil || pid.IsZero() {
				r.Errorf("%s, %v", pid, err)
			}
			if info, alive := r.system.Info(pid); alive && (!slices.Equal(info.Links, []messages.PID{r.tasks.Supervisor().PID()}) || info.MonitoredBy != 0) {
				r.Errorf("%+v", info)
			}
			r.system.Exit(r.ctx, pid, errBoom)
			o.expectMessages("nothing")
			if !o.pid.IsZero() && !r.system.Alive(o.pid) {
				r.Error("the caller has ended")
			}
		}
		if _, err := r.tasks.StartChild(r.ctx, nil); err == nil || !strings.Contains(err.Error(), "func is nil") {
			r.Errorf("no func: %v", err)
		}
		if _, err := r.tasks.StartChild(r.ctx, untilTold, nil); err == nil || !strings.Contains(err.Error(), "TaskOption 1 of 1 is nil") {
			r.Errorf("no option: %v", err)
		}
	})
}

// TestTS06_CrashesOfTemporaryTasks: tasks are temporary: none is started again, and no number of crashes stops the supervisor.
func TestTS06_CrashesOfTemporaryTasks(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{MaxRestarts: 1}, func(r *stage) {
		before := r.tasks.Supervisor().PID()
		var runs atomic.Int32
		for range 50 {
			if _, err := r.tasks.StartChild(r.ctx, func(context.Context) error { runs.Add(1); panic("ouch") }); err != nil {
				r.Error(err)
			}
			o := r.outside()
			o.ask(o.startNoLink(r.tasks, func(context.Context) (int, error) { runs.Add(1); return 0, errBoom }), awaiting)
		}
		synctest.Wait()
		counts, err := r.tasks.Supervisor().CountChildren(r.ctx)
		if err != nil || counts.Specs != 0 || runs.Load() != 100 || !r.system.Alive(before) {
			r.Errorf("%+v (%v), %d runs, the supervisor lives: %v", counts, err, runs.Load(), r.system.Alive(before))
		}
	})
}

// TestTS07_RestartsAreSharedAndCounted: a child that WithRestart has started again runs once and MaxRestarts times more, and then the supervisor ends with all its tasks.
func TestTS07_RestartsAreSharedAndCounted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		restart supervisor.Restart
		reason  error
		given   int
		runs    int32
	}{
		{supervisor.Transient, errBoom, 0, 4},
		{supervisor.Permanent, errBoom, 0, 4},
		{supervisor.Permanent, nil, 0, 4},
		{supervisor.Transient, errBoom, 1, 2},
		{supervisor.Transient, errBoom, supervisor.NoRestarts, 1},
		{supervisor.Transient, nil, 0, 1},
		{supervisor.Transient, messages.Shutdown, 0, 1},
		{supervisor.Temporary, errBoom, 0, 1},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			onStage(t, actors.TaskSupervisorConfig{MaxRestarts: test.given}, func(r *stage) {
				heard := r.hear(r.tasks.Supervisor().PID())
				o := r.outside()
				innocent := o.startNoLink(r.tasks, waiting)
				var runs atomic.Int32
				ctx, cancel := context.WithCancel(r.ctx)
				_, err := r.tasks.StartChild(ctx, func(context.Context) error { runs.Add(1); return test.reason }, actors.WithRestart(test.restart))
				cancel() // it is for the start alone
				if err != nil && !errors.Is(err, messages.Shutdown) {
					r.Fatal(err)
				}
				dies := test.reason == errBoom && test.restart != supervisor.Temporary || test.restart == supervisor.Permanent
				reason := heard.reason()
				if runs.Load() != test.runs || (reason == error(messages.Shutdown)) != dies || r.system.Alive(innocent.PID()) == dies {
					r.Errorf("%d runs, want %d; the supervisor ended with %v; the other task lives: %v", runs.Load(), test.runs, reason, r.system.Alive(innocent.PID()))
				}
				if dies {
					r.expect("the other task", o.ask(innocent, awaiting), outcome{ended: true, err: messages.Shutdown})
				}
			})
		})
	}
}

// TestTS08_AnAsyncTaskIsTemporary: a task of Async or AsyncNoLink is temporary, whatever the others are.
//
// Adapted: asking for another restart is an error, since nobody would get the outcome of the second run.
func TestTS08_AnAsyncTaskIsTemporary(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		o := r.outside()
		var runs atomic.Int32
		for _, how := range []async{actors.Async[int], actors.AsyncNoLink[int]} {
			for _, restart := range []supervisor.Restart{supervisor.Permanent, supervisor.Transient} {
				if task, err := how(r.ctx, r.tasks, at(1), actors.WithRestart(restart)); task != nil || err == nil || !strings.Contains(err.Error(), "WithRestart is "+restart.String()) {
					r.Errorf("%v, %v", task, err)
				}
			}
			task, err := how(r.ctx, r.tasks, func(context.Context) (int, error) { runs.Add(1); return 0, errBoom }, actors.WithRestart(supervisor.Temporary))
			if err != nil {
				r.Fatal(err)
			}
			children, err := r.tasks.Supervisor().WhichChildren(r.ctx)
			for _, child := range children {
				if child.Restart != supervisor.Temporary || err != nil {
					r.Errorf("%+v (%v)", child, err)
				}
			}
			r.expect("fails", o.ask(task, awaiting), outcome{ended: true, err: errBoom})
		}
		if synctest.Wait(); runs.Load() != 2 {
			r.Errorf("%d runs of 2 tasks", runs.Load())
		}
	})
}

// TestTS09_MaxChildren: at MaxChildren each way to start a task is refused; when a task has ended, its place is free.
//
// Adapted: it is the error ErrMaxChildren for all of them. The place of a task that was declared dead is free at once, and its
// goroutine is counted as abandoned.
func TestTS09_MaxChildren(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{MaxChildren: 1}, func(r *stage) {
		refused := func(when string) {
			for how, start := range map[string]func() error{
				"StartChild":    func() error { _, err := r.tasks.StartChild(r.ctx, untilTold); return err },
				"StartTask":     func() error { _, err := actors.StartTask(r.ctx, r.tasks, untilTold); return err },
				"StartTaskLink": func() error { _, err := actors.StartTaskLink(r.ctx, r.tasks, untilTold); return err },
				"Async":         func() error { _, err := actors.Async(r.ctx, r.tasks, at(1)); return err },
				"AsyncNoLink":   func() error { _, err := actors.AsyncNoLink(r.ctx, r.tasks, at(1)); return err },
			} {
				full, ok := errors.AsType[*supervisor.MaxChildrenError](start())
				if !ok || full.Limit != 1 || !errors.Is(full, supervisor.ErrMaxChildren) {
					r.Errorf("%s, %s: %v", when, how, full)
				}
			}
		}
		o := r.outside()
		task := o.start(r.tasks, deaf(time.Hour, 1))
		refused("full")
		r.expect("brutal", o.ask(task, shuttingDown(supervisor.BrutalKill)), outcome{})
		pid, err := r.tasks.StartChild(r.ctx, untilTold)
		if err != nil || r.system.Abandoned() != 1 {
			r.Errorf("after a kill: %v, %d abandoned", err, r.system.Abandoned())
		}
		refused("full again")
		if err := r.tasks.Supervisor().TerminateChild(r.ctx, pid); err != nil {
			r.Error(err)
		}
		for range 1000 { // whoever has the outcome finds the place free
			r.expect("one after the other", o.ask(o.start(r.tasks, at(7)), awaiting), outcome{value: 7, ended: true})
		}
	})
	onStage(t, actors.TaskSupervisorConfig{MaxChildren: supervisor.NoChildren}, func(r *stage) {
		if _, err := r.tasks.StartChild(r.ctx, untilTold); !errors.Is(err, supervisor.ErrMaxChildren) {
			r.Errorf("none allowed: %v", err)
		}
	})
}

// TestTS10_TerminateChild: a task that is terminated is told to shut down; its owner sees a Down with Shutdown, and a second try finds nothing.
//
// Adapted: one that does not stop when its time is over is declared dead.
func TestTS10_TerminateChild(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{Shutdown: time.Second}, func(r *stage) {
		o := r.startServer(actors.GenServerOptions{})
		for _, test := range []struct {
			f    func(ctx context.Context) (int, error)
			want error
			took time.Duration
		}{{waiting, messages.Shutdown, 0}, {deaf(time.Hour, 1), messages.Killed, time.Second}} {
			task := o.startNoLink(r.tasks, test.f)
			began := time.Now()
			if err := r.tasks.TerminateChild(r.ctx, task.PID()); err != nil || time.Since(began) != test.took {
				r.Errorf("%v after %s, want %s", err, time.Since(began), test.took)
			}
			o.expectMessages("terminated", messages.Down{Ref: task.Ref(), PID: task.PID(), Reason: test.want})
			if err := r.tasks.TerminateChild(r.ctx, task.PID()); !errors.Is(err, supervisor.ErrNotFound) {
				r.Errorf("a second time: %v", err)
			}
		}
	})
	t.Run("who has terminated a task finds that it has ended", func(t *testing.T) { // at real speed, since it is a matter of moments
		system := actors.NewSystem(actors.SystemConfig{})
		tasks, err := actors.StartTaskSupervisor(t.Context(), system, actors.TaskSupervisorConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			task, err := actors.AsyncNoLink(t.Context(), tasks, waiting)
			if err != nil {
				t.Fatal(err)
			}
			if err := tasks.Supervisor().TerminateChild(t.Context(), task.PID()); err != nil {
				t.Error(err)
			}
			if _, ended, err := task.Yield(t.Context(), 0); !ended || !errors.Is(err, messages.Shutdown) {
				t.Fatalf("ended: %v, %v", ended, err)
			}
		}
		if err := system.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
