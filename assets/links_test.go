package assets_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// The same file behind two names is found before anything is recorded, as far as it is there.
func TestCheckFindsLinks(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	writeFile(t, dir+"/real/a", "a")
	writeFile(t, dir+"/real/deep/b", "b")
	link(t, "real", dir+"/link")
	link(t, "link/deep", dir+"/chain")
	link(t, "../real/deep/..", dir+"/real/up")
	link(t, "real/a", dir+"/file")
	link(t, "loop", dir+"/loop")
	link(t, "/real", dir+"/absolute")
	link(t, dir, other+"/top")
	_, mux := newMemory(t)
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{"https://cdn.example.com/", "mem://b/", "file://" + dir, "file://" + other + "/top"}}, dir)
	at := func(name string) string { return "file://" + dir + name }
	for _, c := range []struct{ source, destination string }{
		{at("/link/a"), at("/real/a")}, {at("/real/a"), at("/link/a")}, {at("/file"), at("/real/a")}, {at("/chain/b"), at("/real/deep/b")},
		{at("/real/up/a"), at("/link/a")}, {"file://" + other + "/top/real/a", at("/real/a")}, {at("/link/new/a"), at("/real/new/a")},
	} {
		for _, err := range []error{
			m.Check(assets.Move{Source: c.source, Destination: c.destination}),
			fails(t, m, c.source, c.destination),
		} {
			if !errors.Is(err, assets.ErrInvalid) || !strings.Contains(err.Error(), "is the source") {
				t.Errorf("%s → %s: %v, want it refused as the source", c.source, c.destination, err)
			}
		}
	}
	for _, c := range []struct {
		first, second string
		reason        string // empty: they go together
	}{
		{at("/real/x"), at("/link/x"), "is the destination of move 0"},
		{at("/real/deep/x"), at("/chain/x"), "is the destination of move 0"},
		{at("/real/none/x"), at("/link/none/x"), "is the destination of move 0"},
		{at("/x"), "file://" + other + "/top/x", "is the destination of move 0"},
		{at("/df"), at("/df/x"), "lies below the destination of move 0"},
		{at("/df/x/y/z"), at("/df"), "is a folder in the destination of move 0"},
		{at("/link/df"), at("/real/df/x"), "lies below the destination of move 0"},
		{at("/df"), at("/dfx"), ""}, {at("/df"), at("/d"), ""}, {at("/df/x"), at("/df/y"), ""},
		{at("/file"), at("/real/a"), ""}, // a link at a destination is not followed
		{at("/loop/a"), at("/absolute/a"), ""},
		{"mem://b/df", "mem://b/df/x", ""}, // a key may begin with another
		{"mem://b" + dir + "/df", at("/df/x"), ""},
	} {
		err := m.CheckAll([]assets.Move{
			{Source: "https://cdn.example.com/1", Destination: c.first}, {Source: "https://cdn.example.com/2", Destination: c.second},
		})
		input, _ := errors.AsType[*assets.InputError](err)
		if c.reason == "" && err != nil {
			t.Errorf("%s and %s: %v", c.first, c.second, err)
		} else if c.reason != "" && (input == nil || input.Index != 1 || !strings.Contains(input.Reason, c.reason)) {
			t.Errorf("%s and %s: %v, want one with %q", c.first, c.second, err, c.reason)
		}
	}
}

// The error is about the first move that is wrong, in whatever way.
func TestCheckAllFindsTheFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{"https://cdn.example.com/", "file://" + dir}}, dir)
	for _, c := range []struct {
		names []string // of destinations; ! is one that is not allowed
		index int
	}{
		{[]string{"a", "b", "a", "!"}, 2}, {[]string{"a", "!", "a"}, 1}, {[]string{"a/b", "c", "a", "a/b"}, 2},
		{[]string{"x", "a/b/c", "a/b", "x"}, 2}, {[]string{"x", "x", "a/b", "a"}, 1}, {[]string{"a/b/c/d", "a/b/x", "a", "a/b"}, 2},
	} {
		var moves []assets.Move
		for i, name := range c.names {
			destination := "file://" + dir + "/" + name
			if name == "!" {
				destination = "file:///elsewhere/x"
			}
			moves = append(moves, assets.Move{Source: fmt.Sprintf("https://cdn.example.com/%d", i), Destination: destination})
		}
		if input, _ := errors.AsType[*assets.InputError](m.CheckAll(moves)); input == nil || input.Index != c.index {
			t.Errorf("%v: %v, want one about move %d", c.names, input, c.index)
		}
	}
}

// What could not be seen by names is seen at the file itself; another hard link is another file.
func TestMoveOntoItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/"+strings.Repeat("d/", 50)+"a", "a")
	deep := dir + "/" + strings.TrimSuffix(strings.Repeat("d/", 50), "/")
	link(t, ".", deep+"/link") // deeper than Check looks
	m := newMover(t, assets.Config{Allow: []string{"file://" + dir}}, dir)
	d := fails(t, m, "file://"+deep+"/a", "file://"+deep+"/link/a")
	if wantVerb(t, d, messages.VerbDiscard, assets.ErrInvalid); !strings.Contains(d.Error(), "is the source") {
		t.Errorf("error %v, want the one that Check gives", d)
	}
	wantFile(t, deep+"/a", "a")
	if err := os.Link(deep+"/a", deep+"/b"); err != nil {
		t.Fatal(err)
	}
	move(t, m, "file://"+deep+"/a", "file://"+deep+"/b", nil)
	wantFile(t, deep+"/b", "a")
}
