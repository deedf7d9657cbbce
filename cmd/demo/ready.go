package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
)

const (
	// readyFor is how long an answer of /readyz holds. Asking the database writes to the disk, and anybody may ask.
	readyFor = time.Second
	// readyWithin is how long the database may take to answer before that counts as no.
	readyWithin = 2 * time.Second
)

// pinger is a store that can say whether it can be written to.
type pinger interface {
	Ping(ctx context.Context) error
}

// counter is a runner that can say how much of it is used.
type counter interface {
	Stats(ctx context.Context) (actors.Stats, error)
}

// readiness says whether new work is welcome: the service is not stopping, its database can be written to, and its
// runner has room. Safe for any goroutine.
type readiness struct {
	db     pinger
	runner counter
	notice time.Duration // how long withdraw waits, so that those who ask can notice

	stopping atomic.Bool // not under the lock, so that a slow database does not hold up a stop

	mu      sync.Mutex
	checked time.Time
	state   error // then
}

var (
	errStopping = errors.New("stopping")
	errDatabase = errors.New("the database cannot be written to")
	errFull     = errors.New("the runner is full")
)

// ServeHTTP answers 200 or, with one line of why, 503.
func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := r.check(request.Context(), time.Now()); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

// check gives why the service is not ready, nil if it is. Those who ask at the same time wait for one answer.
func (r *readiness) check(ctx context.Context, now time.Time) error {
	if r.stopping.Load() {
		return errStopping
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checked.IsZero() || now.Sub(r.checked) >= readyFor {
		// Whoever asked may go away; the answer is for those behind him too.
		r.state = r.ask(context.WithoutCancel(ctx))
		r.checked = now
	}
	return r.state
}

// ask says no more than anybody may know.
func (r *readiness) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if r.db.Ping(ctx) != nil {
		return errDatabase
	}
	stats, err := r.runner.Stats(ctx)
	switch {
	case err != nil:
		return errDatabase
	case stats.Running+stats.Waiting >= stats.MaxChildren+stats.MaxWaiting:
		return errFull
	}
	return nil
}

// withdraw answers no from now on, and gives load balancers time to notice while the service still takes requests.
func (r *readiness) withdraw(ctx context.Context) error {
	r.stopping.Store(true)
	timer := time.NewTimer(r.notice)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// alive answers /healthz: the process lives and answers.
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "alive\n")
}
