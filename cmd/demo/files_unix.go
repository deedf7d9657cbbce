//go:build unix

package main

import "syscall"

// openFiles gives how many files and connections the process may have open; 0 if the system does not say. Go has raised
// that to the hard limit when the program started.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // it is signed on some systems
}
