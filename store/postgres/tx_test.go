package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
	"github.com/taskrunner-go/taskrunner/store/storetest"
)

// TestTx is with transactions of pgx.
func TestTx(t *testing.T) {
	url := server.NewDatabase(t)
	pool := newPool(t, url)
	storetest.RunTx(t,
		func(t *testing.T) store.Store { return open(t, url, postgres.Config{Schema: newSchema()}) },
		func(t *testing.T, s store.Store, f func(store.Tx) error) error {
			return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return f(s.(*postgres.Store).Tx(tx)) })
		})
}

// TestSQLTx is with transactions of database/sql, whose driver prepares statements; and with one that sends all parameters as texts,
// as drivers do that know less of the server's types.
func TestSQLTx(t *testing.T) {
	for _, mode := range []string{"cache_statement", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			url := server.NewDatabase(t)
			db, err := sql.Open("pgx", withSetting(url, "default_query_exec_mode", mode))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			storetest.RunTx(t,
				func(t *testing.T) store.Store { return open(t, url, postgres.Config{Schema: newSchema()}) },
				func(t *testing.T, s store.Store, f func(store.Tx) error) error {
					tx, err := db.BeginTx(t.Context(), nil)
					if err != nil {
						t.Fatal(err)
					}
					if err := f(s.(*postgres.Store).SQLTx(tx)); err != nil {
						_ = tx.Rollback()
						return err
					}
					return tx.Commit()
				})
		})
	}
}

// withSetting adds a setting to a URL.
func withSetting(url, name, value string) string {
	if strings.Contains(url, "?") {
		return url + "&" + name + "=" + value
	}
	return url + "?" + name + "=" + value
}

// TestHeldTransaction: while transactions of others stay open that have completed a task, inserted one, or only look, outcomes are told
// to who follows them; and what those transactions have done comes behind all that was told before their commits.
func TestHeldTransaction(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	stores := []*postgres.Store{open(t, url, postgres.Config{}), open(t, url, postgres.Config{})}
	pool := newPool(t, url)
	held, inserted := insert(t, stores[0], newTask(running))[0], newTask(known)
	completing, looking := beginTx(t, pool, pgx.TxOptions{}), beginTx(t, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	must(t, stores[0].Tx(completing).Complete(t.Context(), outcome(held, store.Completed)))
	_, err := stores[1].Tx(completing).Insert(t.Context(), moment, []store.NewTask{inserted})
	must(t, err)
	var n int
	must(t, looking.QueryRow(t.Context(), `SELECT count(*) FROM taskrunner.finished`).Scan(&n))

	var want, told []string
	cursor := store.FromOldest
	follow := func() {
		t.Helper()
		found, err := stores[1].Outcomes(t.Context(), store.OutcomeQuery{After: cursor, Limit: store.MaxList})
		must(t, err)
		for _, task := range found.Tasks {
			told = append(told, task.ID)
		}
		cursor = found.Next
	}
	for i := range 40 {
		s := stores[i%2]
		task := insert(t, s, newTask(running))[0]
		must(t, finish(t.Context(), s, outcome(task, store.Completed)))
		want = append(want, task.ID)
		follow()
	}
	if !slices.Equal(told, want) {
		t.Fatalf("told were %v, want %v", told, want)
	}
	must(t, completing.Commit(t.Context()))
	eventually(t, "the outcome of the transaction is told", func() bool { follow(); return len(told) > len(want) })
	if want = append(want, held.ID); !slices.Equal(told, want) {
		t.Errorf("told were %v, want %v", told, want)
	}
	wantOutcomes(t, stores[0], want...)
	must(t, looking.Rollback(t.Context()))
	if got := get(t, stores[0], inserted.ID); got.State != store.Available {
		t.Errorf("what was inserted is %s", got.State)
	}
}

func beginTx(t testing.TB, pool *pgxpool.Pool, options pgx.TxOptions) pgx.Tx {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// TestIDInTransaction: who inserts an id that somebody inserts in an open transaction waits for its end, and holds up nobody else.
func TestIDInTransaction(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		url := server.NewDatabase(t)
		s := open(t, url, postgres.Config{})
		tx := beginTx(t, newPool(t, url), pgx.TxOptions{})
		n := newTask(known)
		_, err := s.Tx(tx).Insert(t.Context(), moment, []store.NewTask{n})
		must(t, err)
		answered := make(chan bool, 1)
		go func() {
			inserted, err := s.Insert(t.Context(), moment, []store.NewTask{n})
			must(t, err)
			answered <- len(inserted) == 1 && inserted[0].Existed
		}()
		_, err = s.Insert(shortly(t), moment, []store.NewTask{n})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error %v, want the context's: the server is there", err)
		}
		insert(t, s, newTask(known)) // others go on
		select {
		case <-answered:
			t.Error("it was answered before the end of the transaction")
		default:
		}
		if commit {
			must(t, tx.Commit(t.Context()))
		} else {
			must(t, tx.Rollback(t.Context()))
		}
		if existed := <-answered; existed != commit {
			t.Errorf("committed %v, existed %v", commit, existed)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 2})
	}
}

