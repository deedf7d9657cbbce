package servertest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// maxSocketPath is how long the path of a Unix socket may be on Linux; elsewhere it is a little less.
const maxSocketPath = 107

// account is another user, under whom servers run that refuse to be root's: PostgreSQL and PgBouncer do.
type account struct{ uid, gid uint32 }

// unprivileged gives the account for such servers: nil, which is ourselves, unless we are root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is ourselves, see account
	}
	var found *user.User
	var err error
	for _, name := range []string{"postgres", "nobody"} { // the first comes with Debian's package
		if found, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("servertest: no account for servers that refuse root: %w", err)
	}
	uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
	if uidErr != nil || gidErr != nil {
		return nil, fmt.Errorf("servertest: the account %s has the numbers %s and %s", found.Username, found.Uid, found.Gid)
	}
	return &account{uint32(uid), uint32(gid)}, nil
}

// makeDir makes a temporary folder that belongs to owner; nil is ourselves. Whoever calls removes it.
//
// It is none of a test's folders: those lie below one that only its maker may enter, and their names, made of the
// test's, are often too long for a socket.
func makeDir(name string, owner *account) (string, error) {
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		return "", fmt.Errorf("servertest: %w", err)
	}
	if longest := filepath.Join(dir, socketName); len(longest) > maxSocketPath {
		_ = os.Remove(dir)
		return "", fmt.Errorf("servertest: TMPDIR is too long for a socket: %s has %d bytes, the limit is %d",
			longest, len(longest), maxSocketPath)
	}
	if owner == nil {
		return dir, nil
	}
	if err := os.Chown(dir, int(owner.uid), int(owner.gid)); err != nil {
		_ = os.Remove(dir)
		return "", fmt.Errorf("servertest: %w", err)
	}
	return dir, nil
}

// serverDir is makeDir for a server of a test's own: the folder is gone when the test's cleanup is over.
func serverDir(t testing.TB, name string, owner *account) string {
	t.Helper()
	dir, err := makeDir(name, owner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("servertest: %v", err)
		}
	})
	return dir
}
