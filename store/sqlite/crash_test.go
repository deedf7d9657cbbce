package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// childPath, if it is set, makes the test binary a process that works on the store at this path until it is killed.
const childPath = "STORE_SQLITE_TEST_CHILD"

// child works as a service would, from several goroutines, and prints what was acknowledged: "+id" for an insert,
// "-id" for an outcome.
func child(path string) {
	s, err := sqlite.Open(context.Background(), path, sqlite.Config{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("open")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { childWorks(s, i) })
	}
	wg.Wait()
}

func childWorks(s *sqlite.Store, i int) {
	for n := 0; ; n++ {
		inserted, err := s.Insert(context.Background(), benchTime, benchTasks(n, 1+i, "child"))
		if err != nil {
			fmt.Println("error", err)
			return
		}
		for _, task := range inserted {
			fmt.Println("+" + task.ID)
		}
		if n%2 == 0 {
			continue
		}
		refused, err := s.Finish(context.Background(), []store.Outcome{completed(inserted[0].Task)})
		if err != nil || refused[0] != nil {
			fmt.Println("error", err, refused)
			return
		}
		fmt.Println("-" + inserted[0].ID)
	}
}

// startChild starts the test binary as a child, and returns when it has the store open.
func startChild(t *testing.T, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the child says %q", lines.Text())
	}
	return cmd, lines
}

// TestKill kills the process in the middle of its work, again and again: what it had acknowledged is there, and the
// database is whole.
func TestKill(t *testing.T) {
	path := tempFile(t)
	acknowledged := map[string]store.State{}
	for round := range 4 {
		cmd, lines := startChild(t, path)
		for n := 0; lines.Scan(); n++ {
			switch line := lines.Text(); line[0] {
			case '+':
				acknowledged[line[1:]] = store.Running
			case '-':
				acknowledged[line[1:]] = store.Completed
			default:
				t.Fatal(line)
			}
			if n == 100*(round+1) {
				if err := cmd.Process.Kill(); err != nil { // what is still in the pipe is read to its end
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		s := open(t, path) // checks every page
		compareAcknowledged(t, s, acknowledged)
		_ = s.Close()
	}
	recovered, err := open(t, path).Recover(t.Context(), benchTime, "assets")
	if err != nil || recovered == 0 {
		t.Errorf("recovered %d, %v", recovered, err)
	}
}

func compareAcknowledged(t *testing.T, s *sqlite.Store, acknowledged map[string]store.State) {
	t.Helper()
	for id, state := range acknowledged {
		if len(id) != 36 {
			continue // the last line, cut by the kill
		}
		task, err := s.Get(t.Context(), id)
		if err != nil {
			t.Fatalf("acknowledged, but: %v", err)
		}
		if state == store.Completed && task.State != state {
			t.Errorf("%s is %s, its completion was acknowledged", id, task.State)
		}
	}
	countsAreTrue(t, s)
}

// countsAreTrue compares the counts that are kept with those that are.
func countsAreTrue(t *testing.T, s *sqlite.Store) {
	t.Helper()
	counts, err := s.Counts(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[store.State]int64{}
	for after := (store.Place{}); ; {
		page, err := s.List(t.Context(), store.Query{Limit: store.MaxList, After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, task := range page {
			seen[task.State]++
		}
		after = page[len(page)-1].Place()
	}
	if fmt.Sprint(counts) != fmt.Sprint(seen) {
		t.Errorf("counts are %v, there are %v", counts, seen)
	}
}

// TestLockIsOfTheLiving: a second process is refused at once while the first lives, and not after it was killed.
func TestLockIsOfTheLiving(t *testing.T) {
	path := tempFile(t)
	cmd, lines := startChild(t, path)
	_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	wantFault(t, err, store.ErrLocked, path)
	if err != nil && !strings.Contains(err.Error(), "another process") {
		t.Errorf("the error does not say by whom: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	_ = cmd.Wait()
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Errorf("the stale lock file: %v", err)
	}
	open(t, path)
}
