package servertest_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// family gives a process and what it has started, and what that has started.
func family(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		children, err := servertest.ChildrenOf(all[i])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, children...)
	}
	return all
}

// stillThere gives those of the processes that have not ended.
func stillThere(pids []int) (alive []int) {
	for _, pid := range pids {
		if state := servertest.ProcessState(pid); state != "" && state != "Z" && state != "X" {
			alive = append(alive, pid)
		}
	}
	return alive
}

// used is the processor time of this process as the other way to ask gives it.
func used(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func TestCPUTimeOfAProcess(t *testing.T) {
	t.Parallel()
	for start := used(t); used(t)-start < 100*time.Millisecond; {
	}
	before := used(t)
	got, err := servertest.CPUTime(os.Getpid())
	after := used(t)
	const rounding = 20 * time.Millisecond // of two times
	if err != nil || got < before-rounding || got > after+rounding {
		t.Errorf("CPUTime is %s, want from %s to %s, %v", got, before, after, err)
	}
	if _, err := servertest.CPUTime(-1); err == nil {
		t.Error("no process has a CPUTime")
	}
}

func TestPostgresKillKillsAll(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	connect(t, server.URL())
	pids := family(t, server.PID())
	if len(pids) < 4 {
		t.Fatalf("postgres has the processes %v, want some more", pids)
	}
	server.Kill()
	if alive := stillThere(pids); len(alive) > 0 {
		t.Errorf("of %v there are still %v", pids, alive)
	}
	if log := server.Log(); strings.Contains(log, "terminated by signal") || strings.Contains(log, "shut") && strings.Contains(log, "request") {
		t.Errorf("somebody saw another die:\n%s", log)
	}
}

func TestPostgresPauseStopsAll(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	connect(t, server.URL())
	server.Pause()
	pids := family(t, server.PID())
	for _, pid := range pids {
		if state := servertest.ProcessState(pid); state != "T" && state != "Z" { // one that ended just before still has its row
			t.Errorf("process %d of %v is in state %q, want it stopped", pid, pids, state)
		}
	}
	if len(pids) < 4 {
		t.Errorf("postgres has the processes %v, want some more", pids)
	}
}

func TestPostgresLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	var dir, segment string
	t.Run("kill", func(t *testing.T) {
		server := servertest.Postgres(t)
		dir = filepath.Dir(server.Socket())
		file, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		segment = strings.Fields(strings.Split(string(file), "\n")[6])[1]
		server.Kill()
		if !hasSegment(t, segment) {
			t.Fatalf("a killed server has no segment %s: this test looks for the wrong thing", segment)
		}
	})
	if dir == "" {
		t.Skip("servertest: postgres did not run")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v, want none", err)
	}
	if hasSegment(t, segment) {
		t.Errorf("the shared memory segment %s is still there", segment)
	}
}

// hasSegment looks for a System V shared memory segment by its id, the second column.
func hasSegment(t *testing.T, id string) bool {
	t.Helper()
	list, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == id {
			return true
		}
	}
	return false
}

// doomed is set in the environment of a test process that is going to be killed.
const doomed = "SERVERTEST_DOOMED"

// A killed test process runs no cleanups, and still nothing that it started goes on: not even a server that stands
// still, and so does not see the signal.
func TestServersDieWithUs(t *testing.T) {
	if os.Getenv(doomed) != "" {
		beDoomed(t)
	}
	t.Parallel()
	dir, err := os.MkdirTemp("", "doomed-") //nolint:usetesting // the doomed leave their folders here; t.TempDir would shut out the account of the servers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestServersDieWithUs$", "-test.v")
	cmd.Env = append(os.Environ(), doomed+"=1", "TMPDIR="+dir)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := awaitLine(output, "doomed: ready")
	pids := family(t, cmd.Process.Pid)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !strings.Contains(said, "doomed: ready") {
		if strings.Contains(said, "not installed") {
			t.Skip("servertest: some server is not installed")
		}
		t.Fatalf("the process did not get ready:\n%s", said)
	}
	if len(pids) < 15 {
		t.Errorf("there were the processes %v, want more of them", pids)
	}
	awaitEndOf(t, pids)
}

// awaitLine reads until a line has text in it, or to the end, and gives what it read.
func awaitLine(r interface{ Read([]byte) (int, error) }, text string) string {
	var said strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), text) {
			break
		}
	}
	return said.String()
}

// awaitEndOf returns when the processes have ended.
func awaitEndOf(t *testing.T, pids []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for alive := stillThere(pids); len(alive) > 0; alive = stillThere(pids) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("of the processes %v there are still %v", pids, alive)
		}
	}
}

// beDoomed starts servers and waits for its end.
func beDoomed(t *testing.T) {
	t.Helper()
	server := servertest.Postgres(t)
	connect(t, server.URL())
	paused := servertest.Postgres(t)
	connect(t, paused.URL())
	paused.Pause()
	servertest.PgBouncer(t, server.Socket())
	servertest.Redis(t)
	servertest.Nginx(t, site(t))
	_, _ = os.Stdout.WriteString("doomed: ready\n")
	<-t.Context().Done() // which it is not before the end
}
