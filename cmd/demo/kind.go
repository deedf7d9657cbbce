package main

import (
	"context"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
)

// kindName is the kind of the moves. It is stored with each task.
const kindName = "asset.move"

// moveKind is the kind of the moves.
func moveKind(mover *assets.Mover, options ...actors.Option) actors.KindSpec {
	return actors.Kind(kindName, func(ctx context.Context, move assets.Move) (assets.Moved, error) {
		previous, ok, err := actors.Previous[assets.Moved](ctx)
		if err != nil {
			return assets.Moved{}, err
		}
		p := &previous
		if !ok {
			p = nil
		}
		moved, err := mover.Move(ctx, move, p, func(f float64) { actors.ReportProgress(ctx, f) })
		if task, ok := actors.CurrentTask(ctx); ok {
			moved.Attempts = task.Attempt
		}
		return moved, err
	}, append([]actors.Option{
		actors.WithCheck(func(m assets.Move) error { return mover.Check(m) }),
		actors.WithKey(func(m assets.Move) string {
			k := m.Source + " " + m.Destination
			if len(k) > 512 {
				return ""
			}
			return k
		}),
	}, options...)...)
}
