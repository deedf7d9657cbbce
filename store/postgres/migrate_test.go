package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// execute runs statements in the database.
func execute(t testing.TB, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, text := range statements {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// TestTwentyAtOnce: many processes start together on a new database.
func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), url, postgres.Config{Connections: 8})
			if err != nil {
				t.Error(err)
				return
			}
			_, err = s.Insert(t.Context(), moment, []store.NewTask{newTask()})
			must(t, errors.Join(err, s.Close()))
		})
	}
	wg.Wait()
	wantCounts(t, open(t, url, postgres.Config{}), map[store.State]int64{store.Available: 20})
}

// TestSideBySide: stores with different schemas have nothing in common, whatever the schemas are called.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	names := []string{"", "public", "Übergröße", `a"b'c\d; --`, strings.Repeat("x", 50)}
	stores := make([]*postgres.Store, len(names))
	for i, name := range names {
		s := open(t, url, postgres.Config{Schema: name})
		stores[i] = s
		for range i + 1 {
			task := insert(t, s, newTask(known))[0]
			if claimed := claim(t, s, 10); len(claimed) != 1 || claimed[0].ID != task.ID {
				t.Errorf("%q: claimed %+v", name, claimed)
			}
		}
	}
	for i, s := range stores {
		wantCounts(t, s, map[store.State]int64{store.Running: int64(i + 1)})
	}
}

// TestMigrate goes down, where all is lost, and up again.
func TestMigrate(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	insert(t, s, newTask())
	must(t, s.Close())
	must(t, postgres.Migrate(t.Context(), url, postgres.Config{}, 0))
	execute(t, url, `DROP SCHEMA taskrunner`) // which fails if anything is left in it
	must(t, postgres.Migrate(t.Context(), url, postgres.Config{}, postgres.Newest))
	must(t, postgres.Migrate(t.Context(), url, postgres.Config{}, postgres.Newest))
	wantCounts(t, open(t, url, postgres.Config{}), map[store.State]int64{})
	for _, version := range []int{-1, postgres.Newest + 1} {
		if err := postgres.Migrate(t.Context(), url, postgres.Config{}, version); err == nil || !strings.Contains(err.Error(), fmt.Sprint(version)) {
			t.Errorf("version %d: error %v", version, err)
		}
	}
}

