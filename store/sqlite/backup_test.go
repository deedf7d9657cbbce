package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// TestBackup copies a store while others write: the copy opens, and has all that was answered before, and nothing that came to
// nothing.
func TestBackup(t *testing.T) {
	s := withSongs(t, sqlite.Config{})
	inTx(t, s, func(tx *sqlite.Tx) error { return run(tx, `INSERT INTO songs (title) VALUES ('Blue Train')`) })
	tasks := begin(t, s, 50)
	for _, task := range tasks[:20] {
		end(t, s, task, store.Completed)
	}
	discarded := end(t, s, tasks[20], store.Discarded)
	want := map[string]store.Task{}
	for _, task := range tasks {
		want[task.ID] = get(t, s, task.ID)
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				insertOne(t, s, make([]byte, 10_000))
			}
		}
	})
	path := filepath.Join(t.TempDir(), "copy.db")
	err := s.Backup(t.Context(), path)
	close(stop)
	writers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, filepath.Dir(path), "copy.db")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v, %v; want it for its owner alone", info.Mode(), err)
	}
	for range 2 { // and it lasts
		restored := open(t, path)
		for id, task := range want {
			if got := get(t, restored, id); fmt.Sprint(got) != fmt.Sprint(task) {
				t.Errorf("restored %+v, was %+v", got, task)
			}
		}
		if n := songs(t, restored); n != 1 {
			t.Errorf("there are %d songs", n)
		}
		countsAreTrue(t, restored)
		_ = restored.Close()
	}
	if again, err := open(t, path).Retry(t.Context(), benchTime, discarded.ID); err != nil || again.State != store.Available {
		t.Errorf("working on the copy: %+v, %v", again, err)
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}

// TestBackupRefuses: what is there is not overwritten, and nothing half done is left.
func TestBackupRefuses(t *testing.T) {
	s := open(t, tempFile(t))
	begin(t, s, 10)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken.db")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.Backup(t.Context(), taken), fs.ErrExist, taken)
	wantFault(t, s.Backup(t.Context(), s.Path()), fs.ErrExist, s.Path())
	wantFault(t, s.Backup(&endsAtLook{Context: t.Context(), left: 1}, taken), fs.ErrExist, taken) // before it copies for minutes
	late := filepath.Join(dir, "late.db")
	ctx := &endsAtLook{Context: t.Context(), left: 1000, look: func() { _ = os.WriteFile(late, []byte("mine"), 0o600) }}
	wantFault(t, s.Backup(ctx, late), fs.ErrExist, late) // that was not there when it began
	if content, err := os.ReadFile(late); string(content) != "mine" || err != nil {
		t.Errorf("the file that came meanwhile holds %d bytes, %v", len(content), err)
	}
	_ = os.Remove(late)
	none := filepath.Join(dir, "none", "copy.db")
	wantFault(t, s.Backup(t.Context(), none), fs.ErrNotExist, none)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ended, filepath.Join(dir, "copy.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("the context has ended: %v", err)
	}
	if content, err := os.ReadFile(taken); string(content) != "mine" || err != nil {
		t.Errorf("the file that was there holds %q, %v", content, err)
	}
	wantFiles(t, dir, "taken.db")
	_ = s.Close()
	if err := s.Backup(t.Context(), filepath.Join(dir, "copy.db")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestBackupIsInterrupted ends the context while pages are copied.
func TestBackupIsInterrupted(t *testing.T) {
	s := open(t, tempFile(t))
	tasks := plainTasks(0, 40)
	for i := range tasks {
		tasks[i].Args = make([]byte, 500_000)
	}
	if _, err := s.Insert(t.Context(), benchTime, tasks); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx := &endsAtLook{Context: t.Context(), left: 6}
	if err := s.Backup(ctx, filepath.Join(dir, "copy.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantFiles(t, dir)
	if err := s.Backup(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
		t.Error(err)
	}
}

// endsAtLook is a context that ends when it has been looked at so many times.
type endsAtLook struct {
	context.Context
	left int
	look func() // is called at the third look; may be nil
	seen int
}

func (c *endsAtLook) Err() error {
	if c.seen++; c.seen == 3 && c.look != nil {
		c.look()
	}
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}
