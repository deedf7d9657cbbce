package servertest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A PostgresOption changes how [Postgres] runs.
type PostgresOption func(*postgresConfig)

// postgresConfig is what the options change.
type postgresConfig struct {
	settings     []setting
	fakeClock    bool
	lazyClock    bool   // sees a jump later
	clockLibrary string // found when fakeClock is asked for
}

// setting is a line of postgresql.conf.
type setting struct{ name, value string }

// Setting gives one of PostgreSQL's settings another value than its default, as in postgresql.conf: max_connections,
// idle_in_transaction_session_timeout. The last one of a name counts.
func Setting(name, value string) PostgresOption {
	return func(c *postgresConfig) { c.settings = append(c.settings, setting{name, value}) }
}

// FakeClock gives the server a clock that [PostgresServer.SetClock] can move, by Debian's libfaketime. Each look at the
// clock takes 14 µs, so such a server is a slow one. Do not combine it with statement_timeout and its kind under load,
// or with locks that are waited for: PostgreSQL looks at the clock in their signal handler, where the library does what is
// not safe there. [LazyFakeClock] is for that.
func FakeClock() PostgresOption {
	return func(c *postgresConfig) { c.fakeClock = true }
}

// LazyFakeClock is FakeClock for a server under load: a jump is seen within two seconds, and not at once. So the library reads
// its file, which takes memory, once in that time and not at each look. With FakeClock a signal that came in the middle of such a
// look, and had to look itself, has broken a process's memory within minutes: it turned in malloc for ever, with its locks.
func LazyFakeClock() PostgresOption {
	return func(c *postgresConfig) { c.fakeClock, c.lazyClock = true, true }
}

// StopMode says how [PostgresServer.Stop] ends the server: by which signal.
type StopMode syscall.Signal

// The ways to end, by their names in PostgreSQL's own tools.
const (
	StopFast      = StopMode(syscall.SIGINT)  // rolls back what is open, ends all connections in order and writes a checkpoint
	StopImmediate = StopMode(syscall.SIGQUIT) // does nothing of that; the next start recovers from the log
)

// PostgresServer is a PostgreSQL of a test's own. What goes wrong fails the test. Its methods are for one goroutine at a
// time, but for NewDatabase, Socket, URL and Log, which are for any.
type PostgresServer struct {
	t       testing.TB
	cluster *cluster
}

// Postgres makes a new cluster with the newest PostgreSQL that is found in .tools/bin, by PATH or where Debian keeps
// them, and starts it on a Unix socket; it listens on no port ([PostgresProxy] does). All it commits is synced, as by
// default. It has ended, and its data is gone, when the test's cleanup is over. As root it runs as the user postgres,
// or nobody.
//
// It takes a second, nearly all of it for initdb. Where many tests need a database and none of them stops the server,
// [SharedPostgres] is for them.
func Postgres(t testing.TB, opts ...PostgresOption) *PostgresServer {
	t.Helper()
	c := needCluster(t, opts)
	t.Cleanup(func() {
		if err := c.destroy(); err != nil {
			t.Error(err)
		}
	})
	return &PostgresServer{t: t, cluster: c}
}

// needCluster makes a cluster, or ends the test.
func needCluster(t testing.TB, opts []PostgresOption) *cluster {
	t.Helper()
	var config postgresConfig
	for _, opt := range opts {
		opt(&config)
	}
	bin, ok := findPostgres(t.Context())
	if !ok {
		missing(t, "postgresql")
	}
	if config.fakeClock {
		if config.clockLibrary, ok = findFaketime(); !ok {
			missing(t, "faketime")
		}
	}
	c, err := newCluster(bin, config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// NewDatabase makes an empty database and gives its URL, under which one is its owner, not a superuser, by the name
// app. It takes 50 ms; a subtest that is content with a schema of its own, which takes 1 ms, is the faster. The database
// lasts as long as the server.
func (p *PostgresServer) NewDatabase(t testing.TB) (url string) {
	t.Helper()
	name, err := p.cluster.createDatabase(t.Context())
	if err != nil {
		t.Fatalf("servertest: a new database: %v", err)
	}
	return p.cluster.url(appUser, name)
}

// URL gives the address of the database postgres for its superuser, who may do everything: create roles, set settings,
// end connections.
func (p *PostgresServer) URL() string { return p.cluster.url(superuser, "postgres") }

// Socket gives the path of the Unix socket on which the server listens, for [PgBouncer] and [PostgresProxy].
func (p *PostgresServer) Socket() string { return p.cluster.socket() }

// Log gives what the server has printed, over all its starts.
func (p *PostgresServer) Log() string { return p.cluster.log.String() }

// Kill ends all processes of the server by SIGKILL, at one moment: none of them gets to write anything on the news that
// another has died. It returns when they have ended. It needs Linux.
func (p *PostgresServer) Kill() {
	p.t.Helper()
	p.check(p.cluster.kill())
}

// Stop ends the server and returns when it has ended. One that has ended already is left alone.
func (p *PostgresServer) Stop(mode StopMode) {
	p.t.Helper()
	p.check(p.cluster.stop(syscall.Signal(mode)))
}

// Start starts the server again, on the data it had, after a Kill or Stop, and returns when it takes connections.
func (p *PostgresServer) Start() {
	p.t.Helper()
	p.check(p.cluster.start())
}

// Pause makes all processes of the server stand still, by SIGSTOP, until Continue, Kill, Stop or the end of the test.
// Clients get no answer, and no error either. It needs Linux.
func (p *PostgresServer) Pause() {
	p.t.Helper()
	p.check(p.cluster.pause())
}

// Continue ends a Pause.
func (p *PostgresServer) Continue() { p.cluster.resume() }

// SetClock makes the server's clock differ from the machine's by offset, from now on and over its next starts. Its
// monotonic clock goes on as before. It needs [FakeClock] or [LazyFakeClock].
func (p *PostgresServer) SetClock(offset time.Duration) {
	p.t.Helper()
	if p.cluster.clock == nil {
		p.t.Fatal("servertest: SetClock needs the option FakeClock")
	}
	p.check(p.cluster.clock.set(offset))
}

// check fails the test if err is one.
func (p *PostgresServer) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// findPostgres gives the folder of the newest PostgreSQL that has both programs.
func findPostgres(ctx context.Context) (bin string, ok bool) {
	newest := -1
	for _, program := range postgresPrograms() {
		program, err := filepath.EvalSymlinks(program) // beside a link there may be no initdb
		if err != nil {
			continue
		}
		dir := filepath.Dir(program)
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if version := versionOf(ctx, program); version > newest {
			newest, bin = version, dir
		}
	}
	return bin, newest >= 0
}

// postgresPrograms gives all programs by the name of postgres, here or not.
func postgresPrograms() []string {
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well formed
	if path, ok := inTools("bin", "postgres"); ok {
		programs = append(programs, path)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		programs = append(programs, path)
	}
	return programs
}

// versionNumber finds 15.18 in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", and 19 in "19beta1".
var versionNumber = regexp.MustCompile(`(\d+)(?:\.(\d+))?`)

// versionOf asks a program for its version and gives major times a thousand plus minor, or -1 if it does not say.
func versionOf(ctx context.Context, program string) int {
	output, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return -1
	}
	return parseVersion(string(bytes.TrimSpace(output)))
}

func parseVersion(line string) int {
	number := versionNumber.FindStringSubmatch(line)
	if number == nil {
		return -1
	}
	major, _ := strconv.Atoi(number[1]) // digits; none is 0
	minor, _ := strconv.Atoi(number[2])
	return 1000*major + minor
}
