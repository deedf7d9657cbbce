package sqlite_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// The tests in this file hold the writer with an operation that waits, so that what comes meanwhile is one batch.

type hold struct {
	release chan struct{}
	done    chan error
}

// holdWriter returns when the writer is busy. Call it in a bubble.
func holdWriter(s *sqlite.Store) *hold {
	h := &hold{release: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		h.done <- s.Write(context.Background(), 1, func(func(string) error) error {
			<-h.release
			return nil
		})
	}()
	synctest.Wait()
	return h
}

func (h *hold) end(t *testing.T) {
	t.Helper()
	close(h.release)
	if err := <-h.done; err != nil {
		t.Error(err)
	}
}

func openIn(t *testing.T, cfg sqlite.Config) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), tempFile(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFailingOperationFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		h := holdWriter(s)
		broken := map[string]func(exec func(string) error) error{
			"bad SQL":             func(exec func(string) error) error { return exec("NO SQL") },
			"violated constraint": func(exec func(string) error) error { return exec("INSERT INTO taskrunner_tasks (seq) VALUES (1)") },
			"error of its own":    func(func(string) error) error { return errors.New("own error") },
			"panic":               func(func(string) error) error { panic("oh no") },
			"panic half way": func(exec func(string) error) error {
				_ = exec("DELETE FROM taskrunner_tasks")
				panic("oh no")
			},
			"ends the transaction": func(exec func(string) error) error { return errors.Join(exec("ROLLBACK"), exec("NO SQL")) },
		}
		var mu sync.Mutex
		var accepted []string
		failed := map[string]error{}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				id := insertOne(t, s, nil)
				mu.Lock()
				defer mu.Unlock()
				accepted = append(accepted, id)
			})
		}
		for name, run := range broken {
			wg.Go(func() {
				err := s.Write(context.Background(), 1, run)
				mu.Lock()
				defer mu.Unlock()
				failed[name] = err
			})
		}
		synctest.Wait()
		if n := s.Queued(); n != 10+len(broken) {
			t.Errorf("%d operations wait, want %d", n, 10+len(broken))
		}
		h.end(t)
		wg.Wait()
		for name, err := range failed {
			if err == nil || !strings.HasPrefix(err.Error(), "store/sqlite: ") {
				t.Errorf("%s: got error %v", name, err)
			}
		}
		if err := failed["panic"]; err == nil || !strings.Contains(err.Error(), "oh no") {
			t.Errorf("the panic's error is %v", err)
		}
		allThere(t, s, accepted)
	})
}

