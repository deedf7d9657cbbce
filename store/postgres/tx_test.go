package postgres_test

import (
	"database/sql"
	"strings"
	"testing"

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

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
