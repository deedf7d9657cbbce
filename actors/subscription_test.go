package actors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// hasty keeps outcomes for a second, and for subscribers for five minutes.
var hasty = actors.Retention{
	Completed: time.Second, Cancelled: time.Second, Discarded: time.Second, Subscribers: actors.MinRetentionSubscribers,
}

// subscribe gives the subscriber that the tests have in common.
func subscribe(t *testing.T, r *actors.TaskRunner, after int64) *actors.Subscription {
	t.Helper()
	s, err := r.Subscribe(t.Context(), "s", after)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// double runs n tasks to their ends, and gives their ids in the order of their outcomes.
func double(t *testing.T, r *actors.TaskRunner, n int) (ids []string) {
	t.Helper()
	for range n {
		task, err := actors.Run[int](t.Context(), r, "double", 21)
		if err == nil {
			_, err = task.Await(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, task.ID())
	}
	return ids
}

// read reads n outcomes.
func read(t *testing.T, s *actors.Subscription, n int) (tasks []store.Task) {
	t.Helper()
	for task, err := range s.Outcomes(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if tasks = append(tasks, task); len(tasks) == n {
			break
		}
	}
	return tasks
}

func wantRead(t *testing.T, s *actors.Subscription, want []string) (tasks []store.Task) {
	t.Helper()
	tasks = read(t, s, len(want))
	for i, task := range tasks {
		if task.ID != want[i] {
			t.Errorf("outcome %d is of %s, want %s", i, task.ID, want[i])
		}
	}
	return tasks
}

func acknowledge(t *testing.T, s *actors.Subscription, task store.Task) {
	t.Helper()
	if err := s.Acknowledge(t.Context(), task.Pos); err != nil {
		t.Error(err)
	}
}

// wantKept compares how many tasks are recorded, when those that may go have gone.
func wantKept(t *testing.T, db store.Store, runner string, want int64) {
	t.Helper()
	time.Sleep(actors.PruneInterval + 2*time.Second)
	counts, err := db.Counts(t.Context(), runner)
	if err != nil || counts[store.Completed] != want {
		t.Errorf("%v are kept, %v; want %d", counts, err, want)
	}
}

// TestSubscribersKeepOutcomes: what a subscriber has not acknowledged is there when it comes, and gone when it has.
func TestSubscribersKeepOutcomes(t *testing.T) {
	db := store.NewMemory()
	withRunner(t, actors.TaskRunnerConfig{Store: db, Kinds: kinds(), Retention: hasty}, func(t *testing.T, _ context.Context, r *actors.TaskRunner) {
		double(t, r, 2)
		s := subscribe(t, r, store.FromNow)
		ids := double(t, r, 3)
		wantKept(t, db, r.Name(), 3)
		tasks := wantRead(t, s, ids)
		wantRead(t, s, ids) // it has acknowledged nothing
		acknowledge(t, s, tasks[1])
		wantKept(t, db, r.Name(), 1)
		wantRead(t, s, ids[2:])
		acknowledge(t, s, tasks[0]) // which lowers nothing
		wantRead(t, subscribe(t, r, store.FromNow), ids[2:])
		if err := errors.Join(s.Unsubscribe(t.Context()), s.Unsubscribe(t.Context())); err != nil {
			t.Error(err)
		}
		wantKept(t, db, r.Name(), 0)
	})
}

// TestSubscribersAfterARestart: the runner is another one, and the subscriber the same.
func TestSubscribersAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := actors.TaskRunnerConfig{Store: store.NewMemory(), Kinds: kinds(), Retention: hasty}
		r := start(t, config)
		s := subscribe(t, r, store.FromOldest)
		ids := double(t, r, 3)
		acknowledge(t, s, read(t, s, 1)[0])
		stop(t, r)
		time.Sleep(actors.MinRetentionSubscribers - time.Second)
		r = start(t, config)
		s = subscribe(t, r, store.FromNow)
		wantKept(t, config.Store, r.Name(), 2)
		ids = append(ids, double(t, r, 1)...)
		wantRead(t, s, ids[1:])
		stop(t, r)
	})
}

