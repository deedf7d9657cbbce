package assets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/taskrunner-go/taskrunner/actors"
)

// KindName is the name under which moves are recorded.
const KindName = "asset.move"

// Kind makes a kind of task of m, whose arguments are a [Move] and whose result is a [Moved]. A move that [Mover.Check]
// refuses is refused by actors.Run, before anything is recorded. The outcome of the last completed move of the same
// source and destination is looked up in the store, so that what did not change is not copied again.
//
// Options are those of actors.Kind, such as actors.WithTimeout; without them a move has as much time as it takes.
func Kind(m *Mover, options ...actors.Option) actors.KindSpec {
	ours := []actors.Option{actors.WithCheck(m.Check), actors.WithKey(m.key)}
	return actors.Kind(KindName, m.handle, append(ours, options...)...)
}

// handle runs one attempt of a task.
func (m *Mover) handle(ctx context.Context, move Move) (Moved, error) {
	var previous *Moved
	last, found, err := actors.Previous[Moved](ctx)
	switch {
	case err != nil:
		// It would only have spared work, and an outcome that cannot be read must not stop every further run.
		actors.Logger(ctx).Warn("the last outcome of this move is not known", "error", err)
	case found:
		previous = &last
	}
	moved, err := m.Move(ctx, move, previous, func(fraction float64) { actors.ReportProgress(ctx, fraction) })
	if task, ok := actors.CurrentTask(ctx); ok {
		moved.Attempts = task.Attempt
	}
	return moved, err
}

// key is what a move is about: its two ends. It is hashed because two URLs are longer than a key may be.
func (m *Mover) key(move Move) string {
	r, err := m.resolve(-1, move)
	if err != nil {
		return "" // a move that is no longer allowed, which the run is going to say
	}
	sum := sha256.Sum256([]byte(r.from.at.String() + "\n" + r.to.at.String()))
	return hex.EncodeToString(sum[:])
}
