package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// Whoever is told of a Down may call the client, wait, or panic: others go on.
func TestWhoIsToldOfADownMayDoAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		h.open(first, actors.TaskRunnerConfig{Store: store.NewMemory()})
		c := h.w.dial(first)
		runner, next, held := c.Runner("numbers"), make(chan error, 1), make(chan struct{})
		runner.MonitorTask(where(t, c, "where").ID(), func(messages.Down) { panic("a mistake") })
		runner.MonitorTask(where(t, c, "where").ID(), func(messages.Down) { <-held })
		runner.MonitorTask(where(t, c, "where").ID(), func(messages.Down) {
			task, err := Run[string](t.Context(), runner, "where", "")
			if err == nil {
				_, err = task.Await(t.Context())
			}
			next <- err
		})
		if err := <-next; err != nil {
			t.Error(err)
		}
		where(t, c, "where").want(t, first)
		close(held)
	})
}

// An Await ends when nobody could be reached for Away, and not later because it was a handle's.
func TestAnAwaitTakesAwayOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		h.open(first, actors.TaskRunnerConfig{Store: store.NewMemory()})
		c := h.w.dial(first)
		task := where(t, c, "stay")
		h.w.mu.Lock()
		delete(h.w.ports, first)
		h.w.mu.Unlock()
		h.w.cut()
		for range 2 { // the second one asks anew
			began := time.Now()
			if _, err := task.Await(t.Context()); !errors.Is(err, ErrNoConnection) {
				t.Errorf("%v, want ErrNoConnection", err)
			}
			if took := time.Since(began); took < DefaultAway-time.Second || took > DefaultAway+3*time.Second {
				t.Errorf("it took %s, want %s", took, DefaultAway)
			}
		}
		close(h.release)
	})
}

// To cancel a task that has ended is no error, whether anything of it is known or not.
func TestCancelOfAHandleWhoseTaskHasEnded(t *testing.T) {
	for _, db := range []store.Store{nil, store.NewMemory()} {
		synctest.Test(t, func(t *testing.T) {
			h := newHosts(t)
			h.open(first, actors.TaskRunnerConfig{Store: db})
			task := where(t, h.w.dial(first), "where")
			task.want(t, first)
			time.Sleep(2 * arrivedEvery)
			if err := task.Cancel(t.Context()); err != nil {
				t.Errorf("store %T: %v", db, err)
			}
		})
	}
}

// Of many tasks each is accepted or refused by itself, and the error says which were refused.
func TestOfManyTasksEachIsRefusedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		h.open(first, actors.TaskRunnerConfig{})
		c := h.w.dial(first)
		args := []any{"a", 2, strings.Repeat("x", 2<<20), func() {}, "b"}
		tasks, err := RunMany[string](t.Context(), c.Runner("numbers"), "where", args)
		if len(tasks) != len(args) {
			t.Fatalf("%d handles, want %d: %v", len(tasks), len(args), err)
		}
		for i, task := range tasks {
			if bad := i == 1 || i == 2 || i == 3; bad != (task == nil) || bad != strings.Contains(err.Error(), fmt.Sprintf("arguments[%d]", i)) {
				t.Errorf("task %d: %v, and the error is %v", i, task, err)
			}
			if task != nil {
				task.want(t, first)
			}
		}
		if refused, ok := errors.AsType[*actors.ArgsError](err); !ok || refused.Kind != "where" || refused.Index != 1 {
			t.Errorf("%v, want an ArgsError of the second", err)
		}
	})
}

// A subscriber needs a name, and a client a port that there can be and a token that can travel.
func TestWhatCannotBeIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		h.open(first, actors.TaskRunnerConfig{Store: store.NewMemory()})
		for _, err := range h.w.dial(first).Runner("numbers").Subscribe("", 0).Outcomes(t.Context()) {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "name") {
				t.Errorf("a subscriber without a name: %v", err)
			}
		}
		for _, target := range []string{"127.0.0.1:99999", "127.0.0.1:abc", "127.0.0.1:0", "127.0.0.1", "dns:///localhost:-1"} {
			if c, err := Dial(t.Context(), target, DialConfig{}); err == nil || !strings.Contains(err.Error(), "target is") {
				t.Errorf("%s: %v, %v", target, c, err)
			}
		}
		if c, err := Dial(t.Context(), first, DialConfig{Token: "a\nb"}); err == nil || !strings.Contains(err.Error(), "Token") {
			t.Errorf("a token of two lines: %v, %v", c, err)
		}
	})
}

