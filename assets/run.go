package assets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Move moves one asset and returns when it has arrived or failed. Previous is the outcome of the last run of the same
// move, nil if there is none: then nothing is asked about the destination, and what lies there is replaced. Progress,
// if not nil, is called with rising fractions, from the goroutine of the driver that moves the bytes, never from two at
// once.
//
// An error is a [*messages.Decision], save when ctx or the mover has ended: then it is the cause of that. Its text has
// fixed words for what went wrong, because it is recorded and shown: what the system or a driver said, with paths and
// addresses, is found by errors.As and goes to Config.Logger at the level Debug.
func (m *Mover) Move(ctx context.Context, move Move, previous *Moved, progress func(fraction float64)) (Moved, error) {
	r, err := m.routeOf(move)
	if err != nil {
		return Moved{}, err
	}
	return m.moveAlong(ctx, r, previous, progress)
}

// routeOf finds what a move means, as it was checked before it was accepted. Much can have changed since.
func (m *Mover) routeOf(move Move) (route, error) {
	r, err := m.resolve(-1, move)
	if err == nil {
		err = distinct(-1, move, r, newLinks())
	}
	if err != nil {
		return route{}, messages.Discard(err)
	}
	return r, nil
}

// moveAlong is Move.
func (m *Mover) moveAlong(ctx context.Context, r route, previous *Moved, progress func(fraction float64)) (Moved, error) {
	inner, end, err := m.begin(ctx)
	if err != nil {
		return Moved{}, err
	}
	defer end()
	run := &run{mover: m, route: r, meter: meter{report: progress}, step: "moving", started: time.Now()}
	if previous != nil && previous.Source == r.from.at.String() && previous.Destination == r.to.at.String() && previous.SHA256 != "" {
		run.previous = previous
	}
	moved, err := run.move(inner)
	if err != nil {
		return Moved{}, decide(inner, run.failed(inner, err))
	}
	return moved, nil
}

// run is one run of one move.
type run struct {
	mover    *Mover
	route    route
	previous *Moved // nil if there is none to compare with
	meter    meter
	step     string // what is being done, for the error text
	started  time.Time
}

// failed gives the error in words for whoever asked, and tells the log how it reads in full.
func (r *run) failed(ctx context.Context, err error) error {
	doing := r.step + " " + r.route.from.at.public() + " → " + r.route.to.at.public()
	if ctx.Err() != nil {
		return &cleanError{doing, orCause(ctx, err)} // the reason is the library's or the program's own
	}
	r.mover.config.Logger.Debug("a move failed", "error", (&cleanError{doing, err}).Error())
	return &moveError{doing, err}
}

// move goes the whole way: ask, download, compare, upload.
func (r *run) move(ctx context.Context) (Moved, error) {
	if r.previous != nil && r.previous.Validators.usable() {
		moved, done, err := r.fetch(ctx, &r.previous.Validators)
		if done || err != nil {
			return moved, err
		}
		// The source is unchanged, but the destination is not what was put there.
	}
	moved, _, err := r.fetch(ctx, nil)
	return moved, err
}

// fetch asks the source, conditionally if since is not nil, and goes on with what it answers. It is not done if the
// source is unchanged and there is need of its content nevertheless.
func (r *run) fetch(ctx context.Context, since *Validators) (moved Moved, done bool, err error) {
	asset, body, err := r.download(ctx, since)
	if err != nil {
		return Moved{}, false, err
	}
	if asset.unchanged {
		held, err := r.held(ctx)
		if !held || err != nil {
			return Moved{}, false, err
		}
		return r.unchanged(*r.previous, ByValidator), true, nil
	}
	defer r.mover.drop(body)
	moved = Moved{
		Source:      r.route.from.at.String(),
		Destination: r.route.to.at.String(),
		Bytes:       body.size,
		SHA256:      body.sha256(),
		Headers:     asset.headers,
		Validators:  asset.validators,
	}
	if r.previous != nil && r.previous.SHA256 == moved.SHA256 && r.previous.Headers == moved.Headers {
		held, err := r.held(ctx)
		if err != nil {
			return Moved{}, false, err
		}
		if held {
			moved.Object = r.previous.Object
			return r.unchanged(moved, ByContent), true, nil
		}
	}
	if moved.Object, err = r.upload(ctx, body, moved.Headers); err != nil {
		return Moved{}, false, err
	}
	moved.Copied = true
	return r.finished(moved), true, nil
}