// TestTables: a schema in which something is not as we have made it is refused, and the error says what.
func TestTables(t *testing.T) {
	t.Parallel()
	database := server.NewDatabase(t)
	for _, c := range []struct {
		statement string // after ours are made, unless it makes a table
		want      error
		named     string
	}{
		{`ALTER TABLE {s}.tasks DROP COLUMN progress`, store.ErrSchema, "table tasks column progress"},
		{`ALTER TABLE {s}.tasks ADD COLUMN mine text`, store.ErrSchema, "table tasks column mine text"},
		{`ALTER TABLE {s}.finished ALTER COLUMN attempt TYPE bigint`, store.ErrSchema, "table finished column attempt bigint"},
		{`ALTER TABLE {s}.nodes ALTER COLUMN beat DROP NOT NULL`, store.ErrSchema, "table nodes column beat"},
		{`DROP INDEX {s}.tasks_ready`, store.ErrSchema, "index tasks_ready"},
		{`DROP INDEX {s}.finished_id; CREATE INDEX finished_id ON {s}.finished (id)`, store.ErrSchema, "index finished_id"},
		{`DROP TABLE {s}.counts`, store.ErrSchema, "table counts"},
		{`ALTER SEQUENCE {s}.positions CACHE 100`, store.ErrSchema, "sequence positions"},
		{`ALTER TABLE {s}.tasks SET UNLOGGED`, store.ErrSchema, "table tasks is not logged"},
		{`ALTER TABLE {s}.tasks ADD CHECK (kind <> 'mine')`, store.ErrSchema, "on tasks CHECK"},
		{`INSERT INTO {s}.migrations (version, name) VALUES (99, 'later')`, store.ErrNewerVersion, "99"},
		{`UPDATE {s}.migrations SET version = -1 WHERE version = 1`, store.ErrSchema, "[-1 2]"},
		{`UPDATE {s}.migrations SET version = 0 WHERE version = 1`, store.ErrSchema, "[0 2]"},
		{`UPDATE {s}.migrations SET version = 2147483647 WHERE version = 2`, store.ErrNewerVersion, "2147483647"},
		{`INSERT INTO {s}.migrations (version, name) VALUES (-1, 'before')`, store.ErrSchema, "[-1 1 2]"},
		{`DELETE FROM {s}.migrations WHERE version = 1`, store.ErrSchema, "[2]"},
		{`DROP TABLE {s}.subscribers`, store.ErrSchema, "table subscribers"},
		{`ALTER TABLE {s}.subscribers DROP CONSTRAINT subscribers_pkey`, store.ErrSchema, "subscribers_pkey"},
		{`DELETE FROM {s}.migrations`, store.ErrSchema, "migrations is empty"},
		{`CREATE INDEX mine ON {s}.finished (kind)`, nil, ""},
		{`CREATE TABLE {s}.mine (id integer)`, nil, ""},
		{`ALTER TABLE {s}.tasks SET (fillfactor = 70)`, nil, ""},
		{`CREATE SCHEMA {s}; CREATE TABLE {s}.tasks (id integer)`, store.ErrSchema, "tasks"},
		{`CREATE SCHEMA {s}; CREATE TABLE {s}.migrations (version integer)`, store.ErrSchema, "migrations"},
		{`CREATE SCHEMA {s}; CREATE VIEW {s}.finished AS SELECT 1`, store.ErrSchema, "finished"},
		{`CREATE SCHEMA {s}; CREATE TABLE {s}.orders (id integer)`, nil, ""},
	} {
		schema := newSchema()
		if !strings.HasPrefix(c.statement, "CREATE SCHEMA") {
			must(t, postgres.Migrate(t.Context(), database, postgres.Config{Schema: schema}, postgres.Newest))
		}
		execute(t, database, strings.ReplaceAll(c.statement, "{s}", schema))
		s, err := postgres.Open(t.Context(), database, postgres.Config{Schema: schema})
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.named) {
			t.Errorf("%s: error %v, want %v that names %q", c.statement, err, c.want, c.named)
		}
	}
}

// TestByHand: the tables refuse what no store would find.
func TestByHand(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	tasks := insert(t, s, newTask(), newTask(running), newTask(running))
	must(t, finish(t.Context(), s, outcome(tasks[1], store.Completed)))
	must(t, finish(t.Context(), s, outcome(tasks[2], store.Discarded)))
	_, err := s.Subscribe(t.Context(), moment, runner, "s", store.FromOldest)
	must(t, err)
	pool := newPool(t, url)
	for change, check := range map[string]string{
		`subscribers SET pos = -1`:       "subscribers_pos",
		`tasks SET state = 'bogus'`:      "tasks_state",
		`tasks SET state = ''`:           "tasks_state",
		`tasks SET state = 'discarded'`:  "tasks_state",
		`tasks SET priority = 10`:        "tasks_priority",
		`tasks SET priority = -1`:        "tasks_priority",
		`finished SET state = 'bogus'`:   "finished_state",
		`finished SET state = 'running'`: "finished_state",
		`attempts SET state = 'running'`: "attempts_state",
	} {
		tag, err := pool.Exec(t.Context(), `UPDATE taskrunner.`+change)
		if err == nil || !strings.Contains(err.Error(), `"`+check+`"`) {
			t.Errorf("%s: changed %d rows, error %v, want one that names %s", change, tag.RowsAffected(), err, check)
		}
	}
}