// lateStore is a store whose database gives no answer for a while, whatever the caller's context is.
type lateStore struct {
	store.Store
	pause time.Duration
}

func (s *lateStore) Get(ctx context.Context, id string) (store.Task, error) {
	time.Sleep(s.pause)
	return store.Task{}, store.ErrUnavailable
}

// What waits behind a request without an answer is refused with it, and does not wait for itself as long again.
func TestADatabaseThatHangsHoldsUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		kept := startRunner(t, actors.TaskRunnerConfig{Name: "kept", DrainTimeout: -1, Kinds: harbourKinds(),
			Store: &lateStore{store.NewMemory(), DefaultAcceptTimeout}})
		plain := startRunner(t, actors.TaskRunnerConfig{Name: "plain", DrainTimeout: -1, Kinds: harbourKinds()})
		h.w.listen(first, ListenConfig{Runners: []*actors.TaskRunner{kept, plain}})
		c := h.w.dial(first)
		allUp(c, first)
		answers := make(chan error, 12)
		for i := range 12 {
			go func() {
				answers <- c.Runner("kept").Cancel(t.Context(), fmt.Sprintf("018f0000-0000-7000-8000-%012x", i))
			}()
		}
		synctest.Wait()
		began := time.Now()
		task, err := Run[string](t.Context(), c.Runner("plain"), "echo", "there")
		if err != nil {
			t.Fatal(err)
		}
		task.want(t, "there")
		for range 12 {
			if err := <-answers; !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%v, want store.ErrUnavailable", err)
			}
		}
		if took := time.Since(began); took > 2*DefaultAcceptTimeout+time.Second {
			t.Errorf("the last answer came after %s, want %s at most", took, 2*DefaultAcceptTimeout)
		}
	})
}

// What a database says of itself stays where it is.
func TestThePlaceOfADatabaseIsNotTold(t *testing.T) {
	inner := fmt.Errorf("%w: the cursor is 9, the last outcome 3", store.ErrCursorAhead)
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("store/sqlite: /var/lib/tasks.db: reading: %w", inner), inner.Error()},
		{fmt.Errorf("store/sqlite: /var/lib/tasks.db: reading: %w: %w", store.ErrLocked, errors.New("busy")), store.ErrLocked.Error()},
		{fmt.Errorf("store/postgres: 10.0.0.5: %w", errors.New("dial tcp 10.0.0.5:5432")), "remote: the listener's database has an error"},
		{fmt.Errorf("remote: x: %w", store.ErrNotFound), "remote: x: " + store.ErrNotFound.Error()},
	} {
		if got := refused(test.err).GetText(); got != test.want {
			t.Errorf("%q is told as %q, want %q", test.err, got, test.want)
		}
	}
}

// A run that comes behind its deadline is not accepted: its id is as new as before.
func TestRunBehindItsDeadline(t *testing.T) {
	t.Parallel()
	for _, runner := range []string{"plain", "kept"} {
		h := openHarbour(t, ListenConfig{})
		r := h.good.Runner(runner)
		const id = "018f0000-0000-7000-8000-000000000000"
		envelope, err := messages.Encode(messages.Run{TaskID: id, Kind: "echo", Args: []byte(`"late"`)})
		if err != nil {
			t.Fatal(err)
		}
		envelope.Deadline = timestamppb.New(time.Now().Add(-time.Millisecond))
		late := r.newCall(id, askRun, payloadOf(envelope), true)
		h.good.submit(late)
		<-late.answered
		if !errors.Is(late.err, ErrTooLate) || !errors.Is(late.err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want ErrTooLate", runner, late.err)
		}
		task, err := Run[string](t.Context(), r, "echo", "in time", WithID(id))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(t.Context()); got != "in time" || err != nil {
			t.Errorf("%s: %q, %v", runner, got, err)
		}
	}
}
