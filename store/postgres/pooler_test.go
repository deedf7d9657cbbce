package postgres_test

import (
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
