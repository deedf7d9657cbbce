package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

func schema(t *testing.T, path string) (objects []string, version, application int) {
	t.Helper()
	db := rawDB(t, path)
	defer func() { _ = db.Close() }()
	rows, err := db.Query(`SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, text)
	}
	if err := errors.Join(rows.Err(),
		db.QueryRow(`PRAGMA user_version`).Scan(&version), db.QueryRow(`PRAGMA application_id`).Scan(&application),
	); err != nil {
		t.Fatal(err)
	}
	slices.Sort(objects)
	return objects, version, application
}

func TestMigrateUpDownUp(t *testing.T) {
	path := tempFile(t)
	s := open(t, path)
	insertOne(t, s, nil)
	_ = s.Close()
	first, version, application := schema(t, path)
	files, err := filepath.Glob("migrations/*.up.sql")
	if err != nil || version != len(files) || application != 0x74736b72 {
		t.Errorf("version %d, application %#x, %d migrations, %v", version, application, len(files), err)
	}
	for to := version - 1; to >= 0; to-- {
		if err := sqlite.Migrate(t.Context(), path, to); err != nil {
			t.Fatal(err)
		}
		if _, now, _ := schema(t, path); now != to {
			t.Errorf("version is %d, want %d", now, to)
		}
	}
	if left, _, application := schema(t, path); len(left) != 0 || application != 0 {
		t.Errorf("version 0 is not empty: %v, application %#x", left, application)
	}
	if err := sqlite.Migrate(t.Context(), path, version); err != nil {
		t.Fatal(err)
	}
	if second, _, _ := schema(t, path); !slices.Equal(first, second) {
		t.Errorf("down and up again gives another schema:\n%s\n%s", strings.Join(first, "\n"), strings.Join(second, "\n"))
	}
	insertOne(t, open(t, path), nil)
}

func TestMigrateKeepsWhatIsThere(t *testing.T) {
	path, id := filled(t)
	_, version, _ := schema(t, path)
	if err := sqlite.Migrate(t.Context(), path, version); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path).Get(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func TestMigrateRefuses(t *testing.T) {
	path := tempFile(t)
	for _, version := range []int{-1, 1000} {
		if err := sqlite.Migrate(t.Context(), path, version); err == nil || !strings.Contains(err.Error(), "must be from 0 to") {
			t.Errorf("version %d: %v", version, err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was made")
	}
}

func TestMigrationIsRecorded(t *testing.T) {
	path := tempFile(t)
	_ = open(t, path).Close()
	var name string
	var at int64
	if err := rawDB(t, path).QueryRow(`SELECT name, applied_at FROM taskrunner_migrations WHERE version = 1`).Scan(&name, &at); err != nil {
		t.Fatal(err)
	}
	if name != "0001_tasks" || at <= 0 {
		t.Errorf("migration %q at %d", name, at)
	}
}

// version1 is a copy of a file that the program of schema version 1 has written, with a task in each state.
func version1(t *testing.T) (path string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "version1.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	path = tempFile(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// oldID is the id of a task in that file.
func oldID(n int) string { return fmt.Sprintf("019cb7f5-5a00-7c3e-8f00-%012d", n) }

// TestMigrateFromVersion1: each task has what it had, and works on.
func TestMigrateFromVersion1(t *testing.T) {
	path := version1(t)
	checkVersion1(t, open(t, path))
}

func checkVersion1(t *testing.T, s *sqlite.Store) {
	t.Helper()
	at := func(seconds int) time.Time { return benchTime.Add(time.Duration(seconds) * time.Second) }
	old := func(n int) store.Task {
		return store.Task{
			ID: oldID(n), Seq: int64(n), Runner: "assets", Kind: "asset.move", Args: fmt.Appendf(nil, `{"n":%d}`, n), MaxAttempts: 3,
			Timeout: time.Minute, InsertedAt: benchTime, ScheduledAt: benchTime,
		}
	}
	with := func(n int, change func(t *store.Task)) store.Task {
		task := old(n)
		change(&task)
		return task
	}
	ran := func(task *store.Task, state store.State, run int64) {
		task.State, task.Run, task.Attempt, task.StartedAt = state, run, int(run), benchTime
	}
	entry := func(run int64, state store.State, seconds int, text, stack string) store.Attempt {
		return store.Attempt{Attempt: int(run), Run: run, Node: "node-1", State: state, FinishedAt: at(seconds), Error: text, Stack: stack}
	}
	for _, want := range []store.Task{
		with(1, func(task *store.Task) {
			ran(task, store.Completed, 1)
			task.Key, task.Result, task.FinishedAt, task.Pos = "a.png", []byte("moved"), at(1), 1
		}),
		with(2, func(task *store.Task) {
			ran(task, store.Completed, 2)
			task.Key, task.FinishedAt, task.Pos = "b.png", at(3), 2
			task.History = []store.Attempt{entry(1, store.Retryable, 2, "try again", "stack")}
		}),
		with(3, func(task *store.Task) {
			ran(task, store.Discarded, 1)
			task.FinishedAt, task.Pos = at(4), 3
			task.History = []store.Attempt{entry(1, store.Discarded, 4, "never", "")}
		}),
		with(4, func(task *store.Task) { task.State, task.FinishedAt, task.Pos = store.Cancelled, at(5), 4 }),
		with(5, func(task *store.Task) {
			ran(task, store.Retryable, 1)
			task.Key, task.ScheduledAt = "e.png", benchTime.Add(time.Hour)
			task.History = []store.Attempt{entry(1, store.Retryable, 6, "later", "")}
		}),
		with(6, func(task *store.Task) {
			ran(task, store.Running, 1)
			task.Node, task.Progress, task.CancelRequested = "node-1", 0.5, true
		}),
		with(7, func(task *store.Task) { task.State, task.Kind = store.Available, "asset.check" }),
		with(8, func(task *store.Task) {
			task.State, task.Kind, task.Runner, task.ScheduledAt = store.Scheduled, "report", "reports", benchTime.Add(24*time.Hour)
		}),
	} {
		if got := get(t, s, want.ID); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("task %d is\n%+v, want\n%+v", want.Seq, got, want)
		}
	}
	wantCounts(t, s, map[store.State]int64{
		store.Completed: 2, store.Discarded: 1, store.Cancelled: 1, store.Retryable: 1, store.Running: 1, store.Available: 1, store.Scheduled: 1,
	})
	if last, err := s.Last(t.Context(), "asset.move", "b.png"); err != nil || last.ID != oldID(2) {
		t.Errorf("last is %+v, %v", last, err)
	}
	if next := begin(t, s, 1)[0]; next.Seq <= 8 {
		t.Errorf("a new task has seq %d", next.Seq)
	}
}

// TestMigrateDownToVersion1 goes down and up again: what the old schema can hold is there, also of tasks that were young when the
// process died.
func TestMigrateDownToVersion1(t *testing.T) {
	path := version1(t)
	_ = open(t, path).Close()
	for range 2 {
		if err := sqlite.Migrate(t.Context(), path, 1); err != nil {
			t.Fatal(err)
		}
	}
	db := rawDB(t, path)
	var tasks, attempts, counts, young int
	for text, n := range map[string]*int{
		`SELECT count(*) FROM tasks`: &tasks, `SELECT count(*) FROM attempts`: &attempts, `SELECT sum(tasks) FROM counts`: &counts,
		`SELECT count(*) FROM sqlite_schema WHERE name LIKE 'taskrunner%'`: &young,
	} {
		if err := db.QueryRow(text).Scan(n); err != nil {
			t.Fatal(text, err)
		}
	}
	if tasks != 8 || attempts != 3 || counts != 8 || young != 0 {
		t.Errorf("%d tasks, %d entries of history, %d counted, %d tables of the new schema", tasks, attempts, counts, young)
	}
	_ = db.Close()
	s := open(t, path)
	checkVersion1(t, s) // which begins a task
	copied := crashed(t, s.Path())
	path = copied.Path()
	_ = copied.Close()
	if err := sqlite.Migrate(t.Context(), path, 1); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, open(t, path), map[store.State]int64{
		store.Completed: 2, store.Discarded: 1, store.Cancelled: 1, store.Retryable: 1, store.Running: 2, store.Available: 1, store.Scheduled: 1,
	})
}

// TestOpenChangedVersion1: a file of the old schema that somebody has changed is not touched.
func TestOpenChangedVersion1(t *testing.T) {
	path := version1(t)
	raw(t, path, `DROP INDEX tasks_state`)
	_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	wantFault(t, err, store.ErrSchema, path)
	if objects, version, _ := schema(t, path); version != 1 || len(objects) == 0 {
		t.Errorf("the file has version %d", version)
	}
}
