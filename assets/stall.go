package assets

import (
	"context"
	"io"
	"time"
)

// stallGuard ends a context with ErrStalled when nothing has happened for a time. It does not limit how long the whole
// takes: a large asset over a thin line may take hours.
type stallGuard struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

// newStallGuard makes a guard whose time runs from now, until the first read from one of its readers.
func newStallGuard(ctx context.Context, limit time.Duration) *stallGuard {
	g := &stallGuard{limit: limit}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	g.timer = time.AfterFunc(limit, func() { g.cancel(ErrStalled) })
	return g
}

// expect has the time run from now, until the next read.
func (g *stallGuard) expect() { g.timer.Reset(g.limit) }

// stop ends the guard and its context.
func (g *stallGuard) stop() {
	g.timer.Stop()
	g.cancel(nil)
}

// reader has the time run only while it waits for r, so that a slow disk is not blamed on the source.
func (g *stallGuard) reader(r io.Reader) io.Reader { return &guardedReader{g, r} }

type guardedReader struct {
	guard *stallGuard
	from  io.Reader
}

func (r *guardedReader) Read(p []byte) (int, error) {
	r.guard.expect()
	defer r.guard.timer.Stop()
	return r.from.Read(p)
}

// orCause gives the reason why ctx ended in place of an error that only says that it did.
func orCause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