// TestCountsByHand: whatever somebody makes of the counts, all tasks are listed.
func TestCountsByHand(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	tasks := insert(t, s, newTask(), newTask(running), newTask(running), newTask(running))
	must(t, finish(t.Context(), s, outcome(tasks[2], store.Completed)))
	must(t, finish(t.Context(), s, outcome(tasks[3], store.Discarded)))
	for _, change := range []string{`DELETE FROM taskrunner.counts`, `INSERT INTO taskrunner.counts VALUES ('assets', 'other', 0, -7, -7, 0, -7, 0, -7)`} {
		execute(t, url, change)
		again := open(t, url, postgres.Config{})
		for _, c := range []struct {
			query store.Query
			want  int
		}{
			{store.Query{}, 4}, {store.Query{Kind: kind}, 4}, {store.Query{Runner: runner}, 4}, {store.Query{Kind: "none"}, 0},
			{store.Query{States: []store.State{store.Running, store.Completed}}, 2}, {store.Query{States: []store.State{store.Discarded}, Kind: kind}, 1},
		} {
			listed, err := again.List(t.Context(), c.query)
			if err != nil || len(listed) != c.want {
				t.Errorf("%s: %+v lists %d tasks, error %v, want %d", change, c.query, len(listed), err, c.want)
			}
		}
	}
}

// TestTablesVanish: what is done to the tables while the store is open is told too.
func TestTablesVanish(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	insert(t, s, newTask())
	execute(t, url, `ALTER SCHEMA taskrunner RENAME TO elsewhere`)
	_, err := s.Insert(t.Context(), moment, []store.NewTask{newTask()})
	if !errors.Is(err, store.ErrSchema) {
		t.Errorf("error %v, want ErrSchema", err)
	}
	execute(t, url, `ALTER SCHEMA elsewhere RENAME TO taskrunner`)
	insert(t, s, newTask())
}

