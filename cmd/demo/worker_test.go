package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

// certificates makes a set with the program itself, and gives its folder.
func certificates(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	if stdout, stderr, code := runToEnd(t, "certs", dir); code != exitOK || !strings.Contains(stdout, "--tls "+dir) {
		t.Fatalf("certs: exit code %d: %s%s", code, stdout, stderr)
	}
	return dir
}

// testWorker is a worker with a database of its own, which can be started again at its address.
type testWorker struct {
	*child
	t           *testing.T
	address, db string
	flags       []string
}

// employ starts a worker with --tls and --store, and waits until it serves.
func employ(t *testing.T, certs string, flags ...string) *testWorker {
	t.Helper()
	w := &testWorker{t: t, address: "127.0.0.1:0", db: filepath.Join(t.TempDir(), "worker.db")}
	w.flags = append([]string{"--tls", certs, "--store", w.db}, flags...)
	w.start()
	return w
}

func (w *testWorker) start() {
	w.t.Helper()
	w.child = launch(w.t, append([]string{"worker", "--listen", w.address}, w.flags...)...)
	w.address = w.await(`msg=serving address=(\S+)`)
}

// send runs demo send with a client's certificate.
func (w *testWorker) send(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	return runToEnd(w.t, append([]string{"send", "--to", w.address, "--tls", w.flags[1]}, args...)...)
}

func TestSend(t *testing.T) {
	t.Parallel()
	w := employ(t, certificates(t))
	const id, other = "0192b5c4-7a10-7000-8000-000000000001", "0192b5c4-7a10-7000-8000-000000000002"
	for _, test := range []struct {
		args       []string
		code       int
		want, says string // on the standard output, and error
	}{
		{[]string{"shout", `"moved"`}, exitOK, "\"MOVED\"\n", ""},
		{[]string{"--id", id, "shout", `"once"`}, exitOK, "\"ONCE\"\n", ""},
		{[]string{"--id", id, "shout", `"twice"`}, exitOK, "\"ONCE\"\n", ""}, // it is there already
		{[]string{"--await", id}, exitOK, "\"ONCE\"\n", ""},
		{[]string{"--id", other, "--no-wait", "fail", `"no such file"`}, exitOK, other + "\n", ""},
		{[]string{"--await", other}, exitFailed, "", "is discarded: no such file"},
		{[]string{"fail", `"evil \u001b[2J name"`}, exitFailed, "", "evil \ufffd[2J name"},
		{[]string{"--await", "0192b5c4-7a10-7000-8000-000000000003"}, exitRefused, "", "not found"},
		{[]string{"nothing", "1"}, exitRefused, "", `knows no "nothing"`},
		{[]string{"shout", "1"}, exitRefused, "", "want one string"},
		{[]string{"sleep", `"soon"`}, exitRefused, "", `sleep is for "soon"`},
		{[]string{"--runner", "nobody", "shout", `"x"`}, exitRefused, "", "no such runner: \"nobody\""},
		{[]string{"asset.move", `{"source":"file:///etc/passwd","destination":"file:///tmp/x"}`}, exitRefused, "", "not below any prefix"},
		{[]string{"--timeout", "1s", "--cancel", "sleep", `"1h"`}, exitLate, "", "is cancelled"},
	} {
		stdout, stderr, code := w.send(test.args...)
		if code != test.code || stdout != test.want || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, %q: %s; want %d, %q, %s", test.args, code, stdout, stderr, test.code, test.want, test.says)
		}
		if code == exitOK && stderr != "" || strings.Contains(stderr, "\x1b") {
			t.Errorf("%q says %q", test.args, stderr)
		}
	}
	w.signal(interrupt)
	if code := w.end(); code != exitOK || !strings.Contains(w.stderr.String(), "msg=stopped") {
		t.Errorf("the worker ended with %d: %s", code, w.stderr)
	}
	counts := countStates(inDatabase(t, w.db))
	if counts[store.Completed] != 2 || counts[store.Discarded] != 2 || counts[store.Cancelled] != 1 {
		t.Errorf("tasks: %v", counts)
	}
}

