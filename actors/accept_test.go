package actors_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// TestRunFromAnEndedProcess: a context that outlived its task is as good as any.
func TestRunFromAnEndedProcess(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		leaked := make(chan context.Context, 1)
		first, err := actors.RunFunc(ctx, r, func(ctx context.Context) (int, error) { leaked <- context.WithoutCancel(ctx); return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.Await(ctx); err != nil {
			t.Fatal(err)
		}
		ended := <-leaked
		task, err := actors.Run[int](ended, r, "double", 21)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); got != 42 || err != nil {
			t.Errorf("Await: %d, %v", got, err)
		}
		waiting, err := actors.Run[string](ended, r, "sleep", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := waiting.Cancel(ended); err != nil {
			t.Error(err)
		}
		if _, err := waiting.Await(ctx); !errors.Is(err, actors.ErrTaskCancelled) {
			t.Errorf("the cancelled one: %v", err)
		}
	})
}

// slowInsert records after a second, or refuses.
type slowInsert struct {
	store.Store
	refuses bool
}

func (s *slowInsert) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	time.Sleep(time.Second)
	if s.refuses {
		return nil, errBoom
	}
	return s.Store.Insert(context.WithoutCancel(ctx), now, tasks) // what was begun is recorded
}

// TestACrashWhileTasksAreRecorded: what is not accepted yet does not run, and what is then accepted does.
func TestACrashWhileTasksAreRecorded(t *testing.T) {
	for _, refuses := range []bool{true, false} {
		var runs atomic.Int64
		count := actors.Kind("count", func(context.Context, int) (int, error) { runs.Add(1); return 0, nil })
		config := actors.TaskRunnerConfig{Kinds: actors.Kinds{count}, Store: &slowInsert{store.NewMemory(), refuses}}
		withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
			time.AfterFunc(time.Second/2, r.Kill)
			task, err := actors.Run[int](ctx, r, "count", 1)
			if refuses {
				if !errors.Is(err, errBoom) {
					t.Errorf("Run: %v", err)
				}
			} else if _, err := task.Await(ctx); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			stats, err := r.Stats(ctx)
			if want := map[bool]int64{true: 0, false: 1}[refuses]; runs.Load() != want || stats.Running != 0 || stats.Waiting != 0 || err != nil {
				t.Errorf("%d runs, want %d; %+v, %v", runs.Load(), want, stats, err)
			}
		})
	}
}

// TestAnImpatientRun: its caller is told that its time was over, and what is recorded nevertheless runs.
func TestAnImpatientRun(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds(), Store: &slowInsert{Store: store.NewMemory()}}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		id := uuid.NewString()
		impatient, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := actors.Run[int](impatient, r, "double", 21, actors.WithID(id)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Run: %v", err)
		}
		if _, err := actors.Run[int](impatient, r, "double", 21); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that has ended: %v", err)
		}
		again, err := actors.Run[int](ctx, r, "double", 21, actors.WithID(id))
		if err != nil || !again.Existed() {
			t.Fatalf("asked again: %v, existed %v", err, again.Existed())
		}
		if got, err := again.Await(ctx); got != 42 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
	})
}

// cutInsert is a store on another machine: whose context ends while it writes, that one is not told what it has written.
type cutInsert struct{ store.Store }

func (s *cutInsert) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	inserted, err := s.Store.Insert(context.WithoutCancel(ctx), now, tasks)
	select {
	case <-time.After(time.Second / 10):
		return inserted, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestAnImpatientRunCutsNothingShort: although its caller has gone and the runner stops, what the store has recorded as running
// here runs here, or is given back without using an attempt.
func TestAnImpatientRunCutsNothingShort(t *testing.T) {
	kept := store.NewMemory()
	id := uuid.NewString()
	withRunner(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: &cutInsert{kept}}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		impatient, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := actors.Run[int](impatient, r, "double", 21, actors.WithID(id), actors.WithMaxAttempts(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
	})
	task, err := kept.Get(t.Context(), id)
	if err != nil || !(task.State == store.Completed || task.State == store.Available && task.Attempt == 0) {
		t.Errorf("%s at attempt %d, %v; want that it was done or given back", task.State, task.Attempt, err)
	}
}

// TestAnIDThatIsAskedForAgainWhileItsTaskIsClaimed: the second caller has a place for the task, and the run that was claimed meanwhile
// is known all the same. Else it would be given back while it runs.
func TestAnIDThatIsAskedForAgainWhileItsTaskIsClaimed(t *testing.T) {
	var runs atomic.Int64
	long := actors.Kind("long", func(context.Context, int) (int, error) { runs.Add(1); time.Sleep(time.Minute); return 0, nil })
	config := actors.TaskRunnerConfig{Kinds: actors.Kinds{long}, Store: &slowInsert{Store: store.NewMemory()}}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		id := uuid.NewString()
		if _, err := actors.Run[int](ctx, r, "long", 1, actors.WithID(id), actors.WithDelay(2*time.Second)); err != nil { // takes a second
			t.Fatal(err)
		}
		time.Sleep(time.Second / 2)
		again, err := actors.Run[int](ctx, r, "long", 1, actors.WithID(id))
		if err != nil || !again.Existed() || runs.Load() != 1 {
			t.Fatalf("asked again: %v, existed %v, after %d runs", err, again.Existed(), runs.Load())
		}
		if _, err := again.Await(ctx); err != nil || runs.Load() != 1 {
			t.Errorf("it ran %d times: %v", runs.Load(), err)
		}
	})
}

