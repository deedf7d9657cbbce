package servertest

import (
	"errors"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// PgBouncerServer is a PgBouncer of a test's own.
type PgBouncerServer struct {
	t   testing.TB
	dir string
}

// PgBouncer pools the connections to the PostgreSQL that listens on socket, whatever the database, and in transaction
// mode: each transaction may run on another connection, so nothing that belongs to a connection lasts. Prepared
// statements break, as in all versions before 1.21. The settings are further lines of its section [pgbouncer], such as
// "default_pool_size = 2". It ends with the test, and runs as PostgreSQL does.
func PgBouncer(t testing.TB, socket string, settings ...string) *PgBouncerServer {
	t.Helper()
	path := Need(t, "pgbouncer")
	owner, err := unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	dir := serverDir(t, "pgbouncer-", owner)
	if versionOf(t.Context(), path) >= 1021 { // older ones do not know the setting, and cannot do it
		settings = append([]string{"max_prepared_statements = 0"}, settings...)
	}
	if err := writeBouncerFiles(dir, filepath.Dir(socket), settings); err != nil {
		t.Fatalf("servertest: pgbouncer: %v", err)
	}
	s := start(t, path, func(cmd *exec.Cmd) {
		cmd.Dir = dir
		runAs(cmd, owner)
	}, filepath.Join(dir, "pgbouncer.ini"))
	b := &PgBouncerServer{t, dir}
	s.awaitSocket(t, b.Socket())
	return b
}

// bouncerTemplate has the port of PostgreSQL, so that a URL differs by its folder alone.
const bouncerTemplate = `[databases]
* = host={postgres} port={port}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {dir}
auth_type = trust
auth_file = {dir}/users
pool_mode = transaction
{settings}
`

func writeBouncerFiles(dir, postgresDir string, settings []string) error {
	text := strings.NewReplacer(
		"{postgres}", postgresDir, "{port}", port, "{dir}", dir, "{settings}", strings.Join(settings, "\n"),
	).Replace(bouncerTemplate)
	users := `"` + superuser + "\" \"\"\n\"" + appUser + "\" \"\"\n"
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "pgbouncer.ini"), []byte(text), 0o644), // another account reads them
		os.WriteFile(filepath.Join(dir, "users"), []byte(users), 0o644))
}

// Via gives the URL of a database, as the server's NewDatabase gave it, by which it is reached through the PgBouncer.
func (b *PgBouncerServer) Via(databaseURL string) (url string) {
	b.t.Helper()
	return rerouted(b.t, databaseURL, func(u *neturl.URL, query neturl.Values) { query.Set("host", b.dir) })
}

// Socket gives the path of the Unix socket on which it listens, for [PostgresProxy].
func (b *PgBouncerServer) Socket() string { return filepath.Join(b.dir, socketName) }

// rerouted gives a database's URL with another way to the server.
func rerouted(t testing.TB, databaseURL string, change func(*neturl.URL, neturl.Values)) string {
	t.Helper()
	u, err := neturl.Parse(databaseURL)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	query := u.Query()
	change(u, query)
	u.RawQuery = query.Encode()
	return u.String()
}