// TestRights: who may not do what a store must is told so at once, and what.
func TestRights(t *testing.T) {
	t.Parallel()
	own := servertest.Postgres(t)
	database := own.NewDatabase(t)
	must(t, postgres.Migrate(t.Context(), database, postgres.Config{Schema: "ready"}, postgres.Newest))
	as := func(user string) string {
		u, err := url.Parse(database)
		must(t, err)
		u.User = url.UserPassword(user, "s3cr3t")
		return u.String()
	}
	super, err := url.Parse(database)
	must(t, err)
	super.User = url.User("postgres")
	execute(t, super.String(), `CREATE ROLE stranger LOGIN PASSWORD 's3cr3t'`, `CREATE ROLE locked PASSWORD 's3cr3t'`,
		`CREATE ROLE reader LOGIN PASSWORD 's3cr3t'`, `GRANT USAGE ON SCHEMA ready TO reader`, `GRANT SELECT ON ALL TABLES IN SCHEMA ready TO reader`,
		`CREATE ROLE worker LOGIN PASSWORD 's3cr3t'`, `GRANT USAGE ON SCHEMA ready TO worker`, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ready TO worker`,
		`GRANT USAGE ON ALL SEQUENCES IN SCHEMA ready TO worker`,
		`CREATE ROLE frozen LOGIN PASSWORD 's3cr3t'`, `ALTER ROLE frozen SET default_transaction_read_only = on`, `GRANT CREATE ON DATABASE "`+strings.TrimPrefix(super.Path, "/")+`" TO frozen`)
	u, err := url.Parse(as("worker"))
	must(t, err)
	u.User = url.UserPassword("worker", "wr0ng")
	if _, err := postgres.Open(t.Context(), u.String(), postgres.Config{Schema: "ready"}); !errors.Is(err, store.ErrDenied) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("a wrong password: error %v, want ErrDenied without the password", err)
	}
	for _, c := range []struct {
		user, schema string
		want         error
		named        string
	}{
		{"worker", "ready", nil, ""},
		{"worker", "", store.ErrDenied, ""},
		{"stranger", "", store.ErrDenied, ""},
		{"stranger", "ready", store.ErrDenied, ""},
		{"locked", "", store.ErrDenied, "locked"},
		{"reader", "ready", store.ErrDenied, "tasks"},
		{"frozen", "", store.ErrReadOnly, ""},
	} {
		s, err := postgres.Open(t.Context(), as(c.user), postgres.Config{Schema: c.schema})
		if err == nil {
			insert(t, s, newTask())
			_ = s.Close()
		}
		if !errors.Is(err, c.want) || err != nil && (!strings.Contains(err.Error(), c.named) || strings.Contains(err.Error(), "s3cr3t")) {
			t.Errorf("%s in %q: error %v, want %v that names %q, and no password", c.user, c.schema, err, c.want, c.named)
		}
	}
}

// TestURLs: what is wrong with a URL is told, and no secret.
func TestURLs(t *testing.T) {
	t.Parallel()
	const secret = "s3cr"
	for _, c := range []struct {
		url   string
		want  error // nil: the URL itself is wrong
		named string
	}{
		{"", nil, "scheme"},
		{"mysql://user:s3cr3t@localhost/db", nil, "scheme"},
		{"host=localhost password=s3cr3t", nil, "scheme"},
		{"postgres://user:s3cr:et@localhost:no/db", nil, "percent-encoded"},
		{"postgres://user:s3cr/3t@localhost/db", nil, "percent-encoded"},
		{"postgres://user:s3cr#3t@localhost/db", nil, "percent-encoded"},
		{"postgres://user:s3cr?3t@localhost/db", nil, "percent-encoded"},
		{"postgres://user:s3cr%zzt@localhost/db", nil, "percent-encoded"},
		{"postgres://user:s3cr@3t@localhost/db", nil, "percent-encoded"},
		{"postgres://user:s3cr3t@localhost:99999/db", nil, "port"},
		{"postgres://user:s3cr3t@localhost/db?sslmode=whatever", nil, "TLS"},
		{"postgres://user:s3cr3t@localhost/db?connect_timeout=soon", nil, "connect_timeout"},
		{"postgres://user:s3cr3t@127.0.0.1:1/db", store.ErrUnavailable, "127.0.0.1"},
		{"postgres://user:s3cr3t@host.invalid/db", store.ErrUnavailable, "host.invalid"},
		{"postgres:///db?host=/nowhere&password=s3cr3t", store.ErrUnavailable, "/nowhere"},
	} {
		_, err := postgres.Open(t.Context(), c.url, postgres.Config{})
		switch {
		case err == nil, c.want != nil && !errors.Is(err, c.want), c.want == nil && errors.Is(err, store.ErrUnavailable):
			t.Errorf("%s: error %v, want %v", c.url, err, c.want)
		case strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), c.named):
			t.Errorf("%s: the error is %v; it must name %q and no secret", c.url, err, c.named)
		}
	}
	u, err := url.Parse(server.NewDatabase(t))
	must(t, err)
	u.Path = "/nothing"
	if _, err := postgres.Open(t.Context(), u.String(), postgres.Config{}); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("a database that is not there: %v", err)
	}
}

// TestConfig: a bad configuration is refused by the name of its field.
func TestConfig(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]postgres.Config{
		"Schema":       {Schema: strings.Repeat("x", 51)},
		"Schema ":      {Schema: "a\nb"},
		"Schema  ":     {Schema: "pg_foo"},
		"Connections":  {Connections: 7},
		"PollInterval": {PollInterval: -1},
		"SpoolBytes":   {SpoolBytes: -1},
		"Queue":        {Queue: -1},
		"Timeout":      {Timeout: -1},
	} {
		if _, err := postgres.Open(t.Context(), "postgres://localhost/x", cfg); err == nil || !strings.Contains(err.Error(), "Config."+strings.TrimSpace(field)+" ") {
			t.Errorf("%s: error %v", field, err)
		}
	}
}
