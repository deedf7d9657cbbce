package store

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// postgresSettings is what is not as it comes: room for what is measured. That a commit is durable is how it comes: fsync,
// synchronous_commit and full_page_writes are on.
func postgresSettings() []string {
	return []string{"shared_buffers=512MB", "max_wal_size=4GB", "max_connections=200"}
}

// newSite starts the servers whose programs are there, each as durable as the others: what it has answered for is synced.
// They end with the test.
func newSite(t testing.TB) *site {
	s := &site{dir: t.TempDir()}
	if installed("postgres", "/usr/lib/postgresql/*/bin/postgres") { // where Debian has it, which is on nobody's PATH
		var options []servertest.PostgresOption
		for _, setting := range postgresSettings() {
			name, value, _ := strings.Cut(setting, "=")
			options = append(options, servertest.Setting(name, value))
		}
		s.postgres = servertest.Postgres(t, options...).URL()
	}
	if installed("redis-server", "/usr/sbin/redis-server") {
		s.redis = servertest.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	}
	return s
}

// installed finds a program on the PATH or by a pattern.
func installed(program, pattern string) bool {
	found, _ := filepath.Glob(pattern)
	_, err := exec.LookPath(program)
	return err == nil || len(found) > 0
}

// newDatabase makes an empty database and gives its URL and what drops it. The checkpoint is so that nobody pays for what
// another has left in the cache.
func newDatabase(ctx context.Context, s *site) (address string, drop func() error, err error) {
	server, err := url.Parse(s.postgres)
	if err != nil {
		return "", nil, err
	}
	name := fmt.Sprintf("bench%d", time.Now().UnixNano())
	if err := s.administer(ctx, "CREATE DATABASE "+name, "CHECKPOINT"); err != nil {
		return "", nil, err
	}
	drop = func() error { return s.administer(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)") }
	return server.JoinPath("..", name).String(), drop, nil
}

// openPool connects to a database by no more than so many connections.
func openPool(ctx context.Context, address string, conns int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(conns)
	return pgxpool.NewWithConfig(ctx, config)
}

// administer runs statements as the superuser.
func (s *site) administer(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.postgres)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
