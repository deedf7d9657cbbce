package graphql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// The handlers block until the test lets them go, so that an answer that waited for them would never come.
func TestMoveAssetsDoesNotWaitForTheMoves(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	tasks := s.start("a.svg", "b.svg", "c.svg")
	if len(tasks) != 3 {
		t.Fatalf("%d tasks, want 3", len(tasks))
	}
	for i, name := range []string{"a.svg", "b.svg", "c.svg"} {
		got := tasks[i]
		if got.Kind != "asset.move" || got.State != "RUNNING" || got.Attempt != 1 || got.MaxAttempts != 2 || got.StartedAt == nil || got.FinishedAt != nil {
			t.Errorf("task %d is %+v, want a first attempt that runs", i, got)
		}
		var args assets.Move
		if err := json.Unmarshal(got.Args, &args); err != nil || !strings.HasSuffix(args.Source, name) {
			t.Errorf("task %d has the args %s, want those of %s as JSON", i, got.Args, name)
		}
		if recorded := s.task(got.ID); recorded.State != "RUNNING" {
			t.Errorf("task %d is recorded as %s, want RUNNING", i, recorded.State)
		}
	}
}

func TestMovesToTheirEnds(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)

	good := s.start("good.svg")[0]
	s.end(assetMove{})
	if good = s.task(good.ID); good.State != "COMPLETED" || good.FinishedAt == nil || *good.Progress != 1 || good.Error != nil || len(good.History) != 0 {
		t.Errorf("a move that succeeded is %+v", good)
	}
	var result assets.Moved
	if err := json.Unmarshal(good.Result, &result); err != nil || result.Bytes != 7 {
		t.Errorf("the result is %s, want the one of the handler as JSON", good.Result)
	}

	bad := s.start("bad.svg")[0]
	s.end(assetMove{err: messages.Discard(errors.New("404"))})
	if bad = s.task(bad.ID); bad.State != "DISCARDED" || bad.Error == nil || !strings.Contains(*bad.Error, "404") || len(bad.History) != 1 {
		t.Errorf("a move that failed for good is %+v", bad)
	}

	panics := s.start("panics.svg")[0]
	s.end(assetMove{panic: true})
	if panics = s.task(panics.ID); panics.State != "RETRYABLE" || len(panics.History) != 1 || panics.History[0].Stack != nil || !panics.ScheduledAt.After(panics.InsertedAt) {
		t.Errorf("a move that panicked is %+v, want it to be tried again, and no stack to be seen", panics)
	}
}

// Nothing of a request with a mistake is recorded, and the error says where the mistake is.
func TestMoveAssetsTakesAllOrNone(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	with := func(field, value string) vars {
		wrong := move("wrong.svg")
		wrong[field] = value
		return moves(move("a.svg"), wrong, move("c.svg"))
	}
	for name, test := range map[string]struct {
		input vars
		code  graphql.Code
		field string // of the second move
		words []string
	}{
		"a source that is not allowed":          {with("source", "https://elsewhere.example.com/a"), graphql.Forbidden, "source", []string{"input[1].source", "allows"}},
		"a destination that is not allowed":     {with("destination", "mem://other/a"), graphql.Forbidden, "destination", []string{"input[1].destination"}},
		"the metadata service":                  {with("source", "http://169.254.169.254/latest"), graphql.Forbidden, "source", nil},
		"a scheme that nobody knows":            {with("source", "gopher://old.example.com/a"), graphql.BadUserInput, "source", []string{"gopher"}},
		"no URL":                                {with("source", "a.svg"), graphql.BadUserInput, "source", nil},
		"an empty source":                       {with("source", ""), graphql.BadUserInput, "source", []string{"empty"}},
		"a control character":                   {with("source", "https://old.example.com/a\nb"), graphql.BadUserInput, "source", []string{"control character"}},
		"an encoded control character":          {with("destination", "mem://new/a%00"), graphql.BadUserInput, "destination", []string{"control character"}},
		"half a character":                      {with("destination", "mem://new/\ufffd"), graphql.BadUserInput, "destination", []string{"input[1].destination", "Unicode"}},
		"a way out":                             {with("destination", "mem://new/../other/a"), graphql.BadUserInput, "destination", []string{`..`}},
		"a parameter that belongs to others":    {with("destination", "mem://new/a?prefix=x"), graphql.BadUserInput, "destination", []string{"operator"}},
		"a destination that can only be read":   {with("destination", "https://old.example.com/b"), graphql.BadUserInput, "destination", []string{"source"}},
		"source and destination are the same":   {with("source", "mem://new/wrong.svg"), graphql.BadUserInput, "destination", []string{"is the source"}},
		"the same destination twice":            {with("destination", "mem://new/a.svg"), graphql.BadUserInput, "destination", []string{"move 0"}},
		"the same destination in other letters": {with("destination", "mem://new/%61.svg"), graphql.BadUserInput, "destination", []string{"move 0"}},
		"a name of 5,000 bytes":                 {with("source", "https://old.example.com/"+strings.Repeat("a", 5000)), graphql.BadUserInput, "source", []string{"4096"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.refuses(test.code, moveMutation, test.input, test.words...)
			if r.Errors[0].Extensions["index"] != 1.0 || r.Errors[0].Extensions["field"] != test.field {
				t.Errorf("the extensions are %v, want index 1 and field %s", r.Errors[0].Extensions, test.field)
			}
			if want := []any{"moveAssets"}; !slices.Equal(r.Errors[0].Path, want) {
				t.Errorf("the path is %v, want %v", r.Errors[0].Path, want)
			}
			if string(r.Data["moveAssets"]) != "" {
				t.Errorf("data is %s beside the error", r.Data["moveAssets"])
			}
			if len(r.body) > 1000 {
				t.Errorf("the refusal has %d bytes", len(r.body))
			}
		})
	}
	s.refuses(graphql.BadUserInput, moveMutation, moves(), "empty")
	s.refuses(graphql.BadUserInput, moveMutation, vars{"input": nil})
	s.refuses(graphql.BadUserInput, moveMutation, vars{})
	s.refuses(graphql.BadUserInput, moveMutation, vars{"input": []any{map[string]any{"source": "x"}}})
	s.refuses(graphql.BadUserInput, moveMutation, vars{"input": []any{map[string]any{"source": 1, "destination": true}}})
	if n := s.count(); n != 0 {
		t.Errorf("%d tasks are recorded, want none", n)
	}
}