// TestSubscribersOfAllReplicas: one that runs no tasks has the same subscribers as those that do.
func TestSubscribersOfAllReplicas(t *testing.T) {
	front := actors.TaskRunnerConfig{Kinds: kinds(), Retention: hasty, InsertOnly: true}
	worker := actors.TaskRunnerConfig{Kinds: kinds(), Retention: hasty}
	withReplicas(t, []actors.TaskRunnerConfig{front, worker}, func(t *testing.T, db *shared, r []*actors.TaskRunner) {
		here, there := subscribe(t, r[0], store.FromNow), subscribe(t, r[1], store.FromNow)
		ids := double(t, r[0], 3)
		wantKept(t, db, sharedRunner, 3)
		tasks := wantRead(t, here, ids)
		acknowledge(t, here, tasks[0])
		wantRead(t, there, ids[1:])
		acknowledge(t, there, tasks[1])
		wantRead(t, here, ids[2:])
		wantKept(t, db, sharedRunner, 1)
	})
}

// TestSubscribersWhoAreGone keep nothing, and hear of it when they come back.
func TestSubscribersWhoAreGone(t *testing.T) {
	db := store.NewMemory()
	withRunner(t, actors.TaskRunnerConfig{Store: db, Kinds: kinds(), Retention: hasty}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		s := subscribe(t, r, store.FromOldest) // before the first outcome of all
		double(t, r, 2)
		time.Sleep(actors.MinRetentionSubscribers)
		wantKept(t, db, r.Name(), 0)
		ids := double(t, r, 1)
		for _, again := range []*actors.Subscription{s, subscribe(t, r, store.FromNow)} {
			if last := lastOf(ctx, again); !errors.Is(last, store.ErrCursorExpired) {
				t.Errorf("it has missed two outcomes, and hears %v", last)
			}
		}
		wantKept(t, db, r.Name(), 1) // it was seen
		if err := s.Unsubscribe(ctx); err != nil {
			t.Error(err)
		}
		wantRead(t, subscribe(t, r, store.FromOldest), ids)
	})
}

// lastOf reads all, and gives the error with which it ends.
func lastOf(ctx context.Context, s *actors.Subscription) (last error) {
	for _, err := range s.Outcomes(ctx) {
		last = err
	}
	return last
}

// TestWhoReadsIsSeen: while there is nothing new, and while the caller takes its time; and no longer.
func TestWhoReadsIsSeen(t *testing.T) {
	db := store.NewMemory()
	withRunner(t, actors.TaskRunnerConfig{Store: db, Kinds: kinds(), Retention: hasty}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		s := subscribe(t, r, store.FromOldest)
		double(t, r, 2)
		left, leave := context.WithCancelCause(ctx)
		ended := make(chan error)
		go func() {
			var last error
			for task, err := range s.Outcomes(left) {
				if last = err; err == nil {
					time.Sleep(time.Hour)                            // it takes its time
					acknowledge(t, s, store.Task{Pos: task.Pos - 1}) // the one before
				}
			}
			ended <- last
		}()
		time.Sleep(30 * time.Minute)
		wantKept(t, db, r.Name(), 2)
		time.Sleep(2 * time.Hour)
		wantKept(t, db, r.Name(), 1)
		time.Sleep(5 * time.Hour) // there is nothing new
		wantKept(t, db, r.Name(), 1)
		leave(errBoom)
		if err := <-ended; !errors.Is(err, errBoom) {
			t.Errorf("it ended with %v", err)
		}
		time.Sleep(actors.MinRetentionSubscribers)
		wantKept(t, db, r.Name(), 0)
	})
}

// TestHowSubscriptionsEnd: with who has unsubscribed, with the runner, and with the loop that is left.
func TestHowSubscriptionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, actors.TaskRunnerConfig{Store: store.NewMemory(), Kinds: kinds()})
		s := subscribe(t, r, store.FromNow)
		ended := make(chan error)
		go func() { ended <- lastOf(context.Background(), s) }()
		synctest.Wait()
		if err := subscribe(t, r, store.FromNow).Unsubscribe(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), `"s"`) {
			t.Errorf("somebody else has unsubscribed: %v", err)
		}
		for what, err := range map[string]error{
			"Outcomes": lastOf(t.Context(), s), "Acknowledge": s.Acknowledge(t.Context(), store.FromOldest),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s of one who has unsubscribed: %v", what, err)
			}
		}
		s = subscribe(t, r, store.FromNow)
		ids := double(t, r, 1)
		read(t, s, 1) // the bubble shows whether anything goes on behind it
		go func() { ended <- lastOf(context.Background(), s) }()
		synctest.Wait()
		stop(t, r)
		if err := <-ended; !errors.Is(err, actors.ErrStopping) {
			t.Errorf("the runner has stopped: %v", err)
		}
		wantRead(t, s, ids) // what is recorded can be read
	})
}

