package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

// tell starts the demo in a folder of its own, on free ports.
func tell(t *testing.T, dir string, args ...string) *child {
	t.Helper()
	return launch(t, append([]string{"--dir", dir, "--listen", "127.0.0.1:0"}, args...)...)
}

// lastLineOfDemo is what scripts read.
const lastLineOfDemo = "220 completed, 12 discarded"

// checkTold checks what the demo has left: every asset that can arrive is at the new provider byte for byte, every
// outcome is in the database, and no temporary file is left.
func checkTold(t *testing.T, dir string, rounds int) {
	t.Helper()
	arrived := 0
	for _, s := range makeSamples() {
		got, err := os.ReadFile(filepath.Join(dir, "new-provider", filepath.FromSlash(s.name)))
		switch doomed := s.fault == missing || s.fault == forbidden || s.fault == broken; {
		case doomed && err == nil:
			t.Errorf("%s arrived, although it cannot be read", s.name)
		case !doomed && err != nil:
			t.Error(err)
		case !doomed && !bytes.Equal(got, s.body):
			t.Errorf("%s has %d bytes which are not those of the original", s.name, len(got))
		case !doomed:
			arrived++
		}
	}
	tasks := inDatabase(t, filepath.Join(dir, "demo.db"))
	counts := countStates(tasks)
	if arrived != 220 || len(tasks) != rounds*232 || counts[store.Completed] != rounds*220 || counts[store.Discarded] != rounds*12 {
		t.Errorf("%d arrived; %d tasks in the database: %v", arrived, len(tasks), counts)
	}
	if left := temporaryFiles(t, dir); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

func TestDemoTellsTheStory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := tell(t, dir, "--exit")
	if code := c.end(); code != exitOK || lastLine(c.stdout.String()) != lastLineOfDemo {
		t.Errorf("exit code %d, last line %q", code, lastLine(c.stdout.String()))
	}
	checkTold(t, dir, 1)
	out := c.stdout.String()
	for _, s := range makeSamples() {
		named := strings.Contains(out, "failed     "+s.name+": ")
		if doomed := s.fault == missing || s.fault == forbidden || s.fault == broken; named != doomed {
			t.Errorf("%s: named as failed is %v, want %v", s.name, named, doomed)
		}
	}
	for _, want := range []string{"404 Not Found", "403 Forbidden", "wrong length", "14 arrived at a second or later attempt"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output has no %q", want)
		}
	}
	if both := out + c.stderr.String(); strings.ContainsAny(both, "\r\x1b") {
		t.Error("there is no terminal, and the output has its control characters")
	}
	checkAgain(t, dir)
}

// checkAgain tells the story a second time, in which nothing is copied.
func checkAgain(t *testing.T, dir string) {
	t.Helper()
	c := tell(t, dir, "--exit")
	if code := c.end(); code != exitOK || lastLine(c.stdout.String()) != lastLineOfDemo {
		t.Errorf("the second time: exit code %d, last line %q", code, lastLine(c.stdout.String()))
	}
	checkTold(t, dir, 2)
	for _, task := range inDatabase(t, filepath.Join(dir, "demo.db"))[:232] { // newest first
		var moved assets.Moved
		if task.State != store.Completed {
			continue
		}
		if err := json.Unmarshal(task.Result, &moved); err != nil || moved.Copied {
			t.Errorf("%s was copied again (%v)", task.Args, err)
		}
	}
}

