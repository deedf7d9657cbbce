package graphql_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

func TestCodeOf(t *testing.T) {
	t.Parallel()
	input := func(kind error) error {
		return &assets.InputError{Index: 2, Field: "source", Value: `"x"`, Reason: "is wrong", Kind: kind}
	}
	for _, test := range []struct {
		err  error
		want graphql.Code
	}{
		{nil, ""},
		{errors.New("anything"), graphql.Internal},
		{store.ErrNotFound, graphql.NotFound},
		{store.ErrFenced, graphql.Conflict},
		{&store.StateError{TaskID: anID, From: store.Running, To: store.Available}, graphql.Conflict},
		{store.ErrInvalid, graphql.BadUserInput},
		{store.ErrClosed, graphql.Unavailable},
		{store.ErrLocked, graphql.Unavailable},
		{store.ErrReadOnly, graphql.Unavailable},
		{store.ErrCorrupt, graphql.Unavailable},
		{store.ErrNewerVersion, graphql.Unavailable},
		{store.ErrFull, graphql.Unavailable},
		{actors.ErrFull, graphql.Unavailable},
		{&actors.FullError{Runner: "assets", Limit: "MaxWaiting", Max: 5}, graphql.Unavailable},
		{actors.ErrStopping, graphql.Unavailable},
		{actors.ErrSystemStopped, graphql.Unavailable},
		{actors.ErrUnknownKind, graphql.BadUserInput},
		{actors.ErrNoStore, graphql.Conflict},
		{&actors.ArgsError{Kind: "k", Index: 3, Err: errors.New("no")}, graphql.BadUserInput},
		{&actors.ArgsError{Kind: "k", Err: &messages.PanicError{Value: "boom"}}, graphql.Internal},
		{&actors.ArgsError{Kind: "k", Err: input(assets.ErrNotAllowed)}, graphql.Forbidden},
		{actors.ErrTaskCancelled, graphql.Unavailable},
		{actors.ErrTaskTimeout, graphql.Unavailable},
		{actors.ErrAbandoned, graphql.Internal},
		{actors.ErrNotHandled, graphql.Internal},
		{actors.ErrCallingSelf, graphql.Internal},
		{&actors.TaskError{TaskID: anID, State: store.Discarded, Err: errors.New("no")}, graphql.Internal},
		{messages.NoProc, graphql.Internal},
		{&messages.PanicError{Value: "boom"}, graphql.Internal},
		{&messages.PanicError{Value: store.ErrNotFound}, graphql.Internal},
		{input(assets.ErrInvalid), graphql.BadUserInput},
		{input(assets.ErrNotAllowed), graphql.Forbidden},
		{assets.ErrInvalid, graphql.BadUserInput},
		{assets.ErrNotAllowed, graphql.Forbidden},
		{assets.ErrClosed, graphql.Unavailable},
		{assets.ErrChecksum, graphql.Internal},
		{context.Canceled, graphql.Unavailable},
		{context.DeadlineExceeded, graphql.Unavailable},
		{os.ErrDeadlineExceeded, graphql.LimitExceeded},
		{&http.MaxBytesError{Limit: 7}, graphql.LimitExceeded},
	} {
		if got := graphql.CodeOf(test.err); got != test.want {
			t.Errorf("CodeOf(%v) = %q, want %q", test.err, got, test.want)
		}
		if test.err == nil {
			continue
		}
		wrapped := fmt.Errorf("outside: %w", errors.Join(errors.New("beside"), test.err))
		if got := graphql.CodeOf(wrapped); got != test.want {
			t.Errorf("CodeOf(%v), wrapped, = %q, want %q", test.err, got, test.want)
		}
	}
}

