package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortForms are the flags of each variant's short form: about half a minute.
var shortForms = map[string][]string{
	"all":      {"-runs", "3000", "-rounds", "5"},
	"many":     {"-runs", "3000", "-rounds", "5"},
	"rough":    {"-runs", "1200", "-rounds", "3"},
	"monitors": {"-rounds", "1"},
}

// shortTime is more than a short form takes on a machine that tests other packages at the same time.
const shortTime = 4 * time.Minute

// TestShort is a short form of each variant: the program itself, with all its processes and networks. It is built without the race
// detector, under which processes are so slow on a busy machine that connections are given up.
func TestShort(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes about half a minute")
	}
	if runtime.GOOS != "linux" {
		t.Skip("it needs Linux")
	}
	program := filepath.Join(t.TempDir(), "netchaos")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as go vet has built the packages already
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			if shortForms[v.name] == nil {
				t.Fatal("it has no short form")
			}
			short(t, program, append([]string{"-variant", v.name}, shortForms[v.name]...)...)
		})
	}
}

// short runs the program. If it is killed with the test, the kernel kills its children, and with them goes their network.
func short(t *testing.T, program string, args ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), shortTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	switch {
	case exit != nil && exit.ExitCode() == 3 && os.Getenv("CI") != "true":
		t.Skipf("%s", out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestTheDocsNameEachVariant and each trouble.
func TestTheDocsNameEachVariant(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.FromSlash("../../../docs/chaos.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants() {
		if row := "\n| " + v.name + " | "; !strings.Contains(string(page), row) {
			t.Errorf("docs/chaos.md has no row %q", row)
		}
	}
	for _, e := range evils() {
		if row := "\n| " + e.kind + " | "; !strings.Contains(string(page), row) {
			t.Errorf("docs/chaos.md has no row %q", row)
		}
	}
}
