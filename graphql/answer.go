package graphql

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"

	gqlgen "github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// answer counts how large an answer becomes. What a query asks for can be counted before, but not how long the texts in it
// are: the arguments of one task can have a megabyte, and a query can ask for them under many names.
type answer struct {
	most  int64
	held  *share
	load  int64 // what the request takes of MaxLoad besides its answer
	size  atomic.Int64
	limit atomic.Pointer[problem] // which has stopped it

	// reserved says that there is room for all of it. It is set before the fields begin that read it.
	reserved bool
}

type answerKey struct{}

// errAnswer says that there is no room left in the answer. It stays inside of this package.
var errAnswer = errors.New("graphql: the answer is too large")

func withAnswer(ctx context.Context, a *answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

func answerOf(ctx context.Context) *answer { return ctx.Value(answerKey{}).(*answer) }

// take counts what comes to the answer, and says no once there is no room left.
func (a *answer) take(n int64) error {
	if a.reserved {
		return nil
	}
	if p := a.room(a.size.Add(n)); p != nil {
		a.limit.CompareAndSwap(nil, p)
	}
	if a.limit.Load() != nil {
		return errAnswer
	}
	return nil
}

// reserve makes room for the whole of an answer before anything is done, so that what was done can be told.
func (a *answer) reserve(size int64) error {
	if p := a.room(size); p != nil {
		p.text = "nothing was done: " + p.text
		return p
	}
	a.reserved = true
	return nil
}

// room has the share hold an answer of this size, and says what is against it.
func (a *answer) room(size int64) *problem {
	if size > a.most {
		return exceeded("MaxAnswer", a.most, "the answer is too large; ask for fewer fields or tasks")
	}
	load := max(a.load+loadOfAnswer*size, leastLoad)
	if !a.held.hold((load + loadStep - 1) / loadStep * loadStep) {
		return overloaded(a.held.most)
	}
	return nil
}

// problem is what is told instead of the answer; nil if there was room for it.
func (a *answer) problem(operation ast.Operation) *problem {
	p := a.limit.Load()
	if p != nil && operation == ast.Mutation {
		p.text = "what was asked for is done, but it cannot be told: " + p.text
	}
	return p
}

// chargeField is gqlgen's hook around each field. Once there is no room left, what is below a field is not looked at.
func chargeField(ctx context.Context, next gqlgen.Resolver) (any, error) {
	value, err := next(ctx)
	if err != nil {
		return nil, err
	}
	size := fieldSize + int64(len(gqlgen.GetFieldContext(ctx).Field.Alias)) + textSize(value)
	if err := answerOf(ctx).take(size); err != nil {
		return nil, err
	}
	return value, nil
}

// fieldSize is what a field has in the answer besides its name and its text: quotes, a colon, a comma, a number or a time,
// which has up to 32 bytes.
const fieldSize = 40

// textSize is what a text takes in the answer. Objects and lists are counted by their fields.
func textSize(value any) (n int64) {
	switch v := value.(type) {
	case string:
		return escapedSize(v)
	case *string:
		if v != nil {
			return escapedSize(*v)
		}
	case json.RawMessage:
		return int64(len(v))
	}
	return 0
}

// escapedSize is how long a text is at most when it is written as JSON, be it by gqlgen or by encoding/json: these write \u003c
// for <, and \u2028 for a character of three bytes.
func escapedSize(text string) (n int64) {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&':
			n += 6
		case c >= 0x80:
			n += 2
		default:
			n++
		}
	}
	return n
}
