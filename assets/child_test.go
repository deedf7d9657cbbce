package assets_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
)

// Some things can only be seen from another process: how much memory a move takes, and what is left when it is killed.
// The test binary then runs itself, with a job in the environment.
const childJob = "ASSETS_TEST_CHILD"

// job is what a child has to do.
type job struct {
	Config assets.Config
	Move   assets.Move
}

// report is what a child says of itself when it has moved.
type report struct {
	Moved  assets.Moved
	GoSys  uint64 // what the Go runtime has ever taken from the system, in bytes
	VmHWM  uint64 // the largest resident set of the process, in bytes
	Failed string
}

// runChild does the job and prints the report.
func runChild(text string) int {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	m, err := assets.New(context.Background(), j.Config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	moved, err := m.Move(context.Background(), j.Move, nil, nil)
	r := report{Moved: moved}
	if err = errors.Join(err, m.Close()); err != nil {
		r.Failed = err.Error()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	r.GoSys, r.VmHWM = stats.Sys, peakMemory()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return 2
	}
	return 0
}

// peakMemory reads the kernel's account of this process; zero where there is none.
func peakMemory() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

// child makes the command that does a job in a process of its own.
func child(t testing.TB, j job, env ...string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(j) //nolint:staticcheck // Config.TLS has a function in it, but is nil
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(append(os.Environ(), childJob+"="+string(text)), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// runJob runs a child to its end.
func runJob(t testing.TB, j job, env ...string) report {
	t.Helper()
	out, err := child(t, j, env...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("the child printed %q: %v", out, err)
	}
	if r.Failed != "" {
		t.Fatalf("the child failed: %s", r.Failed)
	}
	return r
}

const (
	largeSize  = 1 << 30
	largeLimit = 100 << 20
)

// largeFile makes a file of a GiB that takes no room on the disk and has no two equal blocks next to each other.
func largeFile(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(largeSize)
	}
	for at := int64(0); err == nil && at < largeSize; at += 64 << 20 {
		_, err = f.WriteAt([]byte(strconv.FormatInt(at, 10)), at)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func wantSmall(t testing.TB, r report) {
	t.Helper()
	t.Logf("the Go runtime took %d MiB, the process %d MiB", r.GoSys>>20, r.VmHWM>>20)
	// The race detector has memory of its own, several times that of the program, and makes the collector late.
	goLimit, processLimit := uint64(largeLimit), uint64(largeLimit)
	if raceEnabled {
		goLimit, processLimit = 3*largeLimit/2, math.MaxUint64
	}
	if r.GoSys > goLimit {
		t.Errorf("the Go runtime took %d MiB, want at most %d", r.GoSys>>20, goLimit>>20)
	}
	if r.VmHWM > processLimit {
		t.Errorf("the process took %d MiB, want at most %d", r.VmHWM>>20, processLimit>>20)
	}
	if r.Moved.Bytes != largeSize {
		t.Errorf("it moved %d bytes, want %d", r.Moved.Bytes, largeSize)
	}
}

func TestLargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a GiB")
	}
	from, to := t.TempDir(), t.TempDir()
	largeFile(t, from+"/large.bin")
	r := runJob(t, job{
		Config: assets.Config{TempDir: t.TempDir(), Allow: []string{"file://" + from, "file://" + to}},
		Move:   assets.Move{Source: "file://" + from + "/large.bin", Destination: "file://" + to + "/large.bin"},
	})
	wantSmall(t, r)
	wantSame(t, from+"/large.bin", to+"/large.bin")
	wantNoScratch(t, to)
}

// wantSame compares two files without reading either as a whole.
func wantSame(t testing.TB, a, b string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cmp", a, b).CombinedOutput(); err != nil {
		t.Errorf("cmp: %v %s", err, out)
	}
}
