package graphql

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	gqlgen "github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"golang.org/x/sync/semaphore"

	"github.com/taskrunner-go/taskrunner/messages"
)

// leastLoad is what a request counts against MaxLoad at least, in bytes: reading it, working on it and answering take
// more than its body.
const leastLoad = 1 << 20

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

// ServeHTTP takes a request through its stations: the door, room for it, reading, doing, answering.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.door.preflight(w, r) {
		return
	}
	if refused := a.door.check(w, r); refused != nil {
		writeProblem(w, r, refused)
		return
	}
	weight := max(a.weight(r), leastLoad)
	if !a.load.TryAcquire(weight) {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, r, overloaded(a.limits.MaxLoad))
		return
	}
	defer a.load.Release(weight)
	status, response := a.answer(w, r)
	a.write(w, r, status, response)
}

// weight is how much a body can have: what it says, which net/http holds it to, or else all that it may have.
func (a *api) weight(r *http.Request) int64 {
	if r.ContentLength < 0 {
		return a.limits.MaxBody
	}
	return min(r.ContentLength, a.limits.MaxBody)
}

// overloaded is LIMIT_EXCEEDED by its text but UNAVAILABLE by its code: the request itself is right, and may come again.
func overloaded(most int64) *problem {
	p := exceeded("MaxLoad", most, "too much is under way")
	p.code, p.status = Unavailable, http.StatusServiceUnavailable
	return p
}

// answer reads the request and does what it asks for. What panics here and was not caught by gqlgen is a fault of this
// package or of gqlgen; it must not take the connection with it.
func (a *api) answer(w http.ResponseWriter, r *http.Request) (status int, response *gqlgen.Response) {
	defer func() {
		if value := recover(); value != nil {
			err := &messages.PanicError{Value: value, Stack: debug.Stack()}
			_, response = a.reporter.tell(r.Context(), err)
			status = http.StatusInternalServerError
		}
	}()
	params, err := a.read(w, r)
	if err != nil {
		p, response := a.reporter.tell(r.Context(), err)
		return p.status, response
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.limits.RequestTimeout)
	defer cancel()
	response, ran := a.do(ctx, params)
	if !ran {
		return queryStatus(r), response
	}
	return http.StatusOK, response
}

// do runs one operation, unless the query or its variables are wrong.
func (a *api) do(ctx context.Context, params *gqlgen.RawParams) (response *gqlgen.Response, ran bool) {
	// gqlgen wants the trace; nobody reads it.
	ctx, answer := withAnswer(gqlgen.StartOperationTrace(ctx), a.limits.MaxAnswer)
	operation, refused := a.executor.CreateOperationContext(ctx, params)
	if refused != nil {
		return &gqlgen.Response{Errors: requestErrors(refused)}, false
	}
	responses, ctx := a.executor.DispatchOperation(ctx, operation)
	if response = responses(ctx); response == nil {
		_, response = a.reporter.tell(ctx, context.Cause(ctx)) // gqlgen says nothing if the time is over before it begins
	}
	if answer.exceeded() {
		_, response = a.reporter.tell(ctx, answer.problem(operation.Operation.Operation))
	}
	return response, true
}

// maxErrors is how many mistakes in one query are told. A query of 500 fields can have 40,000.
const maxErrors = 20

// requestErrors makes the errors of a query that was not run fit for the caller: those of gqlparser, whose texts are about
// the query alone, and those of the limits.
func requestErrors(list gqlerror.List) gqlerror.List {
	told := make(gqlerror.List, 0, min(len(list), maxErrors))
	for _, err := range list[:cap(told)] {
		clean := &gqlerror.Error{Message: shortened(err.Message), Path: shortPath(err.Path), Locations: err.Locations}
		clean.Extensions = map[string]any{"code": string(BadUserInput)}
		if limit, ok := err.Extensions["limit"]; ok {
			clean.Extensions = map[string]any{"code": string(LimitExceeded), "limit": limit}
		}
		told = append(told, clean)
	}
	return told
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

// write sends the answer. A reader that is too slow is left alone.
func (a *api) write(w http.ResponseWriter, r *http.Request, status int, response *gqlgen.Response) {
	body, err := json.Marshal(response)
	if err != nil { // gqlgen writes the data itself; if that is no JSON, the caller must not have half of it
		_, response = a.reporter.tell(r.Context(), err)
		status = http.StatusInternalServerError
		body, _ = json.Marshal(response)
	}
	// net/http lifts this before the next request on the connection. Not every server can do it.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.limits.RequestTimeout))
	writeBody(w, r, status, body)
}

// writeProblem refuses a request at the door. The connection is given up, so that net/http does not wait for a body that
// nobody wants, and that may never come.
func writeProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	extensions := map[string]any{"code": string(p.code)}
	maps.Copy(extensions, p.more)
	body, _ := json.Marshal(&gqlgen.Response{Errors: gqlerror.List{{Message: p.text, Extensions: extensions}}})
	writeBody(w, r, p.status, body)
}

func writeBody(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	head := w.Header()
	switch status {
	case http.StatusMethodNotAllowed:
		head.Set("Allow", http.MethodPost)
	case http.StatusUnauthorized:
		head.Set("WWW-Authenticate", "Bearer")
	}
	head.Set("Content-Type", "application/json; charset=utf-8")
	if wantsGraphQL(r) {
		head.Set("Content-Type", asGraphQL+"; charset=utf-8")
	}
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever went away will not read about it
}
