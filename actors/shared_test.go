package actors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// shared is a store for several processes, as far as a runner can tell. Nobody's death is noticed but by die.
type shared struct {
	*store.Memory
	release func()

	mu      sync.Mutex
	notify  map[string]func(store.Signal) // by node
	swallow int                           // so many answers to Insert and Claim are lost
}

const sharedRunner = "shared"

func newShared(t *testing.T) *shared {
	s := &shared{Memory: store.NewMemory(), notify: map[string]func(store.Signal){}}
	s.hold(t, "nobody")
	return s
}

// hold makes all other nodes dead in the eyes of the memory.
func (s *shared) hold(t *testing.T, node string) {
	release, err := s.Memory.Hold(store.Holder{Runner: sharedRunner, Node: node, Notify: s.tell})
	if err != nil {
		t.Fatal(err)
	}
	s.release = release
}

func (s *shared) tell(signal store.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, notify := range s.notify {
		notify(signal)
	}
}

// Exclusive: it is not, whatever the memory says.
func (s *shared) Exclusive() bool { return false }

// Hold lets one runner hold in each node.
func (s *shared) Hold(holder store.Holder) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify[holder.Node] = holder.Notify
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.notify, holder.Node)
	}, nil
}

// Recover finds nobody dead.
func (s *shared) Recover(context.Context, time.Time, string) (int, error) { return 0, nil }

// allButDie has every node but this one declared dead.
func (s *shared) allButDie(t *testing.T, alive string) {
	s.release()
	s.hold(t, alive)
	if _, err := s.Memory.Recover(t.Context(), time.Now(), sharedRunner); err != nil {
		t.Error(err)
	}
	s.tell(store.SignalTaken)
}

var errLost = errors.New("the answer was lost")

func (s *shared) loseOne() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swallow++
}

func (s *shared) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.swallow == 0 {
		return nil
	}
	s.swallow--
	return errLost
}

func (s *shared) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	inserted, err := s.Memory.Insert(ctx, now, tasks)
	return inserted, errors.Join(err, s.lost())
}

func (s *shared) Claim(ctx context.Context, now time.Time, claim store.Claim) (store.Claimed, error) {
	claimed, err := s.Memory.Claim(ctx, now, claim)
	if len(claimed.Tasks) > 0 {
		err = errors.Join(err, s.lost())
	}
	return claimed, err
}

// withReplicas runs the test in a bubble, with one runner in each of the replicas.
func withReplicas(t *testing.T, configs []actors.TaskRunnerConfig, test func(t *testing.T, db *shared, r []*actors.TaskRunner)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := newShared(t)
		var runners []*actors.TaskRunner
		for _, config := range configs {
			config.Name, config.Store = sharedRunner, db
			runners = append(runners, start(t, config))
		}
		test(t, db, runners)
		for _, r := range runners {
			stop(t, r)
		}
	})
}

