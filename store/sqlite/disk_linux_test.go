package sqlite_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// inNamespace marks a test process that runs in a user and mount namespace of its own.
const inNamespace = "STORE_SQLITE_TEST_NAMESPACE"

// withMounts runs f in a process that may mount file systems; nobody else sees them, and they go with it.
func withMounts(t *testing.T, f func(t *testing.T)) { asUser(t, 0, f) }

// withoutPowers runs f in a process that permissions bind, also where the tests run as root.
func withoutPowers(t *testing.T, f func(t *testing.T)) { asUser(t, 1000, f) }

// asUser runs the test f in a process of its own, as this user of a new namespace, where only 0 has powers. Where the
// system does not permit namespaces, the test is skipped.
func asUser(t *testing.T, uid int, f func(t *testing.T)) {
	if os.Getenv(inNamespace) != "" {
		f(t)
		return
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil && !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run: %s", out)
	case errors.As(err, &exit):
		t.Fatalf("%v\n%s", err, out)
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("no namespaces are permitted here, and with CI=true nothing is skipped: %v", err)
	case err != nil:
		t.Skipf("no namespaces are permitted here: %v", err)
	}
}

func mountDisk(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	// What is mounted here must not come to be in the system's own namespace.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func remount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, options); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		for _, size := range []int{100, 10_000, 300_000} { // of a task's arguments
			t.Run("", func(t *testing.T) { fullDisk(t, size) })
		}
	})
}

func fullDisk(t *testing.T, size int) {
	dir := mountDisk(t, "4m")
	path := filepath.Join(dir, "tasks.db")
	s := open(t, path)
	var accepted []string
	fill := func() (err error) {
		for err == nil {
			tasks := benchTasks(0, 10, "")
			for i := range tasks {
				tasks[i].Args = make([]byte, size)
			}
			if _, err = s.Insert(t.Context(), benchTime, tasks); err == nil {
				for _, task := range tasks {
					accepted = append(accepted, task.ID)
				}
			}
		}
		return err
	}
	for range 3 { // also the second time, when the log may have room again
		wantFault(t, fill(), store.ErrFull, path)
		allThere(t, s, accepted)
	}
	remount(t, dir, 0, "size=64m")
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("there is room again, but: %v", err)
	}
	more := benchTasks(0, 10, "")
	if _, err := s.Insert(t.Context(), benchTime, more); err != nil {
		t.Fatal(err)
	}
	for _, task := range more {
		accepted = append(accepted, task.ID)
	}
	allThere(t, s, accepted)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	allThere(t, open(t, path), accepted) // which checks every page
}

// TestFullDiskInTheMiddle fills the disk with tasks that run and end: what was answered is there, in the file and in the memory, and
// goes on when there is room.
func TestFullDiskInTheMiddle(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		dir := mountDisk(t, "4m")
		s := open(t, filepath.Join(dir, "tasks.db"))
		want := map[string]store.State{}
		for range 3 {
			wantFault(t, fillWithLife(t, s, want), store.ErrFull, s.Path())
			wantStates(t, s, want)
		}
		wantStates(t, crashed(t, s.Path()), want)
		remount(t, dir, 0, "size=64m")
		for id, state := range want {
			if state == store.Running {
				end(t, s, get(t, s, id), store.Completed)
				want[id] = store.Completed
			}
		}
		wantStates(t, s, want)
		wantYoung(t, s, 0, 0)
		wantStates(t, crashed(t, s.Path()), want)
	})
}

// fillWithLife begins tasks and ends half of them, until something fails.
func fillWithLife(t *testing.T, s *sqlite.Store, want map[string]store.State) error {
	for {
		tasks := plainTasks(0, 10)
		for i := range tasks {
			tasks[i].Args = make([]byte, 3000)
		}
		inserted, err := s.Insert(t.Context(), benchTime, tasks)
		if err != nil {
			return err
		}
		var outcomes []store.Outcome
		for i := range inserted {
			want[inserted[i].ID] = store.Running
			if i%2 == 0 {
				outcomes = append(outcomes, completed(inserted[i].Task))
			}
		}
		refused, err := s.Finish(t.Context(), outcomes)
		if err != nil {
			return err
		}
		for i, o := range outcomes {
			if refused[i] != nil {
				t.Fatal(refused[i])
			}
			want[o.TaskID] = store.Completed
		}
	}
}

func wantStates(t *testing.T, s *sqlite.Store, want map[string]store.State) {
	t.Helper()
	for id, state := range want {
		if got := get(t, s, id); got.State != state {
			t.Errorf("%s is %s, want %s", id, got.State, state)
		}
	}
	countsAreTrue(t, s)
}