// encoding/json would make U+FFFD of each of these, and another asset would be moved.
func TestMoveAssetsRefusesWhatIsNoUnicode(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for name, escaped := range map[string]string{"invalid UTF-8": "\xff", "half a surrogate pair": `\ud800`} {
		body := `{"query":"mutation($s:String!){moveAssets(input:[{source:$s,destination:\"mem://new/a\"}]){id}}",` +
			`"variables":{"s":"https://old.example.com/` + escaped + `"}}`
		wantRefusal(t, s.post(strings.NewReader(body), nil), graphql.BadUserInput)
		t.Log(name)
	}
	s.refuses(graphql.BadUserInput, `mutation{moveAssets(input:[{source:"https://old.example.com/\uD800",destination:"mem://new/a"}]){id}}`, nil)
	if n := s.count(); n != 0 {
		t.Errorf("%d tasks are recorded, want none", n)
	}
}

func TestASingleMoveNeedsNoList(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	tasks := into[[]task](s, "moveAssets", moveMutation, vars{"input": move("a.svg")})
	if len(tasks) != 1 {
		t.Errorf("%d tasks, want 1", len(tasks))
	}
}

// What stands beside the moves could fail where they have succeeded. The data would be null, and the ids lost.
func TestMoveAssetsStandsAlone(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, query := range []string{
		`mutation($input: [MoveAssetInput!]!) { a: moveAssets(input: $input) { id } b: moveAssets(input: $input) { id } }`,
		`mutation($input: [MoveAssetInput!]!) { ...f a: moveAssets(input: $input) { id } }
			fragment f on Mutation { ... { moveAssets(input: $input) { id } } }`,
		`mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) { id } cancelTask(id: "x") { id } }`,
		`mutation($input: [MoveAssetInput!]!) { retryTask(id: "` + anID + `") { id } ... { moveAssets(input: $input) { id } } }`,
	} {
		r := s.refuses(graphql.BadUserInput, query, moves(move("a.svg")), "moveAssets", "alone")
		wantNoData(t, r)
	}
	if n := s.count(); n != 0 {
		t.Errorf("%d tasks are recorded, want none", n)
	}
	const named = `mutation($input: [MoveAssetInput!]!) { a: __typename moveAssets(input: $input) { __typename id } __typename }`
	if r := s.ask(named, moves(move("a.svg"))); len(r.Errors) > 0 || string(r.Data["a"]) != `"Mutation"` {
		t.Errorf("beside __typename: %s", r.body)
	}
}