// Ctrl-C ends the waiting, and the task if that is wanted.
func TestSendIsInterrupted(t *testing.T) {
	t.Parallel()
	certs := certificates(t)
	w := employ(t, certs, "--drain", "0s")
	for _, test := range []struct {
		flag string
		says string
		want store.State
	}{{"--cancel=false", "the task goes on; its outcome: demo send --to " + w.address + " --tls " + certs + " --await ", store.Running}, {"--cancel", "is cancelled", store.Cancelled}} {
		id, err := newID()
		if err != nil {
			t.Fatal(err)
		}
		c := launch(t, "send", "--to", w.address, "--tls", certs, "--id", id, test.flag, "sleep", `"1h"`)
		eventually(t, func() error { // accepted, and so known by its id
			if _, stderr, code := w.send("--timeout", "1s", "--await", id); code != exitLate {
				return fmt.Errorf("await: exit code %d: %s", code, stderr)
			}
			return nil
		})
		c.signal(interrupt)
		if code := c.end(); code != 130 || !strings.Contains(c.stderr.String(), test.says) {
			t.Errorf("%s: exit code %d: %s", test.flag, code, c.stderr)
		}
	}
	w.signal(syscall.SIGTERM)
	w.end()
	counts := countStates(inDatabase(t, w.db))
	if counts[store.Available] != 1 || counts[store.Cancelled] != 1 {
		t.Errorf("tasks: %v, want one that is put back and one that is cancelled", counts)
	}
}

