package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has the test's own binary be the program, and its children: so they have the race detector if the tests do.
func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" || os.Getenv(inNamespace) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// shortRounds is how many rounds each variant's short form has: some seconds of them.
var shortRounds = map[string]int{
	"sqlite/kill": 10, "sqlite/torn": 10, "sqlite/full": 5, "sqlite/clock": 10,
	"postgres/kill": 3, "postgres/pause": 1, "postgres/postgres-restart": 3, "postgres/cut": 10, "postgres/outage": 2, "postgres/clock": 3,
}

// shortSoon is more than is promised of a machine that does nothing else. Here other packages are tested at the same time, and
// everything may have the race detector.
const shortSoon = "15s"

// TestShort is a short form of each variant, with real processes.
func TestShort(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a minute and a half")
	}
	if runtime.GOOS != "linux" {
		t.Skip("it needs Linux")
	}
	for _, v := range variants() {
		for _, store := range v.stores {
			name := store + "/" + v.name
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if shortRounds[name] == 0 {
					t.Fatal("it has no rounds")
				}
				short(t, "-store", store, "-variant", v.name, "-rounds", strconv.Itoa(shortRounds[name]), "-soon", shortSoon)
			})
		}
	}
}

func short(t *testing.T, args ...string) {
	out := &tail{}
	defer func() { t.Log(out) }()
	p, err := parse(args, out)
	if err != nil {
		t.Fatal(err)
	}
	if !p.variant.mounts {
		if err := p.run(t.Context(), t, out); err != nil {
			t.Fatal(err)
		}
		return
	}
	switch code, err := again(t.Context(), p.program, args, out, out); {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("no namespaces are permitted here, and with CI=true nothing is skipped: %v", err)
	case err != nil:
		t.Skipf("no namespaces are permitted here: %v", err)
	case code != 0:
		t.Fatalf("exit code %d", code)
	}
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
