// Otptable writes docs/otp.md, the table of the OTP behaviours, from the comments of the tests that hold them.
//
//	go run ./internal/tools/otptable    in the module's root
//
// It parses the tests and does not build them. It writes nothing unless every behaviour has its one test, and every such
// test the comment that the table is made of:
//
//	// TestSV18_OneCounterPerSupervisor: restarts are counted once per supervisor, over all its children.
//	//
//	// Adapted: the framework below counts per child, so its strategies are not used.
//
// The second paragraph stands where Go differs. All that is wrong is reported at once, with its file and line.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// output is the table's file, below the module's root.
const output = "docs/otp.md"

func main() {
	os.Exit(run(".", otp(), os.Stderr))
}

// run writes the table of the module in the folder root, and gives the program's exit code.
func run(root string, s spec, stderr io.Writer) int {
	if err := write(root, s); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func write(root string, s spec) error {
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return fmt.Errorf("otptable: the folder must be a module's root: %w", err)
	}
	tests, err := collect(os.DirFS(root), s)
	if err != nil {
		return err
	}
	file := filepath.Join(root, output)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("otptable: %w", err)
	}
	if err := os.WriteFile(file, render(s, tests), 0o644); err != nil {
		return fmt.Errorf("otptable: %w", err)
	}
	return nil
}
