package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// suite is the tests that are to notice.
type suite struct {
	packages string // as go test takes them
	pattern  string // of go test -run, "" for all
	timeout  time.Duration
}

// kind is what became of a mutant.
type kind int

const (
	unnoticed  kind = iota // the tests pass
	noticed                // a test fails, or the test's program
	hangs                  // the tests did not end in time
	broken                 // it does not compile
	equivalent             // it was not tested
)

// verdict is a kind and how it came about.
type verdict struct {
	kind   kind
	failed []string // top-level tests, in the order of their ends
	passed int      // tests, with sub-tests
	reason string   // of equivalent
}

// judge runs the tests on a mutant. The folder dir is for what the go command is given; i is the mutant's number.
func (s suite) judge(ctx context.Context, dir string, i int, m mutant) (verdict, error) {
	if m.equivalent != "" {
		return verdict{kind: equivalent, reason: m.equivalent}, nil
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return verdict{}, fmt.Errorf("mutate: %w", err)
	}
	file := filepath.Join(dir, strconv.Itoa(i)+".go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: file}})
	if err := errors.Join(err, os.WriteFile(file, m.mutated(), 0o600), os.WriteFile(file+".json", overlay, 0o600)); err != nil {
		return verdict{}, fmt.Errorf("mutate: %w", err)
	}
	return s.run(ctx, "-overlay", file+".json")
}

// run runs the tests. Vet is off: what it finds, no test has noticed. Rapid leaves files of what failed in the tree and
// takes up to 30 s to make it small; both are for people.
func (s suite) run(ctx context.Context, more ...string) (verdict, error) {
	args := slices.Concat([]string{"test", "-json", "-vet=off", "-count=1", "-timeout", s.timeout.String(), "-run", s.pattern}, more)
	cmd := exec.CommandContext(ctx, "go", append(args, s.packages)...)
	cmd.Env = append(os.Environ(), "RAPID_NOFAILFILE=true", "RAPID_SHRINKTIME=0s")
	cmd.WaitDelay = time.Second // the go command's end is not that of the tests, which their timeout ends if Ctrl-C does not
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return verdict{}, fmt.Errorf("mutate: %w", context.Cause(ctx))
	}
	v, bad := decode(&stdout)
	if bad != nil || (err == nil) != (v.kind == unnoticed) {
		return verdict{}, fmt.Errorf("mutate: go test answered what cannot be understood: %w\n%s", errors.Join(err, bad), &stderr)
	}
	return v, nil
}

// decode makes a verdict of what go test -json wrote.
func decode(events io.Reader) (verdict, error) {
	var v verdict
	for decoder := json.NewDecoder(events); ; {
		var e struct{ Action, Test, Output, FailedBuild string }
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.EOF):
			return v, nil
		case err != nil:
			return v, fmt.Errorf("the events of go test: %w", err)
		}
		switch name, _, _ := strings.Cut(e.Test, "/"); {
		case e.FailedBuild != "":
			v.kind = broken
		case e.Action == "pass" && name != "":
			v.passed++
		case strings.Contains(e.Output, "panic: test timed out after"):
			v.kind = hangs
		case e.Action == "fail":
			v.kind = max(v.kind, noticed)
			if name != "" && !slices.Contains(v.failed, name) {
				v.failed = append(v.failed, name)
			}
		}
	}
}
