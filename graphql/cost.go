package graphql

import (
	"encoding/json"

	"github.com/vektah/gqlparser/v2/ast"
)

const (
	// moveAssets is the one mutation whose arguments are a list.
	moveAssets = "moveAssets"
	// typename may stand beside everything.
	typename = "__typename"
)

// listLength is how many elements a list is taken to have if nothing in the query says how many: the history of a task, and
// the lists of the schema itself.
const listLength = 10

// filterShare is which part of MaxComplexity a list of one kind counts besides its length: a store may look at all tasks to
// find that none is of it.
const filterShare = 0.1

// weight is what a part of a query asks for at most. It is in floats because they grow without overflow.
type weight struct {
	values    float64 // of the answer
	typenames float64 // how large they are in the answer; gqlgen has no hook around them
	depth     int
}

// weigher counts a query that was found correct. Each fragment is counted once, however often it is used: a chain of
// fragments of which each uses the next one twice would take for ever otherwise. What @skip and @include leave out counts.
type weigher struct {
	limits    Limits
	variables map[string]any
	fragments map[string]weight
}

func (w *weigher) set(set ast.SelectionSet) (sum weight) {
	for _, selection := range set {
		part := w.selection(selection)
		sum.values += part.values
		sum.typenames += part.typenames
		sum.depth = max(sum.depth, part.depth)
	}
	return sum
}

func (w *weigher) selection(selection ast.Selection) weight {
	switch s := selection.(type) {
	case *ast.Field:
		return w.field(s)
	case *ast.InlineFragment:
		return w.set(s.SelectionSet)
	case *ast.FragmentSpread:
		return w.fragment(s)
	}
	return weight{}
}

func (w *weigher) field(f *ast.Field) weight {
	if f.Name == typename {
		return weight{values: 1, typenames: fieldSize + float64(len(f.Alias)), depth: 1}
	}
	below, times := w.set(f.SelectionSet), w.times(f)
	sum := weight{values: 1 + below.values*times, typenames: below.typenames * times, depth: 1 + below.depth}
	if f.Name == "tasks" && f.ArgumentMap(w.variables)["kind"] != nil {
		sum.values += filterShare * float64(w.limits.MaxComplexity)
	}
	return sum
}

func (w *weigher) fragment(s *ast.FragmentSpread) weight {
	if known, ok := w.fragments[s.Name]; ok {
		return known
	}
	counted := w.set(s.Definition.SelectionSet)
	w.fragments[s.Name] = counted
	return counted
}

// times is how often what is below a field can be in the answer.
func (w *weigher) times(f *ast.Field) float64 {
	switch f.ObjectDefinition.Name + "." + f.Name {
	case "Query.tasks":
		return float64(w.first(f))
	case "Mutation." + moveAssets:
		return float64(length(f.ArgumentMap(w.variables)["input"]))
	case "TaskConnection.edges":
		return 1 // Query.tasks has counted them
	}
	if f.Definition.Type.Elem != nil {
		return listLength
	}
	return 1
}

// first is the length of a page. What the resolver will refuse, or may read otherwise, counts as the largest.
func (w *weigher) first(f *ast.Field) int {
	n := int64(0)
	switch given := f.ArgumentMap(w.variables)["first"].(type) {
	case nil:
		return defaultFirst
	case int64:
		n = given
	case json.Number:
		n, _ = given.Int64()
	}
	if n < 1 || n > int64(w.limits.MaxFirst) {
		return w.limits.MaxFirst
	}
	return int(n)
}

// length is how many elements a list argument has. What is not a list is a list of one, as GraphQL has it.
func length(argument any) int {
	if list, ok := argument.([]any); ok {
		return len(list)
	}
	return 1
}
