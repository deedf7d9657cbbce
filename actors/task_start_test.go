package actors_test

import (
	"context"
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

func moveOne(_ context.Context, _ int) (int, error) { return 0, errBoom }

func moveAll(ctx context.Context) error { _, err := failing(errBoom)(ctx); return err }

// TestTK23_FireAndForget: of a task that is only started nobody gets a message; an abnormal end of any task is logged once, with function and starter, and ends the starter that is linked.
func TestTK23_FireAndForget(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, under := range r.starters() {
			starter := o.pid.String()
			var pid messages.PID
			start := func(f func(ctx context.Context) error) {
				if err := o.do(func(ctx context.Context) (err error) { pid, err = actors.StartTask(ctx, under, f); return err }); err != nil {
					r.Error(err)
				}
			}
			start(func(context.Context) error { return nil })
			o.expectMessages(name)
			if lines := r.log.failures(); len(lines) != 0 {
				r.Errorf("%s: a good end was logged: %v", name, lines)
			}
			start(moveAll)
			lines := r.log.failures()
			if len(lines) != 1 || lines[0].attrs["pid"] != pid.String() || lines[0].attrs["starter"] != starter || lines[0].attrs["reason"].(error).Error() != "boom" ||
				!strings.HasSuffix(lines[0].attrs["function"].(string), "actors_test.moveAll") {
				r.Errorf("%s: logged %v", name, lines)
			}
			o.expectMessages(name)
			if !o.pid.IsZero() && !r.system.Alive(o.pid) {
				r.Errorf("%s: the starter has ended", name)
			}
		}
	})
	t.Run("an element of a stream", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			for name, under := range r.starters() {
				results, err := actors.AsyncStreamNoLink(r.ctx, under, slices.Values([]int{1}), moveOne, actors.StreamOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range results {
					if err == nil {
						t.Error("the element did not fail")
					}
				}
				if lines := r.log.failures(); len(lines) != 1 || !strings.HasSuffix(lines[0].attrs["function"].(string), "actors_test.moveOne") {
					t.Errorf("%s: logged %v", name, lines)
				}
			}
		})
	})
	t.Run("any task, once", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			for name, way := range map[string]struct {
				f    func(ctx context.Context) (int, error)
				want int
			}{
				"a value": {at(1), 0}, "an error": {failing(errBoom), 1}, "a panic": {panicking, 1},
				"Goexit": {func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }, 1},
				"Normal": {failing(messages.Normal), 0}, "Shutdown": {failing(messages.Shutdown), 0}, "ShutdownWith": {failing(&messages.ShutdownWith{Value: 1}), 0},
				"a context of its own": {failing(context.Canceled), 1},
			} {
				for kind, under := range r.starters() {
					for _, how := range []async{actors.Async[int], actors.AsyncNoLink[int]} {
						r.outside().begin(how, under, way.f)
						if lines := r.log.failures(); len(lines) != way.want {
							r.Errorf("%s, %s: logged %v", name, kind, lines)
						}
					}
				}
			}
			o := r.outside()
			o.ask(o.start(r.tasks, waiting), pausing(1), shuttingDown(0))
			if lines := r.log.failures(); len(lines) != 0 {
				r.Errorf("a task that stopped as it was told to was logged: %v", lines)
			}
		})
	})
	t.Run("linked", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			link := func(o *owner, under actors.Starter, f func(ctx context.Context) error) {
				_ = o.do(func(ctx context.Context) error { _, err := actors.StartTaskLink(ctx, under, f); return err })
			}
			for name, under := range r.starters() {
				for _, o := range []*owner{r.startServer(actors.GenServerOptions{}), r.startFunction()} {
					link(o, under, func(context.Context) error { return nil })
					o.expectMessages(name)
					heard := r.hear(o.pid)
					link(o, under, moveAll)
					if reason := heard.reason(); reason != errBoom {
						r.Errorf("%s: the starter ended with %v", name, reason)
					}
				}
				o := r.startServer(actors.GenServerOptions{TrapExit: true})
				link(o, under, moveAll)
				if got := o.got(); len(got) != 1 || got[0].(messages.Exit).Reason != errBoom {
					r.Errorf("%s: one that traps exits got %v", name, got)
				}
				link(r.outside(), under, moveAll)
			}
		})
	})
	t.Run("what is wrong is an error", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			if _, err := actors.StartTask(r.ctx, r.tasks, nil); err == nil || !strings.Contains(err.Error(), "func is nil") {
				r.Errorf("no func: %v", err)
			}
			if _, err := actors.StartTaskLink(r.ctx, nil, moveAll); err == nil || !strings.Contains(err.Error(), "under is nil") {
				r.Errorf("no starter: %v", err)
			}
		})
	})
}

