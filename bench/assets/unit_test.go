package assets

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// What is published must not be wrong because a table was put together wrongly.
func TestFigures(t *testing.T) {
	ours := contender{name: ourName, ours: true, to: toS3, transfers: 64}
	theirs := contender{name: checkingName, to: toS3, transfers: 64}
	took := func(seconds, memory float64) result {
		return result{files: 100, took: time.Duration(seconds * float64(time.Second)), memory: memory}
	}
	r := &run{results: map[string][]result{
		ours.title():   {took(5, 40), took(1, 95), took(2, 50)},
		theirs.title(): {took(4, 90), took(9, 90), took(1, 90)},
	}}
	if got, ok := overRclone(ours)(r); got != 0.5 || !ok {
		t.Errorf("ours takes %v of rclone's time, %v, want half of it", got, ok)
	}
	if got, ok := memory(ours)(r); got != 95 || !ok {
		t.Errorf("ours had %v MiB, %v, want those of its worst round", got, ok)
	}
	if got := r.ofOurs(theirs); got != "2.0×" {
		t.Errorf("in the table rclone takes %q of our time, want 2.0×", got)
	}
	if rates := r.each(ours, result.rate); rates[0] != 20 {
		t.Errorf("100 files in 5 s are %v files/s", rates[0])
	}
	for _, b := range bars() {
		if _, ok := b.got(r); ok != strings.Contains(b.promise, "S3 with 64") {
			t.Errorf("%s: measured: %t", b.promise, ok)
		}
	}
	if atMost(1)(1.01) || !atMost(1)(1) {
		t.Error("at most 1 is 1, and no more")
	}
}

func TestEachContenderIsThereOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range contenders() {
		if seen[c.title()] {
			t.Errorf("%s is there twice", c.title())
		}
		seen[c.title()] = true
	}
}

func TestCompareFindsWhatIsWrong(t *testing.T) {
	want := map[string]digest{"a": sha256.Sum256([]byte("a")), "b": sha256.Sum256([]byte("b"))}
	for complaint, files := range map[string]map[string]string{
		"":                 {"a": "a", "b": "b", gatewayPrefix + "/part": "part"},
		"has not arrived":  {"a": "a"},
		"another content":  {"a": "a", "b": "B"},
		"none of the file": {"a": "a", "b": "b", "sub/c": "c"},
	} {
		dir := t.TempDir()
		for name, content := range files {
			path := filepath.Join(dir, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o700))
			must(t, os.WriteFile(path, []byte(content), 0o600))
		}
		err := compare(want, dir)
		if complaint == "" && err != nil || complaint != "" && (err == nil || !strings.Contains(err.Error(), complaint)) {
			t.Errorf("%q: %v, want %q", files, err, complaint)
		}
	}
}

func TestRecordedFindsWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	must(t, err)
	ids := []string{"01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"}
	now := time.Now()
	for _, id := range ids {
		_, err := db.Insert(t.Context(), now, []store.NewTask{{ID: id, Runner: "r", Kind: "k", MaxAttempts: 1, Node: "n"}})
		must(t, err)
	}
	finish := func(id string) {
		_, err := db.Finish(t.Context(), []store.Outcome{{TaskID: id, Run: 1, To: store.Completed, FinishedAt: now, Result: []byte("{}")}})
		must(t, err)
	}
	wantRecorded := func(n int, ok bool) {
		t.Helper()
		must(t, db.Close())
		if err := recorded(t.Context(), path, n); (err == nil) != ok {
			t.Errorf("%d tasks are recorded: %v, want that to be right: %t", n, err, ok)
		}
		db, err = sqlite.Open(t.Context(), path, sqlite.Config{})
		must(t, err)
	}
	wantRecorded(2, false)
	finish(ids[0])
	wantRecorded(1, false) // the other one has not ended
	finish(ids[1])
	wantRecorded(2, true)
	wantRecorded(3, false)
	must(t, db.Close())
}

func TestSomebodyElsesSettingsAreNotTaken(t *testing.T) {
	t.Setenv("GOGC", "10")
	t.Setenv("RCLONE_TRANSFERS", "1")
	t.Setenv("TRANSFERS", "1")
	got := strings.Join(environment(), "\n") + "\n"
	if strings.Contains(got, "GOGC") || strings.Contains(got, "RCLONE_") || !strings.Contains(got, "TRANSFERS=1\n") {
		t.Errorf("the clients get %s", got)
	}
}
