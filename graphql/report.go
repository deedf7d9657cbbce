package graphql

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime/debug"

	gqlgen "github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/taskrunner-go/taskrunner/messages"
)

// reporter turns errors into what callers and the operator are told.
type reporter struct{ logger *slog.Logger }

// present is gqlgen's hook for each error that comes up while an operation runs. Nil tells nothing.
func (r *reporter) present(ctx context.Context, err error) *gqlerror.Error {
	if errors.Is(err, errAnswer) {
		return nil // whoever waits for the answer as a whole tells it once, and not for each field that had no room
	}
	told := &gqlerror.Error{}
	position, positioned := errors.AsType[*gqlerror.Error](err)
	if positioned {
		told.Path, told.Locations = shortPath(position.Path), position.Locations
	}
	p := explain(err)
	if p.code == Internal && positioned && inArguments(ctx, err) {
		p = badInput("%s", shortened(position.Message))
	}
	told.Message, told.Extensions = p.text, r.extensions(ctx, p, err)
	return told
}

// inArguments reports whether the error is about the arguments of a field: they are read before its resolver is called,
// and gqlgen has no type for what is wrong with them.
func inArguments(ctx context.Context, err error) bool {
	field := gqlgen.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil || field.Field.Definition == nil || len(field.Field.Definition.Arguments) == 0 {
		return false
	}
	_, panicked := errors.AsType[*messages.PanicError](err)
	return field.Args == nil && !panicked
}

// extensions gives the code of the problem and what else there is to say, and logs what the operator should know.
func (r *reporter) extensions(ctx context.Context, p *problem, err error) map[string]any {
	all := p.extensions()
	if p.log {
		all["correlationId"] = r.log(ctx, p, err)
	}
	return all
}

// log writes the whole error, and gives the id under which it stands.
func (r *reporter) log(ctx context.Context, p *problem, err error) string {
	id, level := rand.Text(), slog.LevelWarn
	attributes := []any{"correlationId", id, "code", string(p.code), "error", err}
	if p.code == Internal {
		level = slog.LevelError
	}
	if panicked, ok := errors.AsType[*messages.PanicError](err); ok {
		attributes = append(attributes, "stack", string(panicked.Stack))
	}
	r.logger.Log(ctx, level, "graphql: a request failed", attributes...)
	return id
}

// recovered is gqlgen's hook for panics of resolvers.
func (r *reporter) recovered(_ context.Context, value any) error {
	return &messages.PanicError{Value: value, Stack: debug.Stack()}
}

// tell makes the answer of a request that has failed as a whole.
func (r *reporter) tell(ctx context.Context, err error) (*problem, *gqlgen.Response) {
	p := explain(err)
	return p, &gqlgen.Response{Errors: gqlerror.List{{Message: p.text, Extensions: r.extensions(ctx, p, err)}}}
}
