package assets_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
)

// scratches gives the folders of temporary files in dir, with how many files each has beside its lock.
func scratches(t testing.TB, dir string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	folders, err := filepath.Glob(dir + "/" + assets.ScratchPrefix + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(folder)] = len(entries) - 1
	}
	return found
}

// A process is killed in the middle of a large asset. The next mover removes what it left, and nothing of the living.
func TestSweepAfterKill(t *testing.T) {
	t.Parallel()
	from, to, temp := t.TempDir(), t.TempDir(), t.TempDir()
	reached := make(chan struct{}, 10)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 10*assets.SpoolMemory))
		w.(http.Flusher).Flush()
		reached <- struct{}{}
		<-r.Context().Done()
	})
	_, mux := newMemory(t)
	allow := []string{base, "file://" + to, "source:file://" + from}
	living := newMover(t, assets.Config{TempDir: temp, Allow: append(allow, "mem://in/"), Mux: mux})
	writeFile(t, from+"/a", "x")
	move(t, living, "file://"+from+"/a", "file://"+to+"/a", nil)
	before, beforeTo := scratches(t, temp), scratches(t, to)
	if len(before) != 1 || len(beforeTo) != 1 {
		t.Fatalf("the living mover has %v and %v", before, beforeTo)
	}

	cmd := child(t, job{
		Config: assets.Config{TempDir: temp, Allow: allow},
		Move:   assets.Move{Source: base + "/a", Destination: "file://" + to + "/b"},
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	awaitTemporary(t, to) // the child has begun to write
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if left := scratches(t, to); len(left) != 2 || len(scratches(t, temp)) != 2 {
		t.Fatalf("the killed process left %v and %v, want one folder more in each", left, scratches(t, temp))
	}
	wantNoFile(t, to+"/b")

	next, err := assets.New(t.Context(), assets.Config{TempDir: temp, Allow: allow})
	if err != nil {
		t.Fatal(err)
	}
	if len(scratches(t, temp)) != 2 { // the living one's and its own
		t.Errorf("in the temporary folder there are %v", scratches(t, temp))
	}
	if left := scratches(t, to); len(left) != 1 || left[keyOf(beforeTo)] != 0 {
		t.Errorf("at the destination there are %v, want %v of the living", left, beforeTo)
	}
	move(t, living, "file://"+from+"/a", "file://"+to+"/c", nil)
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

func keyOf(m map[string]int) string {
	for key := range m {
		return key
	}
	return ""
}

// awaitTemporary returns when there is a temporary file in dir. Another process makes it, so there is nothing to wait on.
func awaitTemporary(t testing.TB, dir string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		for _, files := range scratches(t, dir) {
			if files > 0 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no temporary file appears")
		}
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	writeFile(t, outside+"/precious", "x")
	dead := dir + "/" + assets.ScratchPrefix
	writeFile(t, dead+"dead/lock", "")
	writeFile(t, dead+"dead/1", "x")
	link(t, outside, dead+"dead/link")
	writeFile(t, dead+"young/1", "x") // its owner may be about to make the lock
	link(t, outside, dead+"link")
	writeFile(t, dead+"file", "x")
	if err := os.Mkdir(dead+"linked", 0o700); err != nil {
		t.Fatal(err)
	}
	link(t, outside+"/precious", dead+"linked/lock")
	writeFile(t, dir+"/asset", "x")
	n, err := assets.Sweep(dir, time.Now())
	if err != nil || n != 1 {
		t.Errorf("removed %d, %v; want 1", n, err)
	}
	wantNoFile(t, dead+"dead")
	for _, path := range []string{outside + "/precious", dead + "young/1", dead + "file", dir + "/asset", dead + "linked/lock"} {
		wantFile(t, path, "x")
	}
	n, err = assets.Sweep(dir, time.Now().Add(2*time.Hour))
	if err != nil || n != 1 {
		t.Errorf("two hours later: removed %d, %v; want 1", n, err)
	}
	wantNoFile(t, dead+"young")
	wantFile(t, outside+"/precious", "x")
}

// Many movers begin and end in one folder; none takes another's.
func TestManyMoversInOneFolder(t *testing.T) {
	t.Parallel()
	temp, from, to := t.TempDir(), t.TempDir(), t.TempDir()
	content := strings.Repeat("x", 2*assets.SpoolMemory)
	writeFile(t, from+"/a", content)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 5 {
				m, err := assets.New(t.Context(), assets.Config{TempDir: temp, Allow: []string{"source:file://" + from, "file://" + to}})
				if err != nil {
					t.Error(err)
					return
				}
				target := "file://" + to + "/" + string(rune('a'+i))
				if _, err := m.Move(t.Context(), assets.Move{Source: "file://" + from + "/a", Destination: target}, nil, nil); err != nil {
					t.Error(err)
				}
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantNoScratch(t, temp)
	wantNoScratch(t, to)
	for i := range 8 {
		wantFile(t, to+"/"+string(rune('a'+i)), content)
	}
}

// Whoever cleans up behind others removes our folders too. The next move makes new ones.
func TestScratchIsRemovedByACleaner(t *testing.T) {
	t.Parallel()
	temp, dir := t.TempDir(), t.TempDir()
	large := strings.Repeat("x", 2*assets.SpoolMemory)
	base := serve(t, with(large, "Content-Type", "text/x-odd"))
	mem, mux := newMemory(t)
	m := newMover(t, assets.Config{TempDir: temp, Mux: mux, Allow: []string{base, "mem://in/", "file://" + dir}, MaxPerHost: 32}, dir)
	move(t, m, base+"/a", "file://"+dir+"/a", nil)
	for range 3 {
		for _, folder := range []string{temp, dir} {
			for name := range scratches(t, folder) {
				if err := os.RemoveAll(folder + "/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		var group sync.WaitGroup
		for i := range 16 {
			name := string(rune('a' + i))
			group.Go(func() { move(t, m, base+"/a", "file://"+dir+"/"+name, nil) })
			group.Go(func() { move(t, m, base+"/a", "mem://in/"+name, nil) })
		}
		group.Wait()
		wantFile(t, dir+"/p", large)
		if stored, _ := mem.get(t, "p"); stored != large {
			t.Errorf("stored are %d bytes", len(stored))
		}
		for _, folder := range []string{temp, dir} {
			if left := scratches(t, folder); len(left) != 1 || left[keyOf(left)] != 0 {
				t.Errorf("there are %v, want one folder with nothing but its lock", left)
			}
		}
	}
}

// A prefix, or the folder for temporary files, can be a link that is pointed elsewhere while the mover lives. It stays with
// the folders that it has opened.
func TestRootIsPointedElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/one/a", strings.Repeat("x", 2*assets.SpoolMemory))
	writeFile(t, dir+"/two/a", "other")
	link(t, "one", dir+"/top")
	m := newMover(t, assets.Config{TempDir: dir + "/top", Allow: []string{"file://" + dir + "/top"}}, dir)
	if err := os.Remove(dir + "/top"); err != nil {
		t.Fatal(err)
	}
	link(t, "two", dir+"/top")
	move(t, m, "file://"+dir+"/top/a", "file://"+dir+"/top/b", nil)
	wantFile(t, dir+"/one/b", strings.Repeat("x", 2*assets.SpoolMemory))
	wantNoFile(t, dir+"/two/b")
	// What lives there is seen by others to live, by whichever name they came.
	next, err := assets.New(t.Context(), assets.Config{TempDir: dir + "/one", Allow: []string{"file://" + dir + "/one"}})
	if err != nil {
		t.Fatal(err)
	}
	if left := scratches(t, dir+"/one"); len(left) != 3 {
		t.Errorf("there are %v, want those of the first mover and one of the second", left)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// Also if the folder itself was moved, and another has its name.
func TestRootIsMoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/top/a", "x")
	m := newMover(t, assets.Config{Allow: []string{"file://" + dir + "/top"}}, dir)
	if err := os.Rename(dir+"/top", dir+"/moved"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/top/a", "other")
	move(t, m, "file://"+dir+"/top/a", "file://"+dir+"/top/b", nil)
	wantFile(t, dir+"/moved/b", "x")
	wantNoFile(t, dir+"/top/b")
}
