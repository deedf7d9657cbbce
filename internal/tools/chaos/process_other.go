//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"
)

// errLinux says that the program was only made for Linux. It is built elsewhere too, so that it is not forgotten there.
var errLinux = errors.New("chaos: this needs Linux")

func monotonic() time.Duration { return time.Duration(time.Now().UnixNano()) }

func dieWithUs(*exec.Cmd) {}

func freeze(*os.Process) error { return errLinux }
func thaw(*os.Process) error   { return errLinux }

const inNamespace = "TASKRUNNER_CHAOS_NAMESPACE"

func again(context.Context, string, []string, io.Writer, io.Writer) (int, error) { return 0, errLinux }

func mountDisk(string, int64) (unmount func(), err error) { return nil, errLinux }
