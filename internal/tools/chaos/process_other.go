//go:build !linux

package main

import (
	"errors"
	"os"
	"time"
)

// errLinux says that the program was only made for Linux. It is built elsewhere too, so that it is not forgotten there.
var errLinux = errors.New("chaos: this needs Linux")

func monotonic() time.Duration { return time.Duration(time.Now().UnixNano()) }

func freeze(*os.Process) error { return errLinux }
func thaw(*os.Process) error   { return errLinux }
