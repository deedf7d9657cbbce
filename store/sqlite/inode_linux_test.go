package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// TestOtherNames: whoever opens the file under another name has another lock of the name, and another log.
func TestOtherNames(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		s := open(t, tempFile(t))
		insertOne(t, s, nil)
		mounted := filepath.Join(t.TempDir(), "mounted.db")
		if err := os.WriteFile(mounted, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount(s.Path(), mounted, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Unmount(mounted, syscall.MNT_DETACH) }()
		linked := filepath.Join(filepath.Dir(s.Path()), "linked.db")
		if err := os.Link(s.Path(), linked); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{mounted, linked} {
			_, err := sqlite.Open(t.Context(), name, sqlite.Config{})
			wantFault(t, err, store.ErrLocked, name)
		}
		insertOne(t, s, nil)
		countsAreTrue(t, s)
	})
}

// TestTwoNames: what is in the log of the other name would not be seen.
func TestTwoNames(t *testing.T) {
	path := tempFile(t)
	s := open(t, path)
	id := insertOne(t, s, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(t.TempDir(), "linked.db")
	if err := os.Link(path, linked); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, linked} {
		_, err := sqlite.Open(t.Context(), name, sqlite.Config{})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "2 names") {
			t.Errorf("got %v", err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	get(t, open(t, linked), id)
}

// TestLockRemoved: to remove the lock of the name lets nobody in.
func TestLockRemoved(t *testing.T) {
	s := open(t, tempFile(t))
	id := insertOne(t, s, nil)
	if err := os.Remove(s.Path() + ".lock"); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), s.Path(), sqlite.Config{})
	wantFault(t, err, store.ErrLocked, s.Path())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	get(t, open(t, s.Path()), id)
}

// TestSmallDisk: the log does not take the whole disk before it is copied.
func TestSmallDisk(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		dir := mountDisk(t, "10m")
		s := open(t, filepath.Join(dir, "tasks.db"))
		var ids []string
		for range 1000 { // each of some pages, most of them the same
			ids = append(ids, insertOne(t, s, []byte("{}")))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		allThere(t, open(t, s.Path()), ids)
	})
}
