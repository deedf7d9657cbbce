package supervisor_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// partitioned is a partition supervisor with its kids, whose ids are p0, p1, and so on in what they do.
type partitioned struct {
	*supervisor.PartitionSupervisor
	kids []*kid
}

func (b *bench) partition(config supervisor.PartitionConfig) *partitioned {
	b.t.Helper()
	p := &partitioned{}
	config.Name = "partitions"
	config.Child = func(index int) supervisor.ChildSpec {
		k := b.kid(fmt.Sprint("p", index))
		p.kids = append(p.kids, k)
		return k.ChildSpec
	}
	var err error
	if p.PartitionSupervisor, err = supervisor.StartPartition(b.ctx, b.system, config); err != nil {
		b.t.Fatalf("StartPartition: %v", err)
	}
	return p
}

// leads compares where a key leads.
func (p *partitioned) leads(key any, want int) {
	if pid, err := p.Whereis(key); err != nil || pid != p.kids[want].pid() {
		p.kids[0].b.t.Errorf("%v leads to %s, %v; want partition %d", key, pid, err, want)
	}
}

// TestPS01_NCopiesOfOneChild: it runs so many copies of a child, by default as many as there are processors, with the ids 0 to N-1.
func TestPS01_NCopiesOfOneChild(t *testing.T) {
	for partitions, want := range map[int]int{0: runtime.GOMAXPROCS(0), 1: 1, 3: 3} {
		inBubble(t, func(b *bench) {
			p := b.partition(supervisor.PartitionConfig{Partitions: partitions})
			b.counted(p, supervisor.Counts{Specs: want, Active: want, Workers: want})
			var ids []string
			for i := want - 1; i >= 0; i-- {
				ids = append(ids, fmt.Sprint(i))
			}
			b.listed(p, strings.Join(ids, " "))
			if p.Partitions() != want {
				t.Errorf("%d partitions, want %d", p.Partitions(), want)
			}
		})
	}
}

// TestPS02_WhereAKeyLeads: an integer leads to the partition of its absolute value's remainder, the least one too, any other key to that of
// its hash, and equal keys to the same; a key that cannot be compared, or is not equal to itself, is refused.
func TestPS02_WhereAKeyLeads(t *testing.T) {
	type name string
	inBubble(t, func(b *bench) {
		p := b.partition(supervisor.PartitionConfig{Partitions: 3})
		for key, want := range map[any]int{
			0: 0, 1: 1, 2: 2, 3: 0, 4: 1, -1: 1, -2: 2, -3: 0, -4: 1,
			int8(-128): 128 % 3, uint8(255): 0, int64(math.MaxInt64): math.MaxInt64 % 3,
			int64(math.MinInt64): (1 << 63) % 3, uint64(math.MaxUint64): 0, uintptr(5): 2, time.Duration(7): 1,
		} {
			p.leads(key, want)
		}
		hit := map[messages.PID]bool{}
		for i := range 100 {
			for _, key := range []any{fmt.Sprint(i), name(fmt.Sprint(i)), float64(i) + 0.5, [2]int{i, i}, struct{ a, b any }{i, "x"}} {
				first, err := p.Whereis(key)
				if second, _ := p.Whereis(key); err != nil || first != second {
					t.Fatalf("%v leads to %s and to %s, %v", key, first, second, err)
				}
				hit[first] = true
			}
		}
		if len(hit) != 3 {
			t.Errorf("500 keys lead to %d partitions, want all", len(hit))
		}
		nan := math.NaN()
		for _, key := range []any{nil, []int{1}, map[int]int{}, struct{ a any }{[]int{1}}, nan, float32(nan), [1]float64{nan}, struct{ a any }{nan}} {
			if pid, err := p.Whereis(key); err == nil || !strings.Contains(err.Error(), "key") || !pid.IsZero() {
				t.Errorf("%v leads to %s, %v; want an error about the key", key, pid, err)
			}
		}
	})
}

