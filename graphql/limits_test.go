package graphql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

// Each limit lets through what just fits, and names itself where it does not.
func TestLimitsOfQueries(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		return `{ __type(name: "Task") { ` + strings.Repeat("... { ", 3) + strings.Repeat("ofType { ", depth-2) + "name" + strings.Repeat(" }", depth-2+3) + ` } }`
	}
	for _, test := range []struct {
		limit      string
		set        func(*graphql.Limits)
		fits, over string
	}{
		{"MaxQuery", func(l *graphql.Limits) { l.MaxQuery = 30 }, padded(30), padded(31)},
		{"MaxTokens", func(l *graphql.Limits) { l.MaxTokens = 5 }, `{ a: __typename }`, `{ a: __typename # a note
			b }`},
		{"MaxSelections", func(l *graphql.Limits) { l.MaxSelections = 4 },
			`{ ...f ... { a: __typename } } fragment f on Query { __typename }`,
			`{ ...f ... { a: __typename } } fragment f on Query { __typename b: __typename }`},
		{"MaxDepth", func(l *graphql.Limits) { l.MaxDepth = 6 }, nested(6), nested(7)},
		{"MaxDepth", func(l *graphql.Limits) { l.MaxDepth = 3 },
			`{ ...a } fragment a on Query { __type(name: "x") { ...b } } fragment b on __Type { ofType { name } }`,
			`{ ...a } fragment a on Query { __type(name: "x") { ...b } } fragment b on __Type { ofType { ofType { name } } }`},
		{"MaxRootFields", func(l *graphql.Limits) { l.MaxRootFields = 2 },
			`{ a: __typename a: __typename b: __typename c: __typename @skip(if: true) }`,
			`{ a: __typename ... { b: __typename c: __typename } }`},
		{"MaxComplexity", func(l *graphql.Limits) { l.MaxComplexity = 301 },
			`{ tasks(first: 60) { edges { cursor node { id kind } } } }`,
			`{ tasks(first: 61) { edges { cursor node { id kind } } } }`},
		{"MaxComplexity", func(l *graphql.Limits) { l.MaxComplexity = 301 },
			`query($first: Int = 60) { tasks(first: $first) { edges { cursor node { id kind } } } }`,
			`query($first: Int = 61) { tasks(first: $first) { edges { cursor node { id kind } } } }`},
		{"MaxComplexity", func(l *graphql.Limits) { l.MaxComplexity = 201 }, // 50 by default
			`{ tasks { edges { cursor node { __typename } } } }`,
			`{ tasks { edges { cursor node { __typename } cursor } } }`},
		{"MaxComplexity", func(l *graphql.Limits) { l.MaxComplexity = 2 + 3*10 },
			`{ task(id: "` + anID + `") { history { run node error } } }`,
			`{ task(id: "` + anID + `") { history { run node error } id } }`},
		{"MaxComplexity", func(l *graphql.Limits) { l.MaxComplexity = 51 },
			`{ tasks(first: null) { __typename } }`, `query($first: Int = 1) { tasks(first: $first) { a: __typename __typename } b: tasks(first: 50) { __typename } }`},
		{"MaxComplexity", func(l *graphql.Limits) { l.MaxComplexity = 1000 }, // 102 each
			`query($kind: String = "old") { ` + filtered(9) + ` x: tasks(kind: null) { __typename } }`,
			`query($kind: String = "old") { ` + filtered(10) + ` }`},
		{"MaxFirst", func(l *graphql.Limits) { l.MaxFirst = 51 }, `{ tasks(first: 51) { edges { cursor } } }`, `{ tasks(first: 52) { edges { cursor } } }`},
	} {
		t.Run(test.limit, func(t *testing.T) {
			t.Parallel()
			s := newService(t, func(c *graphql.Config) { test.set(&c.Limits) })
			if r := s.ask(test.fits, nil); len(r.Errors) > 0 {
				t.Errorf("%s: %s", test.fits, r.body)
			}
			r := s.refuses(graphql.LimitExceeded, test.over, nil, test.limit)
			if r.Errors[0].Extensions["limit"] != test.limit {
				t.Errorf("the extensions are %v, want the limit in them", r.Errors[0].Extensions)
			}
			if s.log.String() != "" {
				t.Errorf("limits of callers are logged:\n%s", s.log)
			}
		})
	}
}

// filtered is so many lists of one kind.
func filtered(n int) string {
	return build(n, func(i int) string { return fmt.Sprintf(`t%d: tasks(kind: $kind, first: 1) { __typename } `, i) })
}

// padded is a query of so many bytes.
func padded(length int) string {
	const query = `{ __typename }`
	return query + strings.Repeat(" ", length-len(query))
}

