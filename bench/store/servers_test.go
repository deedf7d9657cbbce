package store

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

// postgresSettings is what is not as it comes: room for what is measured. That a commit is durable is how it comes: fsync,
// synchronous_commit and full_page_writes are on.
func postgresSettings() []string {
	return []string{"shared_buffers=512MB", "max_wal_size=4GB", "max_connections=200"}
}

// newSite starts the servers whose programs are there. They end with the test.
func newSite(t testing.TB) *site {
	s := &site{dir: t.TempDir()}
	if bin, ok := postgresPrograms(); ok {
		s.postgres = startPostgres(t, bin)
	}
	if path, err := exec.LookPath("redis-server"); err == nil {
		s.redis = startRedis(t, path)
	}
	return s
}

// postgresPrograms finds the newest version, where Debian puts it or on the PATH.
func postgresPrograms() (dir string, ok bool) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(found) > 0 {
		return slices.Max(found), true
	}
	path, err := exec.LookPath("postgres")
	return filepath.Dir(path), err == nil
}

// startPostgres starts a cluster of its own and gives how to connect to it. Its programs refuse to run as root: then they run
// as postgres, whom the Debian package makes.
func startPostgres(t testing.TB, bin string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postgres") //nolint:usetesting // t.TempDir is below a folder that nobody else may enter
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := unprivileged(t, dir)
	run := func(program string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), filepath.Join(bin, program), args...)
		cmd.Dir, cmd.SysProcAttr = dir, as
		return cmd
	}
	data := filepath.Join(dir, "data")
	initdb := run("initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if output, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, output)
	}
	args := []string{"-D", data, "-k", dir, "-c", "listen_addresses="}
	for _, setting := range postgresSettings() {
		args = append(args, "-c", setting)
	}
	address := "postgres:///postgres?user=bench&host=" + url.QueryEscape(dir)
	serve(t, run("postgres", args...), syscall.SIGINT, func(ctx context.Context) error { // it does not wait for clients then
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	return address
}

// unprivileged gives the folder to whoever the server is to run as; nil is who we are.
func unprivileged(t testing.TB, dir string) *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	postgres, err := user.Lookup("postgres")
	must(t, err)
	uid, err := strconv.Atoi(postgres.Uid)
	must(t, err)
	gid, err := strconv.Atoi(postgres.Gid)
	must(t, err)
	must(t, os.Chown(dir, uid, gid))
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// startRedis gives the path of its socket. What Redis answers is synced, as with the others.
func startRedis(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "redis.sock")
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer func() { must(t, client.Close()) }()
	cmd := exec.CommandContext(context.Background(), path, "--port", "0", "--unixsocket", socket, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "")
	serve(t, cmd, syscall.SIGTERM, func(ctx context.Context) error { return client.Ping(ctx).Err() })
	return socket
}

// startTimeout is how long a server may take until it answers.
const startTimeout = 30 * time.Second

// serve runs a server until the test ends, and returns when it answers.
func serve(t testing.TB, cmd *exec.Cmd, stop syscall.Signal, ask func(context.Context) error) {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	must(t, err)
	cmd.Stdout, cmd.Stderr = output, output
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(stop)
		_ = cmd.Wait()
		_ = output.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for err = ask(ctx); err != nil; err = ask(ctx) {
		if ctx.Err() != nil {
			printed, _ := os.ReadFile(output.Name())
			t.Fatalf("%s does not answer: %v\n%s", cmd.Path, err, printed)
		}
		time.Sleep(20 * time.Millisecond)
	}
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
