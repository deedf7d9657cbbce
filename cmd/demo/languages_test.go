package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// The commands of docs/remote.md for other languages do what stands there, at another address and in another folder. What
// they fetch is there already: ./test.sh has done that.
func TestOtherLanguages(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	grpcurl, node := servertest.Need(t, "grpcurl"), servertest.Node(t, filepath.Join(root, "docs", "examples", "node"))
	scripts := docScripts(t, filepath.Join(root, "docs", "remote.md"), "## Other languages")
	if len(scripts) != 3 {
		t.Fatalf("the document has %d scripts, want that of the worker, of grpcurl and of Node: %q", len(scripts), scripts)
	}
	dir, port := t.TempDir(), "0"
	inShell := func(script string) *child {
		script = strings.NewReplacer(
			"go run ./cmd/demo worker", `exec "$DEMO_TEST_PROGRAM" worker`, "go run ./cmd/demo", `"$DEMO_TEST_PROGRAM"`, ":7070", ":"+port,
			"npm ci", ": ", "remote/remotepb", root+"/remote/remotepb", "docs/examples", root+"/docs/examples",
		).Replace(script)
		cmd := command()
		cmd.Path, cmd.Args, cmd.Dir = "/bin/sh", []string{"sh", "-ec", script}, dir
		cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(grpcurl)+":"+filepath.Dir(node)+":"+os.Getenv("PATH"))
		return launchCommand(t, cmd)
	}
	worker := inShell(scripts[0])
	if _, port, err = net.SplitHostPort(worker.await(`msg=serving address=(\S+)`)); err != nil {
		t.Fatal(err)
	}
	t.Run("grpcurl", func(t *testing.T) {
		c := inShell(scripts[1])
		if code := c.end(); code != exitOK {
			t.Errorf("exit code %d: %s", code, c.stderr)
		}
		for want, times := range map[string]int{
			`"taskId": "0192b5c4-7a10-7000-8000-000000000001"`: 3, // of Run, and twice of Await
			`"result": "\"MOVED\""`:                            2,
			"taskrunner.remote.v1.Tasks\n":                     1,
			`"status": "SERVING"`:                              1,
		} {
			if n := strings.Count(c.stdout.String(), want); n != times {
				t.Errorf("%s is there %d times, want %d: %s", want, n, times, c.stdout)
			}
		}
	})
	t.Run("Node", func(t *testing.T) {
		const want = `sent again, there already: true
awaited: STATE_COMPLETED MOVED
watched and acknowledged: STATE_COMPLETED MOVED
cancelled: STATE_CANCELLED
failed: STATE_DISCARDED no such file
refused: FAILED_PRECONDITION CODE_ENDED completed
`
		c := inShell(scripts[2])
		if code := c.end(); code != exitOK || c.stdout.String() != want || c.stderr.String() != "" {
			t.Errorf("exit code %d: %s%s", code, c.stdout, c.stderr)
		}
	})
}

// docScripts gives the shell scripts in a section of a document.
func docScripts(t *testing.T, document, section string) (scripts []string) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no shell to read them")
	}
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, found := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		scripts = append(scripts, found[1])
	}
	return scripts
}
