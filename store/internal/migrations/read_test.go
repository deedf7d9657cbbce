package migrations_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/taskrunner-go/taskrunner/store/internal/migrations"
)

// folder has files whose text is their name.
func folder(names ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, name := range names {
		files["migrations/"+name] = &fstest.MapFile{Data: []byte(name)}
	}
	return files
}

func TestRead(t *testing.T) {
	got, err := migrations.Read(folder("0002_b.up.sql", "0001_a.down.sql", "0002_b.down.sql", "0001_a.up.sql"))
	want := []migrations.Step{
		{Version: 1, Name: "0001_a", Up: "0001_a.up.sql", Down: "0001_a.down.sql"},
		{Version: 2, Name: "0002_b", Up: "0002_b.up.sql", Down: "0002_b.down.sql"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, error %v, want %v", got, err, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for what, files := range map[string]fstest.MapFS{
		"a gap":          folder("0001_a.up.sql", "0001_a.down.sql", "0003_c.up.sql", "0003_c.down.sql"),
		"no number":      folder("a.up.sql", "a.down.sql"),
		"no way back":    folder("0001_a.up.sql"),
		"a number twice": folder("0001_a.up.sql", "0001_a.down.sql", "0001_b.up.sql", "0001_b.down.sql"),
	} {
		if steps, err := migrations.Read(files); err == nil {
			t.Errorf("%s: %v", what, steps)
		}
	}
}
