package remote

import (
	"os"
	"path/filepath"
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
