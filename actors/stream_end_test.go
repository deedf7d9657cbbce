package actors_test

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// boomAt is the work of a stream one element of which fails.
func boomAt(n int, reason error) func(ctx context.Context, i int) (int, error) {
	return func(ctx context.Context, i int) (int, error) {
		if i == n {
			return 0, reason
		}
		return after(time.Duration(i)*time.Second, i)(ctx)
	}
}

// TestAS08_AFailureEndsTheLinkedStream: when an element fails, an owner that does not trap exits ends with the reason; to one that does it is the element's error.
//
// Adapted: the consumer gets a StreamError too, and outside of a process that is all. The owner gets no messages.
func TestAS08_AFailureEndsTheLinkedStream(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		heard := r.hear(o.pid)
		var got []seen
		o.end(func(ctx context.Context) error {
			got = collect(r.stream(ctx, actors.AsyncStream[int, int], upTo(4), boomAt(2, errBoom), actors.StreamOptions{MaxConcurrency: 1}))
			return ctx.Err()
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		r.expectSeen("the stream", got, seen{0, nil}, seen{1, nil}, seen{0, errBoom})
		if _, ok := errors.AsType[*actors.StreamError](got[len(got)-1].err); !ok {
			r.Errorf("the last is a %T", got[len(got)-1].err)
		}
		if reason := heard.reason(); !o.pid.IsZero() && reason != errBoom {
			r.Errorf("the owner ended with %v", reason)
		}
		o.expectMessages("the owner")
		r.expectIdle("afterwards")
	})
	t.Run("an owner that traps exits", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := r.startServer(actors.GenServerOptions{TrapExit: true})
			if err := o.do(func(ctx context.Context) error {
				r.expectSeen("trapping", collect(r.stream(ctx, actors.AsyncStream[int, int], upTo(4), boomAt(2, errBoom), actors.StreamOptions{})),
					seen{0, nil}, seen{1, nil}, seen{0, errBoom}, seen{3, nil})
				return nil
			}); err != nil {
				r.Error(err)
			}
			o.expectMessages("trapping")
		})
	})
	t.Run("a normal end is no failure", func(t *testing.T) {
		eachOwner(t, func(r *stage, o *owner) {
			if err := o.do(func(ctx context.Context) error {
				r.expectSeen("normal", collect(r.stream(ctx, actors.AsyncStream[int, int], upTo(4), boomAt(2, messages.Normal), actors.StreamOptions{})),
					seen{0, nil}, seen{1, nil}, seen{0, messages.Normal}, seen{3, nil})
				return nil
			}); err != nil {
				r.Error(err)
			}
			if !o.pid.IsZero() && !r.system.Alive(o.pid) {
				r.Error("the owner has ended")
			}
		})
	})
}

// TestAS09_AFailureIsItsElements: in a stream that is not linked, the failure of one is the error of its element, and the others go on.
func TestAS09_AFailureIsItsElements(t *testing.T) {
	t.Parallel()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			eachOwner(t, func(r *stage, o *owner) {
				var got []seen
				if err := o.do(func(ctx context.Context) error {
					got = collect(r.stream(ctx, actors.AsyncStreamNoLink[int, int], upTo(4), func(ctx context.Context, i int) (int, error) {
						if i%2 == 1 {
							return way.f(ctx)
						}
						return i, nil
					}, actors.StreamOptions{}))
					return nil
				}); err != nil {
					r.Error(err)
				}
				if len(got) != 4 || got[0] != (seen{0, nil}) || got[2] != (seen{2, nil}) || !way.want(got[1].err) || !way.want(got[3].err) {
					r.Errorf("got %v", got)
				}
				o.expectMessages("the owner")
				if !o.pid.IsZero() && !r.system.Alive(o.pid) {
					r.Error("the owner has ended")
				}
			})
		})
	}
}

// TestAS10_ABreakLeavesNothing: when the consumer stops early, the tasks that run are stopped and waited for, and no message and no link is left.
//
// Adapted: they are told to stop and have Shutdown to do so, together, before they are declared dead; BrutalKill does not ask.
func TestAS10_ABreakLeavesNothing(t *testing.T) {
	t.Parallel()
	eachOwner(t, func(r *stage, o *owner) {
		for kind, how := range streams {
			var told atomic.Int32
			took := o.ask(nil, func(ctx context.Context, _ *actors.Task[int]) (int, bool, error) {
				for value, err := range r.stream(ctx, how, upTo(100), func(ctx context.Context, i int) (int, error) {
					if i == 0 {
						return 0, nil
					}
					<-ctx.Done()
					told.Add(1)
					time.Sleep(time.Second) // it cleans up
					return 0, ctx.Err()
				}, actors.StreamOptions{MaxConcurrency: 5}) {
					if value != 0 || err != nil {
						r.Errorf("%s: got %d, %v", kind, value, err)
					}
					break
				}
				return 0, false, nil
			}).took
			if n := told.Load(); n == 0 || n > 5 || took != time.Second {
				r.Errorf("%s: %d were told, it took %s", kind, n, took)
			}
			r.expectIdle(kind)
			o.expectMessages(kind)
			if info, _ := r.system.Info(o.pid); len(info.Links) != 0 || info.Monitors != 0 {
				r.Errorf("%s: the owner has %v and %d monitors", kind, info.Links, info.Monitors)
			}
		}
	})
	for given, want := range map[time.Duration]time.Duration{0: 5 * time.Second, time.Minute: time.Minute, supervisor.BrutalKill: 0, supervisor.Infinity: time.Hour} {
		t.Run("those that do not hear it "+given.String(), func(t *testing.T) {
			onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
				began := time.Now()
				for _, err := range r.stream(r.ctx, actors.AsyncStream[int, int], upTo(5), func(_ context.Context, i int) (int, error) {
					time.Sleep(time.Duration(min(i, 1)) * time.Hour)
					return 0, nil
				}, actors.StreamOptions{MaxConcurrency: 5, Timeout: actors.NoTimeout, Shutdown: given}) {
					if err != nil {
						r.Error(err)
					}
					break
				}
				if took := time.Since(began); took != want {
					r.Errorf("it took %s, want %s", took, want)
				}
			})
		})
	}
	t.Run("a context that ends", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			for kind, how := range streams {
				ctx, cancel := context.WithTimeoutCause(r.ctx, time.Second, errBoom)
				var values int
				var last error
				for _, err := range r.stream(ctx, how, upTo(1<<60), func(ctx context.Context, i int) (int, error) {
					return after(time.Duration(i%2)*time.Minute, 1)(ctx)
				}, actors.StreamOptions{Timeout: actors.NoTimeout, MaxConcurrency: 3, Unordered: true}) {
					values++
					last = err
				}
				cancel()
				if _, ok := errors.AsType[*actors.StreamError](last); !ok || !errors.Is(last, errBoom) || values == 1 {
					r.Errorf("%s: %d elements, the last with %v", kind, values, last)
				}
				r.expectIdle(kind)
			}
		})
	})
	t.Run("inputs that never end, all of them done at once", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			for _, under := range r.starters() {
				ctx, cancel := context.WithCancelCause(r.ctx)
				seq, err := actors.AsyncStream(ctx, under, upTo(1<<60), func(_ context.Context, i int) (int, error) { return i, nil }, actors.StreamOptions{})
				if err != nil {
					r.Fatal(err)
				}
				var last error
				for value, err := range seq {
					if last = err; value == 100 {
						cancel(errBoom)
					}
				}
				if cancel(nil); !errors.Is(last, errBoom) {
					r.Errorf("the last is %v", last)
				}
			}
		})
	})
}

