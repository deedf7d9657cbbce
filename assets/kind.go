package assets

import (
	"context"
	"crypto/sha256"
	"encoding/base64"

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
	r, err := m.routeOf(move)
	if err != nil {
		return Moved{}, err
	}
	moved, err := m.moveAlong(ctx, r, lastOutcome(ctx, r), func(fraction float64) { actors.ReportProgress(ctx, fraction) })
	if task, ok := actors.CurrentTask(ctx); ok {
		moved.Attempts = task.Attempt
	}
	return moved, err
}

// lastOutcome looks into the store for the outcome of the last run of the same move, nil if there is none. Where the destination
// is known to have nothing, everything is to be copied anyway, and asking the store would cost a small asset as much as half of
// what else is done for it.
func lastOutcome(ctx context.Context, r route) *Moved {
	if r.to.place.vacant(r.to.at) {
		return nil
	}
	last, found, err := actors.Previous[Moved](ctx)
	if err != nil {
		// It would only have spared work, and an outcome that cannot be read must not stop every further run.
		actors.Logger(ctx).Warn("the last outcome of this move is not known", "error", err)
	}
	if err != nil || !found {
		return nil
	}
	return &last
}

// key is what a move is about: its two ends. It is hashed because two URLs are longer than a key may be, and half of the hash is
// enough: keys are random, and each task that is recorded changes another page of their index, of which there are twice as many
// with all of it in hexadecimal. Should two moves ever have one key, the outcome says which it belongs to.
func (m *Mover) key(move Move) string {
	r, err := m.resolve(-1, move)
	if err != nil {
		return "" // a move that is no longer allowed, which the run is going to say
	}
	sum := sha256.Sum256([]byte(r.from.at.String() + "\n" + r.to.at.String()))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
