package actors_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/taskrunner-go/taskrunner/actors"
)

// A match or an update that panics is its caller's affair: the registry has what it had, and cleans up as ever.
func TestARegistrySurvivesItsUsersCode(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		d := b.registry(actors.RegistryConfig{Keys: actors.DuplicateKeys})
		u := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		g := b.holder()
		b.must(b.register(d, g, "topic", 1))
		b.must(b.register(d, g, "topic", 2))
		b.must(b.register(u, g, "key", 1))
		recovered := func(f func(ctx context.Context)) any {
			return in(b, g, func(ctx context.Context) (value any) {
				defer func() { value = recover() }()
				f(ctx)
				return nil
			})
		}
		for range 2 {
			if recovered(func(ctx context.Context) {
				d.UnregisterMatch(ctx, "topic", func(v int) bool {
					if v == 2 {
						panic("match")
					}
					return true
				})
			}) == nil || recovered(func(ctx context.Context) {
				_, _, _ = u.UpdateValue(ctx, "key", func(int) int { panic("update") })
			}) == nil {
				t.Fatal("the panic did not come to its caller")
			}
		}
		if got := d.Keys(g.PID()); d.Count() != 2 || len(got) != 2 || u.Count() != 1 {
			t.Errorf("%d entries and the keys %v, want both of each", d.Count(), got)
		}
		b.must(g.Stop(b.ctx))
		synctest.Wait()
		if !b.system.Alive(d.PID()) || d.Count() != 0 {
			t.Errorf("the registry lives: %v; %d entries are left", b.system.Alive(d.PID()), d.Count())
		}
	})
}

// A key that is not equal to itself is refused, also within another: no lookup would find it, and nothing would drop it.
func TestNaNIsNoKey(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		g := b.holder()
		nan := math.NaN()
		for _, key := range []any{nan, float32(nan), complex(0, nan), [2]float64{1, nan}, struct{ a any }{nan}} {
			if err := b.register(r, g, key, 1); err == nil || !strings.Contains(err.Error(), "the key is") || !strings.Contains(err.Error(), "NaN") {
				t.Errorf("%T: got %v, want an error that names the key", key, err)
			}
			if _, err := actors.StartGenServer(b.ctx, b.system, &holder{}, actors.GenServerOptions{Via: r.Via(key)}); err == nil {
				t.Errorf("%T: a server was started under it", key)
			}
		}
		if r.Count() != 0 {
			t.Errorf("%d entries, want none", r.Count())
		}
	})
}