func TestSubscribeRefuses(t *testing.T) {
	withRunner(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		if _, err := r.Subscribe(ctx, "s", store.FromNow); !errors.Is(err, actors.ErrNoStore) {
			t.Errorf("without a store: %v", err)
		}
	})
	withRunner(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: store.NewMemory()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		for _, c := range []struct {
			name  string
			after int64
			want  error
			said  []string
		}{
			{"", store.FromNow, store.ErrInvalid, []string{"name", `""`, "must not be empty"}},
			{"a\nb", store.FromNow, store.ErrInvalid, []string{"name", `"a\nb"`, "must not contain control characters"}},
			{"s", -2, store.ErrInvalid, []string{"after", `"-2"`, "must be a cursor"}},
			{"s", 1_000_000, store.ErrCursorAhead, []string{"1000000"}},
		} {
			_, err := r.Subscribe(ctx, c.name, c.after)
			missing := func(said string) bool { return !strings.Contains(err.Error(), said) }
			if !errors.Is(err, c.want) || slices.ContainsFunc(c.said, missing) {
				t.Errorf("%q at %d: %v, want one that says %q", c.name, c.after, err, c.said)
			}
		}
		s := subscribe(t, r, store.FromNow)
		if err := s.Acknowledge(ctx, 1); !errors.Is(err, store.ErrCursorAhead) {
			t.Errorf("acknowledged what there is not: %v", err)
		}
		if err := s.Acknowledge(ctx, store.FromNow); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "pos") {
			t.Errorf("acknowledged no place: %v", err)
		}
	})
}

// bad is a store whose subscribers make it panic.
type bad struct {
	store.Store
	pruned atomic.Int64
}

func (b *bad) Subscribe(_ context.Context, _ time.Time, _, name string, _ int64) (int64, error) {
	if name == "worst" {
		panic("no subscribers")
	}
	return 0, nil
}

func (b *bad) Acknowledge(context.Context, time.Time, string, string, int64) (int64, error) {
	panic("no cursor")
}

func (b *bad) Unsubscribe(context.Context, string, string) error { panic("no end") }

func (b *bad) Prune(ctx context.Context, expiry store.Expiry) (int, error) {
	b.pruned.Add(1)
	return b.Store.Prune(ctx, expiry)
}

// TestABadStoreOfSubscribers: its panics are errors.
func TestABadStoreOfSubscribers(t *testing.T) {
	withRunner(t, actors.TaskRunnerConfig{Store: &bad{Store: store.NewMemory()}}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		_, err := r.Subscribe(ctx, "worst", store.FromNow)
		s := subscribe(t, r, store.FromNow)
		for want, err := range map[string]error{
			"no subscribers": err, "no cursor": errors.Join(lastOf(ctx, s), s.Acknowledge(ctx, 0)), "no end": s.Unsubscribe(ctx),
		} {
			if err == nil || !strings.Contains(err.Error(), "panic: "+want) {
				t.Errorf("%s: %v", want, err)
			}
		}
	})
}

// TestNothingToPrune: a runner that keeps all does not ask its store to delete.
func TestNothingToPrune(t *testing.T) {
	forever := actors.Retention{Completed: actors.KeepForever, Cancelled: actors.KeepForever, Discarded: actors.KeepForever}
	for _, retention := range []actors.Retention{forever, {}} {
		db := &bad{Store: store.NewMemory()}
		withRunner(t, actors.TaskRunnerConfig{Store: db, Retention: retention}, func(t *testing.T, _ context.Context, _ *actors.TaskRunner) {
			time.Sleep(3 * actors.PruneInterval)
			if n := db.pruned.Load(); (n > 0) != (retention != forever) {
				t.Errorf("%+v: pruned %d times", retention, n)
			}
		})
	}
}
