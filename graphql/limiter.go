package graphql

import (
	"context"

	gqlgen "github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
	"github.com/vektah/gqlparser/v2/parser"
)

// limiter holds a query to the limits: by its form before it is checked, because checking takes time that grows with the
// square of its size, and by what it asks for before it is run.
type limiter struct{ Limits }

var (
	_ gqlgen.OperationParameterMutator = limiter{}
	_ gqlgen.OperationContextMutator   = limiter{}
)

// ExtensionName is for gqlgen.
func (limiter) ExtensionName() string { return "Limits" }

// Validate is for gqlgen.
func (limiter) Validate(gqlgen.ExecutableSchema) error { return nil }

// MutateOperationParameters looks at the form of the query. The query is parsed here and a second time by gqlgen, which
// has no place between parsing and checking; that costs 2 ms for the largest query that gets so far.
func (l limiter) MutateOperationParameters(_ context.Context, request *gqlgen.RawParams) *gqlerror.Error {
	if len(request.Query) > l.MaxQuery {
		return refusal(exceeded("MaxQuery", l.MaxQuery, "the query has %d bytes", len(request.Query)))
	}
	source := &ast.Source{Input: request.Query}
	if p := checkTokens(source, l.MaxTokens); p != nil {
		return refusal(p)
	}
	document, err := parser.ParseQuery(source)
	if err == nil { // else gqlgen finds the same, and tells where
		if n := selections(document); n > l.MaxSelections {
			return refusal(exceeded("MaxSelections", l.MaxSelections, "the query has %d fields and fragments", n))
		}
	}
	return nil
}

// maxName is the longest name of a field, a type or a variable, in bytes. Those of the schema have 15. A name that is not
// known is compared with all that are, and told again in the error.
const maxName = 100

// checkTokens reads no further than it has to.
func checkTokens(source *ast.Source, most int) *problem {
	tokens := lexer.New(source)
	for range most + 1 { // one more for the end
		token, _ := tokens.ReadToken() // gqlgen finds the same error, and tells where
		switch {
		case token.Kind == lexer.EOF || token.Kind == lexer.Invalid:
			return nil
		case token.Kind == lexer.Name && len(token.Value) > maxName:
			return badInput("the name %s has %d bytes, want at most %d", shown(token.Value), len(token.Value), maxName)
		}
	}
	return exceeded("MaxTokens", most, "the query has too many words and signs; long input goes into variables")
}

// selections gives how many fields and fragments stand in the query, however often they are used.
func selections(document *ast.QueryDocument) (n int) {
	for _, operation := range document.Operations {
		n += count(operation.SelectionSet)
	}
	for _, fragment := range document.Fragments {
		n += count(fragment.SelectionSet)
	}
	return n
}

// count gives how many selections stand in a set and in the sets inside it. The parser has limited how deep that goes.
func count(set ast.SelectionSet) int {
	n := len(set)
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			n += count(s.SelectionSet)
		case *ast.InlineFragment:
			n += count(s.SelectionSet)
		}
	}
	return n
}

// MutateOperationContext looks at what a correct query asks for.
func (l limiter) MutateOperationContext(_ context.Context, operation *gqlgen.OperationContext) *gqlerror.Error {
	operation.DisableIntrospection = false // whoever was let in may know the schema
	if p := l.checkRoot(operation); p != nil {
		return refusal(p)
	}
	w := weigher{limits: l.Limits, variables: operation.Variables, fragments: map[string]weight{}}
	switch asked := w.set(operation.Operation.SelectionSet); {
	case asked.depth > l.MaxDepth:
		return refusal(exceeded("MaxDepth", l.MaxDepth, "fields are nested %d deep", asked.depth))
	case asked.values > float64(l.MaxComplexity):
		return refusal(exceeded("MaxComplexity", l.MaxComplexity, "the answer can have %.10g values; ask for fewer fields or tasks", asked.values))
	}
	return nil
}

// checkRoot looks at the fields at the top. A second moveAssets could fail where the first has succeeded, and then one
// request would have been done by half.
func (l limiter) checkRoot(operation *gqlgen.OperationContext) *problem {
	root := "Query"
	if operation.Operation.Operation == ast.Mutation {
		root = "Mutation"
	}
	fields := gqlgen.CollectFields(operation, operation.Operation.SelectionSet, []string{root})
	if len(fields) > l.MaxRootFields {
		return exceeded("MaxRootFields", l.MaxRootFields, "the operation has %d fields at its top", len(fields))
	}
	moves := 0
	for _, field := range fields {
		if field.Name != moveAssets {
			continue
		}
		if moves++; moves > 1 {
			return badInput("%s stands in the request more than once; put all moves into one list", moveAssets)
		}
		if n := length(field.ArgumentMap(operation.Variables)["input"]); n > l.MaxInputs {
			return exceeded("MaxInputs", l.MaxInputs, "input has %d moves", n)
		}
	}
	return nil
}

// refusal makes of a problem what gqlgen passes on; requestErrors reads it.
func refusal(p *problem) *gqlerror.Error {
	return &gqlerror.Error{Message: p.text, Extensions: p.more}
}
