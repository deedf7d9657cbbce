package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// within is how long anything that a test waits for may take, on a machine that is busy with something else.
const within = time.Minute

// TestMain builds the program that most tests start, and looks for goroutines that the others leave behind.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "demo-test-")
	if err != nil {
		panic(err)
	}
	// Others than its owner start the program too; see TestDatabaseThatCannotBeUsed.
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	build := exec.CommandContext(context.Background(), "go", "build", raceFlag, "-o", programIn(dir), ".")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
	if err := os.Setenv("DEMO_TEST_PROGRAM", programIn(dir)); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func programIn(dir string) string { return filepath.Join(dir, "demo") }

// child is the program, started.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
}

// command prepares the program with an environment that says nothing to it.
func command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), os.Getenv("DEMO_TEST_PROGRAM"), args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "TASKRUNNER_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	// With the race detector a program waits for a second at its end, for races that are about to be reported.
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=10 halt_on_error=1")
	return cmd
}

// launch starts the program, and ends it with the test.
func launch(t *testing.T, args ...string) *child {
	t.Helper()
	return launchCommand(t, command(args...))
}

func launchCommand(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	c := &child{t: t, cmd: cmd, stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = c.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = c.stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = cmd.Wait() // the code says it
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-c.ended
		if t.Failed() {
			t.Logf("%s\nstdout: %s\nstderr: %s", strings.Join(cmd.Args, " "), c.stdout, c.stderr)
		}
	})
	return c
}

// end waits for the program to end, and gives its code.
func (c *child) end() int {
	c.t.Helper()
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		c.t.Fatalf("the program did not end within %s", within)
		return -1
	}
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// await waits until the program has written what the pattern finds on its standard output or error, and gives the
// first group.
func (c *child) await(pattern string) string {
	c.t.Helper()
	expression := regexp.MustCompile(pattern)
	deadline := time.After(within)
	for {
		outChanged, errChanged := c.stdout.changes(), c.stderr.changes()
		for _, o := range []*output{c.stdout, c.stderr} {
			if found := expression.FindStringSubmatch(o.String()); found != nil {
				return found[len(found)-1]
			}
		}
		select {
		case <-outChanged:
		case <-errChanged:
		case <-c.ended:
			c.t.Fatalf("the program ended with %d before it wrote %q", c.cmd.ProcessState.ExitCode(), pattern)
		case <-deadline:
			c.t.Fatalf("the program did not write %q within %s", pattern, within)
		}
	}
}

// runToEnd runs the program to its end.
func runToEnd(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := launch(t, args...)
	code = c.end()
	return c.stdout.String(), c.stderr.String(), code
}

// output is what a program writes, and says when there is more.
type output struct {
	mu      sync.Mutex
	buffer  bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

func (o *output) changes() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.changed
}

// eventually asks again and again, and fails with the last answer if that is never nil.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(within)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// get asks for a URL, and gives the status and the body; the status is 0 if nobody answers.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return ask(request)
}

func ask(request *http.Request) (status int, body string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	_, _ = text.ReadFrom(response.Body)
	return response.StatusCode, text.String()
}

// inDatabase opens the database of a program that has ended, and gives all its tasks.
func inDatabase(t *testing.T, path string) (tasks []store.Task) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = eachTask(t.Context(), db, store.Query{}, func(task store.Task) bool {
		tasks = append(tasks, task)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return tasks
}

func countStates(tasks []store.Task) map[store.State]int {
	counts := map[store.State]int{}
	for _, task := range tasks {
		counts[task.State]++
	}
	return counts
}

// temporaryFiles gives what is left of temporary files below a folder.
func temporaryFiles(t *testing.T, dir string) (left []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), ".taskrunner-assets-") {
			left = append(left, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // it was removed while we looked
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// lastLine gives the last line of a text.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[len(lines)-1]
}

// interrupt is Ctrl-C.
var interrupt os.Signal = syscall.SIGINT
