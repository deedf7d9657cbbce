package main

import "testing"

func TestWhereTheTasksAre(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		file, server, shown string
	}{
		"tasks.db":                     {"tasks.db", "", "tasks.db"},
		"/var/lib/a b%20/tasks.db":     {"/var/lib/a b%20/tasks.db", "", "/var/lib/a b%20/tasks.db"},
		`C:\tasks.db`:                  {`C:\tasks.db`, "", `C:\tasks.db`},
		"sqlite:tasks.db":              {"tasks.db", "", "tasks.db"},
		"sqlite:///var/a%20b.db":       {"/var/a b.db", "", "/var/a b.db"},
		"sqlite:/var/tasks.db":         {"/var/tasks.db", "", "/var/tasks.db"},
		"postgres://u:secret@h/db?a=b": {"", "postgres://u:secret@h/db?a=b", "postgres://u:xxxxx@h/db?a=b"},
		"postgresql://h/db":            {"", "postgresql://h/db", "postgresql://h/db"},
		"postgres://u:secret%@h":       {"", "postgres://u:secret%@h", "postgres://…"},
	} {
		got, err := parseStore(text)
		if err != nil || got.file != want.file || got.server != want.server || got.String() != want.shown || got.memory() {
			t.Errorf("%q: %+v shown as %q, %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "sqlite:", "sqlite://host/x", "sqlite:///%", "http://x", "mysql://x"} {
		if got, err := parseStore(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}
