package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
	"github.com/taskrunner-go/taskrunner/store/storetest"
)

// pooled gives the URL of a new database behind a PgBouncer that gives out connections by the transaction.
func pooled(t *testing.T) (url string) {
	t.Helper()
	bouncer := servertest.PgBouncer(t, server.Socket(t), "max_client_conn = 2000", "default_pool_size = 20")
	return bouncer.Via(server.NewDatabase(t))
}

// TestUnawarePooled: a store that was not told of the pooler says so, whichever way it notices.
func TestUnawarePooled(t *testing.T) {
	t.Parallel()
	for want, settings := range map[string][]string{
		"unsupported startup parameter": nil,
		"prepared statement":            {"ignore_startup_parameters = plan_cache_mode, jit, enable_seqscan"},
	} {
		bouncer := servertest.PgBouncer(t, server.Socket(t), settings...)
		s, err := postgres.Open(t.Context(), bouncer.Via(server.NewDatabase(t)), postgres.Config{})
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
			_, err = s.Insert(shortly(t), moment, []store.NewTask{newTask(known)})
		}
		if err == nil && settings != nil {
			t.Log("this PgBouncer prepares statements in all sessions, as it may since 1.21")
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Config.TransactionPooling") {
			t.Errorf("error %v, want one that says %q and names the field", err, want)
		}
	}
}

// TestPooled is all that a store must do, through a pooler.
func TestPooled(t *testing.T) {
	url := pooled(t)
	openPooled := func(t *testing.T, schema string) *postgres.Store {
		return open(t, url, postgres.Config{Schema: schema, TransactionPooling: true})
	}
	t.Run("Store", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store { return openPooled(t, newSchema()) })
	})
	t.Run("Replicas", func(t *testing.T) {
		storetest.RunReplicas(t, func(t *testing.T, n int) (stores []store.Store) {
			schema := newSchema()
			for range n {
				stores = append(stores, openPooled(t, schema))
			}
			return stores
		})
	})
	t.Run("Tx", func(t *testing.T) {
		config, err := pgxpool.ParseConfig(url)
		must(t, err)
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		must(t, err)
		t.Cleanup(pool.Close)
		storetest.RunTx(t,
			func(t *testing.T) store.Store { return openPooled(t, newSchema()) },
			func(t *testing.T, s store.Store, f func(store.Tx) error) error {
				return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return f(s.(*postgres.Store).Tx(tx)) })
			})
	})
}
