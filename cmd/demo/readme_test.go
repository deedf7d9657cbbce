package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The commands of the README's section on other machines do what stands there, at another address and in another folder.
func TestReadmeAnotherMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"docs/a.md": "# a", "docs/b.md": "# b"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands := readmeCommands(t, "## Another machine")
	if len(commands) != 4 {
		t.Fatalf("the README has %d commands, want 4: %q", len(commands), commands)
	}
	address := "127.0.0.1:0"
	inShell := func(line string) *child {
		line = strings.NewReplacer("go run ./cmd/demo", "exec "+os.Getenv("DEMO_TEST_PROGRAM"), "127.0.0.1:7070", address, "/tmp/", dir+"/new/").Replace(line)
		cmd := command()
		cmd.Path, cmd.Args, cmd.Dir = "/bin/sh", []string{"sh", "-c", line}, dir
		return launchCommand(t, cmd)
	}
	if certs := inShell(commands[0]); certs.end() != exitOK {
		t.Fatal(certs.stderr)
	}
	worker := inShell(commands[1])
	address = worker.await(`msg=serving address=(\S+)`)
	if send := inShell(commands[2]); send.end() != exitOK || send.stdout.String() != "\"MOVED\"\n" {
		t.Errorf("send: %s%s", send.stdout, send.stderr)
	}
	if move := inShell(commands[3]); move.end() != exitOK || !strings.HasPrefix(lastLine(move.stdout.String()), "2 arrived") {
		t.Errorf("move: %s%s", move.stdout, move.stderr)
	}
	worker.signal(syscall.SIGTERM)
	if code := worker.end(); code != exitOK {
		t.Errorf("the worker ended with %d", code)
	}
	checkFiles(t, filepath.Join(dir, "new", "taskrunner-docs"), map[string]string{"a.md": "# a", "b.md": "# b"})
}

// readmeCommands gives the commands of the demo in a section of the README.
func readmeCommands(t *testing.T, section string) []string {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no shell to read them")
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	return regexp.MustCompile(`(?m)^go run \./cmd/demo.*$`).FindAllString(rest, -1)
}
