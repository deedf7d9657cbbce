package postgres_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

const (
	runner = "assets"
	kind   = "asset.move"
	node   = "node-1"
)

// moment is when everything happens in these tests, if it does not matter.
var moment = time.Date(2026, time.March, 4, 5, 6, 7, 891_234_000, time.UTC)

func newTask(change ...func(*store.NewTask)) store.NewTask {
	n := store.NewTask{ID: uuid.Must(uuid.NewV7()).String(), Runner: runner, Kind: kind, Args: []byte(`{}`), MaxAttempts: 3, Fresh: true}
	for _, f := range change {
		f(&n)
	}
	return n
}

func running(n *store.NewTask) { n.Node = node }
func known(n *store.NewTask)   { n.Fresh = false }

func insert(t testing.TB, s store.Store, tasks ...store.NewTask) []store.Task {
	t.Helper()
	inserted, err := s.Insert(t.Context(), moment, tasks)
	if err != nil {
		t.Fatal(err)
	}
	recorded := make([]store.Task, len(inserted))
	for i := range inserted {
		recorded[i] = inserted[i].Task
	}
	return recorded
}

func claim(t testing.TB, s store.Store, limit int) []store.Task {
	t.Helper()
	claimed, err := s.Claim(t.Context(), moment, store.Claim{Runner: runner, Node: node, Kinds: []string{kind}, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return claimed.Tasks
}

func outcome(task store.Task, to store.State) store.Outcome {
	return store.Outcome{TaskID: task.ID, Run: task.Run, To: to, FinishedAt: moment, ScheduledAt: moment.Add(time.Minute), Error: "it failed"}
}

// finish gives the answer to one outcome.
func finish(ctx context.Context, s store.Store, o store.Outcome) error {
	refused, err := s.Finish(ctx, []store.Outcome{o})
	return errors.Join(append(refused, err)...)
}

func get(t testing.TB, s store.Store, id string) store.Task {
	t.Helper()
	task, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func wantCounts(t testing.TB, s store.Store, want map[store.State]int64) {
	t.Helper()
	got, err := s.Counts(t.Context(), "")
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("counts are %v (error %v), want %v", got, err, want)
	}
}

// lossCase is a call whose exchange with the server breaks: at the statement with this text, before the server has it or when it has
// done it.
type lossCase struct {
	name      string
	statement string
	run       func(t *testing.T, s *postgres.Store, lose func(statement string))
}

// lossCases have the call in the middle: what is before it must not meet the loss, and what is behind it shows what it has done.
var lossCases = []lossCase{
	{"tasks that run here", "bundles", func(t *testing.T, s *postgres.Store, lose func(string)) {
		lose("INTO")
		task := insert(t, s, newTask(running))[0]
		if got := get(t, s, task.ID); got.Seq != task.Seq || got.State != store.Running {
			t.Errorf("inserted %+v, recorded %+v", task, got)
		}
		wantCounts(t, s, map[store.State]int64{store.Running: 1})
		must(t, finish(t.Context(), s, outcome(task, store.Completed)))
		wantCounts(t, s, map[store.State]int64{store.Completed: 1})
	}},
	{"tasks that wait", "tasks", func(t *testing.T, s *postgres.Store, lose func(string)) {
		lose("INTO")
		task := insert(t, s, newTask())[0]
		if got := get(t, s, task.ID); got.Seq != task.Seq || got.State != store.Available {
			t.Errorf("inserted %+v, recorded %+v", task, got)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 1})
	}},
	{"tasks of all kinds", "tasks", func(t *testing.T, s *postgres.Store, lose func(string)) {
		lose("INTO")
		tasks := insert(t, s, newTask(running), newTask(), newTask(running, func(n *store.NewTask) { n.Kind = "other" }))
		for _, task := range tasks {
			if got := get(t, s, task.ID); got.Seq != task.Seq || got.State != task.State {
				t.Errorf("inserted %+v, recorded %+v", task, got)
			}
		}
		if tasks[0].Seq >= tasks[1].Seq || tasks[1].Seq >= tasks[2].Seq {
			t.Errorf("seqs %d, %d, %d", tasks[0].Seq, tasks[1].Seq, tasks[2].Seq)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 1, store.Running: 2})
	}},
	{"tasks with ids of the caller's", "tasks", func(t *testing.T, s *postgres.Store, lose func(string)) {
		old := insert(t, s, newTask(known))[0]
		lose("INTO")
		again := newTask(known)
		again.ID = old.ID
		inserted, err := s.Insert(t.Context(), moment, []store.NewTask{newTask(known, running), again, newTask(known)})
		must(t, err)
		if inserted[0].Existed || !inserted[1].Existed || inserted[2].Existed {
			t.Errorf("existed: %v, %v, %v; want false, true, false", inserted[0].Existed, inserted[1].Existed, inserted[2].Existed)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 2, store.Running: 1})
	}},
	{"an outcome of a task in its first run", "finished", func(t *testing.T, s *postgres.Store, lose func(string)) {
		tasks := insert(t, s, newTask(running), newTask(running))
		lose("INTO")
		must(t, finish(t.Context(), s, outcome(tasks[0], store.Completed)))
		wantCounts(t, s, map[store.State]int64{store.Completed: 1, store.Running: 1})
		must(t, finish(t.Context(), s, outcome(tasks[1], store.Completed)))
		wantOutcomes(t, s, tasks[0].ID, tasks[1].ID)
	}},
	{"the outcome of the last task of a bundle", "finished", func(t *testing.T, s *postgres.Store, lose func(string)) {
		task := insert(t, s, newTask(running))[0]
		lose("INTO")
		must(t, finish(t.Context(), s, outcome(task, store.Completed)))
		wantCounts(t, s, map[store.State]int64{store.Completed: 1})
		wantOutcomes(t, s, task.ID)
	}},
	{"a failure of a task in its first run", "commit", func(t *testing.T, s *postgres.Store, lose func(string)) {
		tasks := insert(t, s, newTask(running), newTask(running))
		lose("")
		must(t, finish(t.Context(), s, outcome(tasks[0], store.Retryable)))
		if got := get(t, s, tasks[0].ID); got.State != store.Retryable || len(got.History) != 1 {
			t.Errorf("recorded %+v", got)
		}
		must(t, finish(t.Context(), s, outcome(tasks[1], store.Completed)))
		wantCounts(t, s, map[store.State]int64{store.Retryable: 1, store.Completed: 1})
	}},
	{"an outcome of a claimed task", "commit", func(t *testing.T, s *postgres.Store, lose func(string)) {
		insert(t, s, newTask())
		task := claim(t, s, 1)[0]
		lose("")
		must(t, finish(t.Context(), s, outcome(task, store.Discarded)))
		if got := get(t, s, task.ID); got.State != store.Discarded || len(got.History) != 1 {
			t.Errorf("recorded %+v", got)
		}
		wantOutcomes(t, s, task.ID)
		wantCounts(t, s, map[store.State]int64{store.Discarded: 1})
	}},
	{"a claim", "skip locked", func(t *testing.T, s *postgres.Store, lose func(string)) {
		insert(t, s, newTask(), newTask(), newTask())
		lose("picked")
		if got := claim(t, s, 2); len(got) != 2 || got[0].Run != 1 || got[0].Seq > got[1].Seq {
			t.Errorf("claimed %+v", got)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 1, store.Running: 2})
		if got := claim(t, s, 2); len(got) != 1 {
			t.Errorf("then claimed %d, want the one that is left", len(got))
		}
	}},
	{"a cancel of what waits", "commit", func(t *testing.T, s *postgres.Store, lose func(string)) {
		task := insert(t, s, newTask())[0]
		lose("")
		moved, err := s.Cancel(t.Context(), moment, task.ID)
		if err != nil || moved.State != store.Cancelled || len(moved.History) != 1 {
			t.Errorf("moved %+v, error %v", moved, err)
		}
		wantOutcomes(t, s, task.ID)
		wantCounts(t, s, map[store.State]int64{store.Cancelled: 1})
	}},
	{"a retry by hand", "commit", func(t *testing.T, s *postgres.Store, lose func(string)) {
		task := insert(t, s, newTask(running))[0]
		must(t, finish(t.Context(), s, outcome(task, store.Discarded)))
		lose("")
		moved, err := s.Retry(t.Context(), moment, task.ID)
		if err != nil || moved.State != store.Available || len(moved.History) != 1 {
			t.Errorf("moved %+v, error %v", moved, err)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 1})
	}},
	{"a recovery", "commit", func(t *testing.T, s *postgres.Store, lose func(string)) {
		task := insert(t, s, newTask(running))[0]
		lose("")
		if _, err := s.Recover(t.Context(), moment, runner); err != nil {
			t.Error(err)
		}
		if got := get(t, s, task.ID); got.State != store.Available || len(got.History) != 1 {
			t.Errorf("recorded %+v", got)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 1})
	}},
	{"progress", "progress", func(t *testing.T, s *postgres.Store, lose func(string)) {
		insert(t, s, newTask())
		task := claim(t, s, 1)[0]
		lose("UPDATE")
		must(t, s.Report(t.Context(), []store.Progress{{TaskID: task.ID, Run: 1, Fraction: 0.5}}))
		if got := get(t, s, task.ID); got.Progress != 0.5 {
			t.Errorf("progress is %v", got.Progress)
		}
	}},
	{"a deletion", "expired", func(t *testing.T, s *postgres.Store, lose func(string)) {
		task := insert(t, s, newTask(running))[0]
		must(t, finish(t.Context(), s, outcome(task, store.Completed)))
		lose("INTO")
		if _, err := s.Prune(t.Context(), store.Expiry{Runner: runner, Completed: moment.Add(time.Hour)}); err != nil {
			t.Error(err)
		}
		wantCounts(t, s, map[store.State]int64{})
		wantOutcomes(t, s)
	}},
	{"a subscription", "subscribers", func(t *testing.T, s *postgres.Store, lose func(string)) {
		tasks := insert(t, s, newTask(running), newTask(running))
		must(t, finish(t.Context(), s, outcome(tasks[0], store.Completed)))
		lose("INTO")
		cursor, err := s.Subscribe(t.Context(), moment, runner, "s", store.FromNow)
		must(t, err)
		must(t, finish(t.Context(), s, outcome(tasks[1], store.Completed)))
		wantBehind(t, s, cursor, tasks[1].ID)
		wantSubscribers(t, s, cursor)
	}},
	{"an acknowledgement", "subscribers", func(t *testing.T, s *postgres.Store, lose func(string)) {
		task := insert(t, s, newTask(running))[0]
		must(t, finish(t.Context(), s, outcome(task, store.Completed)))
		_, err := s.Subscribe(t.Context(), moment, runner, "s", store.FromOldest)
		must(t, err)
		pos := get(t, s, task.ID).Pos
		lose("UPDATE")
		if cursor, err := s.Acknowledge(t.Context(), moment, runner, "s", pos); cursor != pos || err != nil {
			t.Errorf("the cursor is %d, error %v, want %d", cursor, err, pos)
		}
		wantSubscribers(t, s, pos)
	}},
	{"the end of a subscription", "subscribers", func(t *testing.T, s *postgres.Store, lose func(string)) {
		_, err := s.Subscribe(t.Context(), moment, runner, "s", store.FromOldest)
		must(t, err)
		lose("DELETE")
		must(t, s.Unsubscribe(t.Context(), runner, "s"))
		wantSubscribers(t, s)
	}},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func wantOutcomes(t testing.TB, s store.Store, want ...string) {
	t.Helper()
	found, err := s.Outcomes(t.Context(), store.OutcomeQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, task := range found.Tasks {
		got = append(got, task.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("outcomes are %v, want %v", got, want)
	}
}

// TestLost: whatever is lost of an exchange, the call finds out what has become of it.
func TestLost(t *testing.T) {
	url := server.NewDatabase(t)
	for _, c := range lossCases {
		for what, lose := range map[string]func(*servertest.PostgresProxyServer, func(servertest.Frame) bool) <-chan struct{}{
			"request": (*servertest.PostgresProxyServer).LoseRequest,
			"answer":  (*servertest.PostgresProxyServer).LoseAnswer,
		} {
			t.Run(c.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				proxy := servertest.PostgresProxy(t, server.Socket(t))
				s := open(t, proxy.Via(url), postgres.Config{Schema: newSchema()})
				var happened <-chan struct{}
				c.run(t, s, func(also string) {
					first, second := servertest.Runs(c.statement), servertest.Runs(also)
					happened = lose(proxy, func(f servertest.Frame) bool { return first(f) && (also == "" || second(f)) })
				})
				select {
				case <-happened:
				default:
					t.Error("nothing was lost")
				}
			})
		}
	}
}
