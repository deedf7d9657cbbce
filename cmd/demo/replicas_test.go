package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// TestTwoReplicas has two services on one PostgreSQL, of which one is killed in the middle of it: everything that either of them was
// asked for arrives, each outcome is recorded once, and both say the same of it.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	const first, each = 100, 1000
	database := servertest.Postgres(t).NewDatabase(t)
	url, release, _ := slowOrigin(t, 2*each, first)
	to := t.TempDir()
	replica := func() (*child, string) {
		c := launch(t, "serve", "--listen", "127.0.0.1:0", "--store", database, "--allow", url+"/", "--allow", "destination:"+mustFolderURL(t, to),
			"--allow-address", "127.0.0.0/8", "--max-children", "32", "--notice", "0s")
		return c, c.await(`graphql=(\S+)`)
	}
	killed, one := replica()
	stays, two := replica()
	var ids []string
	for i, graphQL := range []string{one, two} {
		moves := make([]assets.Move, each)
		for j := range moves {
			name := fmt.Sprintf("%04d", i*each+j)
			moves[j] = assets.Move{Source: url + "/" + name, Destination: mustFolderURL(t, to) + name}
		}
		sent, err := sendMoves(t.Context(), graphQL, moves)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sent...)
	}
	eventually(t, func() error { return atLeast(t, to, first) })
	killed.signal(syscall.SIGKILL) // its 32 moves are in the middle of it
	killed.end()
	release()
	eventually(t, func() error {
		if done := len(pages(t, two, `state: [COMPLETED]`)); done != 2*each {
			return fmt.Errorf("%d of %d are completed", done, 2*each)
		}
		return nil
	})
	again, three := replica()
	seen := pages(t, two, "first: 100")
	if other := pages(t, three, "first: 100"); !slices.Equal(seen, other) {
		t.Error("the replicas do not say the same")
	}
	slices.Sort(ids)
	if slices.Sort(seen); !slices.Equal(seen, ids) {
		t.Errorf("%d tasks are there, want the %d that were asked for", len(seen), len(ids))
	}
	for _, c := range []*child{stays, again} {
		c.signal(syscall.SIGTERM)
		if code := c.end(); code != exitOK {
			t.Errorf("exit code %d", code)
		}
	}
	checkOutcomes(t, database, ids)
	for i := range 2 * each {
		name := fmt.Sprintf("/%04d", i)
		if body, err := os.ReadFile(to + name); err != nil || string(body) != name {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

// atLeast reports whether so many files are in the folder.
func atLeast(t *testing.T, dir string, want int) error {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < want {
		return fmt.Errorf("%d files, want %d", len(entries), want)
	}
	return nil
}

// pages gives the ids on all pages of tasks.
func pages(t *testing.T, url, filter string) (ids []string) {
	t.Helper()
	for after := "null"; ; {
		body, err := json.Marshal(map[string]string{
			"query": `{ tasks(` + filter + `, after: ` + after + `) { edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }`,
		})
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		status, text := ask(request)
		var answer struct {
			Data struct {
				Tasks struct {
					Edges    []struct{ Node struct{ ID string } }
					PageInfo struct {
						HasNextPage bool
						EndCursor   string
					}
				}
			}
			Errors []any
		}
		if err := json.NewDecoder(strings.NewReader(text)).Decode(&answer); err != nil && err != io.EOF || status != http.StatusOK || len(answer.Errors) > 0 {
			t.Fatalf("%d %s %v", status, text, err)
		}
		for _, edge := range answer.Data.Tasks.Edges {
			ids = append(ids, edge.Node.ID)
		}
		if !answer.Data.Tasks.PageInfo.HasNextPage {
			return ids
		}
		after = `"` + answer.Data.Tasks.PageInfo.EndCursor + `"`
	}
}

// checkOutcomes checks that the order of outcomes has each task once.
func checkOutcomes(t *testing.T, database string, want []string) {
	t.Helper()
	db, err := postgres.Open(t.Context(), database, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var ids []string
	for query := (store.OutcomeQuery{Limit: store.MaxList}); ; {
		found, err := db.Outcomes(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range found.Tasks {
			if ids = append(ids, task.ID); task.State != store.Completed {
				t.Errorf("%s is %s: %+v", task.ID, task.State, task.History)
			}
		}
		if found.Next == query.After {
			break
		}
		query.After = found.Next
	}
	if slices.Sort(ids); !slices.Equal(ids, want) {
		t.Errorf("%d outcomes are recorded, want one for each of %d tasks", len(ids), len(want))
	}
}
