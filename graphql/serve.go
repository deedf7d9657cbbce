package graphql

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	gqlgen "github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"golang.org/x/sync/semaphore"

	"github.com/taskrunner-go/taskrunner/messages"
)

// api serves Path.
type api struct {
	door     *guard
	limits   Limits
	load     *semaphore.Weighted
	executor *executor.Executor
	reporter *reporter
}

// newAPI makes what stands behind the door.
func newAPI(config Config, door *guard) *api {
	reporter := &reporter{config.Logger}
	return &api{
		door: door, limits: config.Limits, load: semaphore.NewWeighted(config.Limits.MaxLoad),
		executor: newExecutor(config, reporter), reporter: reporter,
	}
}

// ServeHTTP takes a request through its stations: the door, reading, doing, answering. Its share of MaxLoad goes with it.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.door.preflight(w, r) {
		return
	}
	if refused := a.door.check(w, r); refused != nil {
		writeProblem(w, r, refused)
		return
	}
	held := &share{load: a.load, most: a.limits.MaxLoad}
	defer held.shrink(0)
	status, response := a.answer(w, r, held)
	a.write(w, r, held, status, response)
}

// overloaded is LIMIT_EXCEEDED by its text but UNAVAILABLE by its code: the request itself is right, and may come again.
func overloaded(most int64) *problem {
	p := exceeded("MaxLoad", most, "too much is under way")
	p.code, p.status = Unavailable, http.StatusServiceUnavailable
	return p
}

// answer reads the request and does what it asks for. What panics here and was not caught by gqlgen is a fault of this
// package or of gqlgen; it must not take the connection with it.
func (a *api) answer(w http.ResponseWriter, r *http.Request, held *share) (status int, response *gqlgen.Response) {
	defer func() {
		if value := recover(); value != nil {
			err := &messages.PanicError{Value: value, Stack: debug.Stack()}
			_, response = a.reporter.tell(r.Context(), err)
			status = http.StatusInternalServerError
		}
	}()
	params, load, err := a.read(w, r, held)
	if err != nil {
		p, response := a.reporter.tell(r.Context(), err)
		return p.status, response
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.limits.RequestTimeout)
	defer cancel()
	response, ran := a.do(ctx, params, &answer{most: a.limits.MaxAnswer, held: held, load: load})
	if !ran {
		return queryStatus(r), response
	}
	return http.StatusOK, response
}

// do runs one operation, unless the query or its variables are wrong.
func (a *api) do(ctx context.Context, params *gqlgen.RawParams, answer *answer) (response *gqlgen.Response, ran bool) {
	// gqlgen wants the trace; nobody reads it.
	ctx = withAnswer(gqlgen.StartOperationTrace(ctx), answer)
	operation, refused := a.executor.CreateOperationContext(ctx, params)
	if refused != nil {
		return &gqlgen.Response{Errors: requestErrors(refused)}, false
	}
	responses, ctx := a.executor.DispatchOperation(ctx, operation)
	if response = responses(ctx); response == nil {
		response = a.failed(ctx, context.Cause(ctx)) // gqlgen says nothing if the time is over before it begins
	}
	if p := answer.problem(operation.Operation.Operation); p != nil {
		response = a.failed(ctx, p)
	}
	return response, true
}

// failed is the answer of an operation that has failed as a whole. It has data that is null; one that was refused before it
// began has no data at all.
func (a *api) failed(ctx context.Context, err error) *gqlgen.Response {
	_, response := a.reporter.tell(ctx, err)
	response.Data = json.RawMessage("null")
	return response
}

// maxErrors is how many mistakes in one query are told. A query of 500 fields can have 40,000.
const maxErrors = 20

// requestErrors makes the errors of a query that was not run fit for the caller: those of gqlparser, whose texts are about
// the query alone, and those of the limits.
func requestErrors(list gqlerror.List) gqlerror.List {
	told := make(gqlerror.List, 0, min(len(list), maxErrors))
	for _, err := range list[:cap(told)] {
		p := mistake(err)
		told = append(told, &gqlerror.Error{Message: p.text, Path: shortPath(err.Path), Locations: err.Locations, Extensions: p.extensions()})
	}
	return told
}

// mistake says what is wrong with a query: what the limiter found, or what gqlparser did.
func mistake(err *gqlerror.Error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if err.Rule == rules.MaxIntrospectionDepth.Name {
		return exceeded("MaxIntrospectionDepth", 2, "fields, interfaces, possibleTypes or inputFields are nested too deep")
	}
	return badInput("%s", shortened(err.Message))
}

// asGraphQL is the media type in which errors of the query have a status of their own.
const asGraphQL = "application/graphql-response+json"

func wantsGraphQL(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), asGraphQL) }

// queryStatus is the status of a query that was not run. In application/json that is 200, because clients of that kind look
// into the answer only then.
func queryStatus(r *http.Request) int {
	if wantsGraphQL(r) {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// errNoJSON says that gqlgen has written something that is no JSON, such as a number that JSON does not have.
var errNoJSON = errors.New("graphql: the answer is no JSON")

// write sends the answer. A reader that is too slow is left alone. Until then the answer counts against MaxLoad, and nothing
// else of the request does any more.
func (a *api) write(w http.ResponseWriter, r *http.Request, held *share, status int, response *gqlgen.Response) {
	if response.Data != nil && !json.Valid(response.Data) { // the caller must not have half of it
		status, response = http.StatusInternalServerError, a.failed(r.Context(), errNoJSON)
	}
	held.shrink(int64(cap(response.Data)))
	// net/http lifts this before the next request on the connection. Not every server can do it.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.limits.RequestTimeout))
	writeResponse(w, r, status, response)
}

// writeProblem refuses a request at the door. The connection is given up, so that net/http does not wait for a body that
// nobody wants, and that may never come.
func writeProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	writeResponse(w, r, p.status, &gqlgen.Response{Errors: gqlerror.List{{Message: p.text, Extensions: p.extensions()}}})
}

// writeResponse writes the data as gqlgen has made them. Marshalled with the rest they would be there three times.
func writeResponse(w http.ResponseWriter, r *http.Request, status int, response *gqlgen.Response) {
	head := []byte(`{`)
	if len(response.Errors) > 0 {
		told, _ := json.Marshal(response.Errors) // texts and numbers alone
		head = slices.Concat(head, []byte(`"errors":`), told)
	}
	switch {
	case response.Data != nil && len(head) > 1:
		head = append(head, `,"data":`...)
	case response.Data != nil:
		head = append(head, `"data":`...)
	}
	writeBody(w, r, status, net.Buffers{head, response.Data, []byte(`}`)})
}

func writeBody(w http.ResponseWriter, r *http.Request, status int, parts net.Buffers) {
	head := w.Header()
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	switch status {
	case http.StatusMethodNotAllowed:
		head.Set("Allow", http.MethodPost)
	case http.StatusUnauthorized:
		head.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		head.Set("Retry-After", "1")
	}
	head.Set("Content-Type", "application/json; charset=utf-8")
	if wantsGraphQL(r) {
		head.Set("Content-Type", asGraphQL+"; charset=utf-8")
	}
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(status)
	_, _ = parts.WriteTo(w) // whoever went away will not read about it
}
