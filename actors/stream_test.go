package actors_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

type streaming = func(context.Context, actors.Starter, iter.Seq[int], func(ctx context.Context, input int) (int, error), actors.StreamOptions) (iter.Seq2[int, error], error)

// streams are the two kinds.
var streams = map[string]streaming{"linked": actors.AsyncStream[int, int], "not linked": actors.AsyncStreamNoLink[int, int]}

// upTo gives 0 to n-1.
func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// stream builds a stream, as somebody outside unless ctx belongs to a process.
func (r *stage) stream(ctx context.Context, how streaming, inputs iter.Seq[int], f func(ctx context.Context, input int) (int, error), options actors.StreamOptions) iter.Seq2[int, error] {
	r.Helper()
	seq, err := how(ctx, r.tasks, inputs, f, options)
	if err != nil {
		r.Fatal(err)
	}
	return seq
}

// seen is what a stream gave.
type seen struct {
	value int
	err   error
}

func collect(seq iter.Seq2[int, error]) (all []seen) {
	for value, err := range seq {
		all = append(all, seen{value, err})
	}
	return all
}

// expectSeen compares what a stream gave; errors are what errors.Is finds.
func (r *stage) expectSeen(what string, got []seen, want ...seen) {
	r.Helper()
	if !slices.EqualFunc(got, want, func(a, b seen) bool { return a.value == b.value && errors.Is(a.err, b.err) }) {
		r.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// expectIdle checks that nothing runs under the task supervisor.
func (r *stage) expectIdle(what string) {
	r.Helper()
	synctest.Wait()
	if pids, err := r.tasks.Children(r.ctx); len(pids) != 0 || err != nil || r.system.Abandoned() != 0 {
		r.Errorf("%s: %v still run (%v), %d abandoned", what, pids, err, r.system.Abandoned())
	}
}

// TestAS01_NothingStartsBeforeTheRange: options are checked when a stream is built, but no task starts before it is ranged over.
//
// Adapted: the stream is an iterator; the owner is the process of the ctx that it was built with, wherever it is ranged over.
func TestAS01_NothingStartsBeforeTheRange(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		double := func(_ context.Context, i int) (int, error) { return 2 * i, nil }
		for kind, how := range streams {
			for want, options := range map[string]actors.StreamOptions{
				"MaxConcurrency is -1": {MaxConcurrency: -1}, "Timeout is -2ns": {Timeout: -2}, "Shutdown is -3ns": {Shutdown: -3},
			} {
				if seq, err := how(r.ctx, r.tasks, upTo(1), double, options); seq != nil || err == nil || !strings.Contains(err.Error(), want) {
					r.Errorf("%s: %v, want %q", kind, err, want)
				}
			}
			for want, build := range map[string]func() (iter.Seq2[int, error], error){
				"under is nil": func() (iter.Seq2[int, error], error) { return how(r.ctx, nil, upTo(1), double, actors.StreamOptions{}) },
				"func is nil": func() (iter.Seq2[int, error], error) {
					return how(r.ctx, r.tasks, upTo(1), nil, actors.StreamOptions{})
				},
				"inputs are nil": func() (iter.Seq2[int, error], error) { return how(r.ctx, r.tasks, nil, double, actors.StreamOptions{}) },
			} {
				if _, err := build(); err == nil || !strings.Contains(err.Error(), want) {
					r.Errorf("%s: %v, want %q", kind, err, want)
				}
			}
			var pulled, ran atomic.Int32
			seq := r.stream(r.ctx, how, func(yield func(int) bool) {
				pulled.Add(1)
				upTo(3)(yield)
			}, func(ctx context.Context, i int) (int, error) { ran.Add(1); return double(ctx, i) }, actors.StreamOptions{})
			synctest.Wait()
			if pulled.Load() != 0 || ran.Load() != 0 {
				r.Errorf("%s: something ran before the range", kind)
			}
			for range 2 { // each range is one of its own
				r.expectSeen(kind, collect(seq), seen{0, nil}, seen{2, nil}, seen{4, nil})
			}
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() { r.expectSeen(kind+", together", collect(seq), seen{0, nil}, seen{2, nil}, seen{4, nil}) })
			}
			both.Wait()
			r.expectSeen(kind+", no inputs", collect(r.stream(r.ctx, how, upTo(0), double, actors.StreamOptions{})))
			r.expectIdle(kind)
		}
	})
	t.Run("the owner", func(t *testing.T) {
		eachOwner(t, func(r *stage, o *owner) {
			for kind, how := range streams {
				var callers []messages.PID
				if err := o.do(func(ctx context.Context) error {
					collect(r.stream(ctx, how, upTo(1), func(ctx context.Context, _ int) (int, error) { callers = actors.Callers(ctx); return 1, nil }, actors.StreamOptions{}))
					return nil
				}); err != nil {
					r.Error(err)
				}
				if len(callers) == 0 != o.pid.IsZero() || len(callers) > 0 && callers[0] != o.pid {
					r.Errorf("%s: the tasks were called by %v, want %s", kind, callers, o.pid)
				}
				o.expectMessages(kind)
			}
		})
	})
}

