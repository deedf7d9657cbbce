package actors_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// holder is a process that does what it is told, within itself, and keeps what else it gets.
type holder struct{ infos []any }

func (h *holder) HandleCall(ctx context.Context, request any, _ actors.From) (any, error) {
	return request.(func(ctx context.Context) any)(ctx), nil
}

func (h *holder) HandleInfo(_ context.Context, message any) error {
	h.infos = append(h.infos, message)
	return nil
}

// registryBench is a system in a bubble, with what registry tests need.
type registryBench struct {
	t      *testing.T
	ctx    context.Context
	system *actors.System
}

func withRegistry(t *testing.T, test func(b registryBench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := registryBench{t, t.Context(), actors.NewSystem(actors.SystemConfig{})}
		test(b)
		if err := b.system.Stop(b.ctx); err != nil {
			t.Errorf("the system: %v", err)
		}
	})
}

func (b registryBench) registry(config actors.RegistryConfig) *actors.Registry[any, int] {
	b.t.Helper()
	r, err := actors.StartRegistry[any, int](b.ctx, b.system, config)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b registryBench) holder() *actors.GenServer {
	b.t.Helper()
	g, err := actors.StartGenServer(b.ctx, b.system, &holder{}, actors.GenServerOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return g
}

// in runs f in the holder's process.
func in[R any](b registryBench, g *actors.GenServer, f func(ctx context.Context) R) R {
	b.t.Helper()
	answer, err := g.Call(b.ctx, func(ctx context.Context) any { return f(ctx) })
	if err != nil {
		b.t.Fatal(err)
	}
	typed, _ := answer.(R)
	return typed
}

func (b registryBench) register(r *actors.Registry[any, int], g *actors.GenServer, key any, value int) error {
	b.t.Helper()
	return in(b, g, func(ctx context.Context) error { return r.Register(ctx, key, value) })
}

// superviseOne starts a supervisor with that child.
func superviseOne(b registryBench, spec supervisor.ChildSpec) {
	b.t.Helper()
	_, err := supervisor.Start(b.ctx, b.system, supervisor.Config{Strategy: supervisor.OneForOne, Children: []supervisor.ChildSpec{spec}})
	b.must(err)
}

func (b registryBench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestRG02_ViaNamesGoThroughTheRegistry: a server that is started, called, cast to and stopped under a Via is registered,
// found and released by the given registry, which must have unique keys.
//
// Adapted: a Via is a value with the registry in it, and GenServerOptions take it beside a Name.
func TestRG02_ViaNamesGoThroughTheRegistry(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		via := r.ViaValue("here", 7)
		var within messages.PID
		server := &initializing{init: func(context.Context) { within, _ = r.Whereis("here") }}
		g, err := actors.StartGenServer(b.ctx, b.system, server, actors.GenServerOptions{Via: via})
		b.must(err)
		if within != g.PID() {
			t.Errorf("within Init the key meant %s, want %s: registered before Init", within, g.PID())
		}
		named := actors.Server(b.system, via)
		if named.PID() != g.PID() || r.Lookup("here")[0].Value != 7 {
			t.Errorf("the key means %s, want %s; entries %v", named.PID(), g.PID(), r.Lookup("here"))
		}
		named.Cast(b.ctx, "cast")
		if answer, err := named.Call(b.ctx, "call"); err != nil || answer != "cast" {
			t.Errorf("a call through the name gave %v, %v", answer, err)
		}
		_, err = actors.StartGenServer(b.ctx, b.system, &initializing{}, actors.GenServerOptions{Via: via})
		var taken *actors.AlreadyRegisteredError
		if !errors.As(err, &taken) || taken.PID != g.PID() {
			t.Errorf("a second start gave %v, want the holder's PID", err)
		}
		b.must(named.Stop(b.ctx))
		synctest.Wait()
		if entries := r.Lookup("here"); len(entries) != 0 {
			t.Errorf("after the stop there is %v", entries)
		}
		failing := &initializing{init: func(context.Context) { panic("no") }}
		if _, err := actors.StartGenServer(b.ctx, b.system, failing, actors.GenServerOptions{Via: via}); err == nil || r.Count() != 0 {
			t.Errorf("a failed Init gave %v and left %d entries", err, r.Count())
		}
		d := b.registry(actors.RegistryConfig{Keys: actors.DuplicateKeys})
		if _, err := actors.StartGenServer(b.ctx, b.system, &initializing{}, actors.GenServerOptions{Via: d.Via("here")}); !errors.Is(err, actors.ErrDuplicateKeys) {
			t.Errorf("a name in a duplicate registry gave %v", err)
		}
	})
}