// gqlgen takes a number in quotes for a variable. It must not count for less than it is.
func TestANumberInQuotesCounts(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *graphql.Config) { c.Limits.MaxComplexity = 100 })
	s.refuses(graphql.LimitExceeded, `query($first: Int) { tasks(first: $first) { __typename } }`, vars{"first": "100"}, "MaxComplexity", "101")
}

func TestMaxInputs(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *graphql.Config) { c.Limits.MaxInputs = 2 })
	s.start("a", "b")
	r := s.refuses(graphql.LimitExceeded, moveMutation, moves(move("c"), move("d"), move("e")), "MaxInputs", "3", "2")
	if r.Errors[0].Extensions["limit"] != "MaxInputs" {
		t.Errorf("the extensions are %v", r.Errors[0].Extensions)
	}
	inline := `mutation { moveAssets(input: [` + strings.Repeat(`{source: "x", destination: "y"} `, 3) + `]) { id } }`
	s.refuses(graphql.LimitExceeded, inline, nil, "MaxInputs")
	if n := s.count(); n != 2 {
		t.Errorf("%d tasks are recorded, want 2", n)
	}
}

// The complexity of a mutation counts its inputs, before anything is recorded.
func TestMaxComplexityOfAMutation(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *graphql.Config) { c.Limits.MaxComplexity = 5 })
	const query = `mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) { id state } }`
	s.refuses(graphql.LimitExceeded, query, moves(move("a"), move("b"), move("c")), "MaxComplexity", "7")
	if n := s.count(); n != 0 {
		t.Errorf("%d tasks are recorded, want none", n)
	}
	if r := s.ask(query, moves(move("a"), move("b"))); len(r.Errors) > 0 {
		t.Errorf("got %s", r.body)
	}
}

func TestMaxBody(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *graphql.Config) { c.Limits.MaxBody = 100 })
	body := func(length int) string {
		const request = `{"query":"{__typename}"}`
		return request + strings.Repeat(" ", length-len(request))
	}
	if r := s.post(strings.NewReader(body(100)), nil); len(r.Errors) > 0 {
		t.Errorf("a body of 100 bytes: %s", r.body)
	}
	for name, reader := range map[string]interface {
		Read([]byte) (int, error)
	}{
		"of a length that is known":     strings.NewReader(body(101)),
		"of a length that is not known": struct{ *strings.Reader }{strings.NewReader(body(101))},
	} {
		r := s.post(reader, nil)
		wantRefusal(t, r, graphql.LimitExceeded, "MaxBody", "100")
		if r.status != http.StatusRequestEntityTooLarge || r.Errors[0].Extensions["limit"] != "MaxBody" {
			t.Errorf("a body %s: status %d, %s", name, r.status, r.body)
		}
	}
}

// What would be made of a body is counted before it is.
func TestTheFormOfABody(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *graphql.Config) { c.Limits.MaxBodyDepth, c.Limits.MaxBodyValues = 5, 20 })
	for _, test := range []struct{ variables, limit string }{
		{`{"a":[[[0]]]}`, ""},
		{`{"a":[[[[0]]]]}`, "MaxBodyDepth"},
		{`{"a":{"a":{"a":{"a":{}}}}}`, "MaxBodyDepth"},
		{`{"a":[[[]],[[]],[[]]]}`, ""},
		{`{"a":"[[[[[[{{{{{{,,,,,,,,,,,,,,,,,,,,,,,"}`, ""},
		{`{"a":"\"[[[[[[{{{{{{,,,,,,,,,,,,,,,,,,,,,,\\"}`, ""},
		{`{"a":"\\","b":[[[[]]]]}`, "MaxBodyDepth"},
		{`{"a":[0` + strings.Repeat(`,0`, 15) + `]}`, ""}, // 16, and the list, the variables, the query and the body
		{`{"a":[0` + strings.Repeat(`,0`, 16) + `]}`, "MaxBodyValues"},
		{`{"a":0` + build(17, func(i int) string { return fmt.Sprintf(`,"a%d":0`, i) }) + `}`, "MaxBodyValues"},
		{strings.Repeat(`{"":`, 100_000), "MaxBodyDepth"},
		{`{"a":[` + strings.Repeat(`{},`, 100_000), "MaxBodyValues"},
	} {
		r := s.post(strings.NewReader(`{"query":"{__typename}","variables":`+test.variables+`}`), nil)
		if test.limit == "" {
			if len(r.Errors) > 0 {
				t.Errorf("%.100s: %s", test.variables, r.body)
			}
			continue
		}
		wantRefusal(t, r, graphql.LimitExceeded, test.limit)
		wantLimit(t, r, test.limit)
		wantNoData(t, r)
		if r.status != http.StatusBadRequest {
			t.Errorf("%.100s: status %d, want 400", test.variables, r.status)
		}
	}
}

