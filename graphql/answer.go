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
	left atomic.Int64
	most int64
}

type answerKey struct{}

// errAnswer says that there is no room left in the answer. It stays inside of this package.
var errAnswer = errors.New("graphql: the answer is too large")

// withAnswer gives a context that knows how much room there is.
func withAnswer(ctx context.Context, most int64) (context.Context, *answer) {
	a := &answer{most: most}
	a.left.Store(most)
	return context.WithValue(ctx, answerKey{}, a), a
}

func (a *answer) exceeded() bool { return a.left.Load() < 0 }

// problem is what is told instead of the answer.
func (a *answer) problem(operation ast.Operation) *problem {
	if operation == ast.Mutation {
		return exceeded("MaxAnswer", a.most, "what was asked for is done, but the answer is too large to be given")
	}
	return exceeded("MaxAnswer", a.most, "the answer is too large; ask for fewer fields or tasks")
}

// chargeField is gqlgen's hook around each field. Once there is no room left, what is below a field is not looked at.
func chargeField(ctx context.Context, next gqlgen.Resolver) (any, error) {
	value, err := next(ctx)
	a := ctx.Value(answerKey{}).(*answer)
	if a.left.Add(-size(ctx, value)); a.exceeded() {
		return nil, errAnswer
	}
	return value, err
}

// fieldSize is what a field has besides its name and its text: quotes, a colon, a comma, a number or a time.
const fieldSize = 16

// size is about what a field takes in the answer: texts count before they are escaped. Objects and lists are counted by
// their fields.
func size(ctx context.Context, value any) int64 {
	n := fieldSize + len(gqlgen.GetFieldContext(ctx).Field.Alias)
	switch v := value.(type) {
	case string:
		n += len(v)
	case *string:
		if v != nil {
			n += len(*v)
		}
	case json.RawMessage:
		n += len(v)
	}
	return int64(n)
}
