package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is published must not be wrong because a table was put together wrongly.
func TestFigures(t *testing.T) {
	ours := contender{name: "taskrunner", engine: onSQLite, ours: true, way: best}
	river := contender{name: "River", engine: onSQLite, way: best}
	r := &run{
		contenders: []contender{river, ours},
		rates:      map[string][]float64{ours.title(): {90, 300, 100}, river.title(): {4, 50, 3}},
		waits:      map[string][]time.Duration{runOnSQLite: {3, 9, 1}, appendTitle: {2, 1, 8}},
	}
	for _, figure := range []struct {
		name string
		got  func(*run) (float64, bool)
		want float64
		ok   bool
	}{
		{"our rate", rate(onSQLite, best), 100, true},
		{"our rate one by one", rate(onSQLite, oneByOne), 0, false},
		{"against River", overRiver(onSQLite, best), 25, true},
		{"against River on another engine", overRiver(onPostgres, best), 0, false},
		{"against an append", against(runOnSQLite, appendTitle), 1.5, true},
		{"against what was not measured", against(runOnSQLite, insertTitle), 0, false},
		{"the slowest", waited(runOnSQLite, 1), 9, true},
	} {
		if got, ok := figure.got(r); got != figure.want || ok != figure.ok {
			t.Errorf("%s: %v %v, want %v %v", figure.name, got, ok, figure.want, figure.ok)
		}
	}
	if got := r.against(river, onSQLite); got != "25×" {
		t.Errorf("in the table ours is %q as fast, want 25×", got)
	}
}

func TestNumbersAsPeopleReadThem(t *testing.T) {
	for _, number := range []struct{ got, want string }{
		{thousands(0), "0"}, {thousands(999.6), "1,000"}, {thousands(1234567), "1,234,567"},
		{times(0.834), "0.83×"}, {times(3.14), "3.1×"}, {times(26.6), "27×"},
		{duration(1234567), "1.235ms"},
	} {
		if number.got != number.want {
			t.Errorf("got %s, want %s", number.got, number.want)
		}
	}
}

func TestWriteBetween(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	must(t, os.WriteFile(path, []byte("before\n"+beginMarker+"old\n"+endMarker+"after\n"), 0o600))
	for range 2 {
		must(t, writeBetween(path, "new"))
	}
	got, err := os.ReadFile(path)
	must(t, err)
	if want := "before\n" + beginMarker + "\nnew\n" + endMarker + "after\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	must(t, os.WriteFile(path, []byte("no markers\n"), 0o600))
	if err := writeBetween(path, "new"); err == nil || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("without markers: %v", err)
	}
}
