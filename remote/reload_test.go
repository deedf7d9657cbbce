package remote

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Many ask at once; one of them looks, once a second.
func TestFilesAreLookedAtOnceASecond(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	var parsed atomic.Int64
	start := time.Now()
	r, err := loadFiles(quiet(), start, []namedFile{{"Field", path}}, func(contents [][]byte) (string, error) {
		parsed.Add(1)
		return string(contents[0]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write("two")
	if got := r.at(start.Add(reloadInterval - 1)); got != "one" {
		t.Errorf("before a second it is %q, want one", got)
	}
	var asking sync.WaitGroup
	for range 100 {
		asking.Go(func() { r.at(start.Add(reloadInterval)) })
	}
	asking.Wait()
	if got := r.at(start.Add(reloadInterval)); got != "two" || parsed.Load() != 2 {
		t.Errorf("it is %q, parsed %d times, want two and 2", got, parsed.Load())
	}
	write("six") // as long as before, perhaps at the same time for the file system
	if got := r.at(start.Add(2*reloadInterval - 1)); got != "two" {
		t.Errorf("before another second it is %q, want two", got)
	}
	if got := r.at(start.Add(2 * reloadInterval)); got != "six" {
		t.Errorf("it is %q, want six", got)
	}
	if r.at(start.Add(3 * reloadInterval)); parsed.Load() != 3 {
		t.Errorf("parsed %d times, want 3: nothing has changed", parsed.Load())
	}
}

func TestWhatIsBadIsToldOncePerChange(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	log := newLogBook(t)
	now := time.Now()
	if err := os.WriteFile(path, []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := loadFiles(slog.New(log), now, []namedFile{{"Field", path}}, func(contents [][]byte) (string, error) {
		if string(contents[0]) != "good" {
			return "", errors.New("bad")
		}
		return "good", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		text          string // to be written; empty: nothing
		bad, replaced int    // lines so far
	}{{"bad", 1, 0}, {"", 1, 0}, {"worse", 2, 0}, {"", 2, 0}, {"good", 2, 1}, {"", 2, 1}, {"bad", 3, 1}} {
		if step.text != "" {
			if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(reloadInterval)
		if got := r.at(now); got != "good" {
			t.Errorf("step %d: it is %q, want good", i, got)
		}
		bad, replaced := log.count("a changed file is not used, what was read before goes on", path), log.count("a changed file is used from now on", path)
		if bad != step.bad || replaced != step.replaced {
			t.Errorf("step %d: %d and %d lines, want %d and %d", i, bad, replaced, step.bad, step.replaced)
		}
	}
}
