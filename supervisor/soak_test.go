package supervisor_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

var soakTime = flag.Duration("soak", 200*time.Millisecond, "how long TestSoak has children crash; with a second or more in a tree of 10,000, else of 500")

const (
	soakPace     = 20 * time.Millisecond // between two crashes under one supervisor
	soakPatience = 30 * time.Second      // after which a restart that did not come is lost
	soakLimit    = 1 << 30               // restarts, where none is to break a limit
	fragileLimit = 2                     // of those supervisors whose every third crash is to break it
	soakMemory   = 20 << 20              // bytes that may be left in the end
	soakGrowth   = 40 << 20              // bytes by which the tree may grow: each child keeps why it ended the last time, with the stack
)

// TestSoak has the children of a large tree crash for a time, in all ways and under supervisors of all kinds, in real time. Each crash must
// bring exactly the restarts that its supervisor's strategy says, each process must have exactly one Down, and in the end
// nothing may be left.
func TestSoak(t *testing.T) {
	before := measure()
	s := newSoak(t)
	s.plant()
	grown := measure()
	t.Logf("the tree stands: %s", grown)
	s.crash(grown)
	s.fell()
	var after footprint
	for deadline := time.Now().Add(soakPatience); time.Now().Before(deadline); runtime.Gosched() {
		if after = measure(); after.goroutines <= before.goroutines {
			break
		}
	}
	t.Logf("before %s, after %s", before, after)
	if after.goroutines > before.goroutines || after.heap > before.heap+soakMemory {
		t.Errorf("after %s, want no more than before, %s, and 20 MiB", after, before)
	}
}

// footprint is what a program has.
type footprint struct {
	goroutines int
	heap       int64
}

func measure() footprint {
	runtime.GC()
	runtime.GC() // what the first has freed finalizers for
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), int64(m.HeapAlloc)}
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines and %.1f MiB", f.goroutines, float64(f.heap)/(1<<20))
}

// soak is the tree, with a process that monitors all others.
type soak struct {
	t       *testing.T
	ctx     context.Context
	system  *process.System
	top     *supervisor.Supervisor
	auditor messages.PID
	plots   []*plot
	crashes atomic.Int64
	starts  atomic.Int64
}

// plot is a supervisor with its plants. Each has a goroutine that makes them crash.
type plot struct {
	soak     *soak
	affected func(k *plant) []*plant // whom a crash of this one restarts
	again    func(k *plant) error    // has it terminated and started by request; nil where that is not tried
	plants   []*plant
}

// plant is a child.
type plant struct {
	index int
	want  int // starts; the plot's goroutine's alone

	mu      sync.Mutex
	pid     messages.PID
	starts  int
	changed chan struct{} // closed at the next start
}

// seen notes a start that the auditor monitors already.
func (k *plant) seen(pid messages.PID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pid = pid
	k.starts++
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *plant) now() (messages.PID, int, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pid, k.starts, k.changed
}

// settle waits until the plant was started as often as it should.
func (k *plant) settle() error {
	deadline := time.After(soakPatience)
	for {
		_, starts, changed := k.now()
		if starts >= k.want {
			return nil
		}
		select {
		case <-changed:
		case <-deadline:
			return fmt.Errorf("plant %d was started %d times, want %d: a restart was lost", k.index, starts, k.want)
		}
	}
}

// auditor monitors all plants, and counts what it hears.
type auditor struct {
	soak    *soak
	living  map[messages.PID]bool
	reasons map[string]int
	strange int // Downs that nobody waits for
}

type sprouted struct {
	plant *plant
	pid   messages.PID
}

func (*auditor) Init(context.Context) error       { return nil }
func (*auditor) Terminate(context.Context, error) {}

func (a *auditor) Handle(ctx context.Context, message any) error {
	switch m := message.(type) {
	case sprouted:
		a.soak.system.Monitor(ctx, m.pid)
		a.living[m.pid] = true
		a.soak.starts.Add(1)
		m.plant.seen(m.pid)
	case messages.Down:
		if !a.living[m.PID] {
			a.strange++
		}
		delete(a.living, m.PID)
		a.reasons[m.Reason.Error()]++
	case *process.Request:
		m.From.Reply(*a, nil)
	}
	return nil
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, ctx: t.Context(), system: process.NewSystem(process.Config{})}
	var err error
	s.auditor, err = process.Spawn(s.ctx, s.system, &auditor{soak: s, living: map[messages.PID]bool{}, reasons: map[string]int{}}, process.Options{})
	s.check(err)
	return s
}

