package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func write(t *testing.T, path string, life int, events ...event) (before []event) {
	t.Helper()
	j, before, err := openJournal(path, life)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		j.write(e)
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	return before
}

// TestJournalOfTheKilled: the line that was cut is lost, and nothing else.
func TestJournalOfTheKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	write(t, path, 0, event{What: isAsked, Token: "a"}, event{What: isAccepted, Token: "a"})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-5], 0o644); err != nil {
		t.Fatal(err)
	}
	before := write(t, path, 1, event{What: isAsked, Token: "b"})
	if len(before) != 1 || before[0].Token != "a" || before[0].What != isAsked {
		t.Errorf("the second life knows %v", before)
	}
	all, err := readJournal(path)
	if err != nil || len(all) != 2 || all[1].Token != "b" || all[1].Life != 1 || all[0].Life != 0 || all[1].At < all[0].At {
		t.Errorf("the judge reads %v, %v", all, err)
	}
}

func TestRemember(t *testing.T) {
	t.Parallel()
	m := remember([]event{
		{What: isAsked, Token: "s.0.0", ID: "x"}, {What: isAccepted, Token: "s.0.0", ID: "x"}, {What: isTold, Token: "s.0.0"},
		{What: isAsked, Token: "s.0.1", ID: "y"}, {What: isAccepted, Token: "s.0.1", ID: "y"},
		{What: isAsked, Token: "s.0.2", ID: "z"},                         // without an answer: it is asked for again
		{What: isAsked, Token: "s.1.0"}, {What: isAsked, Token: "s.1.1"}, // by RunMany: nobody can
	})
	if m.next[0] != 2 || m.next[1] != 2 || m.next[2] != 0 {
		t.Errorf("the callers go on at %v", m.next)
	}
	if !slices.EqualFunc(m.promised, []string{"y"}, func(e event, id string) bool { return e.ID == id }) {
		t.Errorf("promised and not told: %v", m.promised)
	}
}
