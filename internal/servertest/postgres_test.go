package servertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// connect opens a connection that ends with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// run runs a statement that must succeed.
func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ask gives the one value that a query yields.
func ask[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// sqlState gives the SQLSTATE of an error, "" if it has none.
func sqlState(err error) string {
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok {
		return failed.Code
	}
	return ""
}

func TestPostgresIsSetAsAsked(t *testing.T) {
	t.Setenv("PGPORT", "5999") // says nothing to a server of ours
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	server := servertest.Postgres(t,
		servertest.Setting("max_connections", "50"), servertest.Setting("max_connections", "17"),
		servertest.Setting("application_name", "it's"))
	admin := connect(t, server.URL())
	for setting, want := range map[string]string{
		"max_connections": "17", "application_name": "it's",
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "", "lc_messages": "C",
	} {
		if got := ask[string](t, admin, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if ask[string](t, admin, "SELECT current_user::text") != "postgres" || !ask[bool](t, admin, superuserQuery) {
		t.Error("URL is not that of the superuser postgres")
	}
}

const superuserQuery = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"

func TestPostgresDatabasesAreApartAndOwned(t *testing.T) {
	t.Parallel()
	first, second := connect(t, postgres.NewDatabase(t)), connect(t, postgres.NewDatabase(t))
	run(t, first, "CREATE TABLE t AS SELECT 1")
	run(t, first, "CREATE SCHEMA s")
	if ask[bool](t, second, "SELECT to_regclass('t') IS NOT NULL OR to_regnamespace('s') IS NOT NULL") {
		t.Error("what one database holds is in the other")
	}
	if ask[string](t, first, "SELECT current_user::text") != "app" || ask[bool](t, first, superuserQuery) {
		t.Error("the user of a database is not app, or is a superuser")
	}
}

func TestPostgresAsksStrangersForTheirPassword(t *testing.T) {
	t.Parallel()
	run(t, connect(t, postgres.URL(t)), "CREATE ROLE stranger LOGIN PASSWORD 'right'")
	t.Cleanup(func() {
		admin, err := pgx.Connect(context.Background(), postgres.URL(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = admin.Close(context.Background()) }()
		if _, err := admin.Exec(context.Background(), "DROP ROLE stranger"); err != nil {
			t.Error(err)
		}
	})
	url := func(password string) string {
		return strings.Replace(postgres.URL(t), "postgres@", "stranger:"+password+"@", 1)
	}
	connect(t, url("right"))
	if _, err := pgx.Connect(t.Context(), url("wrong")); sqlState(err) != "28P01" {
		t.Errorf("a wrong password: %v, want SQLSTATE 28P01", err)
	}
}

func TestSharedPostgresDropsADatabaseInUse(t *testing.T) {
	t.Parallel()
	var url string
	var conn *pgx.Conn
	t.Run("use", func(t *testing.T) {
		url = postgres.NewDatabase(t)
		var err error
		if conn, err = pgx.Connect(context.Background(), url); err != nil { // nobody closes it before the drop
			t.Fatal(err)
		}
	})
	if conn == nil {
		t.Skip("servertest: postgres did not run")
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection to a dropped database goes on")
	}
	if _, err := pgx.Connect(t.Context(), url); sqlState(err) != "3D000" {
		t.Errorf("connecting to a dropped database: %v, want SQLSTATE 3D000", err)
	}
}

// tests is a run of tests for TestMain.
type tests func() int

func (f tests) Run() int { return f() }

func TestSharedPostgresEndsWithTheRun(t *testing.T) {
	t.Parallel()
	server := servertest.NewSharedPostgres()
	var socket string
	run := server.Around(tests(func() int {
		socket = server.Socket(t)
		connect(t, server.NewDatabase(failingLater{t}))
		return 3
	}))
	if code := run.Run(); code != 3 {
		t.Errorf("the exit code is %d, want that of the tests, 3", code)
	}
	if _, err := os.Stat(filepath.Dir(socket)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a server that was stopped: %v, want none", err)
	}
	if err := server.Stop(); err != nil {
		t.Errorf("stopping again: %v", err)
	}
	if code := servertest.NewSharedPostgres().Around(tests(func() int { return 0 })).Run(); code != 0 {
		t.Errorf("the exit code of a run that never asked for the server is %d", code)
	}
}

// failingLater is a test whose cleanups do not run: that of a database needs the server.
type failingLater struct{ testing.TB }

func (failingLater) Cleanup(func()) {}

func TestPostgresKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*servertest.PostgresServer){
		"kill":      (*servertest.PostgresServer).Kill,
		"immediate": func(s *servertest.PostgresServer) { s.Stop(servertest.StopImmediate) },
		"fast":      func(s *servertest.PostgresServer) { s.Stop(servertest.StopFast) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := servertest.Postgres(t)
			url := server.NewDatabase(t)
			conn := connect(t, url)
			run(t, conn, "CREATE TABLE t (n int)")
			run(t, conn, "INSERT INTO t VALUES (1)")
			run(t, conn, "BEGIN")
			run(t, conn, "INSERT INTO t VALUES (2)")

			end(server)
			if _, err := conn.Exec(t.Context(), "COMMIT"); err == nil {
				t.Error("a connection outlived the server")
			}
			if _, err := pgx.Connect(t.Context(), url); err == nil {
				t.Error("a server that has ended takes connections")
			}
			server.Start()
			if sum := ask[int](t, connect(t, url), "SELECT sum(n) FROM t"); sum != 1 {
				t.Errorf("the sum is %d, want 1: the row that was committed, without the other", sum)
			}
			recovered := strings.Contains(server.Log(), "automatic recovery in progress")
			if inOrder := name == "fast"; recovered == inOrder {
				t.Errorf("the server recovered: %v, want %v\n%s", recovered, !inOrder, server.Log())
			}
		})
	}
}

func TestPostgresStandsStillAndGoesOn(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	conn := connect(t, server.URL())
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pgx.Connect(ctx, server.URL()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connecting to a paused server: %v, want none of its answers", err)
	}
	answered := make(chan error, 1)
	go func() { answered <- conn.Ping(t.Context()) }()
	server.Continue()
	if err := <-answered; err != nil {
		t.Errorf("after the pause: %v", err)
	}

	server.Pause() // who is paused can be killed and stopped
	server.Kill()
	server.Start()
	server.Pause()
	server.Stop(servertest.StopFast)
	server.Start()
	server.Pause() // and ended by the cleanup
}

func TestPostgresLazyClockJumps(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t, servertest.LazyFakeClock())
	conn := connect(t, server.URL())
	for _, offset := range []time.Duration{0, time.Hour, -time.Hour} {
		server.SetClock(offset)
		off := time.Hour
		for end := time.Now().Add(10 * time.Second); off > time.Minute && time.Now().Before(end); {
			off = (time.Until(ask[time.Time](t, conn, "SELECT clock_timestamp()")) - offset).Abs()
		}
		if off > time.Minute {
			t.Errorf("the server's clock is off by %s, 10 s after it was set %s ahead", off, offset)
		}
	}
}

