// Package servertest starts the real servers, programs and data which the end-to-end tests run against: an nginx in
// the role of the old provider, a versitygw in the role of the S3-compatible new one, a Chromium for the web pages,
// the 7,447 files of an npm package as assets, and for the stores a PostgreSQL, a PgBouncer and a Redis, with proxies
// that cut their connections at a chosen moment. It is for tests only.
//
//   - Nothing is ever installed from here. A program that is missing skips the test with a sentence that says how to
//     get it; with CI=true in the environment it fails the test instead, so that CI skips nothing.
//   - Each server listens on a loopback port or a Unix socket of its own, keeps its files in a temporary folder, and
//     has ended when the test's cleanup is over. Tests may run in parallel.
//   - On Linux no server outlives the process that started it, however that ends. Its temporary folder may.
//   - A server that cannot start fails the test with what it printed.
package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startTimeout is how long a server may take until it answers. On two busy cores nginx needs 10 ms, versitygw
	// 200 ms and Chromium a second; the rest is for a machine that does something else.
	startTimeout = 30 * time.Second
	// stopTimeout is how long a server may take to end after it was asked, before it is killed.
	stopTimeout = 10 * time.Second
	// pollEvery is the time between two questions whether a server answers.
	pollEvery = 10 * time.Millisecond
)

// toolsDir is the folder, at the top of the checkout, which ./test.sh --install fills.
const toolsDir = ".tools"

// Need gives the path of a program which the test cannot do without: the one in .tools/bin of this checkout, which has
// the version we name, else the one found by PATH. If there is none, the test is skipped, or fails where CI=true.
func Need(t testing.TB, program string) string {
	t.Helper()
	if path, ok := inTools("bin", program); ok {
		return path
	}
	for _, name := range []string{program, "/usr/sbin/" + program} { // Debian's nginx is where not every user looks
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, program)
	return ""
}

// missing ends the test for the want of what. Only CI promises that everything is there, so only there it is a fault.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("servertest: %s is not installed, and with CI=true nothing is skipped: run ./test.sh, which installs it", what)
	}
	t.Skipf("servertest: %s is not installed: run ./test.sh --install to get it", what)
}

// inTools finds a file or folder below .tools. Tests run in the folder of their package, so the top of the checkout is
// some folder above.
func inTools(elem ...string) (path string, ok bool) {
	dir, err := os.Getwd()
	if err != nil {
		return "", false
	}
	for {
		path = filepath.Join(append([]string{dir, toolsDir}, elem...)...)
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// server is a program that runs.
type server struct {
	name   string
	cmd    *exec.Cmd
	output *lockedBuffer // what it printed, both streams
	exited chan struct{} // closed when it has ended, and with it every child that still held its output open
}

// start runs a program until the cleanup of t.
func start(t testing.TB, path string, configure func(*exec.Cmd), args ...string) *server {
	t.Helper()
	s, err := launch(path, &lockedBuffer{}, configure, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(syscall.SIGTERM); err != nil {
			t.Log(err)
		}
	})
	return s
}

// launch runs a program until its stop, and no longer than we live ourselves: should this process be killed, or end by
// a panic that skips all cleanups, the kernel sends the program a SIGTERM, where the kernel can do that.
//
// The context is not t.Context(): that one ends before the first cleanup runs, and the test's own cleanups may still
// want the server.
func launch(path string, output *lockedBuffer, configure func(*exec.Cmd), args ...string) (*server, error) {
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = stopTimeout
	dieWithUs(cmd, syscall.SIGTERM)
	if configure != nil {
		configure(cmd)
	}
	s := &server{name: filepath.Base(path), cmd: cmd, output: output, exited: make(chan struct{})}
	started := make(chan error)
	go s.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("servertest: %s does not start: %w", s.name, err)
	}
	return s, nil
}

// run starts the program and waits for its end, on a thread of its own: the kernel takes the end of the thread that
// started a program for the end of us, and Go may end any thread which a goroutine has locked and not unlocked.
func (s *server) run(started chan<- error) {
	defer close(s.exited)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := s.cmd.Start()
	started <- err
	if err == nil {
		_ = s.cmd.Wait() // how it ended is of no interest: it was told to, or whoever uses it fails and prints its output
	}
}

// stop asks the program by a signal to end and returns when it has. One that takes longer than stopTimeout is killed,
// which is an error.
func (s *server) stop(signal os.Signal) error {
	_ = s.cmd.Process.Signal(signal) // it may have ended already
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-s.exited:
		return nil
	case <-timeout.C:
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("servertest: %s did not end within %s and was killed", s.name, stopTimeout)
	}
}

// await asks until ready gives no error, for startTimeout or until the server ends.
func (s *server) await(ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("servertest: no answer within %s: %w", startTimeout, err)
		}
	}
}

// awaitSocket returns when a server listens on its Unix socket. From then on the kernel keeps what comes for it.
func (s *server) awaitSocket(t testing.TB, socket string) {
	t.Helper()
	err := s.await(func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		t.Fatalf("servertest: %s does not listen: %v\n%s", s.name, err, s.output)
	}
}

// errEnded says that the server ended before it answered.
var errEnded = errors.New("servertest: the server has ended")

// lockedBuffer keeps what a server prints. The program writes while the test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends p.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String gives all that was written so far.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
