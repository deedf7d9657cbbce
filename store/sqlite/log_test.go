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
		"no longer than the database gets": {sqlite.Config{MaxBytes: 1 << 20}, 1 << 20},
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
