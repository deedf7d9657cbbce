//go:build !linux

package servertest

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

// errNeedsLinux is the answer to what other systems do in other ways, or not at all.
var errNeedsLinux = errors.New("servertest: killing, pausing and timing a server with all its processes needs Linux")

// dieWithUs does nothing here: a server outlives a test process that is killed.
func dieWithUs(*exec.Cmd, syscall.Signal) {}

// runAs does nothing here: who is root gets the refusal of the server.
func runAs(*exec.Cmd, *account) {}

func killAll(int) error { return errNeedsLinux }

func freezeAll(int) (thaw func(), err error) { return func() {}, errNeedsLinux }

func cpuTime(int) (time.Duration, error) { return 0, errNeedsLinux }
