package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// stepsPerTree is how much happens to one tree, unless its top ends before. With -rapid.checks=3000 that is more than 100,000
// steps.
const stepsPerTree = 60

// TestAgainstTheModel compares random trees, in which random things happen, with the rules: after each step who lives, whom each
// supervisor lists in which order, and who was started and stopped in which order.
func TestAgainstTheModel(t *testing.T) {
	var steps, trees atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		inBubbleOf(t, func(t *testing.T) {
			r := newRun(t, rt)
			defer r.close()
			trees.Add(1)
			for range stepsPerTree {
				if r.rules.top.state != up {
					break
				}
				steps.Add(1)
				r.step()
			}
			r.compare("the stop of the system", func() { r.rules.stop(r.rules.top) }, r.close)
		})
	})
	t.Logf("%d steps in %d trees", steps.Load(), trees.Load())
}

// inBubbleOf carries what rapid throws, which is how it ends a check, out of the bubble.
func inBubbleOf(t *testing.T, check func(t *testing.T)) {
	var thrown any
	synctest.Test(t, func(t *testing.T) {
		defer func() { thrown = recover() }()
		check(t)
	})
	if thrown != nil {
		panic(thrown)
	}
}

// run is one tree, in truth and in the model.
type run struct {
	*bench
	rt    *rapid.T
	rules *rules
	kids  map[string]*kid
	ids   int
	tick  time.Duration // before each step, so that no two that wait are due at one moment
}

func newRun(t *testing.T, rt *rapid.T) *run {
	r := &run{bench: &bench{t: t, ctx: t.Context()}, rt: rt, kids: map[string]*kid{}, rules: &rules{answers: map[string][]error{}}}
	r.system = process.NewSystem(process.Config{})
	if rapid.IntRange(0, 2).Draw(rt, "waits") == 0 {
		r.tick = time.Millisecond
	}
	p := r.supervisorPlan(3)
	if p.maxRestarts *= 5; r.draw("lives long", 4) > 0 {
		p.auto = supervisor.Never
		p.first = slices.DeleteFunc(p.first, func(c plan) bool { return c.significant })
	}
	r.rules.top = &node{plan: p}
	top := r.real(p)
	r.compare("the start", func() { _ = r.rules.start(r.rules.top) }, func() { _, _ = top.Start(r.ctx) })
	return r
}

func (r *run) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := r.system.Stop(ctx); err != nil {
		r.rt.Errorf("Stop of the system: %v", err)
	}
}

func (r *run) draw(what string, n int) int { return rapid.IntRange(0, n-1).Draw(r.rt, what) }

func pick[T any](r *run, what string, from ...T) T { return from[r.draw(what, len(from))] }

func (r *run) id(prefix string) string {
	r.ids++
	return fmt.Sprint(prefix, r.ids)
}

func (r *run) supervisorPlan(levels int) plan {
	p := plan{
		id: r.id("s"), kind: aSupervisor,
		strategy:    pick(r, "strategy", supervisor.OneForOne, supervisor.OneForAll, supervisor.RestForOne),
		auto:        pick(r, "auto", supervisor.Never, supervisor.Never, supervisor.AnySignificant, supervisor.AllSignificant),
		maxRestarts: r.draw("limit", 5),
		span:        pick(r, "span", time.Second, 2*time.Second, 10*time.Second),
	}
	if p.backoff = r.wait(); levels > 0 {
		for range r.draw("children", 5) {
			p.first = append(p.first, r.childPlan(levels-1, p.auto))
		}
	}
	return p
}

func (r *run) wait() supervisor.Backoff {
	if r.tick == 0 || r.draw("waits", 2) == 0 {
		return supervisor.Backoff{}
	}
	return supervisor.Backoff{Initial: time.Second, Max: pick(r, "longest", time.Second, 2*time.Second, 4*time.Second)}
}

// childPlan makes any child, under a supervisor of any kind.
func (r *run) childPlan(levels int, auto supervisor.AutoShutdown) plan {
	var p plan
	switch k := r.draw("kind", 6); {
	case levels == 0 || k < 3:
		p = plan{id: r.id("w"), brutal: r.draw("brutal", 4) == 0}
	case k == 3:
		p = plan{
			id: r.id("s"), kind: aDynamic, maxRestarts: r.draw("limit", 5), span: 2 * time.Second,
			maxChildren: r.draw("places", 4), backoff: r.wait(),
		}
	default:
		p = r.supervisorPlan(levels)
	}
	p.restart = pick(r, "restart", supervisor.Permanent, supervisor.Permanent, supervisor.Transient, supervisor.Temporary)
	p.significant = auto != supervisor.Never && p.restart != supervisor.Permanent && r.draw("significant", 2) == 0
	return p
}

