package assets_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

// startRunner starts a runner of moves, whose failed tasks are tried again at once.
func startRunner(t testing.TB, db store.Store, m *assets.Mover) *actors.TaskRunner {
	t.Helper()
	r, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{
		Name: "assets", Store: db,
		Kinds: actors.Kinds{assets.Kind(m, actors.WithTimeout(time.Minute), actors.WithBackoff(actors.Backoff{Base: time.Millisecond, Max: time.Millisecond}))},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return r
}

func run(t testing.TB, r *actors.TaskRunner, source, destination string) (assets.Moved, error) {
	t.Helper()
	task, err := actors.Run[assets.Moved](t.Context(), r, assets.KindName, assets.Move{Source: source, Destination: destination})
	if err != nil {
		t.Fatal(err)
	}
	return task.Await(t.Context())
}

func TestKind(t *testing.T) {
	t.Parallel()
	var asked, flaky atomic.Int32
	base, dir := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case r.URL.Path == "/missing.svg":
			http.NotFound(w, r)
		case r.URL.Path == "/flaky.svg" && flaky.Add(1) < 3:
			w.WriteHeader(http.StatusInternalServerError)
		case r.Header.Get("If-None-Match") == `"v1"`:
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("ETag", `"v1"`)
			_, _ = io.WriteString(w, "<svg/>")
		}
	}), t.TempDir()
	db := store.NewMemory()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}}, dir)
	r := startRunner(t, db, m)

	first, err := run(t, r, base+"/a.svg", "file://"+dir+"/a.svg")
	if err != nil || !first.Copied || first.Attempts != 1 {
		t.Errorf("first: %+v, %v", first, err)
	}
	// Another way to write the same move finds the outcome of the first.
	again, err := run(t, r, "HTTP"+strings.TrimPrefix(base, "http")+"/a.svg", "file://localhost"+dir+"/%61.svg")
	if err != nil || again.Copied || again.Unchanged != assets.ByValidator || again.SHA256 != first.SHA256 {
		t.Errorf("again: %+v, %v", again, err)
	}
	wantFile(t, dir+"/a.svg", "<svg/>")

	// Without the file at the destination, what was is of no use: it is asked for once, and copied.
	if err := os.Remove(dir + "/a.svg"); err != nil {
		t.Fatal(err)
	}
	before := asked.Load()
	back, err := run(t, r, base+"/a.svg", "file://"+dir+"/a.svg")
	if err != nil || !back.Copied || asked.Load() != before+1 {
		t.Errorf("back: %+v after %d questions, want one, %v", back, asked.Load()-before, err)
	}
	wantFile(t, dir+"/a.svg", "<svg/>")

	flakyMoved, err := run(t, r, base+"/flaky.svg", "file://"+dir+"/flaky.svg")
	if err != nil || flakyMoved.Attempts != 3 {
		t.Errorf("flaky: %+v, %v", flakyMoved, err)
	}
	_, err = run(t, r, base+"/missing.svg", "file://"+dir+"/missing.svg")
	if task, ok := errors.AsType[*actors.TaskError](err); !ok || task.State != store.Discarded {
		t.Errorf("missing: %v, want it discarded", err)
	}

	before, asks := asked.Load(), count(t, db)
	_, err = actors.Run[assets.Moved](t.Context(), r, assets.KindName, assets.Move{Source: "http://169.254.169.254/", Destination: "file://" + dir + "/x"})
	if !errors.Is(err, assets.ErrNotAllowed) {
		t.Errorf("outside of the allow-list: %v, want ErrNotAllowed", err)
	}
	if asked.Load() != before || count(t, db) != asks {
		t.Error("a refused move was recorded or begun")
	}
}

// count gives how many tasks are recorded.
func count(t testing.TB, db store.Store) int64 {
	t.Helper()
	counts, err := db.Counts(t.Context(), "assets")
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, k := range counts {
		n += k
	}
	return n
}

// The outcome lies in databases for years, so its form must not change by accident.
func TestMovedAsJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	moved := assets.Moved{
		Source: "https://h/a", Destination: "mem://b/a", Bytes: 1, SHA256: "00ff",
		Headers: assets.Headers{
			ContentType: "image/png", CacheControl: "no-store", ContentEncoding: "br", ContentLanguage: "de", ContentDisposition: "inline",
		},
		Validators: assets.Validators{ETag: `"e"`, LastModified: at, Size: 1}, Object: assets.Object{Size: 1, MD5: "aa", ETag: `"o"`},
		Unchanged: assets.ByContent, StartedAt: at, FinishedAt: at, Attempts: 2,
	}
	got, err := json.Marshal(moved)
	const want = `{"source":"https://h/a","destination":"mem://b/a","bytes":1,"sha256":"00ff",` +
		`"contentType":"image/png","cacheControl":"no-store","contentEncoding":"br","contentLanguage":"de","contentDisposition":"inline",` +
		`"validators":{"etag":"\"e\"","lastModified":"2030-01-02T03:04:05.006Z","size":1},"object":{"size":1,"md5":"aa","etag":"\"o\""},` +
		`"copied":false,"unchanged":"content","startedAt":"2030-01-02T03:04:05.006Z","finishedAt":"2030-01-02T03:04:05.006Z","attempts":2}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
	if again := reload(t, moved); *again != moved {
		t.Errorf("read back: %+v", again)
	}
}