// initializing is a server that runs something in Init, and remembers its last cast.
type initializing struct {
	init func(ctx context.Context)
	last any
}

func (s *initializing) Init(ctx context.Context) error {
	if s.init != nil {
		s.init(ctx)
	}
	return nil
}

func (s *initializing) HandleCast(_ context.Context, message any) error {
	s.last = message
	return nil
}

func (s *initializing) HandleCall(context.Context, any, actors.From) (any, error) { return s.last, nil }

// TestRG04_AHeldKeyIsRefused: a key that a living process has is refused to any process, the holder itself included, with the
// holder's PID, and the old value stays.
func TestRG04_AHeldKeyIsRefused(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		first, second := b.holder(), b.holder()
		b.must(b.register(r, first, "key", 1))
		for name, g := range map[string]*actors.GenServer{"the holder": first, "another": second} {
			err := b.register(r, g, "key", 2)
			var taken *actors.AlreadyRegisteredError
			if !errors.Is(err, actors.ErrAlreadyRegistered) || !errors.As(err, &taken) || taken.PID != first.PID() {
				t.Errorf("%s got %v", name, err)
			}
		}
		if entries := r.Lookup("key"); !slices.Equal(entries, []actors.Entry[int]{{PID: first.PID(), Value: 1}}) {
			t.Errorf("there is %v", entries)
		}
		if err := r.Register(b.ctx, "other", 1); !errors.Is(err, actors.ErrNoProcess) {
			t.Errorf("from outside of all processes: %v", err)
		}
		if err := b.register(r, first, []int{1}, 1); err == nil || !strings.Contains(err.Error(), "[]int") {
			t.Errorf("a key that cannot be compared: %v", err)
		}
	})
}

// TestRG05_KeysAreStrict: one process may hold many keys, and keys are compared strictly, so that 1 and 1.0 are different.
func TestRG05_KeysAreStrict(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		g := b.holder()
		keys := []any{1, 1.0, int64(1), "1", messages.Name("1"), [1]int{1}, struct{ A int }{1}, nil}
		for i, key := range keys {
			b.must(b.register(r, g, key, i))
		}
		for i, key := range keys {
			if entries := r.Lookup(key); len(entries) != 1 || entries[0].Value != i {
				t.Errorf("%T %v has %v, want %d", key, key, entries, i)
			}
		}
		if got := r.Keys(g.PID()); len(got) != len(keys) || r.Count() != len(keys) {
			t.Errorf("%d keys, %d entries, want %d", len(got), r.Count(), len(keys))
		}
	})
}

// TestRG06_KeysGoWithTheirHolder: when a holder ends, its keys go by themselves, though not in the same instant: a plain lookup
// may still give it, while the name is looked up among the living.
func TestRG06_KeysGoWithTheirHolder(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys, Name: "registry"})
		for name, end := range map[string]func(g *actors.GenServer){
			"stopped": func(g *actors.GenServer) { b.must(g.Stop(b.ctx)) },
			"killed":  func(g *actors.GenServer) { b.system.Kill(g.PID()) },
			"told":    func(g *actors.GenServer) { b.system.Exit(b.ctx, g.PID(), errors.New("boom")) },
		} {
			g := b.holder()
			b.must(b.register(r, g, "a", 1))
			b.must(b.register(r, g, "b", 2))
			b.must(b.system.Suspend(b.ctx, messages.Name("registry"))) // it cannot clean up
			end(g)
			synctest.Wait()
			if entries := r.Lookup("a"); len(entries) != 1 {
				t.Errorf("%s: before the cleaning up there is %v", name, entries)
			}
			if pid, ok := r.Whereis("a"); ok {
				t.Errorf("%s: the name still means %s", name, pid)
			}
			if _, err := actors.Server(b.system, r.Via("a")).Call(b.ctx, nil); !errors.Is(err, messages.NoProc) {
				t.Errorf("%s: a call through the name: %v", name, err)
			}
			b.must(b.system.Resume(b.ctx, messages.Name("registry")))
			synctest.Wait()
			if r.Count() != 0 || len(r.Keys(g.PID())) != 0 {
				t.Errorf("%s: left are %d entries", name, r.Count())
			}
		}
	})
}

