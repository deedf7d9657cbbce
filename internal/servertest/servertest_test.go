package servertest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// postgres is for the tests that neither stop nor disturb it.
var postgres = servertest.NewSharedPostgres()

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

// recorder is a test that notes how it was ended, and by what words.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

// record runs f as a test would: in a goroutine that Skipf and Fatalf may end.
func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	r.run(f)
	return r
}

// run forgets how the test was ended and goes on with it, for servers that were made by it.
func (r *recorder) run(f func(testing.TB)) {
	r.skipped, r.failed = "", ""
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
}

func TestNeedFindsToolsBeforePath(t *testing.T) {
	dir := t.TempDir()
	write := func(elem ...string) string {
		path := filepath.Join(append([]string{dir}, elem...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	onPath, inTools := write("path", "ours"), write(".tools", "bin", "ours")
	onlyOnPath := write("path", "theirs")
	t.Setenv("PATH", filepath.Dir(onPath))
	if err := os.MkdirAll(filepath.Join(dir, "some", "package"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "some", "package"))

	for program, want := range map[string]string{"ours": inTools, "theirs": onlyOnPath} {
		if got := servertest.Need(t, program); got != want {
			t.Errorf("Need(%q) = %q, want %q", program, got, want)
		}
	}
}

func TestNeedSkipsButNotInCI(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Chdir(t.TempDir())
	need := func(t testing.TB) { servertest.Need(t, "nosuchprogram") }

	t.Setenv("CI", "")
	r := record(t, need)
	if !strings.Contains(r.skipped, "nosuchprogram") || !strings.Contains(r.skipped, "./test.sh --install") {
		t.Errorf("skipped with %q, want the program and how to install it", r.skipped)
	}
	t.Setenv("CI", "true")
	r = record(t, need)
	if r.skipped != "" || !strings.Contains(r.failed, "nosuchprogram") {
		t.Errorf("with CI=true: skipped %q, failed %q; want a failure", r.skipped, r.failed)
	}
	r = record(t, func(t testing.TB) { servertest.MDISVG(t) })
	if r.skipped != "" || r.failed == "" {
		t.Errorf("MDISVG with CI=true: skipped %q, failed %q; want a failure", r.skipped, r.failed)
	}
}

func TestMDISVG(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(servertest.MDISVG(t), "*.svg"))
	if err != nil || len(files) != servertest.MDISVGFiles {
		t.Fatalf("%d files (error %v), want %d", len(files), err, servertest.MDISVGFiles)
	}
}

// get fetches a URL on a connection of its own, so that none is left for goleak.
func get(t *testing.T, url string) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, request)
}

// do sends a request on a connection of its own.
func do(t *testing.T, request *http.Request) (status int, header http.Header, body string) {
	t.Helper()
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(data)
}
