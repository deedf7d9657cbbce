//go:build !linux

package sqlite

import "os"

// Elsewhere there is only the lock of the name: locks of a file itself would get in the way of SQLite's own.

func lockInode(*os.File) bool { return true }

func namesOf(os.FileInfo) uint64 { return 1 }

func freeBytes(string) (int64, bool) { return 0, false }
