package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

// elsewhere starts a move with a worker.
func elsewhere(t *testing.T, certs string, from, to string, workers string, flags ...string) *child {
	t.Helper()
	return launch(t, append([]string{"move", from, to, "--worker", workers, "--tls", certs}, flags...)...)
}

func TestMoveElsewhere(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a.svg": "<svg/>", "deep/er/b.css": "b{}", "with space & ü.txt": "x", "100%.txt": "y", "empty": ""}
	certs, from, to := certificates(t), folder(t, files), filepath.Join(t.TempDir(), "new")
	w := employ(t, certs, "--allow", "source:"+mustFolderURL(t, from), "--allow", "destination:"+mustFolderURL(t, to)+"?create_dir=1")
	for _, want := range []string{"5 arrived (5 copied, 0 unchanged), ", "5 arrived (0 copied, 5 unchanged), "} {
		c := elsewhere(t, certs, from, to, w.address)
		if code := c.end(); code != exitOK || !strings.HasPrefix(lastLine(c.stdout.String()), want) || c.stderr.String() != "" {
			t.Errorf("exit code %d: %s%s", code, c.stdout, c.stderr)
		}
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("a.svg\nmissing\n../outside\na.svg\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := elsewhere(t, certs, from, to, w.address, "--list", list)
	code, stdout := c.end(), c.stdout.String()
	for _, want := range []string{"failed     missing: downloading: no such file", "failed     ../outside: ", "1 arrived (0 copied, 1 unchanged), 2 did not"} {
		if code != exitFailed || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, without %q: %s", code, want, stdout)
		}
	}
	// What the worker's operator does not allow, nobody else can.
	c = elsewhere(t, certs, from, t.TempDir(), w.address)
	if code := c.end(); code != exitFailed || !strings.Contains(c.stdout.String(), "not below any prefix that the operator allows") ||
		!strings.Contains(lastLine(c.stdout.String()), "0 arrived (0 copied, 0 unchanged), 5 did not") {
		t.Errorf("exit code %d: %s%s", code, c.stdout, c.stderr)
	}
	for flag, want := range map[string]int{"--runner=nobody": exitRefused, "--tls=" + certificates(t): exitNoConnection} {
		c = elsewhere(t, certs, from, to, w.address, flag, "--away", "2s")
		if code := c.end(); code != want || strings.Contains(c.stdout.String(), "failed") {
			t.Errorf("%s: exit code %d: %s%s", flag, code, c.stdout, c.stderr)
		}
	}
	w.signal(syscall.SIGTERM)
	w.end()
	checkFiles(t, to, files)
}

// slowWorker is a worker for the assets of a slow origin.
func slowWorker(t *testing.T, certs, url, to string, flags ...string) *testWorker {
	t.Helper()
	return employ(t, certs, append([]string{"--allow", url + "/", "--allow", "destination:" + mustFolderURL(t, to), "--drain", "1s"}, flags...)...)
}

// haveArrived says how many assets of a slow origin are missing, nil if as many are there.
func haveArrived(to string, want int) error {
	if arrived, err := filepath.Glob(filepath.Join(to, "[0-9][0-9][0-9][0-9]")); len(arrived) < want || err != nil {
		return fmt.Errorf("%d have arrived, want %d (%w)", len(arrived), want, err)
	}
	return nil
}

func checkSlow(t *testing.T, to string, count int) {
	t.Helper()
	files := map[string]string{}
	for i := range count {
		files[fmt.Sprintf("%04d", i)] = fmt.Sprintf("/%04d", i)
	}
	checkFiles(t, to, files)
}

// A worker that goes away in the middle of it and comes back has lost nothing, and each asset arrives once.
func TestMoveElsewhereOutlivesWorker(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "kill": os.Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const count, first = 200, 40
			url, release, list := slowOrigin(t, count, first)
			certs, to := certificates(t), t.TempDir()
			w := slowWorker(t, certs, url, to)
			c := elsewhere(t, certs, url, to, w.address, "--list", list, "--transfers", "16")
			eventually(t, func() error { return haveArrived(to, first) })
			w.signal(stop)
			w.end()
			w.start()
			release()
			if code := c.end(); code != exitOK || !strings.HasPrefix(lastLine(c.stdout.String()), fmt.Sprintf("%d arrived (%[1]d copied", count)) {
				t.Errorf("exit code %d: %s%s", code, c.stdout, c.stderr)
			}
			w.signal(syscall.SIGTERM)
			w.end()
			checkMovedOnce(t, inDatabase(t, w.db), count)
			checkSlow(t, to, count)
		})
	}
}

// Of two workers one dies for good: what it had been given is moved by the other one.
func TestMoveElsewhereWithoutOneOfTwo(t *testing.T) {
	t.Parallel()
	const count, first = 100, 20
	url, release, list := slowOrigin(t, count, first)
	certs, to := certificates(t), t.TempDir()
	dies, stays := slowWorker(t, certs, url, to), slowWorker(t, certs, url, to)
	c := elsewhere(t, certs, url, to, dies.address+","+stays.address, "--list", list, "--transfers", "16", "--away", "2s")
	eventually(t, func() error { return haveArrived(to, first) })
	dies.signal(os.Kill)
	dies.end()
	release()
	if code := c.end(); code != exitOK || !strings.HasPrefix(lastLine(c.stdout.String()), fmt.Sprintf("%d arrived", count)) {
		t.Errorf("exit code %d: %s%s", code, c.stdout, c.stderr)
	}
	dies.start() // which removes what it has left unfinished
	for _, w := range []*testWorker{dies, stays} {
		w.signal(syscall.SIGTERM)
		w.end()
	}
	checkSlow(t, to, count)
	if with := len(inDatabase(t, dies.db)); with == 0 {
		t.Error("the one that died had nothing to do")
	}
}

