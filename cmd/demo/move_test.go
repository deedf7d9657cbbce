package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

// folder makes a folder with files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func checkFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, body := range files {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || string(got) != body {
			t.Errorf("%s is %q, want %q (%v)", name, got, body, err)
		}
	}
	if left := temporaryFiles(t, dir); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

func TestMoveFolder(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a.svg": "<svg/>", "deep/er/b.css": "b{}", "with space & ü.txt": "x", "100%.txt": "y", "empty": ""}
	from, to := folder(t, files), filepath.Join(t.TempDir(), "not", "there yet")
	stdout, stderr, code := runToEnd(t, "move", from, to)
	if code != exitOK || !strings.HasPrefix(lastLine(stdout), "5 arrived (5 copied, 0 unchanged), ") || stderr != "" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	checkFiles(t, to, files)
}

func TestMoveToBucket(t *testing.T) {
	t.Parallel()
	stdout, _, code := runToEnd(t, "move", folder(t, map[string]string{"a": "1", "b/c": "2"}), "mem://bucket/prefix")
	if code != exitOK || !strings.HasPrefix(lastLine(stdout), "2 arrived") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

// A second run with the same database copies what has changed, and nothing else.
func TestMoveAgainCopiesWhatChanged(t *testing.T) {
	t.Parallel()
	from, to, db := folder(t, map[string]string{"a": "1", "b": "2"}), t.TempDir(), filepath.Join(t.TempDir(), "move.db")
	for _, want := range []string{"2 arrived (2 copied, 0 unchanged)", "2 arrived (0 copied, 2 unchanged)"} {
		if stdout, _, code := runToEnd(t, "move", from, to, "--store", db); code != exitOK || !strings.HasPrefix(lastLine(stdout), want) {
			t.Errorf("exit code %d: %s, want %s", code, stdout, want)
		}
	}
	if err := os.WriteFile(filepath.Join(from, "a"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, _, code := runToEnd(t, "move", from, to, "--store", db); code != exitOK || !strings.HasPrefix(lastLine(stdout), "2 arrived (1 copied, 1 unchanged)") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	checkFiles(t, to, map[string]string{"a": "new", "b": "2"})
}

func TestMoveFromOriginByItsIndex(t *testing.T) {
	t.Parallel()
	samples := makeSamples()
	origin := httptest.NewServer(newOldProvider(samples))
	t.Cleanup(origin.Close)
	to := t.TempDir()
	stdout, _, code := runToEnd(t, "move", origin.URL+"/images/", to, "--attempts", "2")
	if code != exitFailed || !strings.HasPrefix(lastLine(stdout), "42 arrived (42 copied, 0 unchanged), 2 did not") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	for _, s := range samples {
		got, err := os.ReadFile(filepath.Join(to, strings.TrimPrefix(s.name, "images/")))
		if strings.HasPrefix(s.name, "images/") && s.fault != forbidden && (err != nil || !bytes.Equal(got, s.body)) {
			t.Errorf("%s: %d bytes, want %d (%v)", s.name, len(got), len(s.body), err)
		}
	}
}

func TestMoveNamesWhatDidNotArrive(t *testing.T) {
	t.Parallel()
	from := folder(t, map[string]string{"here": "1"})
	list := filepath.Join(t.TempDir(), "list")
	names := "./here\r\n\nmissing.svg\n../outside\nevil\x1b[2Jname\n"
	if err := os.WriteFile(list, []byte(names), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		list  string
		stdin string
	}{{list: list}, {list: "-", stdin: names}} {
		cmd := command("move", from, t.TempDir(), "--list", test.list)
		cmd.Stdin = strings.NewReader(test.stdin)
		c := launchCommand(t, cmd)
		if code := c.end(); code != exitFailed {
			t.Errorf("exit code %d", code)
		}
		out := c.stdout.String()
		for _, want := range []string{
			"failed     missing.svg: ", "no such file", "failed     ../outside: ", `failed     "evil\x1b[2Jname": `, "1 arrived (1 copied, 0 unchanged), 3 did not",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the output has no %q: %s", want, out)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Error("a control character came through")
		}
	}
}

func TestMoveSourceThatCannotBeListed(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(origin.Close)
	_, stderr, code := runToEnd(t, "move", origin.URL+"/nowhere/", t.TempDir())
	if code != exitFailed || !strings.Contains(stderr, "404") || !strings.Contains(stderr, "/nowhere/") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// slowOrigin serves so many assets. It answers all but the first few only when it is told to.
func slowOrigin(t *testing.T, count, first int) (url string, release func(), list string) {
	t.Helper()
	var asked atomic.Int64
	gate := make(chan struct{})
	bodies := map[string]string{}
	for i := range count {
		bodies[fmt.Sprintf("/%04d", i)] = fmt.Sprintf("/%04d", i)
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > int64(first) {
			select {
			case <-gate:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, bodies[r.URL.Path])
	}))
	var names strings.Builder
	for i := range count {
		fmt.Fprintf(&names, "%04d\n", i)
	}
	list = filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(names.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	open := true
	release = func() {
		if open {
			close(gate)
			open = false
		}
	}
	t.Cleanup(func() { release(); origin.Close() })
	return origin.URL, release, list
}

// What was interrupted goes on with the same command, and every asset is moved once.
func TestMoveGoesOn(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]os.Signal{"Ctrl-C": interrupt, "kill": os.Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const count, first = 200, 40
			url, release, list := slowOrigin(t, count, first)
			to, db := t.TempDir(), filepath.Join(t.TempDir(), "move.db")
			args := []string{"move", url, to, "--list", list, "--store", db, "--transfers", "8"}
			c := launch(t, args...)
			eventually(t, func() error {
				if arrived, _ := filepath.Glob(filepath.Join(to, "[0-9][0-9][0-9][0-9]")); len(arrived) < first {
					return fmt.Errorf("%d have arrived", len(arrived))
				}
				return nil
			})
			c.signal(stop)
			if code := c.end(); stop == interrupt && code != 130 {
				t.Errorf("exit code %d", code)
			}
			if stop == interrupt && !strings.Contains(c.stdout.String(), fmt.Sprintf("%d arrived", first)) {
				t.Errorf("stopped with %q", c.stdout)
			}
			release()
			stdout, stderr, code := runToEnd(t, args...)
			if code != exitOK || !strings.Contains(stderr, "going on with") {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
			checkMovedOnce(t, inDatabase(t, db), count)
			for i := range count {
				checkFiles(t, to, map[string]string{fmt.Sprintf("%04d", i): fmt.Sprintf("/%04d", i)})
			}
		})
	}
}

// checkMovedOnce checks that so many assets have arrived, none of them by two tasks that both copied.
func checkMovedOnce(t *testing.T, tasks []store.Task, want int) {
	t.Helper()
	copied := map[string]int{}
	for _, task := range tasks {
		var moved assets.Moved
		if err := json.Unmarshal(task.Result, &moved); err != nil {
			t.Errorf("%s is %s: %v", task.Args, task.State, task.History)
			continue
		}
		if moved.Copied {
			copied[moved.Source]++
		}
	}
	for source, times := range copied {
		if times > 1 {
			t.Errorf("%s was copied %d times", source, times)
		}
	}
	if len(copied) != want {
		t.Errorf("%d assets were copied, want %d", len(copied), want)
	}
}

// Two moves between other places can share a database: neither takes up what the other has left.
func TestMovesShareDatabase(t *testing.T) {
	t.Parallel()
	url, _, list := slowOrigin(t, 20, 0)
	db := filepath.Join(t.TempDir(), "move.db")
	c := launch(t, "move", url, t.TempDir(), "--list", list, "--store", db, "--transfers", "4")
	eventually(t, func() error {
		if info, err := os.Stat(db); err != nil || info.Size() == 0 {
			return fmt.Errorf("the database is not there (%w)", err)
		}
		return nil
	})
	c.signal(interrupt)
	c.end()
	left := len(inDatabase(t, db))
	stdout, stderr, code := runToEnd(t, "move", folder(t, map[string]string{"a": "1"}), t.TempDir(), "--store", db)
	if code != exitOK || !strings.HasPrefix(lastLine(stdout), "1 arrived") || strings.Contains(stderr, "going on") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if counts := countStates(inDatabase(t, db)); counts[store.Completed] != 1 || counts[store.Available]+counts[store.Retryable] != left {
		t.Errorf("tasks: %v, want %d that wait", counts, left)
	}
}

// Ctrl-C ends a move also while it waits for names from a pipe that stays silent.
func TestMoveStopsWhileItReadsNames(t *testing.T) {
	t.Parallel()
	from := folder(t, map[string]string{"a": "1"})
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = reader.Close(), writer.Close() }()
	temp := t.TempDir()
	cmd := command("move", from, "mem://bucket/", "--list", "-", "--temp-dir", temp)
	cmd.Stdin = reader
	c := launchCommand(t, cmd)
	eventually(t, func() error {
		if found := temporaryFiles(t, temp); len(found) == 0 {
			return fmt.Errorf("it has not started")
		}
		return nil
	})
	c.signal(interrupt)
	if code := c.end(); code != 130 {
		t.Errorf("exit code %d", code)
	}
}

func TestNamesFrom(t *testing.T) {
	t.Parallel()
	var got []string
	for name, err := range namesFrom(strings.NewReader("a\n\n./b c\r\n100%.svg\nlast")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if want := []string{"a", "b c", "100%.svg", "last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, err := range namesFrom(strings.NewReader("fine\n" + strings.Repeat("x", maxName+1))) {
		if name != "fine" && (err == nil || !strings.Contains(err.Error(), "line 2")) {
			t.Errorf("%d bytes, %v", len(name), err)
		}
	}
	got = nil
	for name, err := range namesFrom(strings.NewReader("\ufefffirst\n" + strings.Repeat("x", 3*maxName) + "\nlast")) {
		if err == nil {
			got = append(got, name)
		}
	}
	if want := []string{"first", "last"}; !slices.Equal(got, want) {
		t.Errorf("beside a line that is too long: %q, want %q", got, want)
	}
}

func FuzzNamesFrom(f *testing.F) {
	f.Add("a\nb\r\n./c\n")
	f.Fuzz(func(t *testing.T, list string) {
		for name, err := range namesFrom(strings.NewReader(list)) {
			if err == nil && (name == "" || strings.Contains(name, "\n")) {
				t.Errorf("name %q", name)
			}
		}
	})
}

// A folder that cannot be listed is a failure with its name, and what is elsewhere is moved.
func TestMoveWhatWasListed(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/":
			_, _ = io.WriteString(w, `<a href="a.html">a</a> <a href="secret/">secret</a>`)
		case "/a.html":
			_, _ = io.WriteString(w, "hello")
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(origin.Close)
	to := t.TempDir()
	stdout, stderr, code := runToEnd(t, "move", origin.URL, to)
	if code != exitFailed || !strings.HasPrefix(lastLine(stdout), "1 arrived (1 copied, 0 unchanged), 1 did not") ||
		!strings.Contains(stdout, `failed     secret/: `) || !strings.Contains(stdout, "403") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	checkFiles(t, to, map[string]string{"a.html": "hello"})
}

// The work goes on when nobody reads the output any more.
func TestMoveWithoutReader(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	defer func() { _ = writer.Close() }()
	files := map[string]string{"a": "1", "b": "2"}
	to := t.TempDir()
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("missing\na\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := command("move", folder(t, files), to, "--list", list)
	cmd.Stdout, cmd.Stderr = writer, writer
	if code := launchCommand(t, cmd).end(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	checkFiles(t, to, files)
}

// A move has its limits, and who exceeds them is told in the words of the flags.
func TestMoveLimits(t *testing.T) {
	t.Parallel()
	slow, _, list := slowOrigin(t, 1, 0)
	large := folder(t, map[string]string{"large": "0123456789"})
	for _, test := range []struct {
		want string
		args []string
	}{
		{"timed out", []string{slow, "--list", list, "--timeout", "50ms"}},
		{"stalled", []string{slow, "--list", list, "--stall-timeout", "50ms"}},
		{"larger than --max-bytes", []string{large, "--max-bytes", "9"}},
	} {
		args := append([]string{"move", test.args[0], t.TempDir(), "--attempts", "1"}, test.args[1:]...)
		if stdout, _, code := runToEnd(t, args...); code != exitFailed || !strings.Contains(stdout, test.want) {
			t.Errorf("%q: exit code %d: %s", args, code, stdout)
		}
	}
}
