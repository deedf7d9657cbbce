package graphql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// Code says what kind of error it is, in the extensions of every error ("code"). There are no others than these.
type Code string

const (
	// BadUserInput: the request is wrong, and will be so again. Errors about a move have its index in the list and its
	// field in their extensions ("index", "field").
	BadUserInput Code = "BAD_USER_INPUT"
	// Unauthenticated: no valid token.
	Unauthenticated Code = "UNAUTHENTICATED"
	// Forbidden: the operator does not allow it.
	Forbidden Code = "FORBIDDEN"
	// NotFound: there is no such task.
	NotFound Code = "NOT_FOUND"
	// Conflict: the task is in a state in which this cannot be done.
	Conflict Code = "CONFLICT"
	// LimitExceeded: the request is too large; the extensions name the limit ("limit").
	LimitExceeded Code = "LIMIT_EXCEEDED"
	// Unavailable: not now; later it may work. If the runner is full, the extensions name its limit ("limit").
	Unavailable Code = "UNAVAILABLE"
	// Internal: a fault of the service. The log has it, under the id in the extensions ("correlationId").
	Internal Code = "INTERNAL"
)

// CodeOf gives the code that callers are told for an error of this library. It is total: an error that it does not know
// is Internal. Nil has no code: "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return explain(err).code
}

// problem is what a caller is told of an error: never the error's own text, unless that was written for callers.
type problem struct {
	code   Code
	text   string
	more   map[string]any // further extensions
	status int            // of the HTTP answer if the request did not get as far as GraphQL; else zero
	log    bool           // the operator should know
}

func (p *problem) Error() string { return "graphql: " + p.text }

// extensions are what programs read of the problem.
func (p *problem) extensions() map[string]any {
	all := map[string]any{"code": string(p.code)}
	maps.Copy(all, p.more)
	return all
}

// refuse makes the problem of a request that is not read further.
func refuse(status int, code Code, text string) *problem {
	return &problem{code: code, text: text, status: status}
}

// badInput makes the problem of a request that is wrong.
func badInput(format string, args ...any) *problem {
	return &problem{code: BadUserInput, text: fmt.Sprintf(format, args...)}
}

// exceeded makes the problem of a limit. Both values may be of any kind of number.
func exceeded(limit string, most any, format string, args ...any) *problem {
	text := fmt.Sprintf(format, args...) + fmt.Sprintf("; the limit %s is %v", limit, most)
	return &problem{code: LimitExceeded, text: text, more: map[string]any{"limit": limit}}
}

// internal is all that is told of what is not known.
func internal() *problem { return &problem{code: Internal, text: "internal error", log: true} }

// sentinels are the errors that carry no data, with what is told of them. The first that fits counts.
var sentinels = [...]struct {
	is   error
	code Code
	text string
	log  bool
}{
	{store.ErrNotFound, NotFound, "there is no such task", false},
	{store.ErrFenced, Conflict, "the task has been changed meanwhile", false},
	{store.ErrInvalid, BadUserInput, "a value cannot be recorded", false},
	{store.ErrClosed, Unavailable, "the store is closed", true},
	{store.ErrLocked, Unavailable, "the store is in use by another process", true},
	{store.ErrReadOnly, Unavailable, "the store cannot be written to", true},
	{store.ErrCorrupt, Unavailable, "the store is damaged", true},
	{store.ErrNewerVersion, Unavailable, "the store was written by a newer version", true},
	{store.ErrFull, Unavailable, "the store has no room left", true},
	{actors.ErrStopping, Unavailable, "the runner is stopping", false},
	{actors.ErrSystemStopped, Unavailable, "the runner has stopped", false},
	{actors.ErrFull, Unavailable, "the runner is full", false},
	{actors.ErrUnknownKind, BadUserInput, "no such kind of task", true},
	{actors.ErrNoStore, Conflict, "the runner records nothing", true},
	{assets.ErrNotAllowed, Forbidden, "not allowed", false},
	{assets.ErrInvalid, BadUserInput, "not a valid move", false},
	{assets.ErrClosed, Unavailable, "the mover is closed", false},
	{context.Canceled, Unavailable, "the request was cancelled", false},
}