// held is a service in which requests for a task are under way until the test lets them go.
func held(t *testing.T, maxLoad int64) (s *service, entered, leave chan struct{}) {
	t.Helper()
	entered, leave = make(chan struct{}), make(chan struct{})
	s = newService(t, func(c *graphql.Config) {
		c.Limits.MaxBody, c.Limits.MaxLoad = 2<<20, maxLoad
		c.Tasks = faulty{Reader: c.Tasks, get: func(context.Context, string) (store.Task, error) {
			entered <- struct{}{}
			<-leave
			return store.Task{}, store.ErrNotFound
		}}
	})
	return s, entered, leave
}

// Requests beyond the load are refused at once, and room is given back when one is done.
func TestMaxLoad(t *testing.T) {
	t.Parallel()
	s, entered, leave := held(t, 3<<20)
	answers := make(chan reply, 3)
	for range 3 { // each counts as a MiB
		go func() { answers <- s.ask(askTask, nil) }()
		<-entered
	}
	r := s.ask(`{ __typename }`, nil)
	wantRefusal(t, r, graphql.Unavailable, "MaxLoad")
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") != "1" || r.Errors[0].Extensions["limit"] != "MaxLoad" {
		t.Errorf("status %d, %v, %s", r.status, r.header, r.body)
	}
	close(leave)
	for range 3 {
		if r := <-answers; len(r.Errors) > 0 {
			t.Errorf("a request within the load: %s", r.body)
		}
	}
	if r := s.ask(`{ __typename }`, nil); len(r.Errors) > 0 {
		t.Errorf("afterwards: %s", r.body)
	}
	chunked := struct{ *strings.Reader }{strings.NewReader(`{"query":"{__typename}"}`)}
	if r := s.post(chunked, nil); len(r.Errors) > 0 {
		t.Errorf("a body of unknown length: %s", r.body)
	}
}

// A body counts as what is made of it: 4,000 values take 2.4 MB. One that takes more than there is may run alone.
func TestABodyCountsAsWhatIsMadeOfIt(t *testing.T) {
	t.Parallel()
	s, entered, leave := held(t, 3<<20)
	values := func(n int) string {
		return `{"query":"{__typename}","variables":{"a":[0` + strings.Repeat(",0", n) + `]}}`
	}
	alone := func() {
		t.Helper()
		for _, n := range []int{4_000, 400_000} {
			if r := s.post(strings.NewReader(values(n)), nil); len(r.Errors) > 0 {
				t.Errorf("%d values alone: %s", n, r.body)
			}
		}
	}
	alone()
	answers := make(chan reply, 1)
	go func() { answers <- s.ask(askTask, nil) }()
	<-entered
	for body, code := range map[string]graphql.Code{values(2_000): "", values(4_000): graphql.Unavailable, values(400_000): graphql.Unavailable} {
		r := s.post(strings.NewReader(body), nil)
		if r.code() != code {
			t.Errorf("a body of %d bytes: code %q, want %q", len(body), r.code(), code)
		}
		if code != "" {
			wantLimit(t, r, "MaxLoad")
		}
	}
	wrong := strings.Replace(values(4_000), "__typename", "nothing", 1) // it is not decoded to find that out
	wantRefusal(t, s.post(strings.NewReader(wrong), nil), graphql.Unavailable, "MaxLoad")
	leave <- struct{}{}
	if r := <-answers; len(r.Errors) > 0 {
		t.Errorf("the request under way: %s", r.body)
	}
	alone()
}

// The answer counts while it grows.
func TestAnAnswerCountsAgainstMaxLoad(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	args, err := json.Marshal(strings.Repeat("x", 100_000))
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, func(c *graphql.Config) {
		c.Limits.MaxBody, c.Limits.MaxLoad = 2<<20, 3<<20
		c.Tasks = faulty{Reader: c.Tasks, get: func(_ context.Context, id string) (store.Task, error) {
			if id == anID {
				entered <- struct{}{}
				<-leave
			}
			return store.Task{State: store.Completed, Args: args, InsertedAt: at(0), ScheduledAt: at(0)}, nil
		}}
	})
	megabytes := func(n int) string {
		return `{ task(id: "` + newID() + `") { ` + build(10*n, func(i int) string { return fmt.Sprintf("a%d: args ", i) }) + ` } }`
	}
	answers := make(chan reply, 1)
	go func() { answers <- s.ask(`{ task(id: "`+anID+`") { state } }`, nil) }()
	<-entered
	r := s.refuses(graphql.Unavailable, megabytes(2), nil, "MaxLoad")
	wantLimit(t, r, "MaxLoad")
	if len(r.Errors) != 1 || !strings.HasSuffix(r.body, `,"data":null}`) {
		t.Errorf("got %.300s", r.body)
	}
	leave <- struct{}{}
	if r := <-answers; len(r.Errors) > 0 {
		t.Errorf("the small one: %s", r.body)
	}
	for range 5 { // more than there is, but alone
		if r := s.ask(megabytes(2), nil); len(r.Errors) > 0 {
			t.Errorf("alone: %.300s", r.body)
		}
	}
}

