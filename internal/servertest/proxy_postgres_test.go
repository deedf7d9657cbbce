package servertest_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// writes are ways to commit a row: what pgx does with them on the wire differs.
var writes = []struct {
	name  string
	match string // text of the statement that commits
	rows  int    // that it commits
	do    func(ctx context.Context, conn *pgx.Conn) error
}{
	{"a transaction", "commit", 1, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1)", 1)
			return err
		})
	}},
	{"a simple query", "insert", 1, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "INSERT INTO t VALUES (1)")
		return err
	}},
	{"a prepared statement", "insert", 1, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "INSERT INTO t VALUES ($1)", 1)
		return err
	}},
	{"a statement without a name", "insert", 1, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "INSERT INTO t VALUES ($1)", pgx.QueryExecModeExec, 1)
		return err
	}},
	{"rows that come back", "returning", 1, func(ctx context.Context, conn *pgx.Conn) error {
		var n int
		return conn.QueryRow(ctx, "INSERT INTO t VALUES ($1) RETURNING n", 1).Scan(&n)
	}},
	{"an answer that begins before the commit", "returning", 3000, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "INSERT INTO t SELECT generate_series(1, $1) RETURNING repeat('x', 1000)", 3000)
		return err
	}},
	{"a batch", "second", 1, func(ctx context.Context, conn *pgx.Conn) error {
		var batch pgx.Batch
		batch.Queue("SELECT count(*) /* first */ FROM t WHERE n < $1", 1)
		batch.Queue("INSERT INTO t VALUES ($1) /* second */", 1)
		return conn.SendBatch(ctx, &batch).Close()
	}},
	{"a copy", "copy", 1, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"n"}, pgx.CopyFromRows([][]any{{1}}))
		return err
	}},
}

// losing has a write lose its request or its answer and gives how many rows there are afterwards.
func losing(t *testing.T, proxy *servertest.PostgresProxyServer, url, match string, answer bool,
	do func(ctx context.Context, conn *pgx.Conn) error,
) (rows int) {
	t.Helper()
	direct, conn := connect(t, url), connect(t, proxy.Via(url))
	run(t, direct, "CREATE TABLE t (n int)")
	lose := proxy.LoseRequest
	if answer {
		lose = proxy.LoseAnswer
	}
	happened := lose(servertest.Runs(match))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := do(ctx, conn); err == nil || ctx.Err() != nil {
		t.Errorf("the write: error %v, and of the context %v; want the connection cut", err, ctx.Err())
	}
	select {
	case <-happened:
	case <-ctx.Done():
		t.Fatal("the cut did not happen")
	}
	again := connect(t, proxy.Via(url)) // it was for one connection only
	// A server that has not yet seen the cut may still hold the lock of a transaction that it is going to roll back.
	run(t, again, "BEGIN; LOCK TABLE t; COMMIT")
	return ask[int](t, again, "SELECT count(*) FROM t")
}

func TestPostgresProxyLosesRequests(t *testing.T) {
	t.Parallel()
	for _, write := range writes {
		t.Run(write.name, func(t *testing.T) {
			t.Parallel()
			proxy := servertest.PostgresProxy(t, postgres.Socket(t))
			if rows := losing(t, proxy, postgres.NewDatabase(t), write.match, false, write.do); rows != 0 {
				t.Errorf("there are %d rows, want none: the server was not asked", rows)
			}
		})
	}
}

func TestPostgresProxyLosesAnswers(t *testing.T) {
	t.Parallel()
	for _, write := range writes {
		t.Run(write.name, func(t *testing.T) {
			t.Parallel()
			proxy := servertest.PostgresProxy(t, postgres.Socket(t))
			if rows := losing(t, proxy, postgres.NewDatabase(t), write.match, true, write.do); rows != write.rows {
				t.Errorf("there are %d rows, want %d: the server has done it", rows, write.rows)
			}
		})
	}
}

func TestPostgresProxyLosesAnswersOfPgBouncer(t *testing.T) {
	t.Parallel()
	proxy := servertest.PostgresProxy(t, servertest.PgBouncer(t, postgres.Socket(t)).Socket())
	if rows := losing(t, proxy, postgres.NewDatabase(t), "insert", true, writes[1].do); rows != 1 {
		t.Errorf("there are %d rows, want 1: the server has done it", rows)
	}
}

// Some clients send the rows of a COPY only when the server has asked for them, which pgx does not wait for.
func TestPostgresProxyLosesTheAnswerToACopy(t *testing.T) {
	t.Parallel()
	proxy := servertest.PostgresProxy(t, postgres.Socket(t))
	patiently := func(ctx context.Context, conn *pgx.Conn) error {
		wire := conn.PgConn().Frontend()
		wire.Send(&pgproto3.Query{String: "COPY t FROM STDIN"})
		if err := wire.Flush(); err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.PgConn().Conn().Close() })
		defer stop()
		if message, err := wire.Receive(); err != nil {
			t.Errorf("the server does not ask for the rows: %v, error %v", message, err)
			return err
		}
		wire.Send(&pgproto3.CopyData{Data: []byte("1\n")})
		wire.Send(&pgproto3.CopyDone{})
		if err := wire.Flush(); err != nil {
			return err
		}
		_, err := wire.Receive()
		return err
	}
	if rows := losing(t, proxy, postgres.NewDatabase(t), "copy", true, patiently); rows != 1 {
		t.Errorf("there are %d rows, want 1: the server has done it", rows)
	}
}

