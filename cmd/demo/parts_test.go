package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

func TestStackUnwinds(t *testing.T) {
	t.Parallel()
	var s stack
	var order []string
	boom := errors.New("boom")
	for _, name := range []string{"first", "second", "third"} {
		s.push(name, func(context.Context) error {
			order = append(order, name)
			if name == "second" {
				return boom
			}
			return nil
		})
	}
	if err := s.unwind(t.Context()); !errors.Is(err, boom) || !strings.Contains(err.Error(), "stopping second") {
		t.Errorf("unwind: %v", err)
	}
	if err := s.unwind(t.Context()); err != nil {
		t.Errorf("unwind again: %v", err)
	}
	if want := []string{"third", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("stopped %q, want %q", order, want)
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	one, two := makeSamples(), makeSamples()
	names := map[string]bool{}
	for i, s := range one {
		if s.name != two[i].name || string(s.body) != string(two[i].body) || s.fault != two[i].fault {
			t.Errorf("sample %d differs from start to start", i)
		}
		if names[s.name] || len(s.body) == 0 {
			t.Errorf("%s is there twice, or empty", s.name)
		}
		names[s.name] = true
	}
	if len(one) != 232 {
		t.Errorf("%d samples, the help says 232", len(one))
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, source, destination string }{
		{"https://host/img", "source:https://host/img/", "destination:https://host/img/"},
		{"https://host/img/", "source:https://host/img/", "destination:https://host/img/"},
		{"s3://b/p?region=x", "source:s3://b/p/?region=x", "destination:s3://b/p/?region=x"},
		{"/srv/a b%", "source:file:///srv/a%20b%25/", "destination:file:///srv/a%20b%25/?create_dir=1"},
		{"/", "source:file:///", "destination:file:///?create_dir=1"},
		{"file:///srv/", "source:file:///srv/", "destination:file:///srv/?create_dir=1"},
		{"file:///srv/?metadata=skip", "source:file:///srv/?metadata=skip", "destination:file:///srv/?metadata=skip&create_dir=1"},
	} {
		p, err := parsePlace(test.text)
		if err != nil || p.source() != test.source || p.destination() != test.destination {
			t.Errorf("%q: %s, %s (%v); want %s, %s", test.text, p.source(), p.destination(), err, test.source, test.destination)
		}
	}
	if p, err := parsePlace("relative"); err != nil || !strings.HasSuffix(p.source(), "/cmd/demo/relative/") {
		t.Errorf("a relative path is %s (%v)", p.source(), err)
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("flag"), exitUsage},
		{failf(exitAddress, "taken"), exitAddress},
		{fmt.Errorf("more: %w", failf(exitFailed, "not found")), exitFailed},
		{other(errors.New("odd")), exitOther},
		{other(failf(exitFailed, "keeps its own")), exitFailed},
		{other(fmt.Errorf("x: %w", store.ErrFull)), exitDatabase},
		{errors.Join(&signalError{interrupt}, other(errors.New("slow"))), 130},
	} {
		if got := codeOf(test.err); got != test.want {
			t.Errorf("%v has code %d, want %d", test.err, got, test.want)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	move := assets.Move{Source: "https://host/a?token=1", Destination: "file:///srv/a"}
	said := "assets: downloading https://host/a → file:///srv/a: wrong length: 5 of 10"
	task := store.Task{History: []store.Attempt{{Error: "an earlier one"}, {Error: said}}}
	if got := reason(lastError(task), move); got != "downloading: wrong length: 5 of 10" || class(got) != "downloading: wrong length" {
		t.Errorf("reason %q, class %q", got, class(got))
	}
	if got := reason(lastError(store.Task{}), move); got == "" || class(got) != got {
		t.Errorf("reason %q, class %q", got, class(got))
	}
}

// unfinishedRounds finds the mutations that have not ended, whole, and no others.
func TestUnfinishedRounds(t *testing.T) {
	t.Parallel()
	db := store.NewMemory()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	insert := func(at time.Time, kind string, sources ...string) (ids []string) {
		var tasks []store.NewTask
		for _, source := range sources {
			tasks = append(tasks, store.NewTask{
				ID: uuid.NewString(), Runner: "r", Kind: kind, MaxAttempts: 1, Node: "n",
				Args: fmt.Appendf(nil, `{"source":"http://127.0.0.1:99/%s","destination":"mem://b/%s"}`, source, source),
			})
			ids = append(ids, tasks[len(tasks)-1].ID)
		}
		if _, err := db.Insert(t.Context(), at, tasks); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	finish := func(ids ...string) {
		for _, id := range ids {
			refused, err := db.Finish(t.Context(), []store.Outcome{{TaskID: id, Run: 1, To: store.Completed, FinishedAt: now, Result: []byte("{}")}})
			if err := errors.Join(append(refused, err)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	find := func() (sources string) {
		found, err := unfinishedRounds(t.Context(), db, "r")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			sources += strings.TrimPrefix(r.move.Source, "http://127.0.0.1:99/")
		}
		return sources
	}
	if got := find(); got != "" {
		t.Errorf("an empty database has %q", got)
	}
	finish(insert(now, assets.KindName, "a", "b")...)
	cd := insert(now.Add(time.Second), assets.KindName, "c", "d")
	finish(cd[0])
	finish(insert(now.Add(2*time.Second), assets.KindName, "e")...)
	insert(now.Add(3*time.Second), "other.kind", "f")
	insert(now.Add(4*time.Second), assets.KindName, "g")
	if got := find(); got != "cdg" {
		t.Errorf("found %q, want cdg", got)
	}
	if origin, err := lastOrigin(t.Context(), db, "r"); origin != "127.0.0.1:99" || err != nil {
		t.Errorf("the last origin is %q (%v)", origin, err)
	}
}

func TestOriginOf(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"http://127.0.0.1:80/a": "127.0.0.1:80", "http://[::1]:80/a": "[::1]:80", "http://127.0.0.1/a": "", "http://10.0.0.1:80/a": "",
		"https://127.0.0.1:80/a": "", "file:///a": "", "http://localhost:80/": "", "::": "",
	} {
		if got := originOf(assets.Move{Source: source}); got != want {
			t.Errorf("originOf(%q) = %q, want %q", source, got, want)
		}
	}
}
