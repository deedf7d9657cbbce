//go:build !linux

package harness

import (
	"context"
	"io"
	"os"
	"os/exec"
	"time"
)

// Monotonic is the time by the wall clock: this is built here, so that it is not forgotten, and is not used.
func Monotonic() time.Duration { return time.Duration(time.Now().UnixNano()) }

func dieWithUs(*exec.Cmd) {}

func freeze(*os.Process) error { return ErrLinux }
func thaw(*os.Process) error   { return ErrLinux }

// IsAgain reports false.
func IsAgain() bool { return false }

// Again gives ErrLinux.
func Again(context.Context, string, []string, bool, io.Writer, io.Writer) (int, error) {
	return 0, ErrLinux
}