// real makes the child of a plan, with those below it.
func (r *run) real(p plan) *kid {
	limit := p.maxRestarts
	if limit == 0 {
		limit = supervisor.NoRestarts
	}
	var k *kid
	switch p.kind {
	case aWorker:
		k = r.kid(p.id)
	case aDynamic:
		k = &kid{b: r.bench, ChildSpec: supervisor.DynamicConfig{
			Name: messages.Name(p.id), MaxRestarts: limit, MaxSeconds: p.span, MaxChildren: p.maxChildren, Backoff: p.backoff,
		}.ChildSpec(r.system)}
		k.Start = k.starting(k.Start)
	default:
		config := supervisor.Config{
			Name: messages.Name(p.id), Strategy: p.strategy, AutoShutdown: p.auto, MaxRestarts: limit, MaxSeconds: p.span, Backoff: p.backoff,
		}
		for _, c := range p.first {
			config.Children = append(config.Children, r.real(c).ChildSpec)
		}
		k = r.nest(config)
	}
	k.Restart, k.Significant = p.restart, p.significant
	if p.brutal {
		k.Shutdown = supervisor.BrutalKill
	}
	r.kids[p.id] = k
	return k
}

// compare does something in the model and in truth, and then looks for differences.
func (r *run) compare(what string, model, truth func()) {
	r.rt.Helper()
	model()
	truth()
	synctest.Wait()
	r.rt.Log(what)
	want, got := r.rules.did, strings.Fields(r.did())
	r.rules.did = nil
	if strings.HasPrefix(what, "kill of supervisor") { // those below it end each for itself
		slices.Sort(want)
		slices.Sort(got)
	}
	if want, got := canonical(want), canonical(got); want != got {
		r.rt.Fatalf("%s:\n got  %s\n want %s", what, got, want)
	}
	r.compareLists(what)
}

// canonical sorts the ends of a dynamic supervisor's children, which come in no order.
func canonical(did []string) string {
	of := func(i int) bool { return i < len(did) && strings.HasPrefix(did[i], "-d") }
	for i := 0; i < len(did); i++ {
		from := i
		for of(i) {
			i++
		}
		slices.Sort(did[from:i])
	}
	return strings.Join(did, " ")
}

func (r *run) compareLists(what string) {
	lives := map[string]bool{}
	for _, n := range r.rules.living() {
		lives[n.id] = true
		if n.kind == aWorker {
			continue
		}
		s, want, counts := r.lister(n), []string{}, supervisor.Counts{}
		for _, c := range slices.Backward(n.children) {
			want = append(want, c.id+map[state]string{up: "", down: "!", waiting: "?"}[c.state])
			counts.Specs++
			if c.state == up {
				counts.Active++
			}
			if c.kind == aWorker {
				counts.Workers++
			} else {
				counts.Supervisors++
			}
		}
		got := strings.Fields(r.children(s))
		if n.kind == aDynamic {
			slices.Sort(want)
			slices.Sort(got)
		}
		if !slices.Equal(got, want) {
			r.rt.Fatalf("%s: %s lists %s, want %s", what, n.id, got, want)
		}
		if got, err := s.CountChildren(r.ctx); err != nil || got != counts {
			r.rt.Fatalf("%s: %s counts %+v, %v; want %+v", what, n.id, got, err, counts)
		}
	}
	for id, k := range r.kids {
		if k.alive() != lives[id] {
			r.rt.Fatalf("%s: %s lives: %v, want %v", what, id, k.alive(), lives[id])
		}
	}
}

func (r *run) lister(n *node) lister {
	if n.kind == aDynamic {
		return supervisor.Dynamic(r.system, messages.Name(n.id))
	}
	return supervisor.Static(r.system, messages.Name(n.id))
}

// answered compares the answers to a request.
func (r *run) answered(what string, model, truth func() error) {
	var got, want error
	r.compare(what, func() { want = model() }, func() { got = truth() })
	if (got == nil) != (want == nil) || !errors.Is(got, want) {
		r.rt.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