// TestRG07_TheKeyOfADeadHolderIsFree: a key whose holder is dead and not cleaned up yet can be registered, so that a restart
// under the same key does not fail; the late cleaning up does not touch the new entry.
func TestRG07_TheKeyOfADeadHolderIsFree(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys, Name: "registry"})
		first, second := b.holder(), b.holder()
		b.must(b.register(r, first, "key", 1))
		b.must(b.system.Suspend(b.ctx, messages.Name("registry")))
		b.system.Kill(first.PID())
		b.must(b.register(r, second, "key", 2))
		b.must(b.system.Resume(b.ctx, messages.Name("registry")))
		synctest.Wait()
		if pid, ok := r.Whereis("key"); !ok || pid != second.PID() || r.Count() != 1 {
			t.Errorf("the key means %s (%v), want %s; %d entries", pid, ok, second.PID(), r.Count())
		}
	})
}

// TestRG08_OnlyOnesOwn: Unregister drops one's own entry alone and never fails; UpdateValue is for the holder alone, and for
// unique keys.
//
// Adapted: who asks is the process of the context, and UpdateValue gives an error where OTP gives :error.
func TestRG08_OnlyOnesOwn(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		first, second := b.holder(), b.holder()
		b.must(b.register(r, first, "key", 1))
		unregister := func(g *actors.GenServer, key any) {
			in(b, g, func(ctx context.Context) any { r.Unregister(ctx, key); return nil })
		}
		unregister(second, "key")
		unregister(first, "nothing")
		r.Unregister(b.ctx, "key") // from outside
		if r.Count() != 1 {
			t.Fatalf("%d entries, want that of the holder", r.Count())
		}
		type result struct {
			now, before int
			err         error
		}
		update := func(r *actors.Registry[any, int], g *actors.GenServer) result {
			return in(b, g, func(ctx context.Context) result {
				now, before, err := r.UpdateValue(ctx, "key", func(v int) int { return v + 10 })
				return result{now, before, err}
			})
		}
		if got := update(r, first); got != (result{11, 1, nil}) {
			t.Errorf("the holder's update: %+v", got)
		}
		if got := update(r, second); !errors.Is(got.err, actors.ErrNotRegistered) {
			t.Errorf("another's update: %+v", got)
		}
		if v := r.Values("key", first.PID()); !slices.Equal(v, []int{11}) {
			t.Errorf("values %v", v)
		}
		unregister(first, "key")
		if got := update(r, first); r.Count() != 0 || !errors.Is(got.err, actors.ErrNotRegistered) {
			t.Errorf("after it was given up: %d entries, %+v", r.Count(), got)
		}
		d := b.registry(actors.RegistryConfig{Keys: actors.DuplicateKeys})
		b.must(b.register(d, first, "key", 1))
		if got := update(d, first); !errors.Is(got.err, actors.ErrDuplicateKeys) {
			t.Errorf("in a duplicate registry: %+v", got)
		}
	})
}