// What a store says of itself is for the operator. The caller learns what to do; the id ties the two together.
func TestNothingInternalLeaks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err    error
		code   graphql.Code
		logged bool
	}{
		{errSecret, graphql.Internal, true},
		{fmt.Errorf("%w: %w", store.ErrClosed, errSecret), graphql.Unavailable, true},
		{fmt.Errorf("%w: %w", store.ErrCorrupt, errSecret), graphql.Unavailable, true},
		{fmt.Errorf("%w: %w", store.ErrInvalid, errSecret), graphql.BadUserInput, false},
		{fmt.Errorf("%w: %w", actors.ErrStopping, errSecret), graphql.Unavailable, false},
		{&actors.ArgsError{Kind: "k", Err: errSecret}, graphql.BadUserInput, true},
		{&messages.PanicError{Value: errSecret, Stack: []byte("secret.go:1")}, graphql.Internal, true},
	} {
		s := newService(t, func(c *graphql.Config) {
			c.Tasks = faulty{Reader: c.Tasks, get: func(context.Context, string) (store.Task, error) { return store.Task{}, test.err }}
		})
		r := s.refuses(test.code, askTask, nil)
		if strings.Contains(r.body, "secret") || strings.Contains(r.body, "hunter2") {
			t.Errorf("%v: the answer is %s", test.err, r.body)
		}
		id, _ := r.Errors[0].Extensions["correlationId"].(string)
		if (id != "") != test.logged {
			t.Errorf("%v: the correlation id is %q", test.err, id)
		}
		if logged := s.log.String(); test.logged && !(strings.Contains(logged, id) && strings.Contains(logged, "hunter2")) {
			t.Errorf("%v: want the error and the id %s in the log:\n%s", test.err, id, logged)
		}
		if test.code == graphql.Internal && r.message() != "internal error" {
			t.Errorf("%v: the message is %q", test.err, r.message())
		}
	}
}

// A panic is the error of one request; the log has it with its stack.
func TestPanicsAreInternalErrors(t *testing.T) {
	t.Parallel()
	ouch := func() { panic(errSecret) }
	for name, test := range map[string]struct {
		change func(*graphql.Config)
		query  string
	}{
		"of the store": {func(c *graphql.Config) {
			c.Tasks = faulty{Reader: c.Tasks, get: func(context.Context, string) (store.Task, error) { ouch(); return store.Task{}, nil }}
		}, askTask},
		"of CheckMoves": {func(c *graphql.Config) { c.CheckMoves = func([]assets.Move) error { ouch(); return nil } },
			`mutation { moveAssets(input: {source: "a", destination: "b"}) { id } }`},
		"of HideArgs": {func(c *graphql.Config) { c.HideArgs = func(string) bool { ouch(); return false } },
			`mutation { moveAssets(input: {source: "https://old.example.com/a", destination: "mem://new/a"}) { id } }`},
	} {
		s := newService(t, test.change)
		r := s.refuses(graphql.Internal, test.query, nil, "internal error")
		if strings.Contains(r.body, "secret") || strings.Contains(r.body, "hunter2") {
			t.Errorf("a panic %s: the answer is %s", name, r.body)
		}
		if logged := s.log.String(); !strings.Contains(logged, "hunter2") || !strings.Contains(logged, "errors_test.go") {
			t.Errorf("a panic %s: want the value and the stack in the log:\n%s", name, logged)
		}
		if n := s.count(); n != 0 {
			t.Errorf("after a panic %s: %d tasks are recorded, want none", name, n)
		}
		if next := s.ask(`{ __typename }`, nil); string(next.Data["__typename"]) != `"Query"` {
			t.Errorf("after a panic %s: %s", name, next.body)
		}
	}
}

// brokenBody panics when it is read.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { panic(errSecret) }

// What breaks outside of the resolvers is caught as well.
func TestAPanicOutsideOfResolvers(t *testing.T) {
	t.Parallel()
	log := &logs{}
	r := newCall("")
	r.Body = io.NopCloser(brokenBody{})
	w := httptest.NewRecorder()
	newHandler(t, graphql.Config{Tasks: store.NewMemory(), Logger: log.logger()}).ServeHTTP(w, r)
	wantRefusal(t, parseReply(t, w.Code, w.Header(), w.Body.Bytes()), graphql.Internal, "internal error")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") || !strings.Contains(log.String(), "hunter2") {
		t.Errorf("status %d, %s, log %s", w.Code, w.Body, log)
	}
}

