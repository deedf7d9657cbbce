package store

import (
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

func TestDurationAsPeopleReadIt(t *testing.T) {
	if got := duration(1234567); got != "1.235ms" {
		t.Errorf("got %s, want 1.235ms", got)
	}
}