// When no worker comes back the move ends, and says why.
func TestMoveElsewhereGivesUp(t *testing.T) {
	t.Parallel()
	url, _, list := slowOrigin(t, 20, 4)
	certs, to := certificates(t), t.TempDir()
	w := slowWorker(t, certs, url, to)
	c := elsewhere(t, certs, url, to, w.address, "--list", list, "--transfers", "8", "--away", "1s")
	eventually(t, func() error { return haveArrived(to, 4) })
	w.signal(os.Kill)
	w.end()
	if code := c.end(); code != exitNoConnection || !strings.Contains(c.stderr.String(), "no connection") || !strings.Contains(c.stdout.String(), " arrived") {
		t.Errorf("exit code %d: %s%s", code, c.stdout, c.stderr)
	}
}

// Ctrl-C ends the handing out. The worker finishes what it has been given.
func TestMoveElsewhereIsInterrupted(t *testing.T) {
	t.Parallel()
	const count, first, transfers = 100, 20, 8
	url, release, list := slowOrigin(t, count, first)
	certs, to := certificates(t), t.TempDir()
	w := slowWorker(t, certs, url, to, "--drain", "1m")
	c := elsewhere(t, certs, url, to, w.address, "--list", list, "--transfers", strconv.Itoa(transfers))
	eventually(t, func() error { return haveArrived(to, first) })
	c.signal(interrupt)
	if code := c.end(); code != 130 || !strings.Contains(c.stdout.String(), fmt.Sprintf("%d arrived", first)) {
		t.Errorf("exit code %d: %s%s", code, c.stdout, c.stderr)
	}
	more := regexp.MustCompile(`(\d+) more were on their way`).FindStringSubmatch(c.stderr.String())
	if more == nil {
		t.Fatalf("it says %s", c.stderr)
	}
	if n, err := strconv.Atoi(more[1]); n < 1 || n > transfers || err != nil {
		t.Errorf("%s more, want up to %d", more[1], transfers)
	}
	w.signal(syscall.SIGTERM)
	release()
	if code := w.end(); code != exitOK {
		t.Errorf("the worker ended with %d", code)
	}
	counts := countStates(inDatabase(t, w.db))
	if counts[store.Completed] < first+1 || counts[store.Completed] > first+transfers || len(counts) != 1 {
		t.Errorf("tasks: %v", counts)
	}
}

// What ends in the moment after Ctrl-C is still counted.
func TestMoveElsewhereLingers(t *testing.T) {
	t.Parallel()
	const count, first, transfers = 100, 20, 4
	url, release, list := slowOrigin(t, count, first)
	certs, to := certificates(t), t.TempDir()
	w := slowWorker(t, certs, url, to)
	c := elsewhere(t, certs, url, to, w.address, "--list", list, "--transfers", strconv.Itoa(transfers))
	eventually(t, func() error { return haveArrived(to, first) })
	c.signal(interrupt)
	c.await("stopping: the workers finish")
	release()
	if code := c.end(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	arrived := regexp.MustCompile(`(\d+) arrived`).FindStringSubmatch(c.stdout.String())
	if n, err := strconv.Atoi(arrived[1]); n <= first || n > first+transfers || err != nil {
		t.Errorf("%s arrived, want more than %d and at most %d more", arrived[1], first, transfers)
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	began := time.Now()
	type step struct {
		err       error
		elsewhere bool
		after     time.Duration
		want      bool
	}
	mayBe := fmt.Errorf("%w, %w", remote.ErrNoConnection, store.ErrUnavailable)
	for name, steps := range map[string][]step{
		"nobody is there":          {{remote.ErrNoConnection, false, 0, false}},
		"nor was":                  {{mayBe, false, 0, false}},
		"somebody else is":         {{remote.ErrNoConnection, true, 0, true}, {remote.ErrNoConnection, true, 0, false}},
		"lost twice":               {{remote.ErrLost, true, 0, true}, {store.ErrNotFound, true, time.Hour, false}},
		"starting again":           {{actors.ErrStopping, false, 0, true}, {store.ErrUnavailable, false, time.Minute - 1, true}, {actors.ErrStopping, false, time.Minute, false}},
		"and lost in between":      {{actors.ErrStopping, false, 0, true}, {remote.ErrLost, true, time.Hour, true}, {actors.ErrStopping, true, 2 * time.Hour, true}},
		"what is wrong stays so":   {{remote.ErrInvalid, true, 0, false}},
		"what has failed, as well": {{&actors.TaskError{}, true, 0, false}},
	} {
		p := patience{away: time.Minute, losses: 2}
		for i, s := range steps {
			if got := p.after(s.err, s.elsewhere, began.Add(s.after)); got != s.want {
				t.Errorf("%s: step %d: %v, want %v", name, i, got, s.want)
			}
		}
	}
}
