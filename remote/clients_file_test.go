package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Rights are taken away without a restart, also from a stream that is open.
func TestClientsReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testClientsReload)
}

func testClientsReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client := func(name, token, run string) string {
		return `{"name": "` + name + `", "token_sha256": ["` + sumText(token) + `"], "runners": ["*"], "kinds": ["*"], "run": ` + run + `}`
	}
	write("[" + client("one", "one's", "true") + "]")
	h := openHallInBubble(t, doorConfig{clientsFile: path})
	one, two := h.dial(TLS{}, "one's"), h.dial(TLS{}, "two's")
	open := stay(t, one)
	h.wantName(one, "one")
	h.wantCode(two, codes.Unauthenticated, refusedToken)
	if err := open("any"); err != nil {
		t.Error(err)
	}

	write("[" + client("one", "one's", "false") + "," + client("two", "two's", "true") + "]")
	wait()
	h.wantName(two, "two")
	if err := open("any"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a stream of a client that may no longer: %v, want PermissionDenied", err)
	}

	open = stay(t, two)
	if err := open("any"); err != nil {
		t.Error(err)
	}
	write("[" + client("one", "one's", "true") + "," + client("renamed", "two's", "true") + "]")
	wait()
	h.wantName(two, "renamed")
	if err := open("any"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stream of a client that is another one now: %v, want Unauthenticated", err)
	}
	if n := h.door.refusals.snapshot(); n[refusedToken] != 2 || n[refusedNotAllowed] != 1 || len(n) != 2 {
		t.Errorf("refusals %v, want 2 of tokens and 1 of what is not allowed", n)
	}

	write("[")
	h.wantName(one, "one")
	wait()
	h.wantName(one, "one")
	h.log.wait("a changed file is not used, what was read before goes on", path)
}

func TestClientsAreConfiguredOnce(t *testing.T) {
	t.Parallel()
	_, err := newDoor(doorConfig{clients: threeClients(), clientsFile: "clients.json"})
	if err == nil || err.Error() != `remote: ClientsFile is "clients.json", want it empty, because there are Clients` {
		t.Errorf("error %v", err)
	}
	if _, err := newDoor(doorConfig{clientsFile: "missing.json"}); err == nil {
		t.Error("a file that is not there makes no error")
	}
}

// FuzzReadClients looks for files that make ReadClients panic, and for clients that nobody could tell apart. It leaves out the
// reading of the file, which takes longer than all the rest.
func FuzzReadClients(f *testing.F) {
	sum := sumText("a token")
	f.Add([]byte(`[{"name": "one", "token_sha256": ["` + sum + `"], "runners": ["*"], "kinds": ["a"], "run": true, "cancel": false, "certificate": "c"}]`))
	f.Add([]byte(`[{"name": "a", "token_sha256": ["` + sum + `"]}, {"name": "a", "token_sha256": []}]`))
	f.Add([]byte(`[{"name": null, "run": null}, [], {}]`))
	f.Add([]byte("[{\"name\": \"\xff\"}]\n}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		clients, roll, err := checkClients("clients.json", content, true)
		switch {
		case err != nil && (clients != nil || roll != nil || !strings.HasPrefix(err.Error(), "remote: clients.json, line ")):
			t.Errorf("checkClients = %v, %v, %v", clients, roll, err)
		case err == nil:
			checkApart(t, clients)
		}
	})
}

func checkApart(t *testing.T, clients []AllowedClient) {
	t.Helper()
	seen := make(map[string]bool)
	for _, c := range clients {
		if c.Name == "" || len(c.TokenSHA256) == 0 || seen["name "+c.Name] {
			t.Errorf("client %+v, want a name of its own and a token", c)
		}
		seen["name "+c.Name] = true
		for _, sum := range c.TokenSHA256 {
			if sum = strings.ToLower(sum); len(sum) != 64 || seen["sum "+sum] {
				t.Errorf("client %q has the sum %q, want one of its own", c.Name, sum)
			} else {
				seen["sum "+sum] = true
			}
		}
	}
	if len(clients) == 0 {
		t.Error("no clients, and no error")
	}
}
