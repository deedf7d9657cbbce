package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortRounds is how many rounds each variant's short form has: some seconds of them.
var shortRounds = map[string]int{
	"sqlite/kill": 10, "sqlite/torn": 10, "sqlite/full": 5, "sqlite/clock": 10,
	"postgres/kill": 3, "postgres/pause": 1, "postgres/postgres-restart": 3, "postgres/cut": 10, "postgres/outage": 2, "postgres/clock": 3,
}

// shortSoon is more than is promised of a machine that does nothing else: other packages are tested at the same time.
const shortSoon = "15s"

// TestShort is a short form of each variant: the program itself, with all its processes. It is built without the race detector,
// under which processes are so slow on a busy machine that they are thought dead.
func TestShort(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a minute and a half")
	}
	if runtime.GOOS != "linux" {
		t.Skip("it needs Linux")
	}
	program := filepath.Join(t.TempDir(), "chaos")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as go vet has built the packages already
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, v := range variants() {
		for _, store := range v.stores {
			name := store + "/" + v.name
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if shortRounds[name] == 0 {
					t.Fatal("it has no rounds")
				}
				short(t, program, "-store", store, "-variant", v.name, "-rounds", strconv.Itoa(shortRounds[name]), "-soon", shortSoon)
			})
		}
	}
}

// short runs the program. If it is killed with the test, the kernel kills its children.
func short(t *testing.T, program string, args ...string) {
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	switch {
	case exit != nil && exit.ExitCode() == 3 && os.Getenv("CI") != "true":
		t.Skipf("%s", out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestTheDocsNameEachVariant with its stores.
func TestTheDocsNameEachVariant(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.FromSlash("../../../docs/chaos.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants() {
		if row := "\n| " + v.name + " | " + strings.Join(v.stores, ", ") + " |"; !strings.Contains(string(page), row) {
			t.Errorf("docs/chaos.md has no row %q", row)
		}
	}
}