// hungInsert is a store that never answers, but heeds its context.
type hungInsert struct{ store.Store }

func (s *hungInsert) Insert(ctx context.Context, _ time.Time, _ []store.NewTask) ([]store.Inserted, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestAnImpatientRunOnAStoreThatHangs does not keep the runner from stopping for long.
func TestAnImpatientRunOnAStoreThatHangs(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds(), Store: &hungInsert{store.NewMemory()}}
	withRunner(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		impatient, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := actors.Run[int](impatient, r, "double", 21); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		began := time.Now()
		if err := r.Stop(ctx); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("Stop: %v, after %s", err, time.Since(began))
		}
	})
}

// TestRunAsAMessage: cast to the runner, it is accepted as by Run; what is refused the hook is told.
func TestRunAsAMessage(t *testing.T) {
	box := &inbox{}
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), HandleInfo: box.HandleInfo}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		box.all = nil
		r.Server().Cast(ctx, messages.Run{Kind: "double", Args: []byte("21")})
		synctest.Wait()
		r.Server().Cast(ctx, &messages.Run{Kind: "nobody's"})
		synctest.Wait()
		r.Server().Cast(ctx, messages.Run{Kind: "double", Args: []byte("{"), TaskID: uuid.NewString()})
		all := box.messages()
		if len(all) != 3 {
			t.Fatalf("told %v", all)
		}
		if m, ok := all[0].(messages.Completed); !ok || m.Value != 42 {
			t.Errorf("told %v", all[0])
		}
		if m, ok := all[1].(messages.Failed); !ok || !errors.Is(m.Reason, actors.ErrUnknownKind) || !m.Discarded() {
			t.Errorf("told %v", all[1])
		}
		var args *actors.ArgsError
		if m, ok := all[2].(messages.Failed); !ok || !errors.As(m.Reason, &args) {
			t.Errorf("told %v", all[2])
		}
	})
}

// TestSmallThings that a reader of the docs would expect.
func TestSmallThings(t *testing.T) {
	anything := actors.Kind("anything", func(_ context.Context, v any) (bool, error) { return v == nil, nil })
	bothWays(t, actors.TaskRunnerConfig{Kinds: append(kinds(), anything)}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		task, err := actors.Run[bool](ctx, r, "anything", any(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(ctx); !got || err != nil {
			t.Errorf("a nil argument: %v, %v", got, err)
		}
		for _, d := range []time.Duration{1, 1500, time.Second} {
			task, err := actors.Run[int](ctx, r, "double", 1, actors.WithDelay(d))
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			if _, err := task.Await(ctx); err != nil || time.Since(before) < d {
				t.Errorf("a delay of %s took %s, %v", d, time.Since(before), err)
			}
		}
	})
	withRunner(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		if _, err := actors.Run[int](ctx, r, "double", 1, actors.WithID(uuid.NewString())); !errors.Is(err, actors.ErrNoStore) {
			t.Errorf("WithID without a store: %v", err)
		}
		if _, err := r.Stats(ctx); err != nil {
			t.Error(err)
		}
		_, err := actors.RunFunc(ctx, r, func(context.Context) (int, error) { return 0, nil }, actors.WithBackoff(actors.Backoff{Jitter: math.NaN()}))
		if err == nil || !strings.Contains(err.Error(), "Jitter is NaN") {
			t.Errorf("a Jitter of NaN: %v", err)
		}
	})
}

// TestArgumentsAreUTF8: JSON would carry other ones to the second attempt.
func TestArgumentsAreUTF8(t *testing.T) {
	same := actors.Kind("same", func(_ context.Context, text string) (string, error) { return text, nil })
	withRunner(t, actors.TaskRunnerConfig{Kinds: actors.Kinds{same}, Store: store.NewMemory()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for text, valid := range map[string]bool{
			"\xff": false, "a\xc3": false, "\\\\\xff": false,
			"": true, "\ufffd": true, `\ufffd`: true, `\\ufffd`: true, "ü": true,
		} {
			task, err := actors.Run[string](ctx, r, "same", text)
			if (err == nil) != valid {
				t.Errorf("%q: %v", text, err)
			}
			if err != nil {
				continue
			}
			if got, err := task.Await(ctx); got != text || err != nil {
				t.Errorf("%q came back as %q, %v", text, got, err)
			}
		}
	})
}
