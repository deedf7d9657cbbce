package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// server is the PostgreSQL of a run, and the proxy in front of it.
type server struct {
	*servertest.PostgresServer
	proxy *servertest.PostgresProxyServer
}

// newServer starts one. A machine that has none skips.
func newServer(t testing.TB, v *variant) *server {
	var options []servertest.PostgresOption
	if v.clocks {
		options = append(options, servertest.LazyFakeClock())
	}
	s := &server{PostgresServer: servertest.Postgres(t, options...)}
	s.proxy = servertest.PostgresProxy(t, s.Socket())
	return s
}

// guest is a testing.TB for a program that is no test: packages for tests can then be used by it. What it does not implement, a
// program must not need.
type guest struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

// What a guest's run ends with.
var (
	errSkipped = errors.New("chaos: cannot be done here")
	errFatal   = errors.New("chaos: cannot go on")
)

// hosting calls f with a guest, and cleans up after it.
func hosting(ctx context.Context, f func(testing.TB) error) (err error) {
	g := &guest{ctx: ctx}
	defer func() {
		for _, cleanup := range slices.Backward(g.cleanups) {
			cleanup()
		}
	}()
	defer func() {
		if value := recover(); value != nil {
			ended, ok := value.(ending)
			if !ok {
				panic(value)
			}
			err = ended.err
		}
	}()
	return f(g)
}

// ending is what a guest panics with: it has no goroutine of its own to end.
type ending struct{ err error }

func (g *guest) Helper()                         {}
func (g *guest) Name() string                    { return "chaos" }
func (g *guest) Cleanup(f func())                { g.cleanups = append(g.cleanups, f) }
func (g *guest) Context() context.Context        { return g.ctx }
func (g *guest) Logf(format string, args ...any) { _, _ = fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (g *guest) Errorf(format string, args ...any) {
	g.Logf(format, args...)
}
func (g *guest) Error(args ...any) { g.Logf("%s", fmt.Sprint(args...)) }
func (g *guest) Fatal(args ...any) {
	panic(ending{fmt.Errorf("%w: %s", errFatal, fmt.Sprint(args...))})
}
func (g *guest) Fatalf(format string, args ...any) { g.Fatal(fmt.Sprintf(format, args...)) }
func (g *guest) Skip(args ...any) {
	panic(ending{fmt.Errorf("%w: %s", errSkipped, fmt.Sprint(args...))})
}
func (g *guest) Skipf(format string, args ...any) { g.Skip(fmt.Sprintf(format, args...)) }
