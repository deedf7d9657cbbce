package graphql

import (
	"context"
	"encoding/json"

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
	if err == nil && len(document.Operations) > 0 { // else gqlgen finds the same, and tells where
		if p := l.checkDocument(document, request); p != nil {
			return refusal(p)
		}
	}
	return nil
}

// checkDocument also finds mistakes that gqlgen would find, but tell badly: without the name of the operation, or with
// another number than the caller has written.
func (l limiter) checkDocument(document *ast.QueryDocument, request *gqlgen.RawParams) *problem {
	operation, n := document.Operations.ForName(request.OperationName), selections(document)
	switch {
	case n > l.MaxSelections:
		return exceeded("MaxSelections", l.MaxSelections, "the query has %d fields and fragments", n)
	case operation == nil && request.OperationName == "":
		return badInput("the query has %d operations, want the name of one of them in operationName", len(document.Operations))
	case operation == nil:
		return badInput("operationName is %s, want the name of an operation in the query", shown(request.OperationName))
	}
	return checkInts(operation, request.Variables)
}

// checkInts finds numbers that are no Int.
func checkInts(operation *ast.OperationDefinition, variables map[string]any) *problem {
	for _, variable := range operation.VariableDefinitions {
		number, isNumber := variables[variable.Variable].(json.Number)
		if !isNumber || variable.Type.NamedType != "Int" {
			continue
		}
		if _, err := number.Int64(); err != nil {
			return badInput("the variable %s is %s, want a whole number of 32 bits, without point and exponent", variable.Variable, shortNumber(number))
		}
	}
	return nil
}

func shortNumber(number json.Number) string {
	if len(number) > maxShown {
		return cut(string(number), maxShown) + "…"
	}
	return string(number)
}

// maxName is the longest name of a field, a type or a variable, in bytes. Those of the schema have 15. A name that is not
// known is compared with all that are, and told again in the error.
const maxName = 100

// checkTokens reads no further than it has to.
func checkTokens(source *ast.Source, most int) *problem {
	tokens, depth := lexer.New(source), 0
	for range most + 1 { // one more for the end
		token, _ := tokens.ReadToken() // gqlgen finds the same error, and tells where
		switch {
		case token.Kind == lexer.EOF || token.Kind == lexer.Invalid:
			return nil
		case token.Kind == lexer.Name && len(token.Value) > maxName:
			return badInput("the name %s has %d bytes, want at most %d", shown(token.Value), len(token.Value), maxName)
		case token.Kind == lexer.BraceL || token.Kind == lexer.BracketL:
			depth++
		case token.Kind == lexer.BraceR || token.Kind == lexer.BracketR:
			depth--
		}
		if depth > parser.MaxNestingDepth { // the parser refuses it too, but names no limit
			return exceeded("MaxNesting", parser.MaxNestingDepth, "braces and brackets of the query are nested too deep")
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
func (l limiter) MutateOperationContext(ctx context.Context, operation *gqlgen.OperationContext) *gqlerror.Error {
	operation.DisableIntrospection = false // whoever was let in may know the schema
	if p := l.checkRoot(operation); p != nil {
		return refusal(p)
	}
	w := weigher{limits: l.Limits, variables: operation.Variables, fragments: map[string]weight{}}
	answer := answerOf(ctx)
	switch asked := w.set(operation.Operation.SelectionSet); {
	case asked.depth > l.MaxDepth:
		return refusal(exceeded("MaxDepth", l.MaxDepth, "fields are nested %d deep", asked.depth))
	case asked.values > float64(l.MaxComplexity):
		return refusal(exceeded("MaxComplexity", l.MaxComplexity, "the answer can have %.10g values; ask for fewer fields or tasks", asked.values))
	case answer.take(int64(asked.typenames)) != nil:
		return refusal(answer.limit.Load())
	}
	return nil
}

// checkRoot looks at the fields at the top. What stands beside a moveAssets could fail where that has succeeded: then the
// data are null, the ids of the tasks are lost, and a request with an error has been done all the same.
func (l limiter) checkRoot(operation *gqlgen.OperationContext) *problem {
	root := "Query"
	if operation.Operation.Operation == ast.Mutation {
		root = "Mutation"
	}
	fields := gqlgen.CollectFields(operation, operation.Operation.SelectionSet, []string{root})
	if len(fields) > l.MaxRootFields {
		return exceeded("MaxRootFields", l.MaxRootFields, "the operation has %d fields at its top", len(fields))
	}
	var moves, others int
	for _, field := range fields {
		switch field.Name {
		case moveAssets:
			moves++
			if n := length(field.ArgumentMap(operation.Variables)["input"]); n > l.MaxInputs {
				return exceeded("MaxInputs", l.MaxInputs, "input has %d moves", n)
			}
		case typename:
		default:
			others++
		}
	}
	if moves > 1 || moves == 1 && others > 0 {
		return badInput("%s stands beside other fields, want it alone in its request, with all moves in one list", moveAssets)
	}
	return nil
}

// refusal makes of a problem what gqlgen passes on; requestErrors reads it.
func refusal(p *problem) *gqlerror.Error { return &gqlerror.Error{Err: p, Message: p.text} }
