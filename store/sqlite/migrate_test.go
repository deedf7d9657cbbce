package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