// A client that does not wait for answers gets those to its earlier requests, and nothing of the lost one.
func TestPostgresProxyLosesTheRightAnswer(t *testing.T) {
	t.Parallel()
	proxy := servertest.PostgresProxy(t, postgres.Socket(t))
	conn := connect(t, proxy.Via(postgres.NewDatabase(t)))
	run(t, conn, "CREATE TABLE t (n int)")
	proxy.LoseAnswer(servertest.Runs("second"))
	pipeline := conn.PgConn().StartPipeline(t.Context())
	for _, sql := range []string{"SELECT 'first'", "SELECT 'second'"} {
		pipeline.SendQueryParams(sql, nil, nil, nil, nil)
		if err := pipeline.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	var heard []string
	for {
		result, err := pipeline.GetResults()
		if err != nil || result == nil {
			break
		}
		if rows, ok := result.(interface {
			NextRow() bool
			Values() [][]byte
		}); ok {
			for rows.NextRow() {
				heard = append(heard, string(rows.Values()[0]))
			}
		}
	}
	_ = pipeline.Close()
	if !slices.Equal(heard, []string{"first"}) {
		t.Errorf("heard %q, want the answer to the first request only", heard)
	}
}

func TestPostgresProxyShowsFrames(t *testing.T) {
	t.Parallel()
	proxy := servertest.PostgresProxy(t, postgres.Socket(t))
	url := proxy.Via(postgres.NewDatabase(t))
	var seen []string
	proxy.OnFrame(func(f servertest.Frame) servertest.Verdict {
		who := "server"
		if f.FromClient {
			who = "client"
		}
		kind := "startup"
		if f.Kind != 0 {
			kind = string(rune(f.Kind))
		}
		seen = append(seen, strings.TrimSpace(who+" "+kind+" "+f.SQL))
		if f.Conn != 1 && f.Conn != 2 {
			t.Errorf("a frame of connection %d, want 1 and 2", f.Conn)
		}
		return servertest.Forward
	})
	conn := connect(t, url)
	if got := ask[int](t, conn, "SELECT $1::int", 7); got != 7 {
		t.Errorf("SELECT 7 = %d", got)
	}
	run(t, conn, "SET application_name = 'x'")
	connect(t, url)
	proxy.OnFrame(nil)
	for _, want := range []string{
		"client startup", "server R", "server Z", "client P SELECT $1::int", "client B SELECT $1::int",
		"client E SELECT $1::int", "client S", "server D", "server C", "client Q SET application_name = 'x'",
	} {
		if !slices.Contains(seen, want) {
			t.Errorf("no frame %q among %q", want, seen)
		}
	}
}

func TestPostgresProxyDoesAsItIsTold(t *testing.T) {
	t.Parallel()
	proxy := servertest.PostgresProxy(t, postgres.Socket(t))
	url := proxy.Via(postgres.NewDatabase(t))
	answer := func(kind byte, verdict servertest.Verdict) {
		proxy.OnFrame(func(f servertest.Frame) servertest.Verdict {
			if f.Kind == kind && f.FromClient == (kind == 0) {
				return verdict
			}
			return servertest.Forward
		})
	}

	answer('D', servertest.Drop)
	conn := connect(t, url)
	rows, err := conn.Query(t.Context(), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || len(got) != 0 {
		t.Errorf("without its rows an answer has the rows %v, error %v", got, err)
	}

	answer('C', servertest.Cut)
	if rows, err = conn.Query(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Errorf("the row before the cut did not arrive: %v", rows.Err())
	}
	if rows.Next() || rows.Err() == nil {
		t.Errorf("an answer that was cut at its end ended well")
	}

	answer(0, servertest.Cut)
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("a connection that was cut at its first message stands")
	}
}

// Large rows, and many of them, come through whole.
func TestPostgresProxyCarriesMuch(t *testing.T) {
	t.Parallel()
	proxy := servertest.PostgresProxy(t, postgres.Socket(t))
	conn := connect(t, proxy.Via(postgres.NewDatabase(t)))
	rows, err := conn.Query(t.Context(), "SELECT repeat(n::text, 1000) FROM generate_series(1, 5000) n")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(texts) != 5000 || texts[4999] != strings.Repeat("5000", 1000) {
		t.Errorf("%d rows came through, error %v", len(texts), err)
	}
	large := strings.Repeat("x", 3<<20)
	if got := ask[int](t, conn, "SELECT length($1)", large); got != len(large) {
		t.Errorf("of %d bytes %d arrived", len(large), got)
	}
}

// A client that would like encryption is told that there is none; and its request to cancel goes through.
func TestPostgresProxySpeaksPlainly(t *testing.T) {
	t.Parallel()
	proxy := servertest.PostgresProxy(t, postgres.Socket(t))
	url := strings.Replace(proxy.Via(postgres.NewDatabase(t)), "sslmode=disable", "sslmode=prefer", 1)
	conn := connect(t, url)
	run(t, conn, "SELECT 1")
	begun := make(chan struct{})
	proxy.OnFrame(func(f servertest.Frame) servertest.Verdict {
		if servertest.Runs("pg_sleep")(f) {
			close(begun)
		}
		return servertest.Forward
	})
	ended := make(chan error)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(60)")
		ended <- err
	}()
	<-begun
	for {
		if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if sqlState(err) != "57014" {
				t.Errorf("a query that was cancelled: %v, want SQLSTATE 57014", err)
			}
			return
		default: // the server has not begun yet, and has forgotten the request
		}
	}
}