// TestPS03_ARestartedPartitionKeepsItsIndex: a partition that crashed is restarted under its index, its keys lead to the new process, and
// the others are untouched.
func TestPS03_ARestartedPartitionKeepsItsIndex(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.partition(supervisor.PartitionConfig{Partitions: 3})
		b.did()
		first := p.kids[1].pid()
		b.end(p.kids[1], errBoom)
		b.saw("-p1 +p1")
		p.leads(1, 1)
		if p.kids[1].pid() == first {
			t.Error("it was not restarted")
		}
		b.listed(p, "2 1 0")
		if count, err := process.Call(b.ctx, b.system, p.Via(4), "how many?"); count != 0 || err != nil {
			t.Errorf("a call through the key: %v, %v", count, err)
		}
	})
	t.Run("a restart that fails", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			p := b.partition(supervisor.PartitionConfig{Partitions: 2, Backoff: supervisor.Backoff{Initial: time.Second}})
			p.kids[1].answers = []error{errBoom}
			dead := p.kids[1].pid()
			b.end(p.kids[1], errBoom)
			if pid, err := p.Whereis(1); pid != dead || err != nil {
				t.Errorf("in the gap the key leads to %s, %v; want the dead process", pid, err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			_, err := p.Whereis(1)
			b.wantErr(err, messages.NoProc)
			_, err = process.Call(b.ctx, b.system, p.Via(1), "how many?")
			b.wantErr(err, messages.NoProc)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			p.leads(1, 1)
		})
	})
}

// What a Start gives together with an error is no partition.
func TestAPartitionThatDidNotStart(t *testing.T) {
	inBubble(t, func(b *bench) {
		stranger, tries := b.starter(), 0
		k := b.kid("p")
		start := k.Start
		k.Start = func(ctx context.Context) (messages.PID, error) {
			if tries++; tries > 1 {
				return stranger, errBoom
			}
			return start(ctx)
		}
		p, err := supervisor.StartPartition(b.ctx, b.system, supervisor.PartitionConfig{
			Name: "p", Partitions: 1, Backoff: supervisor.Backoff{Initial: time.Second}, Child: func(int) supervisor.ChildSpec { return k.ChildSpec },
		})
		b.wantErr(err, nil)
		b.end(k, errBoom)
		time.Sleep(time.Second)
		synctest.Wait()
		_, err = p.Whereis(0)
		b.wantErr(err, messages.NoProc)
	})
}

// A key never leads to a process that the supervisor has refused, because it is another partition's or the supervisor itself.
func TestAPartitionThatWasRefused(t *testing.T) {
	inBubble(t, func(b *bench) {
		var given messages.PID // by the starts, in place of what they have started
		p, err := supervisor.StartPartition(b.ctx, b.system, supervisor.PartitionConfig{
			Name: "p", Partitions: 2, Child: func(index int) supervisor.ChildSpec {
				k := b.kid(fmt.Sprint("p", index))
				start := k.Start
				k.Start = func(ctx context.Context) (messages.PID, error) {
					if !given.IsZero() {
						return given, nil
					}
					return start(ctx)
				}
				return k.ChildSpec
			},
		})
		b.wantErr(err, nil)
		other, err := p.Whereis(0)
		b.wantErr(err, nil)
		s := supervisor.Static(b.system, p.PID())
		b.wantErr(s.TerminateChild(b.ctx, "1"), nil)
		for _, given = range []messages.PID{other, p.PID()} {
			if _, err := s.RestartChild(b.ctx, "1"); err == nil || !strings.Contains(err.Error(), "want a process of its own") {
				t.Errorf("got %v, want a refusal", err)
			}
			if pid, err := p.Whereis(1); err != messages.NoProc {
				t.Errorf("the key leads to %s, %v; want noproc", pid, err)
			}
		}
	})
}

// An error of a Start that wraps itself, or says that it is ErrRunning, is a failed start: Resize answers it, and goes on.
func TestResizeWithStrangeErrors(t *testing.T) {
	inBubble(t, func(b *bench) {
		var strange error
		k := b.kid("p")
		start := k.Start
		k.Start = func(ctx context.Context) (messages.PID, error) {
			if strange != nil {
				return messages.PID{}, strange
			}
			return start(ctx)
		}
		p, err := supervisor.StartPartition(b.ctx, b.system, supervisor.PartitionConfig{
			Name: "p", Partitions: 1, Child: func(int) supervisor.ChildSpec { return k.ChildSpec },
		})
		b.wantErr(err, nil)
		_, err = p.Resize(b.ctx, 0)
		b.wantErr(err, nil)
		for _, strange = range []error{wrapsItself{}, supervisor.ErrRunning} {
			if _, err := p.Resize(b.ctx, 1); err == nil || !strings.Contains(err.Error(), strange.Error()) || p.Partitions() != 0 {
				t.Errorf("got %v and %d partitions, want %q and none", err, p.Partitions(), strange)
			}
		}
	})
}

// wrapsItself has no end for errors.Is.
type wrapsItself struct{}

func (wrapsItself) Error() string { return "wraps itself" }
func (wrapsItself) Unwrap() error { return wrapsItself{} }

