package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWritableAbove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(elements ...string) string { return filepath.Join(append([]string{dir}, elements...)...) }
	for _, folder := range []string{at("new", "deep"), at("newer"), at("own"), at("a b%")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Symlink(at("new"), at("link")), os.Symlink(at("new", "deep"), at("into")),
		os.Symlink(at("own", "tasks.db"), at("new", "tasks.db")),
		os.Symlink(at("own", "tasks.db"), at("new", "deep", "tasks.db")), os.WriteFile(at("own", "tasks.db"), nil, 0o600),
		os.WriteFile(at("new", "real.db"), nil, 0o600), os.Symlink(at("new", "real.db"), at("own", "real.db")),
		os.Symlink(at("own"), at("new", "out")), os.Symlink(at("new"), at("own", "back")),
	); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, allow string
		want              bool
	}{
		{"in it", at("new", "move.db"), "file://" + at("new"), true},
		{"deep in it", at("new", "deep", "move.db"), "file://" + at("new") + "/", true},
		{"in what is not there yet", at("new", "later", "move.db"), "file://" + at("new", "later") + "?create_dir=1", true},
		{"in what is not there yet, by a link", at("new", "later", "tmp"), "file://" + at("link", "later") + "?create_dir=1", true},
		{"the folder itself", at("new"), "file://" + at("new"), true},
		{"for writing only", at("new", "move.db"), "destination:file://" + at("new") + "/", true},
		{"the whole disk", at("own", "move.db"), "file:///", true},
		{"localhost", at("new", "move.db"), "file://localhost" + at("new"), true},
		{"encoded", at("a b%", "move.db"), "file://" + at("a%20b%25"), true},
		{"the prefix is a link", at("new", "move.db"), "file://" + at("link"), true},
		{"by a link", at("into", "move.db"), "file://" + at("new"), true},
		{"a link that could be replaced", at("new", "tasks.db"), "file://" + at("new"), true},
		{"the same, by another link", at("into", "tasks.db"), "file://" + at("new"), true},
		{"out of it by a link that could be replaced", at("new", "out", "tasks.db"), "file://" + at("new"), true},
		{"back into it", at("own", "back", "move.db"), "file://" + at("new"), true},
		{"a link into it", at("own", "real.db"), "file://" + at("new"), true},
		{"with dots", at("own") + "/../new/move.db", "file://" + at("new"), true},

		{"beside it", at("own", "move.db"), "file://" + at("new"), false},
		{"above it", at("move.db"), "file://" + at("new"), false},
		{"a longer name", at("newer", "move.db"), "file://" + at("new"), false},
		{"for reading only", at("new", "move.db"), "source:file://" + at("new"), false},
		{"no folder", at("new", "move.db"), "s3://" + at("new"), false},
		{"not a URL", at("new", "move.db"), "file://%zz", false},
		{"in memory", "", "file:///", false},
	} {
		allow := []string{"https://example.com/", test.allow}
		if got := writableAbove(test.path, allow); got != "" != test.want || test.want && got != test.allow {
			t.Errorf("%s: %s below %s gives %q, want %v", test.name, test.path, test.allow, got, test.want)
		}
	}
}

// What is secret must not even be read, and where something may be read only, nothing of ours can be overwritten.
func TestCheckSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := ownFile{"--tls", filepath.Join(dir, "certs")}
	for line, want := range map[string]bool{
		"file://" + dir: false, "source:file://" + dir + "/": false, "destination:file://" + dir: false,
		"source:file://" + filepath.Join(dir, "public") + "/": true, "https://example.com/": true,
	} {
		if err := checkSecrets([]string{"mem://x/", line}, ownFile{"--clients", ""}, key); (err == nil) != want {
			t.Errorf("%s: %v", line, err)
		}
	}
	if err := checkAllow([]string{"source:file://" + dir}, key); err != nil {
		t.Errorf("what may be read only: %v", err)
	}
}

// A relative path is as good as any.
func TestWritableAboveWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := folderURL(".")
	if err != nil {
		t.Fatal(err)
	}
	if writableAbove("tasks.db", []string{here}) == "" || writableAbove("../tasks.db", []string{here}) != "" {
		t.Error("a relative path is not found, or not apart")
	}
}