func TestPostgresClockJumps(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t, servertest.FakeClock())
	conn := connect(t, server.URL())
	check := func(conn *pgx.Conn, want time.Duration) {
		t.Helper()
		got := time.Until(ask[time.Time](t, conn, "SELECT clock_timestamp()"))
		if off := (got - want).Abs(); off > time.Minute {
			t.Errorf("the server's clock is %s ahead, want %s", got, want)
		}
	}
	check(conn, 0)
	for _, offset := range []time.Duration{time.Hour, -time.Hour, 0, 90 * time.Minute} {
		server.SetClock(offset)
		check(conn, offset) // a connection that stands sees it at once
		check(connect(t, server.URL()), offset)
	}
	server.Kill()
	server.Start()
	check(connect(t, server.URL()), 90*time.Minute)
}

// What a server measures, it measures by a clock that does not jump.
func TestPostgresClockJumpsAndNoTimePasses(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t, servertest.FakeClock())
	holder, waiter := connect(t, server.URL()), connect(t, server.URL())
	run(t, holder, "SELECT pg_advisory_lock(1)")
	measured := make(chan string, 1)
	go func() {
		defer close(measured)
		var plan string
		if waiter.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) SELECT pg_advisory_lock(1)").Scan(&plan) == nil {
			measured <- plan
		}
	}()
	for !ask[bool](t, holder, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)") {
		continue // it has not come that far
	}
	server.SetClock(time.Hour)
	run(t, holder, "SELECT pg_advisory_unlock(1)")
	var plan []struct {
		Milliseconds float64 `json:"Execution Time"`
	}
	if text := <-measured; json.Unmarshal([]byte(text), &plan) != nil || len(plan) != 1 || plan[0].Milliseconds <= 0 {
		t.Fatalf("the plan is %s", text)
	}
	if took := plan[0].Milliseconds; took > 60_000 {
		t.Errorf("a wait took %v ms by the server's measure; want less than a minute", took)
	}
}

func TestPostgresRefuses(t *testing.T) {
	t.Parallel()
	var server *servertest.PostgresServer
	r := record(t, func(t testing.TB) { server = servertest.Postgres(t) })
	if r.skipped != "" {
		t.Skip(r.skipped)
	}
	for _, test := range []struct {
		name string
		do   func()
		want string
	}{
		{"a clock that was not asked for", func() { server.SetClock(time.Hour) }, "FakeClock"},
		{"a second start", func() { server.Start() }, "runs already"},
		{"a second pause", func() { server.Pause(); server.Pause() }, "paused already"},
		{"killing the dead", func() { server.Kill(); server.Kill() }, "does not run"},
		{"pausing the dead", func() { server.Pause() }, "does not run"},
	} {
		if r.run(func(testing.TB) { test.do() }); !strings.Contains(r.failed, test.want) {
			t.Errorf("%s: failed with %q, want %q", test.name, r.failed, test.want)
		}
	}
}

func TestPostgresSaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	r := record(t, func(t testing.TB) { servertest.Postgres(t, servertest.Setting("max_connections", "many")) })
	if r.skipped == "" && !strings.Contains(r.failed, `"max_connections"`) {
		t.Errorf("failed with %q, want what the server printed", r.failed)
	}
}

// The newest of all is taken, so one that claims to be of the year 2100 is. It cannot make a cluster.
func TestPostgresTakesTheNewest(t *testing.T) {
	bin := t.TempDir()
	for program, script := range map[string]string{
		"postgres": "#!/bin/sh\necho 'postgres (PostgreSQL) 99.1 (Debian 99.1-1)'\n",
		"initdb":   "#!/bin/sh\necho 'this is no initdb'\nexit 1\n",
	} {
		if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(bin), 0o755); err != nil { // another account runs them
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	if r := record(t, func(t testing.TB) { servertest.Postgres(t) }); !strings.Contains(r.failed, "this is no initdb") {
		t.Errorf("skipped %q, failed with %q; want the words of the newest initdb", r.skipped, r.failed)
	}
	if err := os.Remove(filepath.Join(bin, "initdb")); err != nil {
		t.Fatal(err)
	}
	if r := record(t, func(t testing.TB) { servertest.Postgres(t) }); r.failed != "" {
		t.Errorf("failed with %q; want a server without an initdb to be passed over", r.failed)
	}
}