// TestRG09_DuplicateKeys: with duplicate keys, one key may have many entries, several of one process, and Unregister drops all
// of one's own under that key.
func TestRG09_DuplicateKeys(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.DuplicateKeys})
		first, second := b.holder(), b.holder()
		for i, g := range []*actors.GenServer{first, second, first} {
			b.must(b.register(r, g, "topic", i))
		}
		b.must(b.register(r, first, "other", 9))
		want := []actors.Entry[int]{{PID: first.PID(), Value: 0}, {PID: second.PID(), Value: 1}, {PID: first.PID(), Value: 2}}
		if entries := r.Lookup("topic"); !slices.Equal(entries, want) {
			t.Errorf("there is %v, want %v", entries, want)
		}
		in(b, first, func(ctx context.Context) any {
			r.UnregisterMatch(ctx, "topic", func(v int) bool { return v == 2 })
			return nil
		})
		if entries := r.Lookup("topic"); len(entries) != 2 {
			t.Errorf("after one was dropped by its value there is %v", entries)
		}
		in(b, first, func(ctx context.Context) any { r.Unregister(ctx, "topic"); return nil })
		if entries := r.Lookup("topic"); !slices.Equal(entries, want[1:2]) || len(r.Lookup("other")) != 1 {
			t.Errorf("then there is %v", entries)
		}
		all := maps.Collect(r.All())
		if len(all) != 2 || all["other"].Value != 9 {
			t.Errorf("all: %v", all)
		}
	})
}

// TestRG10_DispatchRunsInTheCaller: Dispatch calls the function in the caller with the entries, and not at all if there are
// none.
func TestRG10_DispatchRunsInTheCaller(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.DuplicateKeys})
		first, second := b.holder(), b.holder()
		b.must(b.register(r, first, "topic", 1))
		b.must(b.register(r, second, "topic", 2))
		ran := in(b, first, func(context.Context) int {
			n := 0
			r.Dispatch("topic", func(entries []actors.Entry[int]) { n += len(entries) })
			r.Dispatch("nothing", func([]actors.Entry[int]) { n += 100 })
			return n
		})
		if ran != 2 {
			t.Errorf("got %d, want both entries, and nothing for a key without any", ran)
		}
	})
}

// TestRG11_NobodyUnderTheName: a call through a name that nobody holds fails with NoProc, a cast is lost without an error, and
// a registry that is not there refuses to register.
func TestRG11_NobodyUnderTheName(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		g := b.holder()
		unknown := actors.RegistryAt[any, int](b.system, messages.Name("unknown"))
		other := actors.RegistryAt[string, int](b.system, r.PID())
		for _, via := range []messages.Via{r.Via("nobody"), unknown.Via("nobody"), other.Via("nobody"), {Registry: r.Via(1).Registry, Key: []int{}}, {}} {
			named := actors.Server(b.system, via)
			if _, err := named.Call(b.ctx, "hello"); !errors.Is(err, messages.NoProc) {
				t.Errorf("%q: a call gave %v", via, err)
			}
			if err := named.Stop(b.ctx); !errors.Is(err, messages.NoProc) {
				t.Errorf("%q: a stop gave %v", via, err)
			}
			named.Cast(b.ctx, "hello")
		}
		if err := b.register(unknown, g, "key", 1); !errors.Is(err, messages.NoProc) {
			t.Errorf("an unknown registry took a key: %v", err)
		}
		if unknown.Count() != 0 || unknown.Lookup("key") != nil || unknown.Keys(g.PID()) != nil {
			t.Error("an unknown registry has entries")
		}
		if _, err := actors.StartRegistry[string, int](b.ctx, b.system, actors.RegistryConfig{}); err == nil || !strings.Contains(err.Error(), "Keys is 0") {
			t.Errorf("a registry of no kind: %v", err)
		}
	})
}

// TestRG12_TheEndOfARegistryTouchesNobody: when a registry ends, the processes that have registered live on, without their
// keys.
//
// Adapted: OTP links them to the registry, whose crash they cannot survive in good order. Ours is a map under a lock and does
// not crash; who wants to end with it links to its PID.
func TestRG12_TheEndOfARegistryTouchesNobody(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		g, linked := b.holder(), b.holder()
		b.must(b.register(r, g, "key", 1))
		in(b, linked, func(ctx context.Context) any { b.system.Link(ctx, r.PID()); return nil })
		b.system.Kill(r.PID())
		synctest.Wait()
		if !b.system.Alive(g.PID()) || b.system.Alive(linked.PID()) || r.Count() != 0 {
			t.Errorf("the holder lives: %v; who linked itself lives: %v; entries: %d", b.system.Alive(g.PID()), b.system.Alive(linked.PID()), r.Count())
		}
	})
}