// TestTK24_ATaskInATree: a task as a child of a supervisor is temporary, and the supervisor does not wait for it to finish.
func TestTK24_ATaskInATree(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		runs, told := 0, false
		failing := actors.TaskSpec(r.system, "failing", func(context.Context) error { runs++; return errBoom })
		long := actors.TaskSpec(r.system, "long", func(ctx context.Context) error { <-ctx.Done(); told = true; return ctx.Err() })
		if failing.Restart != supervisor.Temporary || failing.ID != "failing" {
			r.Errorf("the spec is %+v", failing)
		}
		began := time.Now()
		s, err := supervisor.Start(r.ctx, r.system, supervisor.Config{Strategy: supervisor.OneForOne, Children: []supervisor.ChildSpec{failing, long}})
		if err != nil || time.Since(began) != 0 {
			r.Fatalf("the start took %s: %v", time.Since(began), err)
		}
		synctest.Wait()
		counts, err := s.CountChildren(r.ctx)
		if err != nil || counts.Active != 1 || runs != 1 {
			r.Errorf("%+v (%v); the failing one ran %d times", counts, err, runs)
		}
		if err := s.Stop(r.ctx); err != nil || !told {
			r.Errorf("Stop: %v; the other was told: %v", err, told)
		}
		if _, err := supervisor.Start(r.ctx, r.system, supervisor.Config{Strategy: supervisor.OneForOne, Children: []supervisor.ChildSpec{actors.TaskSpec(r.system, "none", nil)}}); err == nil || !strings.Contains(err.Error(), "func is nil") {
			r.Errorf("no func: %v", err)
		}
	})
}

// TestTK25_CallersAreNotAncestors: a nested task knows by whom it was called, and apart from that under whom it runs.
//
// Adapted: both chains are in the context; that of the callers ends after 32, so that a task which starts itself for ever does not grow.
func TestTK25_CallersAreNotAncestors(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for name, under := range r.starters() {
			var callers, ancestors [][]messages.PID
			var pids []messages.PID
			note := func(ctx context.Context) {
				self, _ := actors.Self(ctx)
				pids = append(pids, self)
				callers, ancestors = append(callers, actors.Callers(ctx)), append(ancestors, actors.Ancestors(ctx))
			}
			got := o.startAndAsk(under, func(ctx context.Context) (int, error) {
				note(ctx)
				inner, err := actors.AsyncNoLink(ctx, r.tasks, func(ctx context.Context) (int, error) { note(ctx); return 7, nil })
				if err != nil {
					return 0, err
				}
				return inner.Await(ctx)
			}, awaiting)
			r.expect(name, got, outcome{value: 7, ended: true})
			var called []messages.PID
			if !o.pid.IsZero() {
				called = []messages.PID{o.pid}
			}
			parent := []messages.PID{r.tasks.Supervisor().PID()}
			if name == "unsupervised" {
				parent = called
			}
			if !slices.Equal(callers[0], called) || !slices.Equal(callers[1], append([]messages.PID{pids[0]}, called...)) {
				r.Errorf("%s: the callers are %v of %v by %s", name, callers, pids, o.pid)
			}
			if !slices.Equal(ancestors[0], parent) || !slices.Equal(ancestors[1], []messages.PID{r.tasks.Supervisor().PID()}) {
				r.Errorf("%s: the ancestors are %v", name, ancestors)
			}
		}
	})
	t.Run("the chain ends", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			var nest func(ctx context.Context, depth int) (int, error)
			nest = func(ctx context.Context, depth int) (int, error) {
				if depth == 0 {
					return len(actors.Callers(ctx)), nil
				}
				task, err := actors.AsyncNoLink(ctx, r.tasks, func(ctx context.Context) (int, error) { return nest(ctx, depth-1) })
				if err != nil {
					return 0, err
				}
				return task.Await(ctx)
			}
			for depth, want := range map[int]int{0: 0, 1: 0, 2: 1, 30: 29, 33: 32, 100: 32} {
				if got, err := nest(r.ctx, depth); got != want || err != nil {
					r.Errorf("%d deep: %d callers, want %d (%v)", depth, got, want, err)
				}
			}
			if _, ok := actors.Self(r.ctx); ok || actors.Ancestors(r.ctx) != nil {
				r.Error("outside of all there is a self, or an ancestor")
			}
		})
	})
}