// TestAS11_MoreStartThanAreTaken: a consumer that takes few has up to MaxConcurrency more started.
func TestAS11_MoreStartThanAreTaken(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		for kind, how := range streams {
			var started atomic.Int32
			taken := 0
			for _, err := range r.stream(r.ctx, how, upTo(1<<60), func(ctx context.Context, i int) (int, error) {
				started.Add(1)
				return after(time.Second*time.Duration(i+1), i)(ctx)
			}, actors.StreamOptions{MaxConcurrency: 4}) {
				if taken++; taken == 2 || err != nil {
					break
				}
			}
			if n := started.Load(); n != 5 {
				r.Errorf("%s: %d started for 2 taken, want 5", kind, n)
			}
		}
	})
}

// TestAS12_AConsumerThatPanics: when the body of the range panics, the tasks that run are stopped and the panic goes on up; so does a Goexit, and a panic of the inputs.
func TestAS12_AConsumerThatPanics(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		for kind, how := range streams {
			for name, body := range map[string]func(){"panic": func() { panic(errBoom) }, "goexit": runtime.Goexit} {
				for where, inputs := range map[string]iter.Seq[int]{"body": upTo(9), "inputs": func(yield func(int) bool) { upTo(3)(yield); body() }} {
					var value any
					var left bool
					var gone sync.WaitGroup
					gone.Go(func() { // a goroutine of its own, which a Goexit may end
						defer func() { value = recover() }()
						for _, err := range r.stream(r.ctx, how, inputs, func(ctx context.Context, i int) (int, error) {
							return after(time.Duration(i)*time.Second, i)(ctx)
						}, actors.StreamOptions{MaxConcurrency: 4}) {
							if where == "body" && err == nil {
								body()
							}
						}
						left = true
					})
					gone.Wait()
					if left || name == "panic" && value != errBoom {
						r.Errorf("%s, %s in the %s: recovered %v; it went on: %v", kind, name, where, value, left)
					}
					r.expectIdle(kind + ", " + name)
				}
			}
		}
	})
}

// TestAS13_AStartThatIsRefused: when the supervisor takes no more tasks, the stream ends with that, its running tasks stopped.
func TestAS13_AStartThatIsRefused(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{MaxChildren: 2}, func(r *stage) {
		for kind, how := range streams {
			var told atomic.Int32
			got := collect(r.stream(r.ctx, how, upTo(9), func(ctx context.Context, _ int) (int, error) {
				defer told.Add(1)
				return waiting(ctx)
			}, actors.StreamOptions{MaxConcurrency: 3}))
			r.expectSeen(kind, got, seen{0, supervisor.ErrMaxChildren})
			if full, ok := errors.AsType[*supervisor.MaxChildrenError](got[0].err); !ok || full.Limit != 2 || told.Load() != 2 {
				r.Errorf("%s: %v; %d were told", kind, got[0].err, told.Load())
			}
			if _, ok := errors.AsType[*actors.StreamError](got[0].err); !ok {
				r.Errorf("%s: it is a %T", kind, got[0].err)
			}
			r.expectIdle(kind)
		}
	})
	t.Run("a supervisor that dies", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			supervisor := r.tasks.Supervisor().PID()
			taken := 0
			var last error
			for _, err := range r.stream(r.ctx, actors.AsyncStreamNoLink[int, int], upTo(1<<60), func(ctx context.Context, i int) (int, error) {
				return after(time.Second, i)(ctx)
			}, actors.StreamOptions{MaxConcurrency: 4}) {
				if taken++; taken == 3 {
					r.system.Kill(supervisor)
					synctest.Wait()
				}
				last = err
			}
			if _, ok := errors.AsType[*actors.StreamError](last); !ok || !errors.Is(last, messages.NoProc) {
				r.Errorf("after %d: %v", taken, last)
			}
		})
	})
}
