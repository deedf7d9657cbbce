// Package servertest starts the real servers, programs and data which the end-to-end tests run against: an nginx in
// the role of the old provider, a versitygw in the role of the S3-compatible new one, a Chromium for the web pages,
// and the 7,447 files of an npm package as assets. It is for tests only.
//
//   - Nothing is ever installed from here. A program that is missing skips the test with a sentence that says how to
//     get it; with CI=true in the environment it fails the test instead, so that CI skips nothing.
//   - Each server listens on a loopback port of its own, keeps its files in the test's temporary folder, and has
//     ended when the test's cleanup is over. Tests may run in parallel.
//   - A server that cannot start fails the test with what it printed.
package servertest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
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

// server is a program that runs until the test ends.
type server struct {
	name   string
	output *lockedBuffer // what it printed, both streams
	exited chan struct{} // closed when it has ended
}

// start runs cmd until the cleanup of t, which asks it to end with SIGTERM, waits, and kills it if it does not.
//
// The context is not t.Context(): that one ends before the first cleanup runs, and the test's own cleanups may still
// want the server.
func start(t testing.TB, path string, configure func(*exec.Cmd), args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{name: filepath.Base(path), output: &lockedBuffer{}, exited: make(chan struct{})}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = s.output, s.output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if configure != nil {
		configure(cmd)
	}
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatalf("servertest: %s does not start: %v", s.name, err)
	}
	go func() {
		defer close(s.exited)
		_ = cmd.Wait() // how it ended is of no interest: it was told to, or whoever uses it fails and prints its output
	}()
	t.Cleanup(func() {
		cancel()
		<-s.exited
	})
	return s
}

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
