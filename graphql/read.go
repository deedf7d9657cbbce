package graphql

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
	"unicode/utf8"

	gqlgen "github.com/99designs/gqlgen/graphql"
)

// hurry limits the time in which a request has to arrive, which the server alone may not do: it may have other handlers that
// need more. It also holds for a request that is refused, because net/http reads what is left of a body before it answers.
// When a body has come to its end, net/http lifts the limit.
func hurry(w http.ResponseWriter, limits Limits) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(limits.RequestTimeout)) // not every server can
}

// read gives the operation that the request asks for.
func (a *api) read(w http.ResponseWriter, r *http.Request) (*gqlgen.RawParams, error) {
	if r.ContentLength > a.limits.MaxBody {
		return nil, &http.MaxBytesError{Limit: a.limits.MaxBody} // no need to read it first
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.limits.MaxBody))
	if err != nil {
		return nil, unreadable(err)
	}
	return decode(body)
}

// unreadable makes the problem of a body that did not come, with the status for it.
func unreadable(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p := explain(err)
		p.status = http.StatusRequestTimeout
		return p
	}
	return refuse(http.StatusBadRequest, BadUserInput, "the body did not come to its end")
}

// decode reads the JSON of a request. It is stricter than encoding/json, which replaces what is not UTF-8, and so would
// name another file than the caller meant.
func decode(body []byte) (*gqlgen.RawParams, error) {
	if !utf8.Valid(body) {
		return nil, refuse(http.StatusBadRequest, BadUserInput, "the body is not valid UTF-8")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		return nil, refuse(http.StatusBadRequest, BadUserInput, "the body is a list, want one request: batches are not served")
	}
	var request struct {
		Query         string         `json:"query"`
		OperationName string         `json:"operationName"`
		Variables     map[string]any `json:"variables"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // a number that becomes a float64 is no longer what the caller wrote
	if err := decoder.Decode(&request); err != nil {
		return nil, refuse(http.StatusBadRequest, BadUserInput, `the body is not a JSON object with "query", and perhaps "variables" and "operationName"`)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(http.StatusBadRequest, BadUserInput, "there is more behind the JSON object in the body")
	}
	if request.Query == "" {
		return nil, refuse(http.StatusBadRequest, BadUserInput, `the body has no "query"`)
	}
	now := gqlgen.Now()
	return &gqlgen.RawParams{
		Query: request.Query, OperationName: request.OperationName, Variables: request.Variables,
		ReadTime: gqlgen.TraceTiming{Start: now, End: now},
	}, nil
}
