package actors_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/taskrunner-go/taskrunner/actors"
)

// Who traces a registry reads what it got, and a caller's trace what he has sent it.
func TestTraceOfARegistry(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		g := b.holder()
		ctx, cancel := context.WithCancel(b.ctx)
		events, err := b.system.Trace(ctx, r.PID(), 0)
		b.must(err)
		b.must(b.register(r, g, "key", 1))
		_, _ = actors.Server(b.system, r.PID()).Call(b.ctx, "hello")
		synctest.Wait()
		cancel()
		for _, want := range []string{"HandleInfo look at " + g.PID().String(), "HandleCall hello"} {
			if e := <-events; fmt.Sprint(e.Callback, " ", e.Message) != want {
				t.Errorf("got %s %v, want %s", e.Callback, e.Message, want)
			}
		}
	})
}
