// Mutate shows that the tests of a package notice when a file of it is broken.
//
//	go run ./internal/tools/mutate -test ./supervisor supervisor/decide.go supervisor/window.go
//
// It makes mutants of the given files, each with one small change: a condition negated, < instead of <=, one case of a
// switch dropped. It runs the tests on each, and prints which tests notice. Its exit code is 1 if a mutant goes
// unnoticed, and 2 if it cannot judge, for example because the tests fail as it is. The mutants reach the compiler as
// overlays, so the files themselves are never touched.
//
// A change that no test can notice, because the mutant does the same, is left out by a comment on its line, which must
// say why:
//
//	for i := 0; i < n; i++ { // mutate:equivalent: n is at least 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errUnnoticed says that mutants went unnoticed; which ones they were is in the report.
var errUnnoticed = errors.New("mutate: mutants went unnoticed")

// run is the program, and gives its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var tests suite
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&tests.packages, "test", "", "the package whose tests are to notice")
	flags.StringVar(&tests.pattern, "run", "", "as with go test: run only these tests")
	flags.DurationVar(&tests.timeout, "timeout", time.Minute, "as with go test: how long the tests may take; a mutant that hangs counts as noticed")
	parallel := flags.Int("parallel", 2, "how many mutants are tested at a time; at most GOMAXPROCS")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	switch err := mutate(ctx, tests, *parallel, flags.Args(), stdout); {
	case err == nil:
		return 0
	case errors.Is(err, errUnnoticed):
		return 1
	default:
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
}

// mutate tests all mutants of the files and reports on them.
func mutate(ctx context.Context, tests suite, parallel int, files []string, stdout io.Writer) error {
	if tests.packages == "" || len(files) == 0 || parallel < 1 {
		return fmt.Errorf("mutate: got -test %q, -parallel %d and %d files; each needs a value, and -parallel at least 1", tests.packages, parallel, len(files))
	}
	mutants, err := read(files)
	if err != nil {
		return err
	}
	parallel = min(parallel, runtime.GOMAXPROCS(0))
	if err := baseline(ctx, tests, stdout, len(mutants), parallel); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays behind is in the folder for temporary files
	r := newReport(stdout, mutants)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, m := range mutants {
		group.Go(func() error {
			v, err := tests.judge(ctx, dir, i, m)
			if err == nil {
				r.add(i, v)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return r.sum()
}

// baseline runs the tests on the files as they are. If they fail, or there are none, no mutant can be judged.
func baseline(ctx context.Context, tests suite, stdout io.Writer, mutants, parallel int) error {
	start := time.Now()
	v, err := tests.run(ctx)
	switch {
	case err != nil:
		return err
	case v.kind != unnoticed:
		return fmt.Errorf("mutate: the tests of %s fail as it is: %v", tests.packages, v)
	case v.passed == 0:
		return fmt.Errorf("mutate: no test of %s runs", tests.packages)
	}
	took := time.Since(start).Round(time.Millisecond)
	_, _ = fmt.Fprintf(stdout, "%d tests pass in %v as it is; %d mutants, %d at a time\n", v.passed, took, mutants, parallel)
	return nil
}