// TestIndexOfLogCannotGrow has a disk on which the log has its room, and its index has none: then a commit fails after all of it was
// written to the log. Who was told that it failed does not find it done after a crash.
func TestIndexOfLogCannotGrow(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		dir := mountDisk(t, "64m")
		s := open(t, filepath.Join(dir, "tasks.db"))
		remount(t, dir, 0, "size=20m") // of which the log has 17
		filler, err := os.Create(filepath.Join(dir, "filler"))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = filler.Write(make([]byte, 4096))
		}
		_ = filler.Close()
		var accepted []string
		for {
			task := benchTasks(0, 1, "")
			task[0].Args = make([]byte, 60_000)
			_, err := s.Insert(t.Context(), benchTime, task)
			if err == nil {
				accepted = append(accepted, task[0].ID)
				continue
			}
			if t.Log(err); !strings.Contains(err.Error(), "4874") { // SQLITE_IOERR_SHMSIZE
				t.Error("that is not the index of the log")
			}
			if !errors.Is(err, store.ErrUnavailable) {
				wantFault(t, err, store.ErrFull, s.Path())
				allThere(t, crashed(t, s.Path()), accepted)
			}
			break
		}
		allThere(t, s, accepted)
		remount(t, dir, 0, "size=64m")
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("there is room again, but: %v", err)
		}
		allThere(t, crashed(t, s.Path()), accepted)
	})
}

// TestLogCannotGrow has the system refuse to let the log grow: a real error of the disk in a COMMIT, which is not that it is full.
func TestLogCannotGrow(t *testing.T) {
	withMounts(t, func(t *testing.T) { // in a process of its own, whose limits are its own
		signal.Ignore(syscall.SIGXFSZ)
		s := open(t, tempFile(t))
		want := map[string]store.State{}
		for _, task := range begin(t, s, 5) {
			want[task.ID] = store.Running
		}
		info, err := os.Stat(s.Path() + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		var old syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		setFileLimit(t, syscall.Rlimit{Cur: uint64(info.Size()) + 10_000, Max: old.Max})
		for range 3 {
			if err := fillWithLife(t, s, want); err == nil || errors.Is(err, store.ErrFull) {
				t.Errorf("got %v", err)
			} else {
				t.Log(err)
			}
			wantStates(t, s, want)
		}
		setFileLimit(t, old)
		for id := range want {
			if task := get(t, s, id); task.State == store.Running {
				end(t, s, task, store.Completed)
			}
			want[id] = store.Completed
		}
		wantStates(t, s, want)
		wantStates(t, crashed(t, s.Path()), want)
	})
}

func setFileLimit(t *testing.T, limit syscall.Rlimit) {
	t.Helper()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskAtOpen has no room even for the schema.
func TestFullDiskAtOpen(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		dir := mountDisk(t, "64k")
		path := filepath.Join(dir, "tasks.db")
		if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 40<<10), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
		wantFault(t, err, store.ErrFull, path)
		remount(t, dir, 0, "size=8m")
		insertOne(t, open(t, path), nil)
	})
}

func TestReadOnlyDisk(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		dir := mountDisk(t, "8m")
		path := filepath.Join(dir, "tasks.db")
		s := open(t, path)
		id := insertOne(t, s, nil)
		_ = s.Close()
		remount(t, dir, syscall.MS_RDONLY, "")
		for _, path := range []string{path, filepath.Join(dir, "new.db")} {
			_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
			wantFault(t, err, store.ErrReadOnly, path)
		}
		if err := os.Remove(path + ".lock"); err == nil {
			t.Error("the disk is not read-only")
		}
		remount(t, dir, 0, "")
		if _, err := open(t, path).Get(t.Context(), id); err != nil {
			t.Error(err)
		}
	})
}

func TestReadOnlyFile(t *testing.T) {
	withoutPowers(t, func(t *testing.T) {
		path, id := filled(t)
		refuses := func(what, path string) {
			t.Helper()
			_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
			t.Logf("%s: %v", what, err)
			wantFault(t, err, store.ErrReadOnly, path)
		}
		dir := filepath.Dir(path)
		chmod(t, path, 0o444)
		refuses("file", path)
		chmod(t, path, 0o000)
		refuses("unreadable file", path)
		chmod(t, path, 0o644)
		chmod(t, dir, 0o555)
		defer chmod(t, dir, 0o755)
		refuses("directory", path)
		refuses("new file", filepath.Join(dir, "new.db"))
		chmod(t, dir, 0o755)
		chmod(t, path+".lock", 0o000)
		refuses("lock file", path)
		chmod(t, path+".lock", 0o644)
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
		if _, err := open(t, path).Get(t.Context(), id); err != nil {
			t.Error(err)
		}
	})
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