// TestSnapshot: a transaction that sees the database as of a moment before a task was taken out of its bundle is told to begin again.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s, pool := open(t, url, postgres.Config{}), newPool(t, url)
	task := insert(t, s, newTask(running))[0]
	complete := func() error {
		return pgx.BeginTxFunc(t.Context(), pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SELECT 1`); err != nil {
				return err
			}
			return s.Tx(tx).Complete(t.Context(), outcome(task, store.Completed))
		})
	}
	if err := complete(); err == nil {
		t.Error("it could not know of the task")
	}
	must(t, complete())
}

// TestNoTransaction: a transaction that is nil or has ended is the caller's mistake, and none of the database's.
func TestNoTransaction(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	db, err := sql.Open("pgx", url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	committed, rolledBack := beginTx(t, newPool(t, url), pgx.TxOptions{}), beginTx(t, newPool(t, url), pgx.TxOptions{})
	must(t, errors.Join(committed.Commit(t.Context()), rolledBack.Rollback(t.Context())))
	done, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	must(t, done.Commit())
	task := insert(t, s, newTask(running))[0]
	for what, c := range map[string]struct {
		tx    store.Tx
		named string
	}{
		"nil of pgx":          {s.Tx(nil), "tx is nil"},
		"nil of database/sql": {s.SQLTx(nil), "tx is nil"},
		"committed":           {s.Tx(committed), "tx has ended"},
		"rolled back":         {s.Tx(rolledBack), "tx has ended"},
		"of database/sql":     {s.SQLTx(done), "tx has ended"},
	} {
		_, inserting := c.tx.Insert(t.Context(), moment, []store.NewTask{newTask()})
		completing := c.tx.Complete(t.Context(), outcome(task, store.Completed))
		for _, err := range []error{inserting, completing} {
			if !errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), c.named) {
				t.Errorf("%s: error %v, want ErrInvalid that says %q", what, err, c.named)
			}
		}
	}
	if _, err := postgres.New(t.Context(), nil, postgres.Config{}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "pool is nil") {
		t.Errorf("New without a pool: %v", err)
	}
	must(t, finish(t.Context(), s, outcome(task, store.Completed)))
}

// TestTold: the runner hears of a commit within 100 milliseconds at the median, told or polling.
func TestTold(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	for _, pooling := range []bool{false, true} {
		s := open(t, url, postgres.Config{Schema: newSchema(), TransactionPooling: pooling})
		pool := newPool(t, url)
		signals := make(chan store.Signal, 1000)
		release, err := s.Hold(store.Holder{Runner: runner, Node: node, Notify: func(signal store.Signal) { signals <- signal }})
		must(t, err)
		claim(t, s, 1) // so that the store knows the kinds
		var took []time.Duration
		for range 20 {
			tx := beginTx(t, pool, pgx.TxOptions{})
			_, err := s.Tx(tx).Insert(t.Context(), moment, []store.NewTask{newTask()})
			must(t, err)
			for len(signals) > 0 {
				<-signals
			}
			must(t, tx.Commit(t.Context()))
			committed := time.Now()
			for signal := store.Signal(0); signal&store.SignalWork == 0; {
				signal = <-signals
			}
			took = append(took, time.Since(committed))
			if len(claim(t, s, 10)) != 1 {
				t.Error("there is nothing to claim")
			}
		}
		release()
		slices.Sort(took)
		t.Logf("pooling %v: median %v, max %v", pooling, took[len(took)/2], took[len(took)-1])
		if took[len(took)/2] > 100*time.Millisecond {
			t.Errorf("pooling %v: it took %v", pooling, took)
		}
	}
}

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