func TestATaskThatRunsElsewhereIsAwaited(t *testing.T) {
	front, worker := actors.TaskRunnerConfig{Kinds: kinds(), InsertOnly: true}, actors.TaskRunnerConfig{Kinds: kinds()}
	withReplicas(t, []actors.TaskRunnerConfig{front, worker}, func(t *testing.T, _ *shared, r []*actors.TaskRunner) {
		began := time.Now()
		task, err := actors.Run[int](t.Context(), r[0], "double", 21)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(t.Context()); got != 42 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		failed, err := actors.Run[int](t.Context(), r[0], "discard", "")
		if err != nil {
			t.Fatal(err)
		}
		var ended *actors.TaskError
		if _, err := failed.Await(t.Context()); !errors.As(err, &ended) || ended.State != store.Discarded || !strings.Contains(err.Error(), "boom") {
			t.Errorf("the one that fails: %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("that took %v", took)
		}
		if stats, err := r[0].Stats(t.Context()); err != nil || stats.Running != 0 || stats.MaxChildren != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

func TestATaskThatRunsElsewhereIsCancelled(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds(), MaxChildren: 1}
	withReplicas(t, []actors.TaskRunnerConfig{config, config}, func(t *testing.T, _ *shared, r []*actors.TaskRunner) {
		task, err := actors.Run[string](t.Context(), r[0], "sleep", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		if _, err := r[1].Cancel(t.Context(), task.ID()); err != nil {
			t.Fatal(err)
		}
		_, err = task.Await(t.Context()) // if it has ended before, only the text of the reason is known
		if ended, ok := errors.AsType[*actors.TaskError](err); !ok || ended.State != store.Cancelled || time.Since(began) > time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestATakenRunIsCancelled: what a process that was thought dead still runs comes to nothing, and is told why.
func TestATakenRunIsCancelled(t *testing.T) {
	causes := make(chan error, 10)
	slow := actors.Kind("slow", func(ctx context.Context, _ int) (int, error) {
		select {
		case <-ctx.Done():
			causes <- context.Cause(ctx)
			return 1, nil
		case <-time.After(time.Minute):
			return 2, nil
		}
	})
	config := actors.TaskRunnerConfig{Kinds: actors.Kinds{slow}}
	withReplicas(t, []actors.TaskRunnerConfig{config, config}, func(t *testing.T, db *shared, r []*actors.TaskRunner) {
		task, err := actors.Run[int](t.Context(), r[0], "slow", 0)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		db.allButDie(t, r[1].Node())
		synctest.Wait()
		if len(causes) != 1 {
			t.Fatal("the run was not cancelled")
		}
		if cause := <-causes; !errors.Is(cause, actors.ErrTaken) {
			t.Errorf("the cause is %v", cause)
		}
		if got, err := task.Await(t.Context()); got != 2 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		recorded, err := db.Get(t.Context(), task.ID())
		if err != nil || recorded.Run != 2 || recorded.Attempt != 2 || len(recorded.History) != 1 || recorded.History[0].Error != store.OrphanError {
			t.Errorf("%+v, %v", recorded, err)
		}
	})
}

// TestLostAnswers: what is recorded as running here although nobody here was told runs all the same, and uses no attempt.
func TestLostAnswers(t *testing.T) {
	for _, later := range []bool{false, true} { // by an insert, by a claim
		config := actors.TaskRunnerConfig{Kinds: kinds()}
		withReplicas(t, []actors.TaskRunnerConfig{config}, func(t *testing.T, db *shared, r []*actors.TaskRunner) {
			given := []actors.Option{actors.WithID("0191b0c0-0000-7000-8000-000000000001")}
			if later {
				given = append(given, actors.WithDelay(time.Second))
			} else {
				db.loseOne()
			}
			_, err := actors.Run[int](t.Context(), r[0], "double", 21, given...)
			if later != (err == nil) {
				t.Fatal(err)
			}
			if later {
				db.loseOne()
			}
			time.Sleep(3 * actors.ReconcileInterval)
			task, err := db.Get(t.Context(), "0191b0c0-0000-7000-8000-000000000001")
			if err != nil || task.State != store.Completed || task.Run != 2 || task.Attempt != 1 {
				t.Errorf("later %v: %+v, %v", later, task, err)
			}
			if stats, err := r[0].Stats(t.Context()); err != nil || stats.Running != 0 || stats.Waiting != 0 {
				t.Errorf("%+v, %v", stats, err)
			}
		})
	}
}

// TestOthersChangeHowManyWait: tasks that others put there count, and those that others take do not.
func TestOthersChangeHowManyWait(t *testing.T) {
	front := actors.TaskRunnerConfig{Kinds: kinds(), InsertOnly: true, MaxWaiting: 10}
	worker := actors.TaskRunnerConfig{Kinds: kinds(), MaxChildren: 2}
	withReplicas(t, []actors.TaskRunnerConfig{front, front, worker}, func(t *testing.T, _ *shared, r []*actors.TaskRunner) {
		for range 10 {
			if _, err := actors.Run[string](t.Context(), r[0], "sleep", 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(actors.ReconcileInterval + time.Second)
		for _, i := range []int{0, 1} {
			if stats, err := r[i].Stats(t.Context()); err != nil || stats.Waiting != 8 {
				t.Errorf("replica %d: %+v, %v", i, stats, err)
			}
		}
		time.Sleep(time.Minute)
		for i := range r {
			if stats, err := r[i].Stats(t.Context()); err != nil || stats.Waiting != 0 || stats.Running != 0 {
				t.Errorf("replica %d: %+v, %v", i, stats, err)
			}
		}
	})
}

// told reads n outcomes.
func told(t *testing.T, r *actors.TaskRunner, after int64, n int) (ids []string, cursor int64) {
	t.Helper()
	for task, err := range r.Outcomes(t.Context(), after) {
		if err != nil {
			t.Fatal(err)
		}
		ids, cursor = append(ids, task.ID), task.Pos
		if len(ids) == n {
			break
		}
	}
	return ids, cursor
}

// TestOutcomesOfAllReplicas: every outcome is told, in the order in which they were recorded, to all who ask, from their cursor on.
func TestOutcomesOfAllReplicas(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds()}
	withReplicas(t, []actors.TaskRunnerConfig{config, config}, func(t *testing.T, _ *shared, r []*actors.TaskRunner) {
		var want []string
		for i := range 20 {
			task, err := actors.Run[string](t.Context(), r[i%2], "sleep", time.Duration(20-i)*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			want = append([]string{task.ID()}, want...)
		}
		all, _ := told(t, r[0], store.FromOldest, 20) // waits for them
		if !slices.Equal(all, want) {
			t.Errorf("got  %v\nwant %v", all, want)
		}
		_, cursor := told(t, r[0], store.FromOldest, 7)
		if rest, _ := told(t, r[1], cursor, 13); !slices.Equal(rest, want[7:]) {
			t.Errorf("the others: got  %v\nwant %v", rest, want[7:])
		}
	})
}

// lateLook answers a question for outcomes by what was there when it was asked, but not before it is let go.
type lateLook struct {
	store.Store
	asked, answer chan struct{}
}

func (l lateLook) Outcomes(ctx context.Context, query store.OutcomeQuery) (store.Outcomes, error) {
	found, err := l.Store.Outcomes(ctx, query)
	select {
	case l.asked <- struct{}{}:
		<-l.answer
	default: // nobody wants it to wait any more
	}
	return found, err
}

// TestLastOutcomesAreTold: what a runner recorded while it stopped comes before the end, whenever the store was asked.
func TestLastOutcomesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 { // where two things are so at once, select takes either
			late := lateLook{store.NewMemory(), make(chan struct{}), make(chan struct{})}
			r, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: "r", Kinds: kinds(), Store: late})
			if err != nil {
				t.Fatal(err)
			}
			task, err := actors.Run[string](t.Context(), r, "sleep", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			var last error
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for outcome, err := range r.Outcomes(context.Background(), store.FromOldest) {
					told, last = append(told, outcome.ID), err
				}
			}()
			<-late.asked
			stop(t, r)
			close(late.answer)
			<-ended
			if want := []string{task.ID(), ""}; !slices.Equal(told, want) || !errors.Is(last, actors.ErrStopping) {
				t.Errorf("told %q, %v; want %q", told, last, want)
			}
		}
	})
}

func TestHowOutcomesEnd(t *testing.T) {
	config := actors.TaskRunnerConfig{Kinds: kinds(), Retention: actors.Retention{Completed: time.Second}}
	withReplicas(t, []actors.TaskRunnerConfig{config, config}, func(t *testing.T, _ *shared, r []*actors.TaskRunner) {
		end := func(ctx context.Context, after int64) (last error) {
			for _, err := range r[0].Outcomes(ctx, after) {
				last = err
			}
			return last
		}
		for range 2 {
			if _, err := actors.Run[int](t.Context(), r[0], "double", 21); err != nil {
				t.Fatal(err)
			}
		}
		_, cursor := told(t, r[0], store.FromOldest, 1)
		time.Sleep(actors.PruneInterval + 2*time.Second)
		if err := end(t.Context(), cursor); !errors.Is(err, store.ErrCursorExpired) {
			t.Errorf("with a cursor that is too old: %v", err)
		}
		if err := end(t.Context(), 1_000_000); !errors.Is(err, store.ErrCursorAhead) {
			t.Errorf("with a cursor of another database: %v", err)
		}
		impatient, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errBoom)
		defer cancel()
		if err := end(impatient, store.FromNow); !errors.Is(err, errBoom) {
			t.Errorf("without time: %v", err)
		}
		ended := make(chan error)
		go func() { ended <- end(context.Background(), store.FromOldest) }()
		synctest.Wait()
		stop(t, r[0])
		if err := <-ended; !errors.Is(err, actors.ErrStopping) {
			t.Errorf("of a runner that stops: %v", err)
		}
	})
}