// download opens the source and reads all of it into a spool, which the caller closes. For an unchanged source there
// is none.
func (r *run) download(ctx context.Context, since *Validators) (*original, *spool, error) {
	r.step = "downloading"
	if err := r.mover.await(ctx, r.route.to.at); err != nil {
		return nil, nil, err
	}
	release, err := r.mover.slot(ctx, r.route.from.at)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	guard := newStallGuard(ctx, r.mover.config.StallTimeout)
	defer guard.stop()
	asset, err := r.route.from.source.get(guard.ctx, r.route.from.at, since)
	if err != nil {
		return nil, nil, orCause(guard.ctx, err)
	}
	defer asset.close()
	if asset.unchanged {
		return asset, nil, nil
	}
	body, err := r.spool(asset, guard)
	return asset, body, orCause(guard.ctx, err)
}

// spool reads and verifies the body, and completes the headers. If that fails, it leaves nothing.
func (r *run) spool(asset *original, guard *stallGuard) (*spool, error) {
	limit := r.mover.config.MaxBytes
	if limit >= 0 && asset.size > limit {
		return nil, failure(ErrTooLarge, "it has %d bytes, the limit is %d", asset.size, limit)
	}
	h := &asset.headers
	h.ContentType = cmp.Or(mediaType(h.ContentType), typeByName(r.route.from.at), typeByName(r.route.to.at))
	want, err := r.route.to.place.prepare(r.route.to.at, asset)
	if err != nil {
		return nil, err
	}
	body := newSpool(&r.mover.buffers, asset.size, cmp.Or(want.scratch, r.mover.scratch), newHashes(want.md5, asset.digests))
	r.meter = meter{report: r.meter.report, total: 2 * asset.size}
	body.progress = r.meter.add
	err = body.fill(&countingReader{guard.reader(asset.body), r.meter.add}, limit)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = because(err, ErrShortBody, "the connection ended after %s", countOf(body.size, asset.size))
	}
	if err == nil {
		err = r.verify(guard, asset, body)
	}
	if err == nil && h.ContentType == "" {
		h.ContentType, err = body.sniff()
	}
	if err != nil {
		r.mover.drop(body)
		return nil, err
	}
	return body, nil
}

// countOf says how many bytes came, and of how many if the source said so.
func countOf(came, announced int64) string {
	if announced < 0 {
		return fmt.Sprintf("%d bytes", came)
	}
	return fmt.Sprintf("%d bytes of %d", came, announced)
}

// drop ends a spool. A temporary file that cannot be removed is no reason to fail a move that succeeded: Close, and else
// the next New, removes the whole folder.
func (m *Mover) drop(body *spool) {
	if err := body.close(); err != nil {
		m.config.Logger.Warn("could not remove a temporary file", "error", err)
	}
}

// verify compares what was read with what the source announced.
func (r *run) verify(guard *stallGuard, asset *original, body *spool) error {
	if asset.size >= 0 && body.size != asset.size {
		return failure(ErrShortBody, "the source announced %d bytes and sent %d", asset.size, body.size)
	}
	doubtful, err := body.sums.verify(asset.digests)
	if err != nil || !doubtful {
		return err
	}
	// What looks like an MD5 may be none. If a second reading gives the same content, the content is right.
	guard.expect()
	again, err := r.route.from.source.get(guard.ctx, r.route.from.at, nil)
	if err != nil {
		return err
	}
	defer again.close()
	sum, err := hashAll(guard.ctx, guard.reader(again.body))
	if err == nil && sum != body.sha256() {
		err = failure(ErrChecksum, "two readings of the source differ")
	}
	return err
}

// held reports whether the destination still has what the previous run put there.
func (r *run) held(ctx context.Context) (bool, error) {
	r.step = "comparing"
	release, err := r.mover.slot(ctx, r.route.to.at)
	if err != nil {
		return false, err
	}
	defer release()
	return r.route.to.place.holds(ctx, r.route.to.at, r.previous.Object, r.previous.SHA256)
}

// upload brings the body to the destination.
func (r *run) upload(ctx context.Context, body *spool, h Headers) (Object, error) {
	r.step = "uploading"
	release, err := r.mover.slot(ctx, r.route.to.at)
	if err != nil {
		return Object{}, err
	}
	defer release()
	return r.route.to.place.put(ctx, r.route.to.at, body, h)
}

// unchanged makes an outcome of one in which nothing was copied.
func (r *run) unchanged(moved Moved, how Unchanged) Moved {
	moved.Copied, moved.Unchanged = false, how
	return r.finished(moved)
}

func (r *run) finished(moved Moved) Moved {
	moved.Attempts = 1
	moved.StartedAt, moved.FinishedAt = r.started, time.Now()
	r.meter.finish()
	return moved
}
