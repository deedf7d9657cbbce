//go:build !linux

package main

import "github.com/taskrunner-go/taskrunner/internal/tools/harness"

func mountDisk(string, int64) (unmount func(), err error) { return nil, harness.ErrLinux }
