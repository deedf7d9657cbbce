package graphql

import (
	"context"
	"strings"
	"unicode/utf8"

	gqlgen "github.com/99designs/gqlgen/graphql"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql/internal/gen"
)

// MoveAssets records one task for each move, all or none, and does not wait for them. How many there may be was checked
// before the operation began.
func (m mutations) MoveAssets(ctx context.Context, input []gen.MoveAssetInput) ([]gen.Task, error) {
	runner := m.runners[m.config.MoveRunner]
	if runner == nil {
		return nil, &problem{code: Unavailable, text: "no runner takes moves here"}
	}
	moves, err := m.checkedMoves(input)
	if err != nil {
		return nil, err
	}
	fields := gqlgen.CollectFieldsCtx(ctx, []string{"Task"})
	if err := answerOf(ctx).reserve(answerSize(fields, moves, m.view.hidden(assets.KindName))); err != nil {
		return nil, err
	}
	handles, err := actors.RunMany[assets.Moved](ctx, runner, assets.KindName, moves)
	if err != nil {
		return nil, err
	}
	tasks := make([]gen.Task, len(handles))
	for i, handle := range handles {
		tasks[i] = m.view.task(handle.Task())
	}
	return tasks, nil
}

// checkedMoves checks the input as a whole, before anything is recorded.
func (m mutations) checkedMoves(input []gen.MoveAssetInput) ([]assets.Move, error) {
	if len(input) == 0 {
		return nil, badInput("input is empty, want at least one move")
	}
	moves := make([]assets.Move, len(input))
	for i, move := range input {
		moves[i] = assets.Move(move)
		for _, field := range [...]struct{ name, value string }{{"source", move.Source}, {"destination", move.Destination}} {
			if undecodable(field.value) {
				return nil, badMove(i, field.name, field.value)
			}
		}
	}
	return moves, m.config.CheckMoves(moves)
}

// answerSize is how large the answer becomes at most, which has the same fields for each task. It is asked for before tasks
// are recorded, because afterwards their ids must be told whatever happens. What was just recorded has neither errors nor
// a result.
func answerSize(fields []gqlgen.CollectedField, moves []assets.Move, hidden bool) (size int64) {
	perTask, args := int64(0), int64(0)
	for _, field := range fields {
		perTask += fieldSize + int64(len(field.Alias))
		switch field.Name {
		case "id":
			perTask += idSize
		case "kind":
			perTask += escapedSize(assets.KindName)
		case "args":
			args++
		}
	}
	if size = perTask * int64(len(moves)); args == 0 || hidden {
		return size
	}
	for _, move := range moves {
		size += args * (argsSize + escapedSize(move.Source) + escapedSize(move.Destination))
	}
	return size
}

const (
	idSize   = int64(len("00000000-0000-0000-0000-000000000000"))
	argsSize = int64(len(`{"source":"","destination":""}`))
)

// undecodable reports whether the text has a character that decoders put where they could not read one: an escape of half
// a surrogate pair becomes one without an error, and the move would be of another file. Whose name really has that
// character can write it %EF%BF%BD.
func undecodable(text string) bool { return strings.ContainsRune(text, utf8.RuneError) }

// badMove says where the mistake is in the form in which assets.InputError is told.
func badMove(index int, field, value string) *problem {
	p := badInput("input[%d].%s %s has a character that is not valid Unicode", index, field, shown(value))
	p.more = map[string]any{"index": index, "field": field}
	return p
}