// Whoever waits for a task gets its outcome over the end of the worker, and so does who asks later.
func TestSendOutlivesWorker(t *testing.T) {
	t.Parallel()
	certs := certificates(t)
	for name, stop := range map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "kill": os.Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := employ(t, certs, "--drain", "0s")
			id, err := newID()
			if err != nil {
				t.Fatal(err)
			}
			if stdout, stderr, code := w.send("--id", id, "--no-wait", "sleep", `"3s"`); code != exitOK || stdout != id+"\n" {
				t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
			}
			c := launch(t, "send", "--to", w.address, "--tls", certs, "--away", within.String(), "--log-level", "info", "--await", id)
			c.await(`remote: connected`)
			w.signal(stop)
			w.end()
			w.start()
			if code := c.end(); code != exitOK || c.stdout.String() != "\"slept for 3s\"\n" {
				t.Errorf("who waits: exit code %d: %s%s", code, c.stdout, c.stderr)
			}
			if stdout, stderr, code := w.send("--await", id); code != exitOK || stdout != "\"slept for 3s\"\n" {
				t.Errorf("who asks later: exit code %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

// A worker that is stopped takes nothing more, and tells the outcomes that are waited for.
func TestWorkerDrains(t *testing.T) {
	t.Parallel()
	certs := certificates(t)
	w := employ(t, certs, "--drain", within.String())
	id, err := newID()
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := w.send("--id", id, "--no-wait", "sleep", `"5s"`); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	c := launch(t, "send", "--to", w.address, "--tls", certs, "--log-level", "info", "--away", "1s", "--await", id)
	c.await(`remote: connected`)
	eventually(t, func() error { // it has asked before this one
		if _, stderr, code := w.send("--timeout", "500ms", "--await", id); code != exitLate {
			return fmt.Errorf("exit code %d: %s", code, stderr)
		}
		return nil
	})
	w.signal(syscall.SIGTERM)
	w.await("msg=stopping")
	if _, stderr, code := w.send("shout", `"x"`); code != exitRefused || !strings.Contains(stderr, "stopping") {
		t.Errorf("while it stops: exit code %d: %s", code, stderr)
	}
	if code := c.end(); code != exitOK || c.stdout.String() != "\"slept for 5s\"\n" {
		t.Errorf("who waits: exit code %d: %s%s", code, c.stdout, c.stderr)
	}
	if code := w.end(); code != exitOK {
		t.Errorf("the worker ended with %d", code)
	}
}

// The port closes with the service: nobody is left who would accept a connection.
func TestStopClosesPort(t *testing.T) {
	t.Parallel()
	s, err := start(t.Context(), serviceConfig{
		db: store.NewMemory(), runner: actors.TaskRunnerConfig{Name: workerRunner}, kinds: tryKinds(),
		assets: assets.Config{TempDir: t.TempDir()}, port: portConfig{address: "127.0.0.1:0"}, logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	address := s.port.Addr().String()
	if err := s.stop(t.Context(), within); err != nil {
		t.Error(err)
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
		_ = conn.Close()
		t.Error("somebody still listens")
	}
}

// Who has no certificate, or another authority's, is not let in, and keeps nobody else out.
func TestWorkerTurnsStrangersAway(t *testing.T) {
	t.Parallel()
	w := employ(t, certificates(t))
	for name, tls := range map[string][]string{"without a certificate": nil, "with a strange one": {"--tls", certificates(t)}} {
		args := append([]string{"send", "--to", w.address, "--away", "1s"}, tls...)
		stdout, stderr, code := runToEnd(t, append(args, "shout", `"x"`)...)
		if code != exitNoConnection || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, w.address+" was not reached within 1s") {
			t.Errorf("%s: exit code %d: %s%s", name, code, stdout, stderr)
		}
	}
	w.await(`msg="remote: refused" reason=(\S+)`)
	if stdout, stderr, code := w.send("shout", `"x"`); code != exitOK {
		t.Errorf("after strangers: exit code %d: %s%s", code, stdout, stderr)
	}
	if counts := countOf(t, w); counts != 1 {
		t.Errorf("%d tasks are recorded, want that of the client who is known", counts)
	}
}

// countOf stops a worker and counts its tasks.
func countOf(t *testing.T, w *testWorker) int {
	t.Helper()
	w.signal(syscall.SIGTERM)
	w.end()
	return len(inDatabase(t, w.db))
}

// A client may do what the file of clients says, with its token.
func TestWorkerWithClients(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clients, token, empty := filepath.Join(dir, "clients.json"), filepath.Join(dir, "token"), filepath.Join(dir, "empty")
	sum := sha256.Sum256([]byte(testToken))
	list, err := json.Marshal([]map[string]any{{
		"name": "crier", "token_sha256": []string{hex.EncodeToString(sum[:])}, "runners": []string{workerRunner}, "kinds": []string{"shout"}, "run": true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{clients: string(list), token: testToken + "\n", empty: "\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := employ(t, certificates(t), "--clients", clients)
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--token-file", token, "shout", `"x"`}, exitOK, ""},
		{[]string{"--token", testToken, "shout", `"x"`}, exitOK, ""},
		{[]string{"--token", testToken, "sleep", `"1s"`}, exitRefused, `may not run tasks of kind "sleep"`},
		{[]string{"--token", testToken, "--token-file", token, "shout", `"x"`}, exitUsage, "want one of them"},
		{[]string{"--token-file", empty, "shout", `"x"`}, exitUsage, "is empty"},
	} {
		stdout, stderr, code := w.send(test.args...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d: %s%s", test.args, code, stdout, stderr)
		}
	}
	for name, args := range map[string][]string{"wrong": {"--token", testToken + "!"}, "none": nil} {
		_, stderr, code := w.send(append(args, "--away", "1h", "shout", `"x"`)...) // at once, not when nobody is away any more
		if code != exitRefused || !strings.Contains(stderr, "not known here") || strings.Contains(stderr, testToken) {
			t.Errorf("token %s: exit code %d: %s", name, code, stderr)
		}
	}
	if counts := countOf(t, w); counts != 2 {
		t.Errorf("%d tasks are recorded, want 2", counts)
	}
}

// A worker's address that somebody else has is found out before any task runs.
func TestWorkerAddressInUse(t *testing.T) {
	t.Parallel()
	w := employ(t, certificates(t))
	db := filepath.Join(t.TempDir(), "other.db")
	_, stderr, code := runToEnd(t, "worker", "--listen", w.address, "--store", db)
	if _, err := os.Stat(db); code != exitAddress || !strings.Contains(stderr, "in use by another program") || err == nil {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	if _, stderr, code := runToEnd(t, "certs", dir, "--host", "worker.example.com", "--host", "10.0.0.1"); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	before, err := os.ReadFile(filepath.Join(dir, serverFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := runToEnd(t, "certs", dir); code != exitUsage || !strings.Contains(stderr, "ca.pem is there") {
		t.Errorf("again: exit code %d: %s", code, stderr)
	}
	if after, err := os.ReadFile(filepath.Join(dir, serverFile)); err != nil || string(after) != string(before) {
		t.Errorf("the certificate was overwritten (%v)", err)
	}
	// A certificate for another host is none for this one. Whoever waits is told why before the wait is over.
	w := employ(t, dir)
	if _, stderr, code := w.send("--away", "3s", "shout", `"x"`); !strings.Contains(stderr, "no worker is reached, still trying (--away 3s): "+w.address) || code != exitNoConnection || !strings.Contains(stderr, "certificate is valid for 10.0.0.1, not 127.0.0.1") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
