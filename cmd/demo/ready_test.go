package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
)

// fakeService is a database and a runner that answer what they are told to.
type fakeService struct {
	pings atomic.Int64
	ping  func(context.Context) error
	stats actors.Stats
}

func (f *fakeService) Ping(ctx context.Context) error {
	f.pings.Add(1)
	return f.ping(ctx)
}

func (f *fakeService) Stats(context.Context) (actors.Stats, error) { return f.stats, nil }

func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeService{stats: actors.Stats{MaxChildren: 1, MaxWaiting: 1}}
		var diskFull error
		f.ping = func(context.Context) error { return diskFull }
		r := &readiness{db: f, runner: f, notice: time.Minute}
		check := func(when string, status int, body string) {
			t.Helper()
			answer := httptest.NewRecorder()
			r.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody))
			if answer.Code != status || answer.Body.String() != body {
				t.Errorf("%s: %d %q, want %d %q", when, answer.Code, answer.Body, status, body)
			}
		}
		check("well", http.StatusOK, "ready\n")
		diskFull = errors.New("disk /var/secret is full")
		check("the answer still holds", http.StatusOK, "ready\n")
		if f.pings.Load() != 1 {
			t.Errorf("the database was asked %d times, want once", f.pings.Load())
		}
		time.Sleep(readyFor)
		check("full disk", http.StatusServiceUnavailable, "the database cannot be written to\n")
		diskFull, f.stats.Running, f.stats.Waiting = nil, 1, 1
		time.Sleep(readyFor)
		check("full runner", http.StatusServiceUnavailable, "the runner is full\n")
		f.stats.Waiting = 0
		time.Sleep(readyFor)
		check("well again", http.StatusOK, "ready\n")

		f.ping = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		time.Sleep(readyFor)
		check("the database hangs", http.StatusServiceUnavailable, "the database cannot be written to\n")

		before := time.Now()
		if err := r.withdraw(t.Context()); err != nil || time.Since(before) != time.Minute {
			t.Errorf("withdraw took %s (%v)", time.Since(before), err)
		}
		check("stopping", http.StatusServiceUnavailable, "stopping\n")
	})
}

// A stop waits neither for a database that hangs nor longer than it may.
func TestReadinessIsWithdrawnAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeService{ping: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		r := &readiness{db: f, runner: f, notice: time.Hour}
		go func() { _ = r.check(t.Context(), time.Now()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		if err := r.withdraw(ctx); err != nil || time.Since(before) != time.Second {
			t.Errorf("withdraw took %s (%v)", time.Since(before), err)
		}
		time.Sleep(readyWithin)
	})
}
