package sqlite_test

import (
	"os"
	"testing"

	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// TestTheLogIsWrittenOver: the log file does not grow with what is written, up to its first turn, and is gone after Close.
func TestTheLogIsWrittenOver(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		cfg  sqlite.Config
		want int64
	}{
		"as long as it gets":               {sqlite.Config{}, sqlite.FilledBytes},
		"no longer than the database gets": {sqlite.Config{MaxBytes: 1 << 20}, 1 << 20 / sqlite.FrameBytes * sqlite.FrameBytes},
	} {
		path := tempFile(t)
		s, err := sqlite.Open(t.Context(), path, c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			insertOne(t, s, []byte("{}"))
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != c.want {
			t.Errorf("%s: the log has %d bytes, want %d", what, info.Size(), c.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) {
			t.Errorf("%s: after Close: %v", what, err)
		}
	}
}

// TestLogPages: the log is as long as is fast, but for a small disk and a small database.
func TestLogPages(t *testing.T) {
	t.Parallel()
	mib := func(n int64) *int64 { n <<= 20; return &n }
	for what, c := range map[string]struct {
		cfg  sqlite.Config
		free *int64
		want int
	}{
		"a large disk":              {free: mib(100_000), want: 4000},
		"nobody knows":              {want: 4000},
		"a small disk":              {free: mib(40), want: 10<<20/4120 - 100},
		"a very small disk":         {free: mib(1), want: 100},
		"a full disk":               {free: mib(0), want: 100},
		"a small database":          {cfg: sqlite.Config{MaxBytes: 8 << 20}, free: mib(100_000), want: 8<<20/4120 - 100},
		"both, the disk is smaller": {cfg: sqlite.Config{MaxBytes: 8 << 20}, free: mib(16), want: 4<<20/4120 - 100},
	} {
		if got := sqlite.LogPages(c.cfg, c.free); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
}