func (s *soak) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// plot makes a plot with so many plants.
func (s *soak) plot(n int, affected func(p *plot, k *plant) []*plant) (*plot, []supervisor.ChildSpec) {
	p := &plot{soak: s}
	p.affected = func(k *plant) []*plant { return affected(p, k) }
	for i := range n {
		p.plants = append(p.plants, &plant{index: i, want: 1, changed: make(chan struct{})})
	}
	s.plots = append(s.plots, p)
	return p, slices.Collect(func(yield func(supervisor.ChildSpec) bool) {
		for _, k := range p.plants {
			yield(s.spec(k))
		}
	})
}

// spec is a child that ends with the error that it is sent, or runs the function.
func (s *soak) spec(k *plant) supervisor.ChildSpec {
	return supervisor.ChildSpec{ID: fmt.Sprint(k.index), Start: func(ctx context.Context) (messages.PID, error) {
		pid, err := process.Spawn(ctx, s.system, weed{}, process.Options{Link: true, TrapExit: k.index%2 == 0})
		if err == nil {
			s.system.Send(ctx, s.auditor, sprouted{k, pid})
		}
		return pid, err
	}}
}

// weed is the process of a plant.
type weed struct{}

func (weed) Init(context.Context) error       { return nil }
func (weed) Terminate(context.Context, error) {}

func (weed) Handle(ctx context.Context, message any) error {
	if f, ok := message.(func(ctx context.Context)); ok {
		f(ctx)
	}
	err, _ := message.(error)
	return err
}

func alone(_ *plot, k *plant) []*plant   { return []*plant{k} }
func all(p *plot, _ *plant) []*plant     { return p.plants }
func andRest(p *plot, k *plant) []*plant { return p.plants[k.index:] }

// fragile gives one that breaks its limit with every third crash: then its supervisor gives up, and is started again with all.
func fragile() func(p *plot, k *plant) []*plant {
	crashes := 0
	return func(p *plot, k *plant) []*plant {
		if crashes++; crashes%(fragileLimit+1) == 0 {
			return p.plants
		}
		return []*plant{k}
	}
}

// plant starts the tree: three levels, six kinds.
func (s *soak) plant() {
	size := 20 // 500 children
	if *soakTime >= time.Second {
		size = 1 // 10,000
	}
	var middle []supervisor.ChildSpec
	group := func(name string, plots int, config supervisor.Config, plants int, affected func() func(p *plot, k *plant) []*plant) {
		var low []supervisor.ChildSpec
		for i := range plots {
			c := config
			_, c.Children = s.plot(max(plants/size, 2), affected())
			spec := c.ChildSpec(s.system)
			spec.ID = fmt.Sprint(i)
			low = append(low, spec)
		}
		spec := supervisor.Config{Strategy: supervisor.OneForOne, MaxRestarts: soakLimit, MaxSeconds: time.Second, Children: low}.ChildSpec(s.system)
		spec.ID = name
		middle = append(middle, spec)
	}
	strategy := func(strategy supervisor.Strategy, limit int) supervisor.Config {
		config := supervisor.Config{Strategy: strategy, MaxRestarts: limit, MaxSeconds: time.Second}
		if limit == fragileLimit {
			config.MaxSeconds = 24 * time.Hour
		}
		return config
	}
	always := func(f func(p *plot, k *plant) []*plant) func() func(p *plot, k *plant) []*plant {
		return func() func(p *plot, k *plant) []*plant { return f }
	}
	group("steady", 20, strategy(supervisor.OneForOne, soakLimit), 100, always(alone))
	group("fragile", 20, strategy(supervisor.OneForOne, fragileLimit), 50, fragile)
	group("all", 50, strategy(supervisor.OneForAll, soakLimit), 20, always(all))
	group("rest", 50, strategy(supervisor.RestForOne, soakLimit), 20, always(andRest))
	for i := range 5 {
		p, specs := s.plot(200/size, alone)
		middle = append(middle, supervisor.PartitionConfig{
			Name: messages.Name(fmt.Sprint("partitions", i)), Partitions: len(p.plants), MaxRestarts: soakLimit, MaxSeconds: time.Second,
			Child: func(index int) supervisor.ChildSpec { return specs[index] },
		}.ChildSpec(s.system))
		middle = append(middle, supervisor.DynamicConfig{
			Name: messages.Name(fmt.Sprint("dynamic", i)), MaxRestarts: soakLimit, MaxSeconds: time.Second,
		}.ChildSpec(s.system))
	}
	var err error
	s.top, err = supervisor.Start(s.ctx, s.system, supervisor.Config{Strategy: supervisor.OneForOne, Children: middle})
	s.check(err)
	for i := range 5 {
		s.plantDynamic(supervisor.Dynamic(s.system, messages.Name(fmt.Sprint("dynamic", i))), 800/size)
	}
	for _, p := range s.plots {
		for _, k := range p.plants {
			s.check(k.settle())
		}
	}
}

