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

// read gives the operation that the request asks for, and what it will take of MaxLoad. The share holds it already.
func (a *api) read(w http.ResponseWriter, r *http.Request, held *share) (params *gqlgen.RawParams, load int64, err error) {
	body, err := a.readBody(w, r, held)
	if err != nil {
		w.Header().Set("Connection", "close") // what is left of the body may never come
		return nil, 0, err
	}
	values, err := checkBody(body, a.limits)
	if err != nil {
		return nil, 0, err
	}
	load = loadPerByte*int64(len(body)) + loadPerValue*int64(values)
	if !held.hold(max(load, leastLoad)) {
		return nil, 0, overloaded(a.limits.MaxLoad)
	}
	params, err = decode(body)
	return params, load, err
}

// firstRead is how much of a body is read before it counts against MaxLoad. A connection takes more than that by itself.
const firstRead = 512

// readBody reads the body into a buffer that doubles when it is full, so that the share never holds more than twice what
// has come.
func (a *api) readBody(w http.ResponseWriter, r *http.Request, held *share) ([]byte, error) {
	most := a.limits.MaxBody
	if r.ContentLength > most {
		return nil, &http.MaxBytesError{Limit: most} // no need to read it first
	}
	reader := http.MaxBytesReader(w, r.Body, most)
	body := make([]byte, 0, firstRead)
	for {
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, unreadable(err)
		case len(body) < cap(body):
			continue
		}
		larger := 2 * cap(body)
		if !held.hold(int64(larger)) {
			return nil, overloaded(a.limits.MaxLoad)
		}
		body = append(make([]byte, 0, larger), body...)
	}
}

// unreadable makes the problem of a body that did not come, unless a limit has stopped it, which explain knows.
func unreadable(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return refuse(http.StatusBadRequest, BadUserInput, "the body did not come to its end")
}

// checkBody looks at what can be seen before the body is decoded. It is stricter than encoding/json, which replaces what is
// not UTF-8, and so would name another file than the caller meant.
func checkBody(body []byte, limits Limits) (values int, err error) {
	if !utf8.Valid(body) {
		return 0, refuse(http.StatusBadRequest, BadUserInput, "the body is not valid UTF-8")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		return 0, refuse(http.StatusBadRequest, BadUserInput, "the body is a list, want one request: batches are not served")
	}
	return checkForm(body, limits)
}

// decode reads the JSON of a request.
func decode(body []byte) (*gqlgen.RawParams, error) {
	now := gqlgen.Now()
	params := &gqlgen.RawParams{ReadTime: gqlgen.TraceTiming{Start: now, End: now}}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // a number that becomes a float64 is no longer what the caller wrote
	if err := decodeMembers(decoder, params); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(http.StatusBadRequest, BadUserInput, "there is more behind the JSON object in the body")
	}
	if params.Query == "" {
		return nil, refuse(http.StatusBadRequest, BadUserInput, `the body has no "query"`)
	}
	return params, nil
}

// decodeMembers reads the object key by key. Decoded into a struct, "QUERY" would be taken for "query", and of two queries
// the last one, where whoever stands before this service may have looked at the first.
func decodeMembers(decoder *json.Decoder, params *gqlgen.RawParams) error {
	malformed := refuse(http.StatusBadRequest, BadUserInput, `the body is not a JSON object with "query", and perhaps "variables" and "operationName"`)
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return malformed
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		key, isKey := token.(string)
		if err != nil || !isKey {
			return malformed
		}
		if seen[key] {
			return refuse(http.StatusBadRequest, BadUserInput, "the body has "+shown(key)+" twice")
		}
		seen[key] = true
		if decoder.Decode(member(params, key)) != nil {
			return malformed
		}
	}
	if _, err := decoder.Token(); err != nil {
		return malformed
	}
	return nil
}

// member is where the value of a key belongs. Other keys than these are none of this service's business.
func member(params *gqlgen.RawParams, key string) any {
	switch key {
	case "query":
		return &params.Query
	case "operationName":
		return &params.OperationName
	case "variables":
		return &params.Variables
	}
	return new(json.RawMessage)
}