// highest counts how many run at once, and keeps the most.
type highest struct{ now, most atomic.Int32 }

func (h *highest) in() (out func()) {
	n := h.now.Add(1)
	for most := h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
	}
	return func() { h.now.Add(-1) }
}

// TestAS02_AtMostMaxConcurrency: at most MaxConcurrency tasks run at once, by default GOMAXPROCS, also when the supervisor allows no more.
func TestAS02_AtMostMaxConcurrency(t *testing.T) {
	t.Parallel()
	for given, want := range map[int]int32{0: int32(runtime.GOMAXPROCS(0)), 1: 1, 3: 3, 100: 20} {
		for kind, how := range streams {
			onStage(t, actors.TaskSupervisorConfig{MaxChildren: int(want)}, func(r *stage) {
				var h highest
				got := collect(r.stream(r.ctx, how, upTo(20), func(ctx context.Context, i int) (int, error) {
					defer h.in()()
					return after(time.Duration(i%3)*time.Second, i)(ctx)
				}, actors.StreamOptions{MaxConcurrency: given, Unordered: true}))
				if h.most.Load() != want || len(got) != 20 || slices.ContainsFunc(got, func(s seen) bool { return s.err != nil }) {
					r.Errorf("%s: %d at once, want %d; got %v", kind, h.most.Load(), want, got)
				}
			})
		}
	}
}

// TestAS03_TheOrderOfTheResults: results come in the order of the inputs or, unordered, in that in which their tasks end.
func TestAS03_TheOrderOfTheResults(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		slowFirst := func(ctx context.Context, i int) (int, error) { return after(time.Duration(4-i)*time.Second, i)(ctx) }
		for kind, how := range streams {
			r.expectSeen(kind+", ordered", collect(r.stream(r.ctx, how, upTo(4), slowFirst, actors.StreamOptions{MaxConcurrency: 4})),
				seen{0, nil}, seen{1, nil}, seen{2, nil}, seen{3, nil})
			r.expectSeen(kind+", unordered", collect(r.stream(r.ctx, how, upTo(4), slowFirst, actors.StreamOptions{MaxConcurrency: 4, Unordered: true})),
				seen{3, nil}, seen{2, nil}, seen{1, nil}, seen{0, nil})
		}
	})
}

// TestAS04_ASlowHeadHoldsUpNoStart: behind a slow first element of an ordered stream the others start, end and wait, without a limit.
func TestAS04_ASlowHeadHoldsUpNoStart(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		var done atomic.Int32
		began := time.Now()
		for value, err := range r.stream(r.ctx, actors.AsyncStream[int, int], upTo(1000), func(ctx context.Context, i int) (int, error) {
			if i == 0 {
				return after(time.Hour, i)(ctx)
			}
			done.Add(1)
			return i, nil
		}, actors.StreamOptions{MaxConcurrency: 2, Timeout: actors.NoTimeout}) {
			if err != nil || value == 0 && (done.Load() != 999 || time.Since(began) != time.Hour) {
				r.Errorf("%v after %s: %d are done behind the first", err, time.Since(began), done.Load())
			}
		}
	})
}

// TestAS05_ATimeoutEndsTheStream: when one element takes longer than its time, counted from the start of its task, the stream ends and the others are stopped.
//
// Adapted: the consumer gets a StreamError with ErrTaskTimeout and lives.
func TestAS05_ATimeoutEndsTheStream(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		for kind, how := range streams {
			var told atomic.Int32
			work := func(ctx context.Context, i int) (int, error) {
				value, err := after(time.Duration(i)*900*time.Millisecond, i)(ctx)
				if err != nil {
					told.Add(1)
				}
				return value, err
			}
			began := time.Now()
			got := collect(r.stream(r.ctx, how, upTo(20), work, actors.StreamOptions{MaxConcurrency: 2}))
			// 0, 2 and 4 take 5.4 s, and 6 would take as long; 5 seconds of that are too much.
			r.expectSeen(kind, got[:6], seen{0, nil}, seen{1, nil}, seen{2, nil}, seen{3, nil}, seen{4, nil}, seen{5, nil})
			last := got[len(got)-1]
			if _, ok := errors.AsType[*actors.StreamError](last.err); !ok || !errors.Is(last.err, actors.ErrTaskTimeout) || told.Load() != 2 || time.Since(began).Truncate(time.Millisecond) != 10400*time.Millisecond || len(got) != 7 {
				r.Errorf("%s: the last is %v, %d were told, after %s", kind, last.err, told.Load(), time.Since(began))
			}
			r.expectIdle(kind)
			r.expectSeen(kind+", without a limit", collect(r.stream(r.ctx, how, upTo(1), func(ctx context.Context, i int) (int, error) {
				return after(time.Hour, i)(ctx)
			}, actors.StreamOptions{Timeout: actors.NoTimeout})), seen{0, nil})
		}
	})
}

