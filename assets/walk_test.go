package assets_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// nested is a folder of which two parts have other rights, and links into them.
func nested(t testing.TB) (m *assets.Mover, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, deep := range []string{"", "deep/"} {
		writeFile(t, dir+"/srv/secret/"+deep+"key", "secret")
		writeFile(t, dir+"/srv/golden/"+deep+"a", "golden")
	}
	writeFile(t, dir+"/srv/pub/real/a", "public")
	writeFile(t, dir+"/srv/pub/real/key", "public")
	link(t, "../secret", dir+"/srv/pub/secret")
	link(t, "../golden", dir+"/srv/pub/golden")
	link(t, "../secret/key", dir+"/srv/pub/key")
	link(t, "../secret/deep", dir+"/srv/pub/deep")
	link(t, "real", dir+"/srv/pub/inside")
	link(t, dir+"/srv", dir+"/alias")
	// The second is named through a link of the operator's own.
	m = newMover(t, assets.Config{Allow: []string{
		"file://" + dir + "/srv/", "destination:file://" + dir + "/srv/secret/", "source:file://" + dir + "/alias/golden/",
	}}, dir+"/srv")
	return m, "file://" + dir + "/srv"
}

// A link inside a folder does not lead past the rule for a part of it.
func TestNoLinkPastANestedRule(t *testing.T) {
	t.Parallel()
	m, srv := nested(t)
	for _, c := range []struct{ source, destination string }{
		{"/pub/secret/key", "/pub/x"},
		{"/pub/key", "/pub/x"},
		{"/pub/deep/key", "/pub/x"},
		{"/pub/real/a", "/pub/golden/a"},
		{"/pub/real/a", "/pub/golden/new/a"},
		{"/pub/real/a", "/golden/a"}, // the same folder as alias/golden
		{"/golden/a", "/pub/x"},      // only below its own prefix
		{"/pub/inside/a", "/pub/x"},  // no link at all, which is simple to see
		{"/pub/real/a", "/pub/inside/b"},
	} {
		d := fails(t, m, srv+c.source, srv+c.destination)
		if wantVerb(t, d, messages.VerbDiscard, assets.ErrNotAllowed); t.Failed() {
			t.Fatalf("%s → %s: %v", c.source, c.destination, d)
		}
	}
	dir := strings.TrimPrefix(srv, "file://")
	wantFile(t, dir+"/golden/a", "golden")
	wantNoFile(t, dir+"/golden/new")
	wantNoFile(t, dir+"/pub/x")
	if err := indexError(t, m, srv+"/pub/secret"); !errors.Is(err, assets.ErrNotAllowed) {
		t.Errorf("listing by way of the link: %v, want ErrNotAllowed", err)
	}
	// What the rules allow goes on.
	move(t, m, srv+"/pub/real/a", srv+"/pub/new/folder/b", nil)
	wantFile(t, dir+"/pub/new/folder/b", "public")
	move(t, m, srv+"/pub/new/folder/b", srv+"/secret/b", nil)
	move(t, m, strings.Replace(srv, "/srv", "/alias", 1)+"/golden/a", srv+"/pub/g", nil)
	wantFile(t, dir+"/pub/g", "golden")
	wantIndex(t, m, srv+"/pub/new", []string{"folder/b"}, nil)
}

// Nor does one that comes and goes all the time.
func TestNoRacePastANestedRule(t *testing.T) {
	t.Parallel()
	m, srv := nested(t)
	dir := strings.TrimPrefix(srv, "file://")
	stop := make(chan struct{})
	var flipping sync.WaitGroup
	for _, part := range []string{"secret", "golden"} {
		writeFile(t, dir+"/flip-"+part+"/a", "public")
		writeFile(t, dir+"/flip-"+part+"/key", "public")
		link(t, part+"/deep", dir+"/next-"+part) // deeper than the folder that is known by itself
		flipping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					exchange(dir+"/flip-"+part, dir+"/next-"+part)
				}
			}
		})
	}
	done := 0
	for range 120 {
		if _, err := m.Move(t.Context(), assets.Move{Source: srv + "/flip-secret/key", Destination: srv + "/read"}, nil, nil); err == nil {
			done++
			wantFile(t, dir+"/read", "public")
		}
		if _, err := m.Move(t.Context(), assets.Move{Source: srv + "/pub/real/a", Destination: srv + "/flip-golden/a"}, nil, nil); err == nil {
			done++
		}
	}
	close(stop)
	flipping.Wait()
	wantFile(t, dir+"/golden/deep/a", "golden")
	if entries, err := os.ReadDir(dir + "/golden/deep"); err != nil || len(entries) != 1 {
		t.Errorf("in the folder that may not be written to there are %v (%v)", entries, err)
	}
	if done == 0 || done == 240 {
		t.Logf("%d of 240 moves met the folder: the links did not change fast enough to prove much", done)
	}
}

// Rights that do not differ give no reason to refuse links.
func TestLinksBetweenEqualRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/part/a", "a")
	link(t, "part", dir+"/link")
	m := newMover(t, assets.Config{Allow: []string{"file://" + dir, "file://" + dir + "/part?metadata=skip"}}, dir)
	move(t, m, "file://"+dir+"/link/a", "file://"+dir+"/link/b", nil)
	wantFile(t, dir+"/part/b", "a")
}