// TestRunAgain has operations whose first run is undone because a later one fails: their second run must not know the
// first.
func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		inserted, err := s.Insert(context.Background(), benchTime, benchTasks(0, 3, "node-1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Cancel(context.Background(), benchTime, inserted[0].ID); err != nil {
			t.Fatal(err)
		}
		outcomes := make([]store.Outcome, len(inserted))
		for i := range inserted {
			outcomes[i] = completed(inserted[i].Task)
		}
		outcomes[0].To, outcomes[0].ScheduledAt = store.Retryable, benchTime // becomes cancelled
		outcomes[2].Run = 5                                                  // fenced
		h := holdWriter(s)
		var wg sync.WaitGroup
		var refused []error
		queue := func(f func() error) {
			wg.Go(func() {
				if err := f(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		queue(func() (err error) {
			refused, err = s.Finish(context.Background(), outcomes)
			return err
		})
		queue(func() error {
			task, err := s.Cancel(context.Background(), benchTime, inserted[2].ID)
			if err == nil && !task.CancelRequested {
				t.Errorf("after the cancel: %+v", task)
			}
			return err
		})
		queue(func() error {
			if err := s.Write(context.Background(), 1, func(exec func(string) error) error { return exec("NO SQL") }); err == nil {
				t.Error("bad SQL is no error")
			}
			return nil
		})
		h.end(t)
		wg.Wait()
		if !errors.Is(refused[0], store.ErrCancelled) || refused[1] != nil || !errors.Is(refused[2], store.ErrFenced) {
			t.Errorf("the answers are %v", refused)
		}
		want := map[store.State]int64{store.Cancelled: 1, store.Completed: 1, store.Running: 1}
		if counts, err := s.Counts(context.Background(), ""); err != nil || !maps.Equal(counts, want) {
			t.Errorf("counts are %v, %v, want %v", counts, err, want)
		}
		countsAreTrue(t, s)
	})
}

// TestReadSeesOneMoment: what is committed while a read is under way does not appear in the middle of it.
func TestReadSeesOneMoment(t *testing.T) {
	s := open(t, tempFile(t))
	var before, after int64
	err := s.Read(t.Context(), func(number func(string) (int64, error)) (err error) {
		before, err = number("SELECT count(*) FROM taskrunner_tasks")
		insertOne(t, s, nil)
		if err == nil {
			after, err = number("SELECT count(*) FROM taskrunner_tasks")
		}
		return err
	})
	if err != nil || before != 0 || after != 0 {
		t.Errorf("first %d, then %d, %v", before, after, err)
	}
}

// TestFullBatch has one operation that does not fit among others that do.
func TestFullBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{MaxBytes: 1 << 20})
		defer func() { _ = s.Close() }()
		h := holdWriter(s)
		var mu sync.Mutex
		var accepted []string
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				id := insertOne(t, s, nil)
				mu.Lock()
				defer mu.Unlock()
				accepted = append(accepted, id)
			})
		}
		wg.Go(func() {
			task := benchTask(0, "")
			task.Args = make([]byte, store.MaxArgs)
			_, err := s.Insert(context.Background(), benchTime, []store.NewTask{task})
			wantFault(t, err, store.ErrFull, "tasks.db")
		})
		synctest.Wait()
		h.end(t)
		wg.Wait()
		allThere(t, s, accepted)
	})
}

func TestQueueLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{Queue: 2})
		defer func() { _ = s.Close() }()
		h := holdWriter(s)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { insertOne(t, s, nil) })
		}
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(context.Background())
		answer := make(chan error, 1)
		go func() {
			_, err := s.Insert(ctx, benchTime, benchTasks(0, 1, ""))
			answer <- err
		}()
		synctest.Wait()
		select {
		case err := <-answer:
			t.Errorf("a third operation found room in a queue of two: %v", err)
		default:
		}
		cancel(nil)
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting for room: %v", err)
		}
		h.end(t)
		wg.Wait()
		if counts, err := s.Counts(context.Background(), ""); err != nil || counts[store.Available] != 2 {
			t.Errorf("counts are %v, %v", counts, err)
		}
	})
}

// TestContextEndsInQueue: what nobody waits for any more is not written; what was begun is waited for.
func TestContextEndsInQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		h := holdWriter(s)
		ctx, cancel := context.WithCancel(context.Background())
		answer := make(chan error, 1)
		go func() {
			_, err := s.Insert(ctx, benchTime, benchTasks(0, 1, ""))
			answer <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) { // while the writer is still held
			t.Errorf("in the queue: %v", err)
		}
		h.end(t)
		if counts, err := s.Counts(context.Background(), ""); err != nil || len(counts) != 0 {
			t.Errorf("counts are %v, %v", counts, err)
		}

		ctx, cancel = context.WithCancel(context.Background())
		release := make(chan struct{})
		go func() {
			answer <- s.Write(ctx, 1, func(exec func(string) error) error {
				<-release
				return exec("UPDATE taskrunner_counts SET tasks = tasks")
			})
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		if err := <-answer; err != nil {
			t.Errorf("taken by the writer: %v", err)
		}
	})
}

