package postgres_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
	"github.com/taskrunner-go/taskrunner/store/storetest"
)

// server is shared by all tests that do not stop it.
var server = servertest.NewSharedPostgres(servertest.Setting("max_connections", "400"))

// schemas counts those that were given out.
var schemas atomic.Int64

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		child(url)
		return
	}
	goleak.VerifyTestMain(server.Around(m))
}

// newSchema gives the name of a schema that nobody has used.
func newSchema() string { return "s" + strconv.FormatInt(schemas.Add(1), 10) }

func open(t testing.TB, url string, cfg postgres.Config) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// openMany opens several handles on one schema.
func openMany(url string) func(t *testing.T, n int) []store.Store {
	return func(t *testing.T, n int) (stores []store.Store) {
		schema := newSchema()
		for range n {
			stores = append(stores, open(t, url, postgres.Config{Schema: schema}))
		}
		return stores
	}
}

func TestStore(t *testing.T) {
	url := server.NewDatabase(t)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, url, postgres.Config{Schema: newSchema()}) })
}

var update = flag.Bool("update", false, "write schema.txt anew")

// TestSchemaText holds schema.txt to what the migrations make.
func TestSchemaText(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), server.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	got, err := postgres.Describe(t.Context(), pool, newSchema())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.txt", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("schema.txt")
	if err != nil || got != string(want) {
		t.Errorf("schema.txt (error %v) is\n%s\nwant\n%s\nrun go test -run TestSchemaText -update ./store/postgres", err, want, got)
	}
	if n, err := postgres.Migrations(); n != postgres.Newest || err != nil {
		t.Errorf("there are %d migrations (error %v), the newest is to be %d", n, err, postgres.Newest)
	}
}

func TestReplicas(t *testing.T) {
	storetest.RunReplicas(t, openMany(server.NewDatabase(t)))
}

func TestLinear(t *testing.T) {
	storetest.RunLinear(t, openMany(server.NewDatabase(t)), 3)
}

// TestLentPool: the store works with a pool of somebody's, and leaves it open.
func TestLentPool(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	config, err := pgxpool.ParseConfig(url)
	must(t, err)
	for most, want := range map[int32]bool{7: false, 8: true} {
		config.MaxConns = most
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		must(t, err)
		s, err := postgres.New(t.Context(), pool, postgres.Config{})
		if (err == nil) != want {
			t.Errorf("%d connections: error %v", most, err)
		}
		if err == nil {
			task := insert(t, s, newTask(running))[0]
			must(t, finish(t.Context(), s, outcome(task, store.Completed)))
			must(t, s.Close())
		}
		must(t, pool.Ping(t.Context()))
		// The pool counts a connection that was closed, as that which listened, until a goroutine of its own has seen to it.
		eventually(t, "all connections are given back", func() bool { return pool.Stat().AcquiredConns() == 0 })
		pool.Close()
	}
}

// TestPoolClosedFirst: the Close of a lent pool ends, although the store was not closed before.
func TestPoolClosedFirst(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), withSetting(server.NewDatabase(t), "pool_max_conns", "10"))
	must(t, err)
	s, err := postgres.New(t.Context(), pool, postgres.Config{})
	must(t, err)
	insert(t, s, newTask())
	closed := make(chan bool)
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("the pool does not close")
	}
	if _, err := s.Get(t.Context(), newTask().ID); !errors.Is(err, store.ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
	must(t, s.Close())
}

// TestCompaction: the rows of changes become few, and their sums stay.
func TestCompaction(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	pool := newPool(t, url)
	const n = 300
	for i := range n {
		insert(t, s, newTask(func(n *store.NewTask) { n.Kind = fmt.Sprint(i % 2) }))
	}
	eventually(t, "there are few", func() bool {
		var rows int
		must(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM taskrunner.counts`).Scan(&rows))
		return rows < 200
	})
	wantCounts(t, s, map[store.State]int64{store.Available: n})
}

// TestLongRuns: tasks that run on become rows of their own, and their bundle goes.
func TestLongRuns(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	pool := newPool(t, url)
	tasks := insert(t, s, newTask(running), newTask(running), newTask(running))
	must(t, finish(t.Context(), s, outcome(tasks[1], store.Completed)))
	eventually(t, "there is no bundle", func() bool {
		var bundles int
		must(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM taskrunner.bundles`).Scan(&bundles))
		return bundles == 0
	})
	wantCounts(t, s, map[store.State]int64{store.Completed: 1, store.Running: 2})
	must(t, finish(t.Context(), s, outcome(tasks[0], store.Completed)))
	wantOutcomes(t, s, tasks[1].ID, tasks[0].ID)
}
