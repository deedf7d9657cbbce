package assets

import (
	"context"
	"io"
	"time"
)

// minSourceRate is the slowest source that is waited for, in bytes per second, on the average over the time after which
// silence counts as a stall. Without it a source that sends a byte now and then would hold its slot for ever.
const minSourceRate = 1 << 10

// stallGuard ends a context with ErrStalled when too little has happened for a time. It does not limit how long the
// whole takes: a large asset over a thin line may take hours.
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
func (g *stallGuard) reader(r io.Reader) io.Reader {
	return &guardedReader{guard: g, from: r, left: g.limit}
}

type guardedReader struct {
	guard *stallGuard
	from  io.Reader
	came  int           // bytes since the time began anew
	left  time.Duration // how much longer may be waited for more
}

// Read begins the time anew only when enough has come. The end of the body ends it, however little came before.
func (r *guardedReader) Read(p []byte) (int, error) {
	start := time.Now()
	r.guard.timer.Reset(r.left)
	defer r.guard.timer.Stop()
	n, err := r.from.Read(p)
	r.came += n
	r.left -= time.Since(start)
	if float64(r.came) >= minSourceRate*r.guard.limit.Seconds() {
		r.came, r.left = 0, r.guard.limit
	}
	return n, err
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
