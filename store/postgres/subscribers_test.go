package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// wantBehind compares what a subscriber reads behind a cursor.
func wantBehind(t *testing.T, s store.Store, cursor int64, want ...string) {
	t.Helper()
	found, err := s.Outcomes(t.Context(), store.OutcomeQuery{Runner: runner, After: cursor, Gapless: true})
	must(t, err)
	var got []string
	for _, task := range found.Tasks {
		got = append(got, task.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("behind %d there are %v, want %v", cursor, got, want)
	}
}

// wantSubscribers compares the cursors of all.
func wantSubscribers(t *testing.T, s store.Store, want ...int64) {
	t.Helper()
	all, err := s.Subscribers(t.Context(), runner)
	must(t, err)
	var got []int64
	for _, subscriber := range all {
		got = append(got, subscriber.Cursor)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the cursors are %v, want %v", got, want)
	}
}

// TestMigrateSubscribers: the tables of the version before know of no subscribers, and have all the rest.
func TestMigrateSubscribers(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	task := insert(t, s, newTask(running))[0]
	must(t, finish(t.Context(), s, outcome(task, store.Completed)))
	_, err := s.Subscribe(t.Context(), moment, runner, "s", store.FromOldest)
	must(t, err)
	must(t, s.Close())
	for _, version := range []int{1, postgres.Newest} {
		must(t, postgres.Migrate(t.Context(), url, postgres.Config{}, version))
	}
	s = open(t, url, postgres.Config{})
	wantOutcomes(t, s, task.ID)
	wantSubscribers(t, s)
	cursor, err := s.Subscribe(t.Context(), moment, runner, "s", store.FromOldest)
	must(t, err)
	wantBehind(t, s, cursor, task.ID)
}

// waiting gives how many sessions of the database wait for a lock.
func waiting(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	must(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n))
	return n
}

// TestPruneTurn: while one deletes or subscribes, others of the runner wait, and those of another runner or schema do not. The lock is
// taken here as a store elsewhere would.
func TestPruneTurn(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s, other := open(t, url, postgres.Config{}), open(t, url, postgres.Config{Schema: newSchema()})
	task := insert(t, s, newTask(running))[0]
	must(t, finish(t.Context(), s, outcome(task, store.Completed)))
	_, err := s.Subscribe(t.Context(), moment, runner, "gone", store.FromOldest)
	must(t, err)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), postgres.Texts("taskrunner")["pruneTurn"], runner)
	must(t, err)
	for _, free := range []struct {
		s      store.Store
		runner string
	}{{s, "other"}, {other, runner}} {
		_, err := free.s.Subscribe(t.Context(), moment, free.runner, "s", store.FromNow)
		must(t, err)
	}
	later := moment.Add(time.Hour)
	blocked := map[string]func() error{
		"Prune": func() error {
			_, err := s.Prune(t.Context(), store.Expiry{Runner: runner, Completed: later, Subscribers: later})
			return err
		},
		"Subscribe":   func() error { _, err := s.Subscribe(t.Context(), moment, runner, "s", store.FromOldest); return err },
		"Acknowledge": func() error { _, err := s.Acknowledge(t.Context(), later, runner, "gone", 0); return err },
	}
	answers := make(chan error, len(blocked))
	for _, call := range blocked {
		go func() { answers <- call() }()
	}
	eventually(t, "all of them wait", func() bool { return waiting(t, conn) == len(blocked) })
	must(t, tx.Commit(t.Context()))
	for range blocked {
		must(t, <-answers)
	}
}