// TestReadersDoNotWait reads while a transaction is under way that has written already.
func TestReadersDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		id := insertOne(t, s, nil)
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			err := s.Write(context.Background(), 1, func(exec func(string) error) error {
				err := exec("UPDATE taskrunner_tasks SET key = 'changed'")
				<-release
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 20 { // more than there are connections
			wg.Go(func() {
				if task, err := s.Get(context.Background(), id); err != nil || task.Key == "changed" {
					t.Errorf("key %q, %v", task.Key, err)
				}
			})
		}
		synctest.Wait()
		if counts, err := s.Counts(context.Background(), ""); err != nil || counts[store.Available] != 1 {
			t.Errorf("counts are %v, %v", counts, err)
		}
		close(release)
		wg.Wait()
		if task, err := s.Get(context.Background(), id); err != nil || task.Key != "changed" {
			t.Errorf("after the commit: key %q, %v", task.Key, err)
		}
	})
}

// TestCloseFinishesTheQueue closes while operations wait: all are written.
func TestCloseFinishesTheQueue(t *testing.T) {
	path := tempFile(t)
	var accepted []string
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(context.Background(), path, sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		h := holdWriter(s)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				id := insertOne(t, s, nil)
				mu.Lock()
				defer mu.Unlock()
				accepted = append(accepted, id)
			})
		}
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		if err := s.Ping(context.Background()); !errors.Is(err, store.ErrClosed) {
			t.Errorf("while closing: %v", err)
		}
		h.end(t)
		wg.Wait()
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
	allThere(t, open(t, path), accepted)
}

func TestCloseLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	path := tempFile(t)
	s := open(t, path)
	insertOne(t, s, nil)
	if _, err := s.List(t.Context(), store.Query{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
	unchanged(t, path, func() {}) // no log is left
	_ = open(t, path).Close()
}

func TestThirtyThousandAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	s := open(t, tempFile(t))
	tasks := plainTasks(0, 30_000)
	for i := range tasks {
		tasks[i].Node = ""
	}
	good := tasks[29_999]
	tasks[29_999].Kind = ""
	if _, err := s.Insert(t.Context(), benchTime, tasks); !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("the last one is bad: %v", err)
	}
	if counts, err := s.Counts(t.Context(), ""); err != nil || len(counts) != 0 {
		t.Fatalf("counts are %v, %v", counts, err)
	}
	tasks[29_999] = good
	inserted, err := s.Insert(t.Context(), benchTime, tasks)
	if err != nil {
		t.Fatal(err)
	}
	for i := range inserted {
		if inserted[i].ID != tasks[i].ID || inserted[i].Existed || inserted[i].Seq != int64(i+1) {
			t.Fatalf("answer %d is %+v", i, inserted[i])
		}
	}
	if got, err := s.Get(t.Context(), good.ID); err != nil || got.Seq != 30_000 {
		t.Errorf("the last one: %+v, %v", got, err)
	}
}

// TestReadIsInterrupted ends the context while SQLite looks through all rows for the one of a kind, which is the last.
func TestReadIsInterrupted(t *testing.T) {
	s, err := sqlite.Open(t.Context(), tempFile(t), sqlite.Config{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	rare := benchTask(0, "")
	rare.Kind = "rare"
	if _, err := s.Insert(t.Context(), benchTime, append([]store.NewTask{rare}, benchTasks(0, 20_000, "")...)); err != nil {
		t.Fatal(err)
	}
	interrupted := false
	for range 200 { // the context may end before or after the query: then again
		ctx, cancel := context.WithCancel(t.Context())
		begun := make(chan struct{})
		go func() {
			<-begun
			cancel()
		}()
		close(begun)
		_, err := s.List(ctx, store.Query{Kind: "rare"})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		interrupted = interrupted || err != nil && strings.Contains(err.Error(), "reading")
		if page, err := s.List(t.Context(), store.Query{}); err != nil || len(page) != 50 { // on the same connection
			t.Fatal(len(page), err)
		}
		cancel()
	}
	if !interrupted {
		t.Error("not one query was interrupted")
	}
}
