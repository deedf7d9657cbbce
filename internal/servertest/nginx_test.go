package servertest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// site makes a folder with one file and one folder.
func site(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "icons"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "icons", "a b.svg"), []byte("<svg/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNginxServesFilesAndIndexes(t *testing.T) {
	t.Parallel()
	base := servertest.Nginx(t, site(t))

	status, header, body := get(t, base+"/icons/a%20b.svg")
	if status != http.StatusOK || body != "<svg/>" {
		t.Errorf("the file: %d %q", status, body)
	}
	if got := header.Get("Content-Type"); got != "image/svg+xml" {
		t.Errorf("Content-Type is %q", got)
	}
	if header.Get("ETag") == "" || header.Get("Last-Modified") == "" {
		t.Errorf("no validator in %v", header)
	}
	if status, _, body = get(t, base+"/icons/"); status != http.StatusOK || !strings.Contains(body, `href="a%20b.svg"`) {
		t.Errorf("the index: %d %q", status, body)
	}
	if status, _, _ = get(t, base+"/nothing"); status != http.StatusNotFound {
		t.Errorf("a missing file: %d", status)
	}
}

func TestNginxFailsTheShareAskedFor(t *testing.T) {
	t.Parallel()
	dir := site(t)
	for _, test := range []struct {
		percent  float64
		min, max int // failures among 400; at 50 % the chance to miss the range is below one in ten million
	}{{0, 0, 0}, {50, 140, 260}, {100, 400, 400}} {
		base := servertest.Nginx(t, dir, servertest.FailPercent(test.percent))
		failures := 0
		for range 400 {
			switch status, _, _ := get(t, base+"/icons/a%20b.svg"); status {
			case http.StatusOK:
			case http.StatusServiceUnavailable:
				failures++
			default:
				t.Fatalf("status %d", status)
			}
		}
		if failures < test.min || failures > test.max {
			t.Errorf("FailPercent(%v): %d of 400 requests failed", test.percent, failures)
		}
	}
}

func TestNginxRefusesABadShare(t *testing.T) {
	t.Parallel()
	for _, percent := range []float64{-1, 0.001, 100.5} {
		r := record(t, func(t testing.TB) { servertest.Nginx(t, ".", servertest.FailPercent(percent)) })
		if r.skipped == "" && !strings.Contains(r.failed, "FailPercent") {
			t.Errorf("FailPercent(%v): failed with %q", percent, r.failed)
		}
	}
}

func TestNginxEndsWithTheTest(t *testing.T) {
	t.Parallel()
	var base string
	t.Run("serve", func(t *testing.T) { base = servertest.Nginx(t, site(t)) })
	if base == "" {
		t.Skip("servertest: nginx did not run")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
		t.Fatalf("still answers with %s", response.Status)
	}
}
