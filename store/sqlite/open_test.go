package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

func TestOpenPaths(t *testing.T) {
	names := []string{
		"plain.db", "with space.db", "what?.db", "100%.db", "%41.db", "a#b.db", "日本語 🎉.db", `quote'".db`, "a&b=c;d.db", "new\nline.db",
		"?mode=memory", "no-extension",
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dir %3F#"+name[:1], name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			s := open(t, path)
			id := insertOne(t, s, nil)
			_ = s.Close()
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the file is elsewhere: %v", err)
			}
			if _, err := open(t, path).Get(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenRelativePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := open(t, "tasks.db")
	t.Chdir(t.TempDir()) // the store stays where it is
	id := insertOne(t, s, nil)
	if _, err := s.Get(t.Context(), id); err != nil {
		t.Error(err)
	}
	_ = s.Close()
	if _, err := open(t, filepath.Join(dir, "tasks.db")).Get(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesPaths(t *testing.T) {
	dir := t.TempDir()
	cases := map[string]string{
		"":                                  "empty",
		":memory:":                          "store.NewMemory",
		"file:tasks.db":                     "URI",
		"a\x00b":                            "NUL",
		dir:                                 "not a regular file",
		filepath.Join(dir, "none", "t.db"):  "does not exist",
		filepath.Join(dir, "none", "t.db/"): "does not exist",
	}
	for path, want := range cases {
		_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "store/sqlite: ") {
			t.Errorf("path %q: got error %v, want one that says %q", path, err, want)
		}
	}
	_, err := sqlite.Open(t.Context(), filepath.Join(dir, "none", "t.db"), sqlite.Config{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestOpenRefusesConfig(t *testing.T) {
	for field, cfg := range map[string]sqlite.Config{
		"Queue": {Queue: -1}, "Readers": {Readers: -1}, "BusyTimeout": {BusyTimeout: -1}, "MaxBytes": {MaxBytes: -1},
		"TxTimeout": {TxTimeout: -1},
	} {
		_, err := sqlite.Open(t.Context(), tempFile(t), cfg)
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestOpenTwice(t *testing.T) {
	path := tempFile(t)
	s := open(t, path)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{path, link, filepath.Dir(path) + "/../" + filepath.Base(filepath.Dir(path)) + "/tasks.db"} {
		_, err := sqlite.Open(t.Context(), again, sqlite.Config{})
		wantFault(t, err, store.ErrLocked, filepath.Base(path))
	}
	insertOne(t, s, nil) // the first one was not disturbed
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Errorf("the lock file: %v", err)
	}
	open(t, link)
}

func TestOpenContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := tempFile(t)
	if _, err := sqlite.Open(ctx, path, sqlite.Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	open(t, path)
}

func TestOpenNewerVersion(t *testing.T) {
	path := tempFile(t)
	_ = open(t, path).Close()
	raw(t, path, "PRAGMA user_version = 99")
	unchanged(t, path, func() {
		_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
		wantFault(t, err, store.ErrNewerVersion, path)
		if err != nil && (!strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), "up to 4")) {
			t.Errorf("the error does not name both versions: %v", err)
		}
		if err := sqlite.Migrate(t.Context(), path, 0); !errors.Is(err, store.ErrNewerVersion) {
			t.Errorf("migrate: %v", err)
		}
	})
}

func TestOpenForeignDatabase(t *testing.T) {
	cases := map[string][]string{
		"tables":                 {"CREATE TABLE songs (title TEXT)", "INSERT INTO songs VALUES ('Blue Train')"},
		"tables, write-ahead":    {"PRAGMA journal_mode = WAL", "CREATE TABLE songs (title TEXT)"},
		"tables of our names":    {"CREATE TABLE tasks (id INTEGER)", "CREATE TABLE counts (id INTEGER)"},
		"an application id":      {"PRAGMA application_id = 123"},
		"a version":              {"PRAGMA user_version = 1"},
		"an id and tables":       {"PRAGMA application_id = 123", "CREATE TABLE songs (title TEXT)"},
		"only an empty database": nil,
	}
	for name, script := range cases {
		t.Run(name, func(t *testing.T) {
			path := tempFile(t)
			raw(t, path, append(script, "PRAGMA auto_vacuum")...)
			if script == nil {
				open(t, path)
				return
			}
			unchanged(t, path, func() {
				_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
				wantFault(t, err, store.ErrSchema, path)
				if err == nil || !strings.Contains(err.Error(), "another application") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestOpenEmptyFile(t *testing.T) {
	path := tempFile(t)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	insertOne(t, open(t, path), nil)
}

func TestOpenNoDatabase(t *testing.T) {
	for _, content := range [][]byte{
		[]byte(strings.Repeat("this is no database\n", 500)), []byte("xy"), make([]byte, 8192),
	} {
		path := tempFile(t)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		unchanged(t, path, func() {
			_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
			wantFault(t, err, store.ErrCorrupt, path)
		})
	}
}

// TestOpenDamaged damages each page of a small database in turn. Each time Open must say so, or what it opens must work
// on the tasks that are there: no panic, no endless loop.
func TestOpenDamaged(t *testing.T) {
	path, id := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noticed := 0
	for offset := 0; offset < len(whole); offset += 4096 {
		damaged := bytes.Clone(whole)
		for i := range 64 {
			damaged[offset+i] ^= 0xa5
		}
		if openDamaged(t, damaged, id) {
			noticed++
		}
	}
	if pages := len(whole) / 4096; noticed < pages*9/10 {
		t.Errorf("damage to %d of %d pages was noticed", noticed, pages)
	}
	if !openDamaged(t, whole[:len(whole)/2], id) {
		t.Error("half of the file is missing, and nobody notices")
	}
}

// openDamaged reports whether Open noticed the damage.
func openDamaged(t *testing.T, content []byte, id string) bool {
	t.Helper()
	path := tempFile(t)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("the error does not name the file: %v", err)
		}
		return true
	}
	defer func() { _ = s.Close() }()
	// Whatever these answer, they answer.
	_, _ = s.Get(t.Context(), id)
	_, _ = s.List(t.Context(), store.Query{Limit: 1000})
	_, _ = s.Claim(t.Context(), benchTime, store.Claim{Runner: "assets", Node: "n", Kinds: []string{"asset.move"}, Limit: 10})
	_, _ = s.Insert(t.Context(), benchTime, benchTasks(0, 100, ""))
	return false
}

// filled makes a small database with tasks in several states, and gives the id of one.
func filled(t testing.TB) (path, id string) {
	t.Helper()
	path = tempFile(t)
	s := open(t, path)
	inserted, err := s.Insert(context.Background(), benchTime, append(benchTasks(0, 100, "node-1"), benchTasks(100, 100, "")...))
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []store.Outcome
	for i := range 60 {
		o := completed(inserted[i].Task)
		if i%2 == 0 {
			o.To, o.Error, o.Result = store.Discarded, strings.Repeat("it failed ", 100), nil
		}
		outcomes = append(outcomes, o)
	}
	finish(t, s, outcomes)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, inserted[0].ID
}

// TestDamageMetLater damages an open database, and expects the read that meets it to say so.
func TestDamageMetLater(t *testing.T) {
	path, id := filled(t)
	s := open(t, path)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := file.Stat()
	for offset := int64(4096); offset < info.Size(); offset += 4096 {
		if _, err := file.WriteAt(bytes.Repeat([]byte{0xa5}, 4096), offset); err != nil {
			t.Fatal(err)
		}
	}
	_ = file.Close()
	_, err = s.Get(t.Context(), id)
	wantFault(t, err, store.ErrCorrupt, path)
}

// TestForeignRows has values that no schema of ours lets in: Open finds them, or who reads them does.
func TestForeignRows(t *testing.T) {
	atOpen := map[string]bool{"kind = x'00'": true, "key = x'00'": true, "state = 9": true, "body = 'text'": true, "body = NULL": true}
	for _, change := range []string{
		"kind = 99", "kind = x'00'", "key = x'00'", "state = 9", "id = x'00'", "body = x'00'", "body = 'text'", "body = x'01'", "body = NULL",
	} {
		path, _ := filled(t)
		raw(t, path, "PRAGMA writable_schema = ON",
			"UPDATE sqlite_schema SET sql = replace(replace(replace(sql, 'STRICT', ''), 'BETWEEN 0 AND 3', '>= 0'), 'NOT NULL,', ',')",
			"PRAGMA writable_schema = RESET", "UPDATE taskrunner_tasks SET "+change+" WHERE seq = 150")
		restoreSchema(t, path)
		s, err := sqlite.Open(t.Context(), path, sqlite.Config{})
		if atOpen[change] {
			wantFault(t, err, store.ErrCorrupt, path)
			continue
		}
		if err != nil {
			t.Fatal(change, err)
		}
		_, err = s.List(t.Context(), store.Query{Limit: 100})
		wantFault(t, err, store.ErrCorrupt, path)
		claim := store.Claim{Runner: "assets", Node: "n", Kinds: []string{"asset.move"}, Limit: 100}
		if _, err := s.Claim(t.Context(), benchTime, claim); err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: claim: %v", change, err)
		}
		_ = s.Close()
	}
}

// restoreSchema gives a file the text of the schema that it is expected to have.
func restoreSchema(t *testing.T, path string) {
	t.Helper()
	fresh := tempFile(t)
	_ = open(t, fresh).Close()
	raw(t, path, "PRAGMA writable_schema = ON", "ATTACH '"+fresh+"' AS fresh",
		"UPDATE main.sqlite_schema SET sql = (SELECT f.sql FROM fresh.sqlite_schema f WHERE f.name = main.sqlite_schema.name)",
		"DETACH fresh", "PRAGMA writable_schema = RESET")
}

func TestSpotChecks(t *testing.T) {
	path, _ := filled(t)
	s := open(t, path)
	if err := s.CheckSpots(t.Context(), 4); err != nil {
		t.Error(err)
	}
	err := s.Write(t.Context(), 1, func(exec func(string) error) error { return exec("DROP TABLE taskrunner_subscribers") })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSpots(t.Context(), 3); err != nil {
		t.Errorf("of a file that is not migrated yet: %v", err)
	}
	if err := s.CheckSpots(t.Context(), 4); err == nil {
		t.Error("a table is missing, and nobody notices")
	}
}

func TestLockedByAnotherProgram(t *testing.T) {
	path, id := filled(t)
	db := rawDB(t, path)
	for _, text := range []string{"PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "UPDATE taskrunner_counts SET tasks = tasks"} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	_, err := sqlite.Open(t.Context(), path, sqlite.Config{BusyTimeout: 1})
	wantFault(t, err, store.ErrLocked, path)
	_ = db.Close()

	s, err := sqlite.Open(t.Context(), path, sqlite.Config{BusyTimeout: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	db = rawDB(t, path)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	task := benchTask(0, "")
	_, err = s.Insert(t.Context(), benchTime, []store.NewTask{task})
	wantFault(t, err, store.ErrLocked, path)
	wantFault(t, s.Ping(t.Context()), store.ErrLocked, path)
	if _, err := s.Get(t.Context(), id); err != nil {
		t.Errorf("reading while another program writes: %v", err)
	}
	if _, err := db.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if inserted, err := s.Insert(t.Context(), benchTime, []store.NewTask{task}); err != nil || inserted[0].Existed {
		t.Errorf("after the lock: %v, %v", inserted, err)
	}
}

func TestMaxBytes(t *testing.T) {
	path := tempFile(t)
	s, err := sqlite.Open(t.Context(), path, sqlite.Config{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var accepted []string
	for err == nil {
		task := benchTask(len(accepted), "")
		task.Args = make([]byte, 50_000)
		if _, err = s.Insert(t.Context(), benchTime, []store.NewTask{task}); err == nil {
			accepted = append(accepted, task.ID)
		}
	}
	wantFault(t, err, store.ErrFull, path)
	if len(accepted) < 15 || len(accepted) > 21 {
		t.Errorf("1 MiB holds %d tasks of 50 KB", len(accepted))
	}
	allThere(t, s, accepted)
	_ = s.Close()
	s = open(t, path)
	allThere(t, s, accepted)
	insertOne(t, s, make([]byte, 50_000))
}

func allThere(t *testing.T, s *sqlite.Store, ids []string) {
	t.Helper()
	for _, id := range ids {
		if _, err := s.Get(context.Background(), id); err != nil {
			t.Fatalf("an accepted task is gone: %v", err)
		}
	}
	counts, err := s.Counts(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if n := counts[store.Available]; n != int64(len(ids)) {
		t.Errorf("there are %d tasks, %d were accepted", n, len(ids))
	}
}

func insertOne(t testing.TB, s *sqlite.Store, args []byte) (id string) {
	t.Helper()
	task := benchTask(0, "")
	task.Args = args
	if _, err := s.Insert(context.Background(), benchTime, []store.NewTask{task}); err != nil {
		t.Fatal(err)
	}
	return task.ID
}

func wantFault(t testing.TB, err, target error, path string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want %q", err, target)
		return
	}
	if text := err.Error(); !strings.HasPrefix(text, "store/sqlite: ") || !strings.Contains(text, path) {
		t.Errorf("the error does not say where: %q", text)
	}
}

func rawDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// raw runs statements on the file as another program would.
func raw(t testing.TB, path string, script ...string) {
	t.Helper()
	db := rawDB(t, path)
	defer func() { _ = db.Close() }()
	for _, text := range script {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(text, err)
		}
	}
}

// unchanged checks that f leaves every byte of the file.
func unchanged(t *testing.T, path string, f func()) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f()
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	if log, err := os.Stat(path + "-wal"); err == nil {
		t.Errorf("a log of %d bytes was left behind", log.Size())
	}
}

// What a database holds is its owner's business.
func TestOpenMakesPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want it for its owner alone", name, info.Mode(), err)
		}
	}
}
