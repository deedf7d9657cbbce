package figures_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

func TestNumbersAsPeopleReadThem(t *testing.T) {
	for _, number := range []struct{ got, want string }{
		{figures.Thousands(0), "0"}, {figures.Thousands(999.6), "1,000"}, {figures.Thousands(1234567), "1,234,567"},
		{figures.Times(0.834), "0.83×"}, {figures.Times(3.14), "3.1×"}, {figures.Times(26.6), "27×"},
		{figures.Verdict(true), "kept"}, {figures.Verdict(false), "missed"},
	} {
		if number.got != number.want {
			t.Errorf("got %s, want %s", number.got, number.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	values := []time.Duration{9, 1, 3}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 3, 1: 9} {
		if got := figures.Percentile(values, share); got != want {
			t.Errorf("percentile %v of %v: %d, want %d", share, values, got, want)
		}
	}
	if values[0] != 9 {
		t.Error("the values were sorted in place")
	}
}

func TestWriteBetween(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := figures.Begin("two") + "other\n" + figures.End("two")
	write("before\n" + figures.Begin("one") + "old\n" + figures.End("one") + "between\n" + other)
	for range 2 {
		if err := figures.WriteBetween(path, "one", "new"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if want := "before\n" + figures.Begin("one") + "\nnew\n" + figures.End("one") + "between\n" + other; err != nil || string(got) != want {
		t.Errorf("got %q, want %q, %v", got, want, err)
	}
	write("no markers\n")
	if err := figures.WriteBetween(path, "one", "new"); err == nil || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("without markers: %v", err)
	}
}
