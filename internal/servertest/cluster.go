package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

const (
	// superuser may do all, and appUser what the owner of a database may. Both are trusted on the socket.
	superuser, appUser = "postgres", "app"
	// socketName is what PostgreSQL, and PgBouncer too, call the socket of their port.
	socketName = ".s.PGSQL." + port
	port       = "5432"
)

// cluster is a PostgreSQL with its data. It is no handle for concurrent use, but for createDatabase and dropDatabase.
type cluster struct {
	config    postgresConfig
	bin       string // the folder of its programs
	owner     *account
	dir       string // holds the data, the socket and the clock
	clock     *clock // nil: the machine's
	log       *lockedBuffer
	server    *server // the last one that was started
	thaw      func()  // not nil while it is paused
	databases atomic.Int64
}

// newCluster makes a cluster and starts it. What is already there when that fails is removed.
func newCluster(bin string, config postgresConfig) (c *cluster, err error) {
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := makeDir("postgres-", owner)
	if err != nil {
		return nil, err
	}
	c = &cluster{config: config, bin: bin, owner: owner, dir: dir, log: &lockedBuffer{}}
	for _, step := range []func() error{c.initialize, c.configure, c.makeClock, c.start, c.createAppUser} {
		if err := step(); err != nil {
			return nil, errors.Join(err, c.destroy())
		}
	}
	return c, nil
}

func (c *cluster) socket() string { return filepath.Join(c.dir, socketName) }

func (c *cluster) data(file string) string { return filepath.Join(c.dir, "data", file) }

// initialize makes the data folder. Its first content need not survive the machine, so it is not synced, which saves
// half a second; everything that the server writes later is.
func (c *cluster) initialize() error {
	return c.run("initdb", "--pgdata", c.data(""), "--username", superuser, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
}

// run runs a program to its end.
func (c *cluster) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, program), args...)
	cmd.Dir = c.dir // the owner may not be allowed where we are
	dieWithUs(cmd, syscall.SIGTERM)
	runAs(cmd, c.owner)
	runtime.LockOSThread() // see server.run
	defer runtime.UnlockOSThread()
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servertest: %s: %w\n%s", program, err, output)
	}
	return nil
}

// accessRules let the two users in by the socket, and any other user by a password.
const accessRules = "local all " + superuser + "," + appUser + " trust\n" +
	"local all all scram-sha-256\n" //nolint:dupword // all databases, all users

// configure writes the whole configuration. What is not named here has PostgreSQL's default; fsync is on.
func (c *cluster) configure() error {
	settings := slices.Concat([]setting{
		{"listen_addresses", ""},
		{"unix_socket_directories", c.dir},
		{"port", port},       // gives the socket its name; PGPORT would change it
		{"lc_messages", "C"}, // errors are in English, whatever the tester speaks
		// In files of the data folder, which is removed: what lies in /dev/shm would outlive a killed server.
		{"dynamic_shared_memory_type", "mmap"},
	}, c.config.settings)
	var file bytes.Buffer
	for _, s := range settings { // of two lines with one name the last counts
		fmt.Fprintf(&file, "%s = '%s'\n", s.name, strings.ReplaceAll(s.value, "'", "''"))
	}
	return errors.Join(
		os.WriteFile(c.data("postgresql.conf"), file.Bytes(), 0o600), // initdb's files, so they keep their owner
		os.WriteFile(c.data("pg_hba.conf"), []byte(accessRules), 0o600))
}

// makeClock gives the server a clock of its own, if that was asked for.
func (c *cluster) makeClock() (err error) {
	if c.config.clockLibrary != "" {
		c.clock, err = newClock(c.config.clockLibrary, filepath.Join(c.dir, "clock"), c.config.lazyClock)
	}
	return err
}

// start starts the server and returns when it takes connections.
func (c *cluster) start() error {
	if c.running() {
		return errors.New("servertest: postgres runs already")
	}
	s, err := launch(filepath.Join(c.bin, "postgres"), c.log, func(cmd *exec.Cmd) {
		cmd.Dir = c.dir
		cmd.Env = append(os.Environ(), c.clock.env()...)
		dieWithUs(cmd, syscall.SIGQUIT) // it takes all its children along, and leaves no shared memory
		runAs(cmd, c.owner)
	}, "-D", c.data(""))
	if err != nil {
		return err
	}
	c.server = s
	return c.awaitStart()
}

