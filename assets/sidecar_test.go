package assets_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// typed answers with a path's own content and content type.
func typed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/x-"+r.URL.Path[1:])
	_, _ = io.WriteString(w, r.URL.Path[1:]) //nolint:gosec // no browser reads it
}

// sidecarType gives the content type in the sidecar file of an asset.
func sidecarType(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path + ".attrs")
	if err != nil {
		t.Fatal(err)
	}
	var side map[string]any
	if err := json.Unmarshal(text, &side); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(side["user.content_type"])
}

// Of many moves to one destination one wins, with its content and its content type, and whoever moves the asset on in the
// meantime gets the two that belong together.
func TestContentKeepsItsType(t *testing.T) {
	t.Parallel()
	base, dir := serve(t, typed), t.TempDir()
	link(t, ".", dir+"/link")
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}, MaxPerHost: 64}, dir)
	for range 40 {
		var group sync.WaitGroup
		for i := range 8 {
			to := []string{"/a", "/link/a"}[i%2]
			group.Go(func() { move(t, m, fmt.Sprintf("%s/%d", base, i), "file://"+dir+to, nil) })
		}
		group.Wait()
		content, err := os.ReadFile(dir + "/a")
		if got := sidecarType(t, dir+"/a"); err != nil || got != "text/x-"+string(content) {
			t.Fatalf("the content is %q, the type %q (%v)", content, got, err)
		}
		for i := range 4 {
			group.Go(func() { move(t, m, fmt.Sprintf("%s/%d", base, i), "file://"+dir+"/a", nil) })
			group.Go(func() {
				got := move(t, m, "file://"+dir+"/a", fmt.Sprintf("file://%s/copy%d", dir, i), nil)
				if want := strings.TrimPrefix(got.ContentType, "text/x-"); got.SHA256 != hashOf(want) {
					t.Errorf("moved on as %s with another content", got.ContentType)
				}
			})
		}
		group.Wait()
	}
}

// A move that is refused leaves nothing, not even of the sidecar file.
func TestRefusedMoveLeavesNoSidecar(t *testing.T) {
	t.Parallel()
	base, dir := serve(t, typed), t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}}, dir)
	writeFile(t, dir+"/folder/x", "x")
	wantVerb(t, fails(t, m, base+"/odd", "file://"+dir+"/folder"), messages.VerbDiscard, assets.ErrNotAFile)
	wantNoFile(t, dir+"/folder.attrs")

	writeFile(t, dir+"/taken.svg.attrs/x", "x")
	wantVerb(t, fails(t, m, base+"/odd", "file://"+dir+"/taken.svg"), messages.VerbDiscard, assets.ErrNotAFile)
	wantNoFile(t, dir+"/taken.svg")
	wantNoTemporary(t, dir)
}

// What comes into the way while the asset is downloaded is not replaced either.
func TestDestinationIsTakenMeanwhile(t *testing.T) {
	t.Parallel()
	b, dir := new(fakeBucket), t.TempDir()
	m := newMover(t, assets.Config{Mux: fakeMux(t, b), Allow: []string{"fake://b/", "file://" + dir}}, dir)
	b.set("x", "content")
	for name, take := range map[string]func(path string) error{
		"pipe": func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"link": func(path string) error { return os.Symlink("elsewhere", path) },
		"dir":  func(path string) error { return os.Mkdir(path, 0o755) },
		"side": func(path string) error { return os.Mkdir(path+".attrs", 0o755) },
	} {
		b.onRead = func(context.Context, string) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(&onceReader{func() error { return take(dir + "/" + name) }}, strings.NewReader("content"))), nil
		}
		wantVerb(t, fails(t, m, "fake://b/x", "file://"+dir+"/"+name), messages.VerbDiscard, assets.ErrNotAFile)
		if info, err := os.Lstat(dir + "/" + name); err == nil && info.Mode().IsRegular() {
			t.Errorf("%s was replaced", name)
		}
		if info, err := os.Lstat(dir + "/" + name + ".attrs"); err == nil && !info.IsDir() {
			t.Errorf("%s was given a sidecar file", name)
		}
	}
	wantNoTemporary(t, dir)
}

