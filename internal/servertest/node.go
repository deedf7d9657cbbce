package servertest

import (
	"os"
	"path/filepath"
	"testing"
)

// Node gives the path of Node, for a program in a folder whose package-lock.json says what else it needs.
func Node(t testing.TB, dir string) string {
	t.Helper()
	path := Need(t, "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		missing(t, "what "+filepath.Join(dir, "package-lock.json")+" lists")
	}
	return path
}