// TestAS06_KillOnTimeout: with KillOnTimeout an element that takes too long is ErrTaskTimeout, and the stream goes on.
//
// Adapted: the task is declared dead, so its place is free while its goroutine may go on.
func TestAS06_KillOnTimeout(t *testing.T) {
	t.Parallel()
	slow := func(_ context.Context, i int) (int, error) { return deaf(time.Duration(i%2)*time.Minute, i)(nil) }
	for _, unordered := range []bool{false, true} {
		for kind, how := range streams {
			onStage(t, actors.TaskSupervisorConfig{MaxChildren: 1}, func(r *stage) {
				options := actors.StreamOptions{MaxConcurrency: 1, Timeout: time.Second, KillOnTimeout: true, Unordered: unordered}
				began := time.Now()
				r.expectSeen(kind, collect(r.stream(r.ctx, how, upTo(4), slow, options)),
					seen{0, nil}, seen{0, actors.ErrTaskTimeout}, seen{2, nil}, seen{0, actors.ErrTaskTimeout})
				if took := time.Since(began); took != 2*time.Second || r.system.Abandoned() != 2 {
					r.Errorf("%s: it took %s, %d abandoned", kind, took, r.system.Abandoned())
				}
			})
		}
	}
	t.Run("the time runs while the consumer is busy", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			var ended [4]time.Duration
			began := time.Now()
			var got []seen
			for value, err := range r.stream(r.ctx, actors.AsyncStream[int, int], upTo(4), func(ctx context.Context, i int) (int, error) {
				defer func() { ended[i] = time.Since(began) }()
				return after(time.Duration(i)*700*time.Millisecond, i)(ctx)
			}, actors.StreamOptions{MaxConcurrency: 4, Timeout: time.Second, KillOnTimeout: true}) {
				got = append(got, seen{value, err})
				time.Sleep(time.Minute)
			}
			r.expectSeen("busy", got, seen{0, nil}, seen{1, nil}, seen{0, actors.ErrTaskTimeout}, seen{0, actors.ErrTaskTimeout})
			synctest.Wait()
			if ended[2] != time.Second || ended[3] != time.Second {
				r.Errorf("they ended after %v", ended)
			}
		})
	})
	t.Run("and while the inputs block", func(t *testing.T) {
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			inputs := func(yield func(int) bool) {
				_ = yield(0)
				time.Sleep(time.Hour)
			}
			got := collect(r.stream(r.ctx, actors.AsyncStream[int, int], inputs, func(ctx context.Context, _ int) (int, error) {
				<-ctx.Done()
				return 0, context.Cause(ctx)
			}, actors.StreamOptions{MaxConcurrency: 2, Timeout: time.Second, KillOnTimeout: true}))
			r.expectSeen("blocked", got, seen{0, actors.ErrTaskTimeout})
		})
	})
}

// TestAS07_ZipInputOnExit: with ZipInputOnExit an element that fails or takes too long comes with its input.
func TestAS07_ZipInputOnExit(t *testing.T) {
	t.Parallel()
	onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
		work := func(ctx context.Context, i int) (int, error) {
			switch i {
			case 1:
				return 0, errBoom
			case 2:
				panic("ouch")
			case 3:
				return waiting(ctx)
			}
			return i, nil
		}
		options := actors.StreamOptions{Timeout: time.Second, KillOnTimeout: true, ZipInputOnExit: true}
		got := collect(r.stream(r.ctx, actors.AsyncStreamNoLink[int, int], upTo(5), work, options))
		for i, s := range got {
			failed, ok := errors.AsType[*actors.InputError](s.err)
			if ok != (i > 0 && i < 4) || ok && (failed.Input != i || failed.Error() != fmt.Sprintf("actors: input %d: %v", i, failed.Err)) {
				r.Errorf("%d: %v", i, s.err)
			}
		}
		r.expectSeen("the reasons", got[3:], seen{0, actors.ErrTaskTimeout}, seen{4, nil})
		r.expectSeen("an error", got[1:2], seen{0, errBoom})
		got = collect(r.stream(r.ctx, actors.AsyncStream[int, int], upTo(5), work, actors.StreamOptions{ZipInputOnExit: true, MaxConcurrency: 1}))
		last := got[len(got)-1].err
		if failed, ok := errors.AsType[*actors.InputError](last); len(got) != 2 || !ok || failed.Input != 1 || !errors.Is(last, errBoom) {
			r.Errorf("linked: %v", got)
		}
	})
}