// A number that JSON does not have must not break the answer around it.
func TestAValueThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, progress := range []float64{math.NaN(), math.Inf(1)} {
		s := withTask(t, store.Task{StartedAt: at(0), Progress: progress}, nil)
		s.refuses(graphql.Internal, `{ task(id: "`+anID+`") { kind progress } }`, nil)
	}
}

func TestNoTimeAtAll(t *testing.T) {
	t.Parallel()
	s := &service{T: t, handler: newHandler(t, graphql.Config{Tasks: store.NewMemory(), Limits: graphql.Limits{RequestTimeout: 1}})}
	wantRefusal(t, s.call(t, small), graphql.Unavailable, "RequestTimeout")
}

func TestARunnerWhoseStoreIsClosed(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.refuses(graphql.Unavailable, `{ runner(name: "assets") { name } }`, nil, "closed")
	s.refuses(graphql.Unavailable, `{ tasks { edges { cursor } } }`, nil, "closed")
	s.refuses(graphql.Unavailable, askTask, nil, "closed")
	s.refuses(graphql.Unavailable, moveMutation, moves(move("a")), "closed")
	s.refuses(graphql.Unavailable, cancelTask, vars{"id": anID}, "closed")
}

// The error of one field leaves the others, if the schema lets it be null.
func TestAnErrorBesideData(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	r := s.ask(`{ good: task(id: "`+anID+`") { id } bad: task(id: "1") { id } runner(name: "assets") { name } }`, nil)
	if len(r.Errors) != 1 || r.Errors[0].Path[0] != "bad" || string(r.Data["runner"]) != `{"name":"assets"}` || string(r.Data["bad"]) != "null" {
		t.Errorf("got %s", r.body)
	}
}

func TestMistakesInQueries(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, test := range []struct{ query, word string }{
		{`{`, "Expected"},
		{`{ tassk }`, "tassk"},
		{`{ task }`, "id"},
		{`{ task(id: "x") }`, "subfields"},
		{`query a { __typename } query b { __typename }`, "operation"},
		{`{ ...f }`, "f"},
		{`{ ... @defer { task(id: "x") { id } } }`, "defer"},
		{`subscription { task(id: "x") { id } }`, ""},
		{`mutation { __schema { types { name } } }`, "__schema"},
		{`query($a: Nothing) { task(id: $a) { id } }`, "Nothing"},
		{`fragment f on Query { __typename }`, "no operation"},
		{`type Query { x: Int }`, ""},
	} {
		s.refuses(graphql.BadUserInput, test.query, nil, test.word)
	}
	if logged := s.log.String(); logged != "" {
		t.Errorf("mistakes of callers are logged:\n%s", logged)
	}
}

// Clients of application/json look at errors only if the status is 200; those of the newer type want it to tell.
func TestStatusOfAQueryThatIsNotRun(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, test := range []struct {
		accept, contentType string
		status              int
	}{
		{"", "application/json; charset=utf-8", 200},
		{"*/*", "application/json; charset=utf-8", 200},
		{"application/json", "application/json; charset=utf-8", 200},
		{"application/graphql-response+json, application/json;q=0.9", "application/graphql-response+json; charset=utf-8", 400},
	} {
		r := s.post(strings.NewReader(`{"query":"{ nothing }"}`), map[string]string{"Accept": test.accept})
		if r.status != test.status || r.header.Get("Content-Type") != test.contentType {
			t.Errorf("Accept %q: status %d and %s, want %d and %s", test.accept, r.status, r.header.Get("Content-Type"), test.status, test.contentType)
		}
		if r.header.Get("Cache-Control") != "no-store" || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("the header is %v", r.header)
		}
	}
}

