package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each mistake is told on one line that names the flag, with exit code 2, and nothing is begun.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "tasks.db")
	serve := func(args ...string) []string {
		// Any port: that 8080 is taken would be another error. The last --listen counts.
		return append([]string{"serve", "--store", db, "--allow", "https://example.com/", "--listen", "127.0.0.1:0"}, args...)
	}
	elsewhere := func(args ...string) []string {
		return append([]string{"move", "--worker", "127.0.0.1:1", "mem://from/", "mem://to/"}, args...)
	}
	send := func(args ...string) []string { return append([]string{"send", "--to", "127.0.0.1:1"}, args...) }
	const id = "0192b5c4-7a10-7000-8000-000000000001"
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--bogus"}, "-bogus"},
		{[]string{"sreve"}, `"sreve"`},
		{[]string{"--listen", "0.0.0.0:8080"}, "--listen"},
		{[]string{"--listen", "nonsense"}, "--listen"},
		{[]string{"--origin", "10.0.0.1:80"}, "--origin"},
		{[]string{"--exit=perhaps"}, "exit"},
		{[]string{"move"}, "FROM and TO"},
		{[]string{"move", "a", "b", "c"}, "FROM and TO"},
		{[]string{"move", "--bogus", "a", "b"}, "-bogus"},
		{[]string{"move", filepath.Join(dir, "nowhere"), dir}, "FROM"},
		{[]string{"move", "", dir}, "FROM"},
		{[]string{"move", dir, filepath.Join(dir, "inside")}, "within FROM"},
		{[]string{"move", "ftp://host/", dir}, "FROM"},
		{[]string{"move", dir, "ftp://host/"}, "TO"},
		{[]string{"move", dir, "https://host/"}, "TO"},
		{[]string{"move", "https://user:secret@host/", dir}, "FROM"},
		{[]string{"move", "--transfers", "0", dir, "mem://b/"}, "--transfers is 0"},
		{[]string{"move", "--transfers", "many", dir, "mem://b/"}, "transfers"},
		{[]string{"move", "--attempts", "-1", dir, "mem://b/"}, "--attempts is -1"},
		{[]string{"move", "--list", filepath.Join(dir, "nowhere"), dir, "mem://b/"}, "--list"},
		{[]string{"move", "--temp-dir", filepath.Join(dir, "nowhere"), dir, "mem://b/"}, "--temp-dir"},
		{[]string{"move", "--timeout", "-1s", dir, "mem://b/"}, "--timeout is -1s"},
		{[]string{"move", "--stall-timeout", "0s", dir, "mem://b/"}, "--stall-timeout is 0s"},
		{[]string{"move", "--max-bytes", "0", dir, "mem://b/"}, "--max-bytes is 0"},
		{[]string{"move", "--store", filepath.Join(dir, "new", "move.db"), "mem://b/", filepath.Join(dir, "new")}, "lies below TO"},
		{[]string{"move", "--log-level", "loud", dir, "mem://b/"}, "--log-level"},
		{[]string{"serve", "--store", db}, "--allow is missing"},
		{serve("--store", "mysql://host/db"), "--store is a mysql: URL"},
		{serve("--store", "sqlite://host/db"), "three slashes"},
		{serve("--store", "sqlite:"), "want a file in it"},
		{serve("--store", "sqlite:///%zz"), "want a file in it"},
		{serve("extra"), "extra"},
		{serve("--allow", "ftp://host/"), "--allow"},
		{serve("--allow", "file:///no/such/folder/"), "--allow"},
		{serve("--listen", "0.0.0.0:0"), "--listen"},
		{serve("--listen", ":0"), "--token"},
		{serve("--token", "short"), "--token"},
		{serve("--host", "tasks.example.com"), "--host"},
		{serve("--web-origin", "example.com"), "--web-origin"},
		{serve("--allow-address", "10.0.0.1"), "--allow-address"},
		{serve("--allow", "file://"), "whole disk"},
		{serve("--allow", "file:///"), "whole disk"},
		{serve("--allow", "FILE://localhost/"), "whole disk"},
		{serve("--allow", "source:file:///"), "whole disk"},
		{serve("--allow", "destination:file:///?create_dir=1"), "whole disk"},
		{serve("--allow", "file://"+dir), "--store " + db + " lies below --allow file://" + dir},
		{serve("--allow", "destination:file://"+filepath.Dir(dir)+"/?metadata=skip"), "--store"},
		{serve("--allow", "file:///srv/new/", "--temp-dir", "/srv/new/tmp"), "--temp-dir /srv/new/tmp lies below --allow file:///srv/new/"},
		{serve("--timeout", "-1s"), "--timeout is -1s"},
		{serve("--stall-timeout", "-1s"), "--stall-timeout is -1s"},
		{serve("--max-bytes", "-1"), "--max-bytes is -1"},
		{serve("--max-connections", "0"), "--max-connections is 0"},
		{serve("--notice", "-1s"), "--notice"},
		{serve("--max-children", "0"), "--max-children"},
		{serve("--max-waiting", "-1"), "--max-waiting"},
		{serve("--per-host", "0"), "--per-host"},
		{serve("--drain", "soon"), "drain"},
		{serve("--drain", "-1s"), "--drain"},
		{serve("--temp-dir", filepath.Join(dir, "nowhere")), "--temp-dir"},
		{serve("--log-level", "loud"), "--log-level"},
		{[]string{"move", "--away", "1s", "mem://from/", "mem://to/"}, "--away is for workers"},
		{[]string{"move", "--worker", "nonsense", "mem://from/", "mem://to/"}, `--worker is "nonsense"`},
		{[]string{"move", "--worker", "192.0.2.1:1", "mem://from/", "mem://to/"}, "that needs --tls"},
		{[]string{"move", "--worker", "127.0.0.1:1", "mem://from/", "s3://to/?region=here"}, "TO has the parameters"},
		{elsewhere("--store", db), "--store is not for --worker"},
		{elsewhere("--stall-timeout", "1s"), "--stall-timeout is not for --worker"},
		{elsewhere("--max-bytes", "1"), "--max-bytes is not for --worker"},
		{elsewhere("--away", "0s"), "--away is 0s"},
		{elsewhere("--tls", dir), "has no client.pem"},
		{elsewhere("--temp-dir", filepath.Join(dir, "nowhere")), "--temp-dir"},
		{[]string{"worker", "extra"}, "extra"},
		{[]string{"worker", "--listen", "0.0.0.0:7070"}, "with --tls only"},
		{[]string{"worker", "--listen", ":7070"}, "with --tls only"},
		{[]string{"worker", "--listen", "nonsense"}, "--listen"},
		{[]string{"worker", "--tls", dir}, "has no server.pem"},
		{[]string{"worker", "--transfers", "0"}, "--transfers is 0"},
		{[]string{"worker", "--drain", "-1s"}, "--drain is -1s"},
		{[]string{"worker", "--allow", "file:///"}, "whole disk"},
		{[]string{"worker", "--store", db, "--allow", "file://" + dir}, "--store " + db + " lies below"},
		{[]string{"worker", "--store", db, "--clients", filepath.Join(dir, "clients.json"), "--allow", "source:file://" + dir}, "--clients"},
		{[]string{"worker", "--store", db, "--listen", "127.0.0.1:0", "--clients", filepath.Join(dir, "clients.json")}, "--clients"},
		{[]string{"worker", "--store", db, "--listen", "127.0.0.1:0", "--allow", "ftp://host/"}, "--allow"},
		{[]string{"send", "shout", "1"}, "--to is missing"},
		{send(), "want KIND and JSON"},
		{send("shout"), "want KIND and JSON"},
		{send("shout", "moved"), `JSON is "moved"`},
		{send("--id", "1", "shout", "1"), `--id is "1"`},
		{send("--await", "1"), `--await is "1"`},
		{send("--await", id, "shout", "1"), "--await"},
		{send("--await", id, "--no-wait"), "--await"},
		{send("--no-wait", "--cancel", "shout", "1"), "--no-wait and --cancel"},
		{send("--timeout", "-1s", "shout", "1"), "--timeout is -1s"},
		{send("--away", "-1s", "shout", "1"), "--away is -1s"},
		{send("--token-file", filepath.Join(dir, "nowhere"), "shout", "1"), "--token-file"},
		{send("--to", "dns:///nonsense", "shout", "1"), `--to is "dns:///nonsense"`},
		{[]string{"certs"}, "want the folder"},
		{[]string{"certs", filepath.Join(dir, "certs"), "--host", "https://host"}, "a host is"},
	} {
		var out, errOut bytes.Buffer
		code := run(append([]string{"demo"}, test.args...), strings.NewReader(""), &out, &errOut)
		stdout, stderr := out.String(), errOut.String()
		first, rest, _ := strings.Cut(stderr, "\n")
		if code != exitUsage || !strings.Contains(first, test.want) || strings.Count(rest, "\n") > 1 || stdout != "" {
			t.Errorf("%q: exit code %d: %s%s; want %s", test.args, code, stdout, stderr, test.want)
		}
		if strings.Contains(stderr, "secret") {
			t.Errorf("%q: a password is told: %s", test.args, stderr)
		}
	}
	if _, stderr, code := runToEnd(t, serve("--listen", "0.0.0.0:0")...); code != exitUsage || !strings.Contains(stderr, "--listen") {
		t.Errorf("the program itself: exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(db); err == nil && len(inDatabase(t, db)) > 0 {
		t.Error("something was recorded")
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"-h"}, {"move", "-h"}, {"serve", "--help"}, {"worker", "-h"}, {"send", "-h"}, {"certs", "-h"}} {
		stdout, stderr, code := runToEnd(t, command...)
		if code != exitOK || stderr != "" {
			t.Errorf("%q: exit code %d: %s", command, code, stderr)
		}
		for _, want := range []string{"Examples:", "Exit codes:", "130", "$TASKRUNNER_"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%q: the help has no %q", command, want)
			}
		}
	}
}