// onceReader does something when it is read, and has nothing to give.
type onceReader struct{ do func() error }

func (r *onceReader) Read([]byte) (int, error) { return 0, cmp.Or(r.do(), io.EOF) }

// What comes back if the asset fails to come after its sidecar file: what was there before.
func TestSidecarIsRestored(t *testing.T) {
	t.Parallel()
	base, dir := serve(t, typed), t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}}, dir)
	move(t, m, base+"/old", "file://"+dir+"/a", nil)
	for _, name := range []string{"a", "new"} {
		if err := m.ReplaceWithNothing("file://"+dir+"/"+name, assets.Headers{ContentType: "text/x-new"}); err == nil {
			t.Error("replacing with what is not there: no error")
		}
	}
	wantFile(t, dir+"/a", "old")
	if got := sidecarType(t, dir+"/a"); got != "text/x-old" {
		t.Errorf("the type is %q, want the old one", got)
	}
	wantNoFile(t, dir+"/new.attrs")
	wantNoTemporary(t, dir)
}

// A folder that has the name of a sidecar file belongs to somebody else: it is not removed, and nothing fails for it.
func TestFolderNamedLikeASidecar(t *testing.T) {
	t.Parallel()
	base, dir := serve(t, with("<svg/>", "Content-Type", "image/svg+xml")), t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}}, dir)
	writeFile(t, dir+"/full.svg.attrs/x", "x")
	if err := os.Mkdir(dir+"/empty.svg.attrs", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"full.svg", "empty.svg"} {
		move(t, m, base+"/a.svg", "file://"+dir+"/"+name, nil)
		wantFile(t, dir+"/"+name, "<svg/>")
		if got := move(t, m, "file://"+dir+"/"+name, "file://"+dir+"/copy.svg", nil); got.ContentType != "image/svg+xml" {
			t.Errorf("%s as a source: %+v", name, got)
		}
	}
	wantFile(t, dir+"/full.svg.attrs/x", "x")
	if _, err := os.Stat(dir + "/empty.svg.attrs"); err != nil {
		t.Error(err)
	}
}

// A name that leaves no room for that of its sidecar file is refused before anything is written, and can be read.
func TestNamesWithoutRoomForASidecar(t *testing.T) {
	t.Parallel()
	base, with, without := serve(t, typed), t.TempDir(), t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + with, "file://" + without + "?metadata=skip"}}, with, without)
	for size := 248; size <= 255; size++ {
		name := strings.Repeat("a", size-4) + ".svg"
		err := m.Check(assets.Move{Source: base + "/odd", Destination: "file://" + with + "/" + name})
		if size <= 249 {
			move(t, m, base+"/odd", "file://"+with+"/"+name, nil)
		} else if !errors.Is(err, assets.ErrInvalid) || !strings.Contains(err.Error(), "longer than 249") {
			t.Errorf("%d bytes: %v, want it refused", size, err)
		}
		move(t, m, base+"/odd", "file://"+without+"/"+name, nil)
		writeFile(t, with+"/from/"+name, "x")
		move(t, m, "file://"+with+"/from/"+name, "file://"+with+"/copy", nil)
	}
}

func TestCheckRefusesSidecarNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{"https://cdn.example.com/", "file://" + dir}}, dir)
	for _, name := range []string{"victim.svg.attrs/y", "x/victim.ATTRS/y/z", "a.attrs"} {
		err := m.Check(assets.Move{Source: "https://cdn.example.com/a", Destination: "file://" + dir + "/" + name})
		if !errors.Is(err, assets.ErrInvalid) || !strings.Contains(err.Error(), "ends with .attrs") {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	// As a source such a folder is one like any other.
	writeFile(t, dir+"/old.attrs/y", "y")
	move(t, m, "file://"+dir+"/old.attrs/y", "file://"+dir+"/y", nil)
}
