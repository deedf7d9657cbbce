package servertest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// connectSimply is connect without prepared statements.
func connectSimply(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	return connect(t, url+"&default_query_exec_mode=exec")
}

func TestPgBouncerSharesConnections(t *testing.T) {
	t.Parallel()
	bouncer := servertest.PgBouncer(t, postgres.Socket(t), "default_pool_size = 1", "query_wait_timeout = 10")
	url := bouncer.Via(postgres.NewDatabase(t))
	first, second := connectSimply(t, url), connectSimply(t, url)
	run(t, first, "CREATE TABLE t AS SELECT 1")
	pid := ask[int](t, first, "SELECT pg_backend_pid()")
	if got := ask[int](t, second, "SELECT pg_backend_pid()"); got != pid {
		t.Errorf("two clients have the server processes %d and %d, want the one of a pool of one", pid, got)
	}
	run(t, first, "SET application_name = 'lasting'")
	if got := ask[string](t, second, "SELECT current_user || current_setting('application_name')"); got != "applasting" {
		t.Errorf("the other client is %q, want to see the user app and what the first has set", got)
	}
}

// Old versions hand a prepared statement to whoever is next on the connection.
func TestPgBouncerBreaksPreparedStatements(t *testing.T) {
	t.Parallel()
	bouncer := servertest.PgBouncer(t, postgres.Socket(t), "default_pool_size = 1")
	url := bouncer.Via(postgres.NewDatabase(t))
	first, second := connect(t, url), connect(t, url)
	if got := ask[int](t, first, "SELECT $1::int", 1); got != 1 {
		t.Errorf("SELECT 1 = %d", got)
	}
	var got int
	if err := second.QueryRow(t.Context(), "SELECT $1::int", 1).Scan(&got); sqlState(err) != "42P05" {
		t.Errorf("the same statement from another client: %d, error %v; want SQLSTATE 42P05, it exists already", got, err)
	}
}

// New versions could keep prepared statements apart, and are told not to. The one here stands in for them: it knows its
// version, and shows how it is configured.
func TestPgBouncerOfToday(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // another account runs it
		t.Fatal(err)
	}
	bin := filepath.Join(dir, ".tools", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	const script = "#!/bin/sh\nif [ $1 = --version ]; then echo PgBouncer 1.24.1; else cat $1; fi\n"
	if err := os.WriteFile(filepath.Join(bin, "pgbouncer"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	r := record(t, func(t testing.TB) { servertest.PgBouncer(t, "/nowhere/socket", "server_lifetime = 7") })
	for _, want := range []string{"max_prepared_statements = 0", "server_lifetime = 7", "host=/nowhere ", "pool_mode = transaction"} {
		if !strings.Contains(r.failed, want) {
			t.Errorf("failed with %q, want %q in its configuration", r.failed, want)
		}
	}
}

func TestPgBouncerSaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	socket := postgres.Socket(t)
	r := record(t, func(t testing.TB) { servertest.PgBouncer(t, socket, "pool_mode = puddle") })
	if r.skipped == "" && r.failed == "" {
		t.Error("a pool mode that does not exist was taken")
	}
}
