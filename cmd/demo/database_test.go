package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // to spoil files

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// spoiled makes a database that cannot be used, and gives its path.
var spoiled = []struct {
	name  string
	want  string
	spoil func(t *testing.T, path string)
}{
	{"locked", "in use by another process", func(t *testing.T, path string) {
		t.Helper()
		db, err := sqlite.Open(t.Context(), path, sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
	}},
	{"corrupt", "damaged", func(t *testing.T, path string) {
		t.Helper()
		makeDatabase(t, path)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.WriteAt([]byte(strings.Repeat("damage", 2000)), 100)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}},
	{"foreign", "no database of this program", func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("Dear diary,\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}},
	{"newer", "newer version", func(t *testing.T, path string) {
		t.Helper()
		makeDatabase(t, path)
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.ExecContext(t.Context(), "PRAGMA user_version = 1000000")
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}},
	{"read-only", "cannot be written to", func(t *testing.T, path string) {
		t.Helper()
		makeDatabase(t, path)
		if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(filepath.Dir(path), 0o555)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o755) })
	}},
	{"nowhere", "does not exist", func(t *testing.T, path string) {
		t.Helper()
		if err := os.Remove(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
	}},
}

func makeDatabase(t *testing.T, path string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), os.Remove(path+".lock")); err != nil {
		t.Fatal(err)
	}
}

// A database that cannot be used is told on one line, with exit code 3, and stays as it is.
func TestDatabaseThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, test := range spoiled {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := openFolder(t)
			path := filepath.Join(dir, "a folder", "tasks.db")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			test.spoil(t, path)
			before, _ := os.ReadFile(path)
			commands := [][]string{
				{"move", "mem://from/", "mem://to/", "--store", path},
				{"serve", "--listen", "127.0.0.1:0", "--allow", "mem://x/", "--store", path},
				{"worker", "--listen", "127.0.0.1:0", "--store", path},
			}
			if test.name != "nowhere" { // the demo makes its folders
				commands = append(commands, []string{"--dir", filepath.Join(dir, "demo"), "--listen", "127.0.0.1:0", "--store", path})
			}
			for _, args := range commands {
				cmd := command(args...)
				if test.name == "read-only" && os.Getuid() == 0 {
					asNobody(cmd)
				}
				checkDatabaseRefused(t, launchCommand(t, cmd), path, test.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func checkDatabaseRefused(t *testing.T, c *child, path, want string) {
	t.Helper()
	code, stderr := c.end(), c.stderr.String()
	if code != exitDatabase || !strings.Contains(stderr, want) || !strings.Contains(stderr, filepath.Dir(path)) {
		t.Errorf("%q: exit code %d: %s", c.cmd.Args, code, stderr)
	}
	if strings.Count(stderr, "\n") != 1 || c.stdout.String() != "" {
		t.Errorf("%q: more than one line: %s%s", c.cmd.Args, c.stdout, stderr)
	}
}

// openFolder makes a folder, with another one for the demo in it, in which everybody may write: who is root can write
// everywhere and has to start the program as somebody else. The parent of t.TempDir keeps others out.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "demo-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	demo := filepath.Join(dir, "demo")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(demo, 0o777), os.Chmod(demo, 0o777)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hidden is an error without a text.
type hidden struct{ error }

func (hidden) Error() string   { return "" }
func (h hidden) Unwrap() error { return h.error }

// A server that cannot be used is told with the reason, on one line.
func TestServerThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"--store", "postgres://app:s3cr3t@127.0.0.1:1/assets"}, []string{"cannot be reached", "127.0.0.1:1", "connection refused"}},
		{[]string{"--store", "postgres://app@127.0.0.1:1/assets?sslmode=require"}, []string{"cannot be reached", "connection refused"}},
		{[]string{"--store", "postgres:///assets?host=" + dir}, []string{"cannot be reached", filepath.Join(dir, ".s.PGSQL.5432")}},
	} {
		args := append([]string{"serve", "--listen", "127.0.0.1:0", "--allow", "mem://x/"}, test.args...)
		c := launchCommand(t, command(args...))
		code, stderr := c.end(), c.stderr.String()
		if code != exitDatabase || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "s3cr3t") {
			t.Errorf("%q: exit code %d: %s", test.args, code, stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q: it does not say %q: %s", test.args, want, stderr)
			}
		}
	}
}

func TestDatabaseErrors(t *testing.T) {
	t.Parallel()
	for _, sentinel := range []error{store.ErrLocked, store.ErrReadOnly, store.ErrCorrupt, store.ErrNewerVersion, store.ErrFull} {
		err := databaseError(t.Context(), storeURL{file: "/x/tasks.db"}, fmt.Errorf("sqlite: %w", sentinel))
		if codeOf(err) != exitDatabase || !strings.Contains(err.Error(), "/x/tasks.db") || !strings.Contains(err.Error(), "--store") {
			t.Errorf("%v: %d %v", sentinel, codeOf(err), err)
		}
	}
	server := storeURL{server: "postgres://host/assets"}
	for _, c := range []struct{ err, want string }{
		{"opening: " + store.ErrUnavailable.Error() + ": failed to connect", "cannot be reached: look whether it runs, and at the host and port (failed to connect)"},
		{"Config.Spool is \"/tmp\": it is no regular file", "cannot be used: --spool is \"/tmp\": it is no regular file"},
		{"opening: a pooler needs Config.TransactionPooling", "cannot be used: opening: a pooler needs --pooler (demo serve has it)"},
	} {
		err := databaseError(t.Context(), server, fmt.Errorf("store/postgres: %s%w", c.err, hidden{store.ErrUnavailable}))
		if want := "the database postgres://host/assets " + c.want; codeOf(err) != exitDatabase || err.Error() != want {
			t.Errorf("code %d, %v\nwant %s", codeOf(err), err, want)
		}
	}
	if text := oneLine("failed to connect to `user=a`:\n\ta: refused\n\tb: refused\nclosed"); text != "failed to connect to `user=a`: a: refused; b: refused; closed" {
		t.Error(text)
	}
	if err := databaseError(t.Context(), storeURL{file: "/x"}, errors.New("odd")); codeOf(err) != exitDatabase {
		t.Errorf("%v has code %d", err, codeOf(err))
	}
}
