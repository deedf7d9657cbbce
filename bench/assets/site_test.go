package assets

import (
	"crypto/sha256"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// checkout is the folder of the library, seen from the folder in which tests run.
const checkout = "../.."

// site is what all contenders share.
type site struct {
	origin  string              // the URL of the server that has the files
	files   map[string]digest   // by name
	gateway *servertest.Gateway // has a bucket for each turn to S3
	dir     string              // of the other targets, and of our databases
	turns   int                 // so far
	demo    string              // the path of our program
	rclone  string              // the path of rclone; empty if nobody needs it
}

// digest is what the content of a file is compared by.
type digest [sha256.Size]byte

// newSite serves every so-many-th of the files. The server ends with the test.
func newSite(t testing.TB, every int) *site {
	dir := someFiles(t, every)
	s := &site{origin: servertest.Nginx(t, dir), gateway: servertest.StartGateway(t), dir: t.TempDir(), demo: buildDemo(t)}
	var err error
	s.files, err = digests(dir)
	must(t, err)
	if *rounds > 0 {
		s.rclone = servertest.Need(t, "rclone")
	}
	return s
}

// someFiles gives a folder with every so-many-th of the files.
func someFiles(t testing.TB, every int) string {
	all := servertest.MDISVG(t)
	if every == 1 {
		return all
	}
	dir := t.TempDir()
	entries, err := os.ReadDir(all)
	must(t, err)
	for i := 0; i < len(entries); i += every {
		must(t, os.Symlink(filepath.Join(all, entries[i].Name()), filepath.Join(dir, entries[i].Name())))
	}
	return dir
}

// buildDemo builds the program as its users get it.
func buildDemo(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "demo")
	out, err := exec.CommandContext(t.Context(), "go", "-C", checkout, "build", "-o", path, "./cmd/demo").CombinedOutput()
	if err != nil {
		t.Fatalf("building cmd/demo: %v\n%s", err, out)
	}
	return path
}

// versions says with what the run was made.
func (s *site) versions(t testing.TB) (string, error) {
	var names []string
	for _, path := range []string{s.rclone, servertest.Need(t, "versitygw")} {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return "", err
		}
		names = append(names, filepath.Base(path)+" "+info.Main.Version)
	}
	out, err := exec.CommandContext(t.Context(), servertest.Need(t, "nginx"), "-v").CombinedOutput()
	_, nginx, _ := strings.Cut(strings.TrimSpace(string(out)), "nginx/")
	return strings.Join(append(names, "nginx "+nginx), ", "), err
}