// TestPS04_TheLimitIsShared: restarts are counted over all partitions, three in five seconds by default; when they are too many, all go down
// together.
func TestPS04_TheLimitIsShared(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.partition(supervisor.PartitionConfig{Partitions: 4})
		why := b.watch(p.PID())
		for _, k := range p.kids[:3] {
			b.end(k, errBoom)
		}
		b.wantEnd(why, nil)
		b.did()
		b.end(p.kids[3], errBoom)
		b.wantEnd(why, messages.Shutdown)
		b.saw("-p3 -p2 -p1 -p0")
	})
	inBubble(t, func(b *bench) {
		p := b.partition(supervisor.PartitionConfig{
			Partitions: 2, Strategy: supervisor.OneForAll, MaxRestarts: 1, MaxSeconds: time.Minute, Backoff: supervisor.Backoff{Initial: 20 * time.Second},
		})
		why := b.watch(p.PID())
		b.did()
		b.end(p.kids[0], errBoom)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		b.saw("-p0 -p1 +p0 +p1")
		b.end(p.kids[0], errBoom)
		b.wantEnd(why, messages.Shutdown)
	})
}

// TestPS05_ChildrenKnowTheirIndex: what a partition is started with can depend on its index.
//
// Adapted: the config has a function from the index to the child spec, whose ID it sets.
func TestPS05_ChildrenKnowTheirIndex(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.partition(supervisor.PartitionConfig{Partitions: 3})
		b.saw("+p0 +p1 +p2")
	})
}

// TestPS06_WhatIsRefused: without a name or a child, with a count below one, or with anything else that is wrong, it refuses before a child
// has started, and the error names the field. There is no automatic shutdown.
func TestPS06_WhatIsRefused(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(b *bench, c *supervisor.PartitionConfig)
	}{
		{"Name is empty", func(_ *bench, c *supervisor.PartitionConfig) { c.Name = "" }},
		{"Child is nil", func(_ *bench, c *supervisor.PartitionConfig) { c.Child = nil }},
		{"Partitions is -1", func(_ *bench, c *supervisor.PartitionConfig) { c.Partitions = -1 }},
		{"Strategy is 9", func(_ *bench, c *supervisor.PartitionConfig) { c.Strategy = 9 }},
		{"MaxRestarts is -2", func(_ *bench, c *supervisor.PartitionConfig) { c.MaxRestarts = -2 }},
		{"MaxSeconds is -1ns", func(_ *bench, c *supervisor.PartitionConfig) { c.MaxSeconds = -1 }},
		{"Backoff.Initial is -1ns", func(_ *bench, c *supervisor.PartitionConfig) { c.Backoff.Initial = -1 }},
		{"Start is nil", func(_ *bench, c *supervisor.PartitionConfig) {
			c.Child = func(int) supervisor.ChildSpec { return supervisor.ChildSpec{} }
		}},
		{"Significant is true", func(b *bench, c *supervisor.PartitionConfig) {
			c.Child = func(int) supervisor.ChildSpec { return significant(b.transient("p")).ChildSpec }
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				config := supervisor.PartitionConfig{Name: "p", Partitions: 2, Child: func(int) supervisor.ChildSpec { return b.kid("p").ChildSpec }}
				c.change(b, &config)
				_, err := supervisor.StartPartition(b.ctx, b.system, config)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "want ") {
					t.Errorf("got %v, want an error with %q, and what was expected", err, c.want)
				}
				b.saw("")
			})
		})
	}
}

