package actors_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/taskrunner-go/taskrunner/actors"
)

// Registries and task supervisors have a Via too, and are found by it again when they were restarted.
func TestRegistriesAndTaskSupervisorsByVia(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		names := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys, Via: names.Via("registry")})
		b.must(b.register(r, b.holder(), "key", 1))
		again := actors.RegistryAt[any, int](b.system, names.Via("registry"))
		if pid, ok := names.Whereis("registry"); !ok || pid != r.PID() || again.Count() != 1 {
			t.Errorf("the name means %s, %v, with %d entries", pid, ok, again.Count())
		}
		b.must(r.Stop(b.ctx))
		b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys, Via: names.Via("registry")})
		if r.PID().IsZero() || r.PID() != again.PID() {
			t.Errorf("what a start gave means %s, and the Via %s", r.PID(), again.PID())
		}
		config := actors.TaskSupervisorConfig{Via: names.Via("tasks")}
		superviseOne(b, config.ChildSpec(b.system))
		first, _ := names.Whereis("tasks")
		b.system.Kill(first)
		synctest.Wait()
		task, err := actors.AsyncNoLink(b.ctx, actors.Tasks(b.system, config.Via, config), func(context.Context) (int, error) { return 7, nil })
		b.must(err)
		if value, err := task.Await(b.ctx); value != 7 || err != nil {
			t.Errorf("%d, %v", value, err)
		}
	})
}
