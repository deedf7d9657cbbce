package main

import (
	"fmt"
	"syscall"
)

// mountDisk has the folder be a disk of this size, until unmount is called. It needs a namespace of its own, from which nothing
// must get out.
func mountDisk(dir string, bytes int64) (unmount func(), err error) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("chaos: keep mounts to ourselves: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return nil, fmt.Errorf("chaos: mount a disk: %w", err)
	}
	return func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }, nil // it goes with the namespace anyway
}
