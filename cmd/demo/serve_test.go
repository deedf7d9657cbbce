package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

const testToken = "a-token-that-is-long-enough"

// query sends a query with a token.
func query(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"query":"{ runner(name: \"assets\") { maxChildren } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return ask(request)
}

func TestServe(t *testing.T) {
	t.Parallel()
	from, to, db := folder(t, map[string]string{"a.svg": "<svg/>"}), t.TempDir(), filepath.Join(t.TempDir(), "tasks.db")
	fromURL, toURL := mustFolderURL(t, from), mustFolderURL(t, to)
	// One in the environment, one as a flag: the flag wins over the environment as a whole, so both go into one variable.
	cmd := command("serve", "--listen", "127.0.0.1:0", "--max-children", "7", "--log-level", "debug")
	cmd.Env = append(cmd.Env, "TASKRUNNER_STORE="+db, "TASKRUNNER_ALLOW=source:"+fromURL+" destination:"+toURL)
	c := launchCommand(t, cmd)
	graphQL := c.await(`graphql=(\S+)`)
	root := strings.TrimSuffix(graphQL, "/graphql")
	for path, want := range map[string]string{"/healthz": "alive\n", "/readyz": "ready\n"} {
		if status, body := get(t, root+path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, body := get(t, root+"/"); status != http.StatusOK || !strings.Contains(body, "GraphiQL") {
		t.Errorf("/ leads to %d %s", status, body)
	}
	if status, body := query(t, graphQL, ""); status != http.StatusOK || !strings.Contains(body, `"maxChildren":7`) {
		t.Errorf("query: %d %s", status, body)
	}
	ids, err := sendMoves(t.Context(), graphQL, []assets.Move{{Source: fromURL + "a.svg", Destination: toURL + "b.svg"}})
	if err != nil {
		t.Fatal(err)
	}
	c.await(`msg=completed task=` + ids[0])
	if _, err := sendMoves(t.Context(), graphQL, []assets.Move{{Source: "file:///etc/passwd", Destination: toURL + "x"}}); err == nil || !strings.Contains(err.Error(), "not below any prefix") {
		t.Errorf("what is not allowed: %v", err)
	}
	c.signal(syscall.SIGTERM)
	if code := c.end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	// The limit is the sum of all defaults, among them a second in which /readyz says no.
	for _, want := range []string{"because=SIGTERM", `"at most"=46s`, "msg=stopped"} {
		if !strings.Contains(c.stderr.String(), want) {
			t.Errorf("the log has no %s", want)
		}
	}
	checkFiles(t, to, map[string]string{"b.svg": "<svg/>"})
	if tasks := inDatabase(t, db); len(tasks) != 1 || tasks[0].State != store.Completed {
		t.Errorf("tasks: %+v", tasks)
	}
}

func mustFolderURL(t *testing.T, dir string) string {
	t.Helper()
	url, err := folderURL(dir)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func TestServeWithToken(t *testing.T) {
	t.Parallel()
	cmd := command("serve", "--listen", "0.0.0.0:0", "--store", filepath.Join(t.TempDir(), "tasks.db"), "--allow", "https://example.com/")
	cmd.Env = append(cmd.Env, "TASKRUNNER_TOKEN="+testToken)
	c := launchCommand(t, cmd)
	port := c.await(`graphql=http://\S+:(\d+)/graphql`)
	url := "http://127.0.0.1:" + port + "/graphql"
	for token, want := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, testToken: http.StatusOK} {
		if status, body := query(t, url, token); status != want {
			t.Errorf("token %q: %d %s", token, status, body)
		}
	}
	c.signal(syscall.SIGTERM)
	if code := c.end(); code != exitOK || strings.Contains(c.stderr.String(), testToken) {
		t.Errorf("exit code %d: %s", code, c.stderr)
	}
}

// While it stops, /readyz says no before the listener closes, and a running move may end.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	url, release, _ := slowOrigin(t, 1, 0)
	to, db := t.TempDir(), filepath.Join(t.TempDir(), "tasks.db")
	toURL := mustFolderURL(t, to)
	c := launch(t, "serve", "--listen", "127.0.0.1:0", "--store", db, "--allow", url+"/", "--allow", "destination:"+toURL, "--notice", "3s")
	graphQL := c.await(`graphql=(\S+)`)
	ready := strings.TrimSuffix(graphQL, "/graphql") + "/readyz"
	if _, err := sendMoves(t.Context(), graphQL, []assets.Move{{Source: url + "/0000", Destination: toURL + "moved"}}); err != nil {
		t.Fatal(err)
	}
	c.signal(syscall.SIGTERM)
	eventually(t, func() error {
		if status, body := get(t, ready); status != http.StatusServiceUnavailable || body != "stopping\n" {
			return fmt.Errorf("readyz: %d %q", status, body)
		}
		return nil
	})
	if status, body := query(t, graphQL, ""); status != http.StatusOK {
		t.Errorf("while it says no, it still answers: %d %s", status, body)
	}
	eventually(t, func() error {
		if status, _ := get(t, ready); status != 0 {
			return fmt.Errorf("it still listens")
		}
		return nil
	})
	release()
	if code := c.end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	checkFiles(t, to, map[string]string{"moved": "/0000"})
	if tasks := inDatabase(t, db); len(tasks) != 1 || tasks[0].State != store.Completed {
		t.Errorf("tasks: %+v", tasks)
	}
}

// Without a time to drain, running moves are cancelled at once, and go on at the next start.
func TestServeDrainsForNoTime(t *testing.T) {
	t.Parallel()
	url, _, _ := slowOrigin(t, 1, 0)
	db := filepath.Join(t.TempDir(), "tasks.db")
	toURL := mustFolderURL(t, t.TempDir())
	c := launch(t, "serve", "--listen", "127.0.0.1:0", "--store", db, "--allow", url+"/", "--allow", "destination:"+toURL, "--notice", "0s", "--drain", "0s")
	graphQL := c.await(`graphql=(\S+)`)
	if _, err := sendMoves(t.Context(), graphQL, []assets.Move{{Source: url + "/0000", Destination: toURL + "moved"}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.signal(syscall.SIGTERM)
	// The runner takes zero for its default, which is long enough to be told from no time on any machine.
	if code, took := c.end(), time.Since(began); code != exitOK || took >= actors.DefaultDrainTimeout {
		t.Errorf("exit code %d after %s", code, took)
	}
	if tasks := inDatabase(t, db); len(tasks) != 1 || tasks[0].State != store.Available {
		t.Errorf("tasks: %+v", tasks)
	}
}

// A move has its limits, and who exceeds them is told in the words of the flags, in the log and over GraphQL.
func TestServeLimitsMoves(t *testing.T) {
	t.Parallel()
	slow, _, _ := slowOrigin(t, 1, 0)
	large := mustFolderURL(t, folder(t, map[string]string{"large": "0123456789"}))
	for _, test := range []struct {
		source, want string
		flags        []string
	}{
		{slow + "/0000", "timed out", []string{"--timeout", "50ms"}},
		{slow + "/0000", "stalled", []string{"--stall-timeout", "50ms"}},
		{large + "large", "larger than --max-bytes", []string{"--max-bytes", "9"}},
	} {
		t.Run(test.flags[0], func(t *testing.T) {
			t.Parallel()
			db, toURL := filepath.Join(t.TempDir(), "tasks.db"), mustFolderURL(t, t.TempDir())
			args := []string{
				"serve", "--listen", "127.0.0.1:0", "--store", db, "--allow", slow + "/", "--allow", "source:" + large,
				"--allow", "destination:" + toURL, "--attempts", "1", "--notice", "0s",
			}
			c := launch(t, append(args, test.flags...)...)
			if _, err := sendMoves(t.Context(), c.await(`graphql=(\S+)`), []assets.Move{{Source: test.source, Destination: toURL + "moved"}}); err != nil {
				t.Fatal(err)
			}
			c.await(`msg=discarded .*` + test.want)
			c.signal(syscall.SIGTERM)
			c.end()
			tasks := inDatabase(t, db)
			if len(tasks) != 1 || tasks[0].State != store.Discarded || !strings.Contains(tasks[0].History[0].Error, test.want) {
				t.Errorf("tasks: %+v", tasks)
			}
		})
	}
}