func TestBodiesThatAreNoRequest(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, test := range []struct{ body, word string }{
		{``, "JSON object"},
		{`null`, "query"},
		{`{}`, "query"},
		{`{"query":""}`, "query"},
		{`{"query":1}`, "JSON object"},
		{`{"query":"{__typename}"`, "JSON object"},
		{`{"query":"{__typename}"} {}`, "more behind"},
		{`{"query":"{__typename}"}x`, "more behind"},
		{`{"query":"{__typename}","variables":[]}`, "JSON object"},
		{`{"query":"{__typename}","variables":"{}"}`, "JSON object"},
		{`[{"query":"{__typename}"}]`, "batches"},
		{"\n[]", "batches"},
		{"{\"query\":\"{__typename}\xff\"}", "UTF-8"},
		{`query { __typename }`, "JSON object"},
		{`{"QUERY":"{__typename}"}`, "no \"query\""},
		{`{"query":"{__typename}","query":"{__typename}"}`, `"query" twice`},
		{`{"query":"{__typename}","x":1,"x":2}`, `"x" twice`},
		{`{"query":"{__typename}",}`, "JSON object"},
		{`{"query" "{__typename}"}`, "JSON object"},
		{`{1:2}`, "JSON object"},
		{`{"query":"{__typename}"]`, "JSON object"},
		{`{"query":"{__typename}","variables":{"a":"`, "JSON object"},
	} {
		r := s.post(strings.NewReader(test.body), nil)
		wantRefusal(t, r, graphql.BadUserInput, test.word)
		wantNoData(t, r)
		if r.status != http.StatusBadRequest {
			t.Errorf("%.40q: status %d, want 400", test.body, r.status)
		}
	}
	r := s.post(strings.NewReader(`{"query":"query a{a:__typename} query b{b:__typename}","operationName":"b","extensions":{"x":1},"Variables":7,"variables":null}`), nil)
	if string(r.Data["b"]) != `"Query"` {
		t.Errorf("the operation that was named was not run: %s", r.body)
	}
}

// Whether anything was carried out can be seen by the data: a request that was refused has none, an operation that has failed
// has null.
func wantNoData(t testing.TB, r reply) {
	t.Helper()
	if strings.Contains(r.body, `"data"`) {
		t.Errorf("the answer of a request that was refused has data: %s", r.body)
	}
}

func TestOnlyWhatWasCarriedOutHasData(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *graphql.Config) { c.Limits.MaxAnswer = 100 })
	for _, query := range []string{`{ nothing }`, `{`, `{ __schema { types { name } } ` + strings.Repeat(`a: __typename `, 600) + `}`} {
		r := s.ask(query, nil)
		if len(r.Errors) == 0 {
			t.Errorf("%.40s is not refused", query)
		}
		wantNoData(t, r)
	}
	for _, query := range []string{`{ __schema { types { name } } }`, `mutation { cancelTask(id: "x") { id } }`} {
		if r := s.ask(query, nil); len(r.Errors) != 1 || !strings.HasSuffix(r.body, `,"data":null}`) {
			t.Errorf("%s: want an error and null: %s", query, r.body)
		}
	}
}

func TestTheNameOfTheOperation(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, test := range []struct{ body, message string }{
		{`{"query":"query a{__typename} query b{__typename}"}`, "the query has 2 operations, want the name of one of them in operationName"},
		{`{"query":"query a{__typename}","operationName":"b"}`, `operationName is "b", want the name of an operation in the query`},
		{`{"query":"{__typename}","operationName":"b"}`, `operationName is "b", want the name of an operation in the query`},
	} {
		r := s.post(strings.NewReader(test.body), nil)
		if wantRefusal(t, r, graphql.BadUserInput); r.message() != test.message {
			t.Errorf("%s: the message is %q, want %q", test.body, r.message(), test.message)
		}
	}
}

// What is no Int is told as the caller has written it.
func TestNumbersThatAreNoInt(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	long := strings.Repeat("9", 200)
	for _, number := range []string{"1.0", "1e2", "3000000000", "100000000000000000000000", "-9223372036854775809", long} {
		for _, body := range []string{
			`{"query":"query($f:Int){tasks(first:$f){edges{cursor}}}","variables":{"f":` + number + `}}`,
			`{"query":"{tasks(first:` + number + `){edges{cursor}}}"}`,
		} {
			r := s.post(strings.NewReader(body), nil)
			if len(r.Errors) != 1 || !strings.Contains(r.message(), number[:min(len(number), 80)]) || r.code() == graphql.Internal {
				t.Errorf("%s: want %s in the message: %s", body, number, r.body)
			}
		}
	}
}
