package assets_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(childJob); job != "" {
		os.Exit(runChild(job))
	}
	goleak.VerifyTestMain(m)
}

// newMover makes a mover whose temporary files lie in a folder of the test, and closes it with the test. At the end no
// temporary file may be left, neither there nor below dirs.
func newMover(t testing.TB, c assets.Config, dirs ...string) *assets.Mover {
	t.Helper()
	if c.TempDir == "" {
		c.TempDir = t.TempDir()
	}
	m, err := assets.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for _, dir := range append(dirs, c.TempDir) {
			wantNoScratch(t, dir)
		}
	})
	return m
}

// wantNoScratch fails if there is a folder of temporary files below dir.
func wantNoScratch(t testing.TB, dir string) {
	t.Helper()
	walk(t, dir, func(path string, _ fs.DirEntry) {
		if strings.Contains(path, assets.ScratchPrefix) {
			t.Errorf("left behind: %s", path)
		}
	})
}

// wantNoTemporary fails if a folder of temporary files below dir has more in it than its lock.
func wantNoTemporary(t testing.TB, dir string) {
	t.Helper()
	walk(t, dir, func(path string, entry fs.DirEntry) {
		if strings.Contains(path, assets.ScratchPrefix) && !entry.IsDir() && entry.Name() != "lock" {
			t.Errorf("left behind: %s", path)
		}
	})
}

func walk(t testing.TB, dir string, visit func(path string, entry fs.DirEntry)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			visit(path, entry)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// serve starts an HTTP origin and gives its URL without a slash at its end.
func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// give answers with a body that has no validators.
func give(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// move runs a move that is expected to succeed.
func move(t testing.TB, m *assets.Mover, source, destination string, previous *assets.Moved) assets.Moved {
	t.Helper()
	moved, err := m.Move(t.Context(), assets.Move{Source: source, Destination: destination}, previous, nil)
	if err != nil {
		t.Fatalf("Move(%s → %s): %v", source, destination, err)
	}
	return moved
}

// fails runs a move that is expected to fail with a decision.
func fails(t testing.TB, m *assets.Mover, source, destination string) *messages.Decision {
	t.Helper()
	moved, err := m.Move(t.Context(), assets.Move{Source: source, Destination: destination}, nil, nil)
	if err == nil {
		t.Fatalf("Move(%s → %s) = %+v, want an error", source, destination, moved)
	}
	var decision *messages.Decision
	if !errors.As(err, &decision) {
		t.Fatalf("Move(%s → %s): %v, want a decision", source, destination, err)
	}
	return decision
}

func wantVerb(t testing.TB, d *messages.Decision, verb messages.Verb, kind error) {
	t.Helper()
	if d.Verb != verb {
		t.Errorf("the task is to %s, want %s: %v", d.Verb, verb, d.Err)
	}
	if kind != nil && !errors.Is(d, kind) {
		t.Errorf("error %v, want %v", d, kind)
	}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t testing.TB, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if string(got) != content {
		t.Errorf("%s holds %.80q (%d bytes), want %.80q (%d bytes)", path, got, len(got), content, len(content))
	}
}

func wantNoFile(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v, want that there is nothing", path, err)
	}
}

func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// memory is the bucket in memory that a mover has opened, for the test to look into while the mover lives.
type memory struct{ bucket *blob.Bucket }

// newMemory gives a mux that opens mem://<any name>, and what it opened last.
func newMemory(t testing.TB) (*memory, *blob.URLMux) {
	t.Helper()
	m := new(memory)
	mux := new(blob.URLMux)
	mux.RegisterBucket("mem", opener(func(context.Context, string) *blob.Bucket {
		m.bucket = memblob.OpenBucket(nil)
		return m.bucket
	}))
	return m, mux
}

func (m *memory) put(t testing.TB, key, content string) {
	t.Helper()
	if err := m.bucket.WriteAll(t.Context(), key, []byte(content), nil); err != nil {
		t.Fatal(err)
	}
}

func (m *memory) get(t testing.TB, key string) (string, *blob.Attributes) {
	t.Helper()
	content, err := m.bucket.ReadAll(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := m.bucket.Attributes(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(content), attributes
}

func (m *memory) has(t testing.TB, key string) bool {
	t.Helper()
	has, err := m.bucket.Exists(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return has
}