func TestMoveAssetsWithAHundredThousandInputs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	s := newService(t, nil)
	input := make([]map[string]any, 100_001)
	for i := range input {
		input[i] = move(fmt.Sprintf("icons/svg/an-icon-of-an-usual-name-%d.svg", i))
	}
	const query = `mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) { id state } }`
	s.refuses(graphql.LimitExceeded, query, moves(input...), "MaxInputs", "100001", "100000")
	if n := s.count(); n != 0 {
		t.Fatalf("%d tasks are recorded, want none", n)
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	tasks := into[[]task](s, "moveAssets", query, moves(input[:100_000]...))
	runtime.ReadMemStats(&after)
	t.Logf("100,000 moves in one request took %s and allocated %d MiB", time.Since(began).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
	ids := map[string]bool{}
	for _, task := range tasks {
		ids[task.ID] = true
	}
	if len(ids) != 100_000 || s.count() != 100_000 {
		t.Errorf("%d ids and %d recorded tasks, want 100,000", len(ids), s.count())
	}
	if tasks[0].State != "RUNNING" || tasks[99_999].State != "AVAILABLE" {
		t.Errorf("the first is %s and the last %s, want RUNNING and AVAILABLE: 10 run at a time", tasks[0].State, tasks[99_999].State)
	}
}

func TestMoveAssetsWhenTheRunnerTakesNothing(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	if err := s.runner.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.refuses(graphql.Unavailable, moveMutation, moves(move("a.svg")), "stopping")

	nobody := newService(t, func(c *graphql.Config) { c.Runners = nil })
	nobody.refuses(graphql.Unavailable, moveMutation, moves(move("a.svg")), "no runner")
}

func TestMoveAssetsWhenTheRunnerIsFull(t *testing.T) {
	t.Parallel()
	tiny, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{
		Name: "tiny", Store: store.NewMemory(), MaxChildren: 1, MaxWaiting: 1, DrainTimeout: -1,
		Kinds: actors.Kinds{actors.Kind(assets.KindName, (&service{gate: make(chan assetMove)}).move)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tiny.Stop(context.Background()) })
	s := newService(t, func(c *graphql.Config) { c.Runners, c.MoveRunner = append(c.Runners, tiny), "tiny" })
	s.start("a.svg", "b.svg")
	r := s.refuses(graphql.Unavailable, moveMutation, moves(move("c.svg")), "MaxWaiting", "1")
	if r.Errors[0].Extensions["limit"] != "MaxWaiting" {
		t.Errorf("the extensions are %v, want the limit in them", r.Errors[0].Extensions)
	}
}

// Where the runner is stricter than CheckMoves, its word counts, and the error says where the mistake is all the same.
func TestWhatTheRunnerItselfRefuses(t *testing.T) {
	t.Parallel()
	mover, memory := newMover(t), store.NewMemory()
	strict, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{
		Name: "strict", Store: memory, DrainTimeout: -1, Kinds: actors.Kinds{assets.Kind(mover)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = strict.Stop(context.Background()) })
	s := newService(t, func(c *graphql.Config) {
		c.Tasks, c.Runners, c.CheckMoves = memory, []*actors.TaskRunner{strict}, func([]assets.Move) error { return nil }
	})
	wrong := map[string]any{"source": "https://elsewhere.example.com/a", "destination": "mem://new/b"}
	r := s.refuses(graphql.Forbidden, moveMutation, moves(move("a"), wrong), "input[1].source", "allows")
	if r.Errors[0].Extensions["index"] != 1.0 || r.Errors[0].Extensions["field"] != "source" {
		t.Errorf("the extensions are %v, want index 1 and field source", r.Errors[0].Extensions)
	}
	if counts, err := memory.Counts(t.Context(), ""); err != nil || len(counts) != 0 {
		t.Errorf("%v, %v, want nothing recorded", counts, err)
	}
}

func TestManyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			for j := range 5 {
				body, err := json.Marshal(map[string]any{"query": moveMutation, "variables": moves(move(fmt.Sprintf("%d-%d", i, j)), move(fmt.Sprintf("%d-%d-b", i, j)))})
				if err != nil {
					t.Error(err)
					return
				}
				if r := s.call(t, string(body)); len(r.Errors) > 0 {
					t.Errorf("got %.300s", r.body)
				}
				if r := s.call(t, `{"query":"{tasks(first:100){edges{node{id history{finishedAt}}}} runner(name:\"assets\"){running states{count}}}"}`); len(r.Errors) > 0 {
					t.Errorf("got %.300s", r.body)
				}
			}
		})
	}
	callers.Wait()
	if n := s.count(); n != 200 {
		t.Errorf("%d tasks are recorded, want 200", n)
	}
}