// TestPS07_Resize: when it is resized the highest partitions are stopped, or started again, their specs stay, and the count before is the
// answer; more than at the start is refused, and with none a key has nowhere to go.
func TestPS07_Resize(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.partition(supervisor.PartitionConfig{Partitions: 4})
		b.did()
		resize := func(to, want int) {
			t.Helper()
			if before, err := p.Resize(b.ctx, to); before != want || err != nil {
				t.Errorf("Resize to %d: %d, %v; want %d", to, before, err, want)
			}
			if p.Partitions() != to {
				t.Errorf("%d partitions, want %d", p.Partitions(), to)
			}
		}
		resize(2, 4)
		b.saw("-p3 -p2")
		b.listed(p, "3! 2! 1 0")
		p.leads(3, 1)
		resize(2, 2)
		b.saw("")
		resize(3, 2)
		b.saw("+p2")
		p.leads(2, 2)
		resize(0, 3)
		_, err := p.Whereis(1)
		b.wantErr(err, supervisor.ErrNoPartitions)
		_, err = process.Call(b.ctx, b.system, p.Via(1), "how many?")
		b.wantErr(err, messages.NoProc)
		b.counted(p, supervisor.Counts{Specs: 4, Workers: 4})
		resize(4, 0)
		for _, to := range []int{5, -1} {
			if _, err := p.Resize(b.ctx, to); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("is %d, want 0 to 4", to)) {
				t.Errorf("Resize to %d: %v, want an error about the size", to, err)
			}
		}
		p.leads(3, 3)
	})
	t.Run("a partition that does not start", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			p := b.partition(supervisor.PartitionConfig{Partitions: 3})
			_, err := p.Resize(b.ctx, 0)
			b.wantErr(err, nil)
			p.kids[1].answers = []error{errBoom}
			before, err := p.Resize(b.ctx, 3)
			b.wantErr(err, errBoom)
			if before != 0 || p.Partitions() != 1 {
				t.Errorf("%d before, %d now; want 0 and those that have started, 1", before, p.Partitions())
			}
			p.leads(2, 0)
		})
	})
	t.Run("after a group restart", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			p := b.partition(supervisor.PartitionConfig{Partitions: 3, Strategy: supervisor.OneForAll})
			_, err := p.Resize(b.ctx, 1)
			b.wantErr(err, nil)
			b.end(p.kids[0], errBoom) // which starts all (SV-15)
			if before, err := p.Resize(b.ctx, 3); before != 1 || err != nil {
				t.Errorf("Resize: %d, %v; want 1", before, err)
			}
			p.leads(2, 2)
		})
	})
}

// TestPS08_WhoIsNotThere: of a partition supervisor that is not there the answer is noproc; and no name can be registered through one.
func TestPS08_WhoIsNotThere(t *testing.T) {
	inBubble(t, func(b *bench) {
		nobody := supervisor.Partition(b.system, "nobody")
		_, err := nobody.Whereis(1)
		b.wantErr(err, messages.NoProc)
		_, err = process.Call(b.ctx, b.system, nobody.Via(1), "how many?")
		b.wantErr(err, messages.NoProc)
		_, err = nobody.CountChildren(b.ctx)
		b.wantErr(err, messages.NoProc)
		_, err = nobody.WhichChildren(b.ctx)
		b.wantErr(err, messages.NoProc)
		_, err = nobody.Resize(b.ctx, 1)
		b.wantErr(err, messages.NoProc)
		b.wantErr(nobody.Stop(b.ctx), messages.NoProc)
		if nobody.Partitions() != 0 {
			t.Error("it has partitions")
		}
		b.supervise(supervisor.Config{Name: "static"})
		_, err = supervisor.Partition(b.system, "static").Whereis(1)
		b.wantErr(err, messages.NoProc)
		p := b.partition(supervisor.PartitionConfig{Partitions: 1})
		_, err = process.Spawn(b.ctx, b.system, &worker{kid: b.kid("x")}, process.Options{Via: p.Via(1)})
		if err == nil || !strings.Contains(err.Error(), "partition of partitions") {
			t.Errorf("got %v, want an error that says so", err)
		}
	})
}

// The configs make specs of themselves, for supervisors under supervisors.
func TestChildSpecsOfConfigs(t *testing.T) {
	inBubble(t, func(b *bench) {
		child := func(int) supervisor.ChildSpec { return b.kid("p").ChildSpec }
		named := []supervisor.ChildSpec{
			supervisor.Config{Name: "s", Strategy: supervisor.OneForOne}.ChildSpec(b.system),
			supervisor.DynamicConfig{Name: "d"}.ChildSpec(b.system),
			supervisor.PartitionConfig{Name: "p", Partitions: 1, Child: child}.ChildSpec(b.system),
		}
		unnamed := []supervisor.ChildSpec{
			supervisor.Config{Strategy: supervisor.OneForOne}.ChildSpec(b.system), supervisor.DynamicConfig{}.ChildSpec(b.system),
		}
		s, err := supervisor.Start(b.ctx, b.system, supervisor.Config{Strategy: supervisor.OneForOne, Children: append(named, unnamed...)})
		b.wantErr(err, nil)
		b.listed(s, "dynamic_supervisor supervisor p d s")
		b.counted(s, supervisor.Counts{Specs: 5, Active: 5, Supervisors: 5})
		for _, name := range []messages.Name{"s", "d", "p"} {
			first, _ := b.system.Whereis(name)
			b.system.Kill(first)
			synctest.Wait()
			if second, ok := b.system.Whereis(name); !ok || second == first {
				t.Errorf("%s was not restarted", name)
			}
		}
		_, err = s.StartChild(b.ctx, supervisor.Config{Name: "bad"}.ChildSpec(b.system))
		if err == nil || !strings.Contains(err.Error(), "Strategy is missing") {
			t.Errorf("got %v, want the error of the config", err)
		}
	})
}
