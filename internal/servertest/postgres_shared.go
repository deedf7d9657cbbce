package servertest

import (
	"context"
	"sync"
	"testing"
)

// SharedPostgres is one PostgreSQL for all tests of a package, each with a database of its own. It starts when the
// first test asks, so that a run without such tests costs nothing, and a machine without PostgreSQL skips those alone.
// Its methods may be called from any goroutine. In the package's tests:
//
//	var postgres = servertest.NewSharedPostgres()
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }
type SharedPostgres struct {
	opts []PostgresOption

	mu      sync.Mutex
	cluster *cluster // nil while nobody has asked
}

// NewSharedPostgres gives a server that is not started yet. It is as [Postgres] makes one.
func NewSharedPostgres(opts ...PostgresOption) *SharedPostgres { return &SharedPostgres{opts: opts} }

// NewDatabase makes an empty database and gives its URL, as [PostgresServer.NewDatabase] does. The cleanup of t ends
// all connections to it and drops it.
func (s *SharedPostgres) NewDatabase(t testing.TB) (url string) {
	t.Helper()
	c := s.need(t)
	name, err := c.createDatabase(t.Context())
	if err != nil {
		t.Fatalf("servertest: a new database: %v", err)
	}
	t.Cleanup(func() {
		if err := c.dropDatabase(context.WithoutCancel(t.Context()), name); err != nil {
			t.Errorf("servertest: dropping a database: %v", err)
		}
	})
	return c.url(appUser, name)
}

// URL gives the address of the database postgres for the superuser.
func (s *SharedPostgres) URL(t testing.TB) string {
	t.Helper()
	return s.need(t).url(superuser, "postgres")
}

// Socket gives the path of the Unix socket on which the server listens, for [PgBouncer] and [PostgresProxy].
func (s *SharedPostgres) Socket(t testing.TB) string {
	t.Helper()
	return s.need(t).socket()
}

// need gives the cluster, which it makes if it is the first to ask.
func (s *SharedPostgres) need(t testing.TB) *cluster {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil {
		s.cluster = needCluster(t, s.opts)
	}
	return s.cluster
}

// Stop ends the server, if it was started, and removes its data. No test may use it any more.
func (s *SharedPostgres) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil {
		return nil
	}
	defer func() { s.cluster = nil }()
	return s.cluster.destroy()
}

// Around gives a test run that ends with Stop: for TestMain, where a leak check that comes after the run would take the
// server for a leak.
func (s *SharedPostgres) Around(m Runner) Runner { return around{m, s} }

// Runner is what TestMain runs: a [testing.M].
type Runner interface{ Run() int }

type around struct {
	tests  Runner
	server *SharedPostgres
}

// Run runs the tests and gives their exit code, or that of a failure if the server could not be removed.
func (a around) Run() int {
	code := a.tests.Run()
	if err := a.server.Stop(); err != nil && code == 0 {
		return 1
	}
	return code
}