// TestRG13_ListenersAreTold: listeners get a message when a key is registered or given up, but not when the holder ends.
func TestRG13_ListenersAreTold(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		listener := &holder{}
		l, err := actors.StartGenServer(b.ctx, b.system, listener, actors.GenServerOptions{Name: "listener"})
		b.must(err)
		r := b.registry(actors.RegistryConfig{Name: "r", Keys: actors.DuplicateKeys, Listeners: []messages.Target{messages.Name("listener"), messages.Name("nobody")}})
		g := b.holder()
		b.must(b.register(r, g, "key", 1))
		b.must(b.register(r, g, "key", 2))
		in(b, g, func(ctx context.Context) any { r.Unregister(ctx, "key"); return nil })
		b.must(b.register(r, g, "left", 3))
		b.system.Kill(g.PID())
		synctest.Wait()
		gone := messages.Unregistered{Registry: "r", Key: "key", PID: g.PID()}
		want := []any{
			messages.Registered{Registry: "r", Key: "key", PID: g.PID(), Value: 1},
			messages.Registered{Registry: "r", Key: "key", PID: g.PID(), Value: 2},
			gone, gone,
			messages.Registered{Registry: "r", Key: "left", PID: g.PID(), Value: 3},
		}
		if got := in(b, l, func(context.Context) []any { return listener.infos }); !slices.Equal(got, want) {
			t.Errorf("the listener got\n%v, want\n%v", got, want)
		}
		if r.Count() != 0 {
			t.Errorf("%d entries are left", r.Count())
		}
	})
}

// A restarted registry is found by its name, and empty; the ends that were on their way to the one before do not touch it.
func TestRegistryUnderASupervisor(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		spec := actors.RegistrySpec[any, int](b.system, actors.RegistryConfig{Name: "registry", Keys: actors.UniqueKeys})
		superviseOne(b, spec)
		r := actors.RegistryAt[any, int](b.system, messages.Name("registry"))
		g := b.holder()
		b.must(b.register(r, g, "key", 1))
		before := r.PID()
		b.system.Kill(before)
		synctest.Wait()
		if r.PID() == before || r.PID().IsZero() || r.Count() != 0 {
			t.Fatalf("after a crash it is %s, with %d entries", r.PID(), r.Count())
		}
		b.must(b.register(r, g, "key", 2))
		b.system.Send(b.ctx, r.PID(), messages.Down{PID: g.PID()}) // a lie
		synctest.Wait()
		if r.Count() != 1 {
			t.Error("a made-up Down has dropped an entry")
		}
	})
}

// Many processes register, give up and die at the same time: in the end the table has what the living have.
func TestRegistryUnderRace(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(b registryBench) {
		r := b.registry(actors.RegistryConfig{Keys: actors.UniqueKeys})
		tasks, err := actors.StartTaskSupervisor(b.ctx, b.system, actors.TaskSupervisorConfig{})
		b.must(err)
		var living []*actors.Task[int]
		for i := range 200 {
			task, err := actors.AsyncNoLink(b.ctx, tasks, func(ctx context.Context) (int, error) {
				for n := range 20 {
					if err := r.Register(ctx, (i+n)%50, i); err == nil && n%3 == 0 {
						r.Unregister(ctx, (i+n)%50)
					}
				}
				if i%2 == 0 {
					<-ctx.Done()
				}
				return i, nil
			})
			b.must(err)
			if i%2 == 0 {
				living = append(living, task)
			}
		}
		synctest.Wait()
		for key, e := range r.All() {
			if !b.system.Alive(e.PID) {
				t.Errorf("%v is held by %s, which is dead", key, e.PID)
			}
		}
		for _, task := range living {
			if _, _, err := task.Shutdown(b.ctx, 0); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if r.Count() != 0 {
			t.Errorf("%d entries are left behind", r.Count())
		}
	})
}