// A demo that is killed in the middle, twice, ends all the same when it is started again.
func TestDemoGoesOnAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for kill := range 2 {
		c := tell(t, dir)
		c.await(`moveAssets|going on`)
		eventually(t, func() error {
			if arrived, _ := filepath.Glob(filepath.Join(dir, "new-provider", "*", "*.svg")); len(arrived) < 20*(kill+1) {
				return fmt.Errorf("%d icons have arrived", len(arrived))
			}
			return nil
		})
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.end()
		if counts := countStates(inDatabase(t, filepath.Join(dir, "demo.db"))); counts[store.Completed]+counts[store.Discarded] == 232 {
			t.Fatalf("it was not killed in the middle: %v", counts)
		}
	}
	c := tell(t, dir, "--exit")
	if code := c.end(); code != exitOK || lastLine(c.stdout.String()) != lastLineOfDemo {
		t.Errorf("exit code %d, last line %q", code, lastLine(c.stdout.String()))
	}
	if !strings.Contains(c.stdout.String(), "going on with 232 moves") {
		t.Error("it does not say that it goes on")
	}
	checkTold(t, dir, 1)
}

func TestDemoStopsInOrder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		code int
	}{{"stays up", nil, exitOK}, {"was to end all", []string{"--exit"}, 130}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := tell(t, dir, test.args...)
			c.await(`moveAssets`)
			c.signal(interrupt)
			start := time.Now()
			if code := c.end(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s to stop", took)
			}
			tasks := inDatabase(t, filepath.Join(dir, "demo.db"))
			if counts := countStates(tasks); counts[store.Running] > 0 || len(tasks) != 232 {
				t.Errorf("tasks: %v", counts)
			}
			if left := temporaryFiles(t, dir); len(left) > 0 {
				t.Errorf("temporary files are left: %q", left)
			}
		})
	}
}

// The second signal is another one: the same would have to wait until it no longer counts as the first.
func TestDemoStopsAtOnceWhenAskedTwice(t *testing.T) {
	t.Parallel()
	c := tell(t, t.TempDir())
	c.await(`moveAssets`)
	c.signal(interrupt)
	c.await(`stopping`)
	c.signal(syscall.SIGTERM)
	if code := c.end(); code != 143 || !strings.Contains(c.stderr.String(), "stopped at once") {
		t.Errorf("exit code %d", code)
	}
}

// While it stays up, it serves what it says, and tells how tasks end that others start.
func TestDemoStaysUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := tell(t, dir)
	graphQL := c.await(`GraphQL +(http\S+)\n`)
	graphiQL := c.await(`GraphiQL +(http\S+)\n`)
	old := c.await(`old provider +(http\S+) `)
	c.await(`It stays up`)
	if status, body := get(t, graphiQL); status != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("GraphiQL: %d %s", status, body)
	}
	if status, body := get(t, old); status != http.StatusOK || !strings.Contains(body, `href="icons/"`) {
		t.Errorf("old provider: %d %s", status, body)
	}
	folder, err := folderURL(filepath.Join(dir, "new-provider"))
	if err != nil {
		t.Fatal(err)
	}
	name := makeSamples()[0].name
	ids, err := sendMoves(t.Context(), graphQL, []assets.Move{{Source: old + name, Destination: folder + "elsewhere"}})
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	c.await(`copied +` + old + name)
	c.signal(interrupt)
	if code := c.end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestDemoPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, flag := range []string{"--listen", "--origin"} {
		_, stderr, code := runToEnd(t, "--dir", t.TempDir(), "--listen", "127.0.0.1:0", flag, taken.Addr().String())
		if code != exitAddress || !strings.Contains(stderr, flag) || !strings.Contains(stderr, "in use") {
			t.Errorf("%s: exit code %d: %s", flag, code, stderr)
		}
	}
}

// What an earlier start has begun can only be read from the address that is in its sources.
func TestDemoNeedsItsOldAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := tell(t, dir)
	address := c.await(`old provider +http://(\S+)/ `)
	c.await(`moveAssets`)
	_ = c.cmd.Process.Kill()
	c.end()
	var taken net.Listener
	eventually(t, func() (err error) {
		taken, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		return err
	})
	defer func() { _ = taken.Close() }()
	c = tell(t, dir, "--exit")
	if code := c.end(); code != exitAddress {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{address, "--dir", fmt.Sprint(232)} {
		if !strings.Contains(c.stderr.String(), want) {
			t.Errorf("the error has no %q: %s", want, c.stderr)
		}
	}
}