// explain says what a caller is told of an error. It is total. What has panicked is internal, whatever else it is.
func explain(err error) *problem {
	if _, panicked := errors.AsType[*messages.PanicError](err); panicked {
		return internal()
	}
	if p := explainTyped(err); p != nil {
		return p
	}
	for _, known := range sentinels {
		if errors.Is(err, known.is) {
			return &problem{code: known.code, text: known.text, log: known.log}
		}
	}
	if p := explainTimeout(err); p != nil {
		return p
	}
	if args, ok := errors.AsType[*actors.ArgsError](err); ok {
		return &problem{code: BadUserInput, text: "the arguments were refused", more: map[string]any{"index": args.Index}, log: true}
	}
	return internal()
}

// explainTyped knows the errors that carry data; nil if err is none of them.
func explainTyped(err error) *problem {
	if told, ok := errors.AsType[*problem](err); ok {
		return told
	}
	if input, ok := errors.AsType[*assets.InputError](err); ok {
		return explainInput(input, err)
	}
	if full, ok := errors.AsType[*actors.FullError](err); ok {
		text := fmt.Sprintf("the runner is full; its limit %s is %d", full.Limit, full.Max)
		return &problem{code: Unavailable, text: text, more: map[string]any{"limit": full.Limit}}
	}
	if state, ok := errors.AsType[*store.StateError](err); ok {
		return &problem{code: Conflict, text: fmt.Sprintf("the task is %s and cannot become %s", stateOf(state.From), stateOf(state.To))}
	}
	if body, ok := errors.AsType[*http.MaxBytesError](err); ok {
		p := exceeded("MaxBody", body.Limit, "the body is too large")
		p.status = http.StatusRequestEntityTooLarge
		return p
	}
	return nil
}

// explainTimeout knows what was too slow; nil if nothing was. What the service took too long for may work later.
func explainTimeout(err error) *problem {
	more := map[string]any{"limit": "RequestTimeout"}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{code: LimitExceeded, text: "the request did not arrive within Limits.RequestTimeout", more: more, status: http.StatusRequestTimeout}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{code: Unavailable, text: "the request took longer than Limits.RequestTimeout", more: more, log: true}
	}
	return nil
}

// explainInput names the field of the input. The index may be known only to the runner, which checks one move at a time.
func explainInput(input *assets.InputError, err error) *problem {
	index := max(input.Index, 0)
	if args, ok := errors.AsType[*actors.ArgsError](err); ok {
		index = args.Index
	}
	p := badInput("input[%d].%s %s %s", index, input.Field, input.Value, input.Reason)
	if errors.Is(input, assets.ErrNotAllowed) {
		p.code = Forbidden
	}
	p.more = map[string]any{"index": index, "field": input.Field}
	return p
}

const (
	// maxShown is how many bytes of a refused value an error shows: enough to recognise it.
	maxShown = 80
	// maxMessage is how many bytes of a message of gqlparser are told. It quotes values and does not shorten them.
	maxMessage = 400
)

// shown quotes a value that somebody sent, so that nothing of it can be taken for something else.
func shown(value string) string {
	if len(value) > maxShown {
		return strconv.QuoteToASCII(cut(value, maxShown)) + "…"
	}
	return strconv.QuoteToASCII(value)
}

// shortened takes the beginning of a message that quotes what somebody sent.
func shortened(message string) string {
	if len(message) > maxMessage {
		return cut(message, maxMessage) + "…"
	}
	return message
}

// shortPath shortens the names in the path of an error: a field of an input that does not exist has any name.
func shortPath(path ast.Path) ast.Path {
	short := slices.Clone(path)
	for i, element := range short {
		if name, ok := element.(ast.PathName); ok && len(name) > maxName {
			short[i] = ast.PathName(cut(string(name), maxName) + "…")
		}
	}
	return short
}

// cut takes the beginning of a text, without the half of a character at its end.
func cut(text string, most int) string { return strings.ToValidUTF8(text[:most], "") }
