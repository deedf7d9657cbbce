package graphql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

// withTask serves one task as the store has it.
func withTask(t *testing.T, task store.Task, change func(*graphql.Config)) *service {
	t.Helper()
	return newService(t, func(c *graphql.Config) {
		c.Tasks = faulty{Reader: c.Tasks, get: func(context.Context, string) (store.Task, error) { return task, nil }}
		if change != nil {
			change(c)
		}
	})
}

func at(second int) time.Time { return time.Date(2026, 3, 4, 5, 6, second, 891_234_000, time.UTC) }

func TestATaskIsShownAsItIsRecorded(t *testing.T) {
	t.Parallel()
	s := withTask(t, store.Task{
		ID: anID, Seq: 9, Runner: "assets", Kind: "report", Key: "k", Args: []byte(`{"n": 12345678901234567890, "s": "<&>"}`),
		State: store.Discarded, Run: 7, Attempt: 3, MaxAttempts: 3, Node: "node", Progress: 0.25,
		History: []store.Attempt{
			{Attempt: 2, Run: 6, Node: "n1", State: store.Retryable, StartedAt: at(2), FinishedAt: at(3), Error: "first", Stack: "secret stack"},
			{Attempt: 3, Run: 7, State: store.Discarded, FinishedAt: at(4), Error: "last\nline \x01 \u2028"},
		},
		Priority:   7,
		InsertedAt: at(1), ScheduledAt: at(2), StartedAt: at(3), FinishedAt: at(4),
	}, nil)
	r := s.ask(`{ task(id: "`+anID+`") `+taskFields+`}`, nil)
	want := `{"id":"` + anID + `","kind":"report","state":"DISCARDED","attempt":3,"maxAttempts":3,"progress":0.25,` +
		`"args":{"n": 12345678901234567890, "s": "<&>"},"result":null,"error":"last\nline \u0001 ` + "\u2028" + `",` +
		`"history":[{"attempt":2,"run":6,"state":"RETRYABLE","node":"n1","error":"first","stack":null,` +
		`"startedAt":"2026-03-04T05:06:02.891234Z","finishedAt":"2026-03-04T05:06:03.891234Z"},` +
		`{"attempt":3,"run":7,"state":"DISCARDED","node":null,"error":"last\nline \u0001 ` + "\u2028" + `","stack":null,` +
		`"startedAt":null,"finishedAt":"2026-03-04T05:06:04.891234Z"}],"priority":7,"node":"node",` +
		`"insertedAt":"2026-03-04T05:06:01.891234Z","scheduledAt":"2026-03-04T05:06:02.891234Z",` +
		`"startedAt":"2026-03-04T05:06:03.891234Z","finishedAt":"2026-03-04T05:06:04.891234Z"}`
	if got := string(r.Data["task"]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatATaskHasNotIsNull(t *testing.T) {
	t.Parallel()
	old := []store.Attempt{{Attempt: 1, Run: 1, State: store.Retryable, Error: "of an earlier attempt", FinishedAt: at(1)}}
	for _, test := range []struct {
		task     store.Task
		progress string
		error    string
	}{
		{store.Task{State: store.Scheduled}, `null`, `null`},
		{store.Task{State: store.Available, StartedAt: at(1), Progress: 0.5, History: old}, `0.5`, `null`},
		{store.Task{State: store.Running, StartedAt: at(1), History: old}, `0`, `null`},
		{store.Task{State: store.Retryable, StartedAt: at(1), History: old}, `0`, `"of an earlier attempt"`},
		{store.Task{State: store.Completed, StartedAt: at(1), FinishedAt: at(2), Progress: 0.5, History: old}, `1`, `null`},
		{store.Task{State: store.Cancelled, FinishedAt: at(2)}, `null`, `null`},
		{store.Task{State: store.Discarded, StartedAt: at(1), FinishedAt: at(2), Progress: 0.5, History: old}, `0.5`, `"of an earlier attempt"`},
	} {
		test.task.InsertedAt, test.task.ScheduledAt = at(0), at(0)
		s := withTask(t, test.task, nil)
		r := s.ask(`{ task(id: "`+anID+`") { state progress error args result startedAt finishedAt } }`, nil)
		when := func(at time.Time) string {
			if at.IsZero() {
				return "null"
			}
			return `"` + at.Format(time.RFC3339Nano) + `"`
		}
		want := fmt.Sprintf(`{"state":%q,"progress":%s,"error":%s,"args":null,"result":null,"startedAt":%s,"finishedAt":%s}`,
			strings.ToUpper(string(test.task.State)), test.progress, test.error, when(test.task.StartedAt), when(test.task.FinishedAt))
		if got := string(r.Data["task"]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Somebody else may have written to the store. One odd value must not break the whole answer.
func TestArgumentsThatAreNoJSONAreNull(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"", "{", "not json", "{} {}", "\"\xff\"", "\x00"} {
		s := withTask(t, store.Task{State: store.Completed, Args: []byte(odd), Result: []byte(odd), InsertedAt: at(0), ScheduledAt: at(0)}, nil)
		r := s.ask(`{ task(id: "`+anID+`") { state args result } }`, nil)
		if got, want := string(r.Data["task"]), `{"state":"COMPLETED","args":null,"result":null}`; got != want {
			t.Errorf("args %q: got %s, want %s", odd, r.body, want)
		}
	}
}

func TestArgumentsAndResultsOfAKindCanBeHidden(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{"private": `{"args":null,"result":null}`, "plain": `{"args":{"a":1},"result":[2]}`} {
		s := withTask(t, store.Task{Kind: kind, State: store.Completed, Args: []byte(`{"a":1}`), Result: []byte(`[2]`)}, func(c *graphql.Config) {
			c.HideArgs = func(kind string) bool { return kind == "private" }
		})
		r := s.ask(`{ task(id: "`+anID+`") { args result } }`, nil)
		if got := string(r.Data["task"]); got != want {
			t.Errorf("kind %s: got %s, want %s", kind, got, want)
		}
	}
}

// A task that is run again keeps its last result in the store until it has a new one. That is not its result any more.
func TestOnlyACompletedTaskHasAResult(t *testing.T) {
	t.Parallel()
	for _, state := range store.States {
		s := withTask(t, store.Task{State: state, Result: []byte(`7`)}, nil)
		want := `{"result":null}`
		if state == store.Completed {
			want = `{"result":7}`
		}
		if got := string(s.ask(`{ task(id: "`+anID+`") { result } }`, nil).Data["task"]); got != want {
			t.Errorf("%s: got %s, want %s", state, got, want)
		}
	}
}

func TestStacksAreShownIfTheOperatorWantsIt(t *testing.T) {
	t.Parallel()
	failed := store.Task{State: store.Discarded, History: []store.Attempt{{Error: "e", Stack: "goroutine 1"}, {Error: "e"}}}
	s := withTask(t, failed, func(c *graphql.Config) { c.ShowStacks = true })
	r := s.ask(`{ task(id: "`+anID+`") { history { stack } } }`, nil)
	if got, want := string(r.Data["task"]), `{"history":[{"stack":"goroutine 1"},{"stack":null}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnUnknownTaskIsNull(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	if r := s.ask(askTask, nil); string(r.Data["task"]) != "null" || len(r.Errors) > 0 {
		t.Errorf("got %s, want null", r.body)
	}
	for _, id := range []string{"", "1", strings.ToUpper("abcdef00-0000-7000-8000-000000000000"), "{" + anID + "}", "urn:uuid:" + anID, strings.Repeat("x", 1000)} {
		r := s.refuses(graphql.BadUserInput, `query($id: ID!) { task(id: $id) { id } }`, vars{"id": id}, "UUID")
		if len(r.body) > 400 {
			t.Errorf("the refusal of id %.50q has %d bytes", id, len(r.body))
		}
	}
	s.refuses(graphql.BadUserInput, `{ task(id: 12) { id } }`, nil, "12")
	s.refuses(graphql.BadUserInput, `{ task(id: null) { id } }`, nil)
}

func TestARunnerIsShownWithItsLimitsAndCounts(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.start("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")
	const query = `query($name: String!) { runner(name: $name) { name maxChildren maxWaiting running waiting unrecorded abandoned states { state count } } }`
	r := s.ask(query, vars{"name": "assets"})
	want := `{"name":"assets","maxChildren":10,"maxWaiting":200000,"running":10,"waiting":2,"unrecorded":0,"abandoned":0,"states":[` +
		`{"state":"SCHEDULED","count":0},{"state":"AVAILABLE","count":2},{"state":"RUNNING","count":10},{"state":"RETRYABLE","count":0},` +
		`{"state":"COMPLETED","count":0},{"state":"CANCELLED","count":0},{"state":"DISCARDED","count":0}]}`
	if got := string(r.Data["runner"]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r := s.ask(query, vars{"name": "nobody"}); string(r.Data["runner"]) != "null" || len(r.Errors) > 0 {
		t.Errorf("an unknown runner is %s, want null", r.body)
	}
}

// page is a TaskConnection.
type page struct {
	Edges []struct {
		Cursor string
		Node   task
	}
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
}

const pageQuery = `query($state: [TaskState!], $kind: String, $first: Int, $after: String) {
	tasks(state: $state, kind: $kind, first: $first, after: $after) {
		edges { cursor node { id kind state } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`

func TestPageSizes(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	insert(t, s.store, 120, func(int) string { return "report" })
	size := func(query string, variables vars) int { return len(into[page](s, "tasks", query, variables).Edges) }
	for _, test := range []struct {
		query     string
		variables vars
		want      int
	}{
		{`{ tasks { edges { node { id } } } }`, nil, 50},
		{pageQuery, vars{"first": nil}, 50},
		{pageQuery, vars{}, 50},
		{pageQuery, vars{"first": 1}, 1},
		{pageQuery, vars{"first": 100}, 100},
		{pageQuery, vars{"state": []string{}}, 50},
		{pageQuery, vars{"kind": "nothing"}, 0},
		{pageQuery, vars{"state": []string{"RUNNING"}}, 0},
		{`{ tasks(state: AVAILABLE) { edges { node { id } } } }`, nil, 50},
	} {
		if got := size(test.query, test.variables); got != test.want {
			t.Errorf("%s with %v has %d tasks, want %d", test.query, test.variables, got, test.want)
		}
	}
	s.refuses(graphql.BadUserInput, pageQuery, vars{"first": 0}, "first", "0")
	s.refuses(graphql.BadUserInput, pageQuery, vars{"first": -3}, "first", "-3")
	s.refuses(graphql.LimitExceeded, pageQuery, vars{"first": 101}, "first", "101", "MaxFirst", "100")
	s.refuses(graphql.LimitExceeded, pageQuery, vars{"first": 1 << 40}, "MaxFirst")
	s.refuses(graphql.BadUserInput, pageQuery, vars{"first": 1.5})
	s.refuses(graphql.BadUserInput, pageQuery, vars{"first": json.Number("1e100")})
	s.refuses(graphql.BadUserInput, `{ tasks(first: 100000000000000000000000) { edges { node { id } } } }`, nil)
	s.refuses(graphql.BadUserInput, pageQuery, vars{"state": []string{"DONE"}}, "DONE")
	s.refuses(graphql.BadUserInput, pageQuery, vars{"state": []string{"running"}}, "running")
	s.refuses(graphql.BadUserInput, pageQuery, vars{"kind": ""}, "kind")
	s.refuses(graphql.BadUserInput, pageQuery, vars{"kind": "a\x00"}, "kind")
	s.refuses(graphql.BadUserInput, pageQuery, vars{"kind": strings.Repeat("k", 600)}, "kind", "512")
}

func TestAnEmptyPage(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	r := s.ask(pageQuery, nil)
	want := `{"edges":[],"pageInfo":{"hasNextPage":false,"hasPreviousPage":false,"startCursor":null,"endCursor":null}}`
	if got := string(r.Data["tasks"]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCursorsThatAreNone(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	insert(t, s.store, 3, func(int) string { return "report" })
	good := *into[page](s, "tasks", pageQuery, vars{"first": 1}).PageInfo.EndCursor
	for _, cursor := range []string{
		"", "x", "3", good + "=", good + " ", " " + good, good[:len(good)-1], strings.ToLower(good), "dGFzazow", "dGFzazotMQ",
		"dGFzazorMw", "dGFzazowMw", "dGFzazo5MjIzMzcyMDM2ODU0Nzc1ODA4", "\x00", strings.Repeat("a", 5000),
	} {
		s.refuses(graphql.BadUserInput, pageQuery, vars{"after": cursor}, "after", "cursor")
	}
}

// insert records tasks that nobody runs.
func insert(t interface{ Fatal(...any) }, memory *store.Memory, n int, kindOf func(i int) string) []store.Task {
	var tasks []store.NewTask
	for i := range n {
		tasks = append(tasks, store.NewTask{ID: newID(), Runner: "elsewhere", Kind: kindOf(i), MaxAttempts: 1})
	}
	inserted, err := memory.Insert(context.Background(), at(0), tasks)
	if err != nil {
		t.Fatal(err)
	}
	recorded := make([]store.Task, n)
	for i := range inserted {
		recorded[i] = inserted[i].Task
	}
	return recorded
}

// Whoever turns the pages sees every task that was there at the beginning and fits, once, those that have ended last, whatever the
// size of the pages, and though tasks are inserted meanwhile.
func TestPagesGiveEveryTaskOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		memory := store.NewMemory()
		handler, err := graphql.New(graphql.Config{Tasks: memory})
		if err != nil {
			t.Fatal(err)
		}
		kinds := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 40).Draw(t, "kinds")
		tasks := insert(t, memory, len(kinds), func(i int) string { return kinds[i] })
		for i := range tasks {
			if rapid.Bool().Draw(t, "cancel") {
				moved, err := memory.Cancel(context.Background(), at(1), tasks[i].ID)
				if tasks[i] = moved.Task; err != nil {
					t.Fatal(err)
				}
			}
		}
		variables := vars{"first": rapid.IntRange(1, 10).Draw(t, "first")}
		fits := func(store.Task) bool { return true }
		switch rapid.IntRange(0, 3).Draw(t, "filter") {
		case 1:
			variables["kind"] = "b"
			fits = func(t store.Task) bool { return t.Kind == "b" }
		case 2:
			variables["state"] = []string{"CANCELLED", "RUNNING"}
			fits = func(t store.Task) bool { return t.State == store.Cancelled }
		case 3:
			variables["state"], variables["kind"] = []string{"AVAILABLE"}, "c"
			fits = func(t store.Task) bool { return t.State == store.Available && t.Kind == "c" }
		}
		var want []string
		for _, ended := range []bool{false, true} {
			for _, task := range slices.Backward(tasks) {
				if fits(task) && task.State.Final() == ended {
					want = append(want, task.ID)
				}
			}
		}
		if got := turnPages(t, handler, variables, func() { insert(t, memory, 1, func(int) string { return "b" }) }); !slices.Equal(got, want) {
			t.Fatalf("with %v: got  %q\nwant %q", variables, got, want)
		}
	})
}

// turnPages collects the ids on all pages. It calls between two of them what may happen there.
func turnPages(t *rapid.T, handler http.Handler, variables vars, between func()) (ids []string) {
	for {
		body, err := json.Marshal(map[string]any{"query": pageQuery, "variables": variables})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, newCall(string(body)))
		var reply struct {
			Data   struct{ Tasks page }
			Errors []any
		}
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || len(reply.Errors) > 0 {
			t.Fatalf("%v %s", err, w.Body)
		}
		p := reply.Data.Tasks
		for _, edge := range p.Edges {
			ids = append(ids, edge.Node.ID)
		}
		first := variables["first"].(int)
		switch n := len(p.Edges); {
		case n > first, n < first && p.PageInfo.HasNextPage:
			t.Fatalf("a page of %d tasks, want %d; next page: %v", n, first, p.PageInfo.HasNextPage)
		case p.PageInfo.HasPreviousPage != (variables["after"] != nil):
			t.Fatalf("hasPreviousPage is %v", p.PageInfo.HasPreviousPage)
		case n > 0 && (*p.PageInfo.StartCursor != p.Edges[0].Cursor || *p.PageInfo.EndCursor != p.Edges[n-1].Cursor):
			t.Fatalf("the page info is %+v, want the cursors of the first and the last task", p.PageInfo)
		case !p.PageInfo.HasNextPage:
			return ids
		}
		variables["after"] = *p.PageInfo.EndCursor
		between()
	}
}