// A task may have a megabyte of arguments, and a query may ask for them under many names. The answer is all or nothing, and
// has one error, not one for each field that had no room.
func TestMaxAnswer(t *testing.T) {
	t.Parallel()
	args, err := json.Marshal(strings.Repeat("x", 10_000))
	if err != nil {
		t.Fatal(err)
	}
	large := store.Task{State: store.Completed, Args: args, InsertedAt: at(0), ScheduledAt: at(0)}
	s := withTask(t, large, func(c *graphql.Config) { c.Limits.MaxAnswer = 100_000 })
	aliases := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "a%d: args ", i)
		}
		return `{ task(id: "` + anID + `") { id state ` + b.String() + ` } }`
	}
	if r := s.ask(aliases(9), nil); len(r.Errors) > 0 {
		t.Errorf("9 times 10,000 bytes: %.300s", r.body)
	}
	for _, n := range []int{10, 400} {
		r := s.refuses(graphql.LimitExceeded, aliases(n), nil, "MaxAnswer", "100000", "fewer")
		if len(r.Errors) != 1 || r.Data != nil {
			t.Errorf("%d times 10,000 bytes: %d errors, data %v", n, len(r.Errors), r.Data)
		}
	}
	if logged := s.log.String(); logged != "" {
		t.Errorf("a limit of a caller is logged:\n%s", logged)
	}
}

// That a task was cancelled must not be a secret only because there is no room to say so.
func TestMaxAnswerOfCancelTask(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *graphql.Config) { c.Limits.MaxAnswer = 100 })
	const query = `mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) { id } }`
	id := into[[]task](s, "moveAssets", query, moves(move("a")))[0].ID
	r := s.refuses(graphql.LimitExceeded, cancelTask, vars{"id": id}, "is done", "MaxAnswer")
	wantLimit(t, r, "MaxAnswer")
	<-s.ended
	if got := into[task](s, "task", `query($id: ID!) { task(id: $id) { state } }`, vars{"id": id}); got.State != "CANCELLED" {
		t.Errorf("the task is %s, want CANCELLED", got.State)
	}
}

// The ids of moves that are recorded are told whatever happens, so whether there is room for them is known before.
func TestNoMoveIsRecordedWithoutRoomForTheAnswer(t *testing.T) {
	t.Parallel()
	odd := map[string]any{"source": "https://old.example.com/\u00e4?b=1&c=2&d=3", "destination": "mem://new/" + strings.Repeat("&", 60) + strings.Repeat("\u2028", 60)}
	for _, fields := range []string{
		`id`, `i: id __typename`, `args`, `a: args b: args a_name_that_is_rather_long: args t: __typename`,
		`...f ...f } } fragment f on Task { id kind state args history { finishedAt } insertedAt scheduledAt startedAt finishedAt progress attempt`,
	} {
		query := `mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) { ` + fields + ` } }`
		if strings.Contains(fields, "fragment") {
			query = strings.TrimSuffix(query, " }")
		}
		size := int64(len(into[json.RawMessage](newService(t, nil), "moveAssets", query, moves(odd, move("b")))))
		tight := newService(t, func(c *graphql.Config) { c.Limits.MaxAnswer = size - 1 })
		r := tight.refuses(graphql.LimitExceeded, query, moves(odd, move("b")), "nothing was done", "MaxAnswer")
		wantLimit(t, r, "MaxAnswer")
		if n := tight.count(); n != 0 {
			t.Errorf("%s: %d tasks are recorded, want none", query, n)
		}
	}
}

func TestNoMoveIsRecordedWithoutRoomInMaxLoad(t *testing.T) {
	t.Parallel()
	s, entered, leave := held(t, 3<<20)
	query := `mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) { ` + build(30, func(i int) string { return fmt.Sprintf("a%d: args ", i) }) + ` } }`
	input := make([]map[string]any, 300)
	for i := range input {
		input[i] = move(fmt.Sprintf("an-icon-%d.svg", i))
	}
	answers := make(chan reply, 1)
	go func() { answers <- s.ask(askTask, nil) }()
	<-entered
	wantLimit(t, s.refuses(graphql.Unavailable, query, moves(input...), "nothing was done", "MaxLoad"), "MaxLoad")
	if n := s.count(); n != 0 {
		t.Errorf("%d tasks are recorded, want none", n)
	}
	leave <- struct{}{}
	if r := <-answers; len(r.Errors) > 0 {
		t.Errorf("the request under way: %s", r.body)
	}
	if r := s.ask(query, moves(input...)); len(r.Errors) > 0 || s.count() != 300 {
		t.Errorf("alone: %d tasks are recorded: %.300s", s.count(), r.body)
	}
}