func (s *soak) plantDynamic(d *supervisor.DynamicSupervisor, plants int) {
	p, specs := s.plot(plants, alone)
	for _, spec := range specs {
		_, err := d.StartChild(s.ctx, spec)
		s.check(err)
	}
	p.again = func(k *plant) error {
		pid, _, _ := k.now()
		if err := d.TerminateChild(s.ctx, pid); err != nil {
			return err
		}
		_, err := d.StartChild(s.ctx, specs[k.index])
		return err
	}
}

// crash has plants of all plots crash until the time is over, and tells how it goes.
func (s *soak) crash(grown footprint) {
	ctx, cancel := context.WithTimeout(s.ctx, *soakTime)
	defer cancel()
	var plots sync.WaitGroup
	for _, p := range s.plots {
		plots.Go(func() { p.crash(ctx) })
	}
	progress, began := time.NewTicker(5*time.Second), time.Now()
	defer progress.Stop()
	for running := true; running; {
		select {
		case <-progress.C:
			s.t.Logf("%3.0fs: %d crashes, %d starts, %s", time.Since(began).Seconds(), s.crashes.Load(), s.starts.Load(), measure())
		case <-ctx.Done():
			running = false
		}
	}
	plots.Wait()
	if now := measure(); now.heap > grown.heap+soakGrowth {
		s.t.Errorf("the tree has grown from %s to %s", grown, now)
	}
}

func (p *plot) crash(ctx context.Context) {
	pace := time.NewTicker(soakPace)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		if err := p.crashOne(n); err != nil {
			p.soak.t.Errorf("crash %d: %v", n, err)
			return
		}
	}
}

// crashOne has one plant end, and waits until all is as it should be again.
func (p *plot) crashOne(n int) error {
	k := p.plants[rand.IntN(len(p.plants))]
	if p.again != nil && n%10 == 9 {
		k.want++
		if err := p.again(k); err != nil {
			return err
		}
		return k.settle()
	}
	affected := p.affected(k)
	for _, k := range affected {
		k.want++
	}
	p.soak.crashes.Add(1)
	p.soak.end(k, n%3)
	for _, k := range affected {
		if err := k.settle(); err != nil {
			return err
		}
	}
	return nil
}

// end has the process of a plant end in one of three ways.
func (s *soak) end(k *plant, way int) {
	pid, _, _ := k.now()
	switch way {
	case 0:
		s.system.Send(s.ctx, pid, errBoom)
	case 1:
		s.system.Send(s.ctx, pid, func(context.Context) { panic("oops") })
	default:
		s.system.Kill(pid)
	}
}

// fell stops the tree, and checks the books.
func (s *soak) fell() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.check(s.top.Stop(ctx))
	for _, p := range s.plots {
		for _, k := range p.plants {
			if _, starts, _ := k.now(); starts != k.want {
				s.t.Errorf("plant %d was started %d times, want %d", k.index, starts, k.want)
			}
		}
	}
	books, err := process.Call(ctx, s.system, s.auditor, "the books")
	s.check(err)
	a, _ := books.(auditor)
	crashed := a.reasons["boom"] + a.reasons["panic: oops"] + a.reasons["killed"]
	if len(a.living) != 0 || a.strange != 0 || crashed != int(s.crashes.Load()) {
		s.t.Errorf("%d without a Down, %d with two, %d Downs of %d crashes", len(a.living), a.strange, crashed, s.crashes.Load())
	}
	s.t.Logf("%d crashes, %d starts, Downs by reason: %v", s.crashes.Load(), s.starts.Load(), a.reasons)
	s.check(s.system.Stop(ctx))
}