// awaitStart asks again and again: a server that recovers from a crash listens, and refuses until it is ready.
func (c *cluster) awaitStart() error {
	err := c.server.await(func(ctx context.Context) error {
		return execSQL(ctx, c.socket(), superuser, "postgres", "")
	})
	if err != nil {
		return fmt.Errorf("servertest: postgres does not start: %w\n%s", err, c.log)
	}
	return nil
}

// running reports whether the server was started and has not ended.
func (c *cluster) running() bool {
	if c.server == nil {
		return false
	}
	select {
	case <-c.server.exited:
		return false
	default:
		return true
	}
}

func (c *cluster) createAppUser() error {
	return c.exec(context.Background(), "CREATE ROLE "+appUser+" LOGIN")
}

// exec runs statements as the superuser.
func (c *cluster) exec(ctx context.Context, sql string) error {
	return execSQL(ctx, c.socket(), superuser, "postgres", sql)
}

// createDatabase makes an empty database that belongs to the app user and gives its name.
func (c *cluster) createDatabase(ctx context.Context) (name string, err error) {
	name = "test" + strconv.FormatInt(c.databases.Add(1), 10)
	// template1 would do as well, but nobody can be connected to template0, which would make this fail.
	return name, c.exec(ctx, "CREATE DATABASE "+name+" OWNER "+appUser+" TEMPLATE template0")
}

// dropDatabase removes a database and ends all connections to it.
func (c *cluster) dropDatabase(ctx context.Context, name string) error {
	return c.exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
}

// url gives the address of a database for libpq, pgx and whoever else knows such URLs.
func (c *cluster) url(user, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(user), Path: "/" + database,
		RawQuery: url.Values{"host": {c.dir}, "port": {port}}.Encode(), // else PGPORT would count
	}
	return u.String()
}

// stop ends the server by a signal that says how.
func (c *cluster) stop(how syscall.Signal) error {
	c.resume() // who stands still sees no signal
	if c.server == nil {
		return nil
	}
	return c.server.stop(how)
}

// kill ends the server and its children at once.
func (c *cluster) kill() error {
	if !c.running() {
		return errors.New("servertest: postgres does not run")
	}
	if err := killAll(c.server.cmd.Process.Pid); err != nil {
		return err
	}
	<-c.server.exited
	c.resume() // ends the guard; the dead do not mind
	return nil
}

// pause makes the server and its children stand still until resume.
func (c *cluster) pause() error {
	if !c.running() || c.thaw != nil {
		return errors.New("servertest: postgres does not run, or is paused already")
	}
	thaw, err := freezeAll(c.server.cmd.Process.Pid)
	c.thaw = thaw
	return err
}

// resume lets a paused server go on. Without a pause it does nothing.
func (c *cluster) resume() {
	if c.thaw != nil {
		c.thaw()
		c.thaw = nil
	}
}

// destroy ends the server and removes all it left. Its data has no further use, so it need not end in order.
func (c *cluster) destroy() error {
	err := c.stop(syscall.SIGQUIT)
	c.removeSharedMemory()
	return errors.Join(err, os.RemoveAll(c.dir))
}

// removeSharedMemory removes the segment by which PostgreSQL sees whether somebody still uses its data. A server that
// was killed leaves it behind, and a machine has room for 4,096. Its number is in the file that only such a server
// leaves behind as well.
func (c *cluster) removeSharedMemory() {
	file, err := os.ReadFile(c.data("postmaster.pid"))
	if err != nil {
		return
	}
	lines := strings.Split(string(file), "\n")
	const line = 6 // "key id"; the file holds one fact a line
	if len(lines) <= line {
		return
	}
	fields := strings.Fields(lines[line])
	if len(fields) != 2 {
		return
	}
	cmd := exec.CommandContext(context.Background(), "ipcrm", "-m", fields[1])
	runAs(cmd, c.owner)
	_ = cmd.Run() // without the program it stays, until the machine starts anew
}
