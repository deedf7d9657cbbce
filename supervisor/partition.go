package supervisor

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"reflect"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// PartitionConfig configures a PartitionSupervisor. Name and Child are needed.
type PartitionConfig struct {
	Name messages.Name // registers the supervisor's process; needed, since callers find their partition by it (PS-06)

	// Child gives the spec of the partition with that index, from 0. Its ID is set to the index.
	Child func(index int) ChildSpec
	// Partitions is how many there are; zero is GOMAXPROCS.
	Partitions int

	Strategy    Strategy      // zero is OneForOne
	MaxRestarts int           // how many restarts within MaxSeconds, over all partitions; zero is DefaultMaxRestarts, NoRestarts allows none
	MaxSeconds  time.Duration // how long a restart counts: a duration, not a number of seconds; zero is DefaultMaxSeconds
	Backoff     Backoff       // between restarts; the zero value is OTP's way, at once
}

func (c PartitionConfig) withDefaults() PartitionConfig {
	if c.Partitions == 0 {
		c.Partitions = runtime.GOMAXPROCS(0)
	}
	if c.Strategy == 0 {
		c.Strategy = OneForOne
	}
	return c
}

func (c PartitionConfig) validate() error {
	switch {
	case c.Name == "":
		return errors.New("supervisor: PartitionConfig: Name is empty, want a name")
	case c.Child == nil:
		return errors.New("supervisor: PartitionConfig: Child is nil, want a function that gives a child spec")
	case c.Partitions < 0:
		return fmt.Errorf("supervisor: PartitionConfig: Partitions is %d, want at least 1", c.Partitions)
	}
	return nil
}

// ChildSpec makes a child spec of the config, for a partition supervisor under another supervisor.
func (c PartitionConfig) ChildSpec(system *System) ChildSpec {
	return ChildSpec{
		ID: string(c.Name), Type: TypeSupervisor,
		Start: func(ctx context.Context) (messages.PID, error) { return started(StartPartition(ctx, system, c)) },
	}
}

// PartitionSupervisor runs the same child several times, so that one process is not everybody's bottleneck. A key leads to
// one of them, always to the same while their number is. It may be copied, and its methods are safe from any goroutine.
type PartitionSupervisor struct{ handle }

// partitions is the process: a supervisor that knows which process each partition has.
type partitions struct {
	*static
	seed maphash.Seed
	pids []atomic.Pointer[messages.PID] // by index, of all that there can be
	size atomic.Int64                   // how many of them there are now
}

// StartPartition starts a partition supervisor and its children. It belongs to whom Start's would.
func StartPartition(ctx context.Context, system *System, config PartitionConfig) (*PartitionSupervisor, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	p := &partitions{seed: maphash.MakeSeed(), pids: make([]atomic.Pointer[messages.PID], config.Partitions)}
	p.size.Store(int64(config.Partitions))
	static := Config{
		Name: config.Name, Strategy: config.Strategy, MaxRestarts: config.MaxRestarts, MaxSeconds: config.MaxSeconds,
		Backoff: config.Backoff, Init: func(context.Context) ([]ChildSpec, error) { return p.specs(config.Child) },
	}
	if err := static.validate(); err != nil {
		return nil, err
	}
	p.static = newStatic(system, static)
	p.placed = p.place
	if _, err := process.Spawn(ctx, system, p, process.Options{Name: config.Name, Link: true, TrapExit: true}); err != nil {
		return nil, err
	}
	return Partition(system, config.Name), nil
}

// Partition addresses the partition supervisor of this name.
func Partition(system *System, name messages.Name) *PartitionSupervisor {
	return &PartitionSupervisor{handle{system, name}}
}

// specs asks for the spec of each partition. It runs in the supervisor, so that a panic of Child is a failed start.
func (p *partitions) specs(child func(index int) ChildSpec) ([]ChildSpec, error) {
	specs := make([]ChildSpec, len(p.pids))
	for i := range specs {
		spec := child(i)
		spec.ID = strconv.Itoa(i)
		if err := spec.validate(); err != nil {
			return nil, err
		}
		specs[i] = spec
	}
	return specs, nil
}

// place notes which process a partition has: what its Start gave, if the supervisor has accepted that. A child that is no
// partition, which somebody has added, has no place.
func (p *partitions) place(id string, pid messages.PID) {
	if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < len(p.pids) && strconv.Itoa(i) == id {
		p.pids[i].Store(&pid)
	}
}

// ProcessTitle says what it is, for those who look at the process.
func (p *partitions) ProcessTitle() string { return "partition " + p.static.ProcessTitle() }

func (p *partitions) Handle(ctx context.Context, message any) error {
	if r, ok := message.(*process.Request); ok {
		if m, ok := r.Message.(resize); ok {
			r.From.Reply(p.resize(ctx, m.to))
			return nil
		}
	}
	return p.static.Handle(ctx, message)
}

type resize struct{ to int }

// resize stops the highest partitions, or starts them again; their specs stay (PS-07).
func (p *partitions) resize(ctx context.Context, to int) (int, error) {
	if to < 0 || to > len(p.pids) {
		return 0, fmt.Errorf("supervisor: Resize: the size is %d, want 0 to %d, with which it was started", to, len(p.pids))
	}
	from := int(p.size.Load())
	if to < from {
		p.size.Store(int64(to)) // first: nobody is sent to one that is about to end
	}
	for i := from - 1; i >= to; i-- {
		if err := p.terminateChild(ctx, strconv.Itoa(i)); err != nil {
			return from, err
		}
	}
	for i := from; i < to; i++ {
		if err := p.ensure(ctx, strconv.Itoa(i)); err != nil {
			return from, fmt.Errorf("supervisor: Resize: partition %d: %w", i, err)
		}
		p.size.Store(int64(i + 1))
	}
	return from, nil
}

// ensure has a partition run, which a group restart may have started (SV-15). That is asked before its Start, whose errors are
// the user's: one may say that it is ErrRunning, or wrap itself.
func (p *partitions) ensure(ctx context.Context, id string) error {
	if _, err := p.idle(id); errors.Is(err, ErrRunning) {
		return nil
	}
	_, err := p.restartChild(ctx, id)
	return err
}

// process gives the partition supervisor's process itself: routing asks its table, not its mailbox, so that it costs no
// message and no wait.
func (s *PartitionSupervisor) process() (*partitions, error) {
	if p, ok := process.What(s.system, s.target).(*partitions); ok {
		return p, nil
	}
	return nil, messages.NoProc
}

// Partitions is how many partitions there are now; 0 if the supervisor is not there.
func (s *PartitionSupervisor) Partitions() int {
	p, err := s.process()
	if err != nil {
		return 0
	}
	return int(p.size.Load())
}

// Whereis gives the process of the partition that the key leads to: an integer by its remainder, without its sign, any other
// comparable value by its hash (PS-02). While a partition is being restarted this may be the process before (PS-03). The
// error is messages.NoProc if the supervisor is not there, ErrNoPartitions if it was resized to none, or names a key that
// cannot be compared or is not equal to itself (NaN).
func (s *PartitionSupervisor) Whereis(key any) (messages.PID, error) {
	p, err := s.process()
	if err != nil {
		return messages.PID{}, err
	}
	size := uint64(p.size.Load())
	if size == 0 {
		return messages.PID{}, ErrNoPartitions
	}
	n, err := number(p.seed, key)
	if err != nil {
		return messages.PID{}, err
	}
	if pid := p.pids[n%size].Load(); pid != nil && !pid.IsZero() {
		return *pid, nil
	}
	return messages.PID{}, messages.NoProc // its last start has failed
}

// number is the absolute value of an integer, the least one's too, and the hash of anything else.
func number(seed maphash.Seed, key any) (uint64, error) {
	v, same := reflect.ValueOf(key), key
	switch {
	case !v.IsValid() || !v.Comparable():
		return 0, fmt.Errorf("supervisor: the key is a %T, want a value that can be compared", key)
	case same != key: // each of its hashes is another one
		return 0, fmt.Errorf("supervisor: the key is %v, want a value that is equal to itself, which NaN is not", key)
	case v.CanInt() && v.Int() < 0:
		return -uint64(v.Int()), nil
	case v.CanInt():
		return uint64(v.Int()), nil
	case v.CanUint():
		return v.Uint(), nil
	}
	return maphash.Comparable(seed, key), nil
}

// Via is the partition that the key leads to, as a target for calls and messages. No process can be registered under it
// (PS-08).
func (s *PartitionSupervisor) Via(key any) messages.Via {
	return messages.Via{Registry: router{s}, Key: key}
}

// router makes the partitions a registry that only finds.
type router struct{ supervisor *PartitionSupervisor }

func (r router) RegisterName(any, messages.PID) error {
	return fmt.Errorf("supervisor: Via is a partition of %s, want a registry: no name can be registered here", r)
}

func (r router) UnregisterName(any, messages.PID) {}

func (r router) WhereisName(key any) (messages.PID, bool) {
	pid, err := r.supervisor.Whereis(key)
	return pid, err == nil && !pid.IsZero()
}

func (r router) String() string { return r.supervisor.target.String() }

// WhichChildren lists the partitions, newest first, those that Resize has stopped without a PID.
func (s *PartitionSupervisor) WhichChildren(ctx context.Context) ([]Child, error) {
	return ask[[]Child](ctx, s.handle, whichChildren{})
}

// Resize sets how many partitions there are, between 0 and the number with which the supervisor was started, and gives how
// many there were. The highest are stopped, or started again. Keys lead elsewhere then.
func (s *PartitionSupervisor) Resize(ctx context.Context, partitions int) (before int, err error) {
	return ask[int](ctx, s.handle, resize{partitions})
}
