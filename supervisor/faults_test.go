package supervisor_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// parent is a supervisor of one kind, as far as both have it.
type parent struct {
	lister
	pid       messages.PID
	start     func(spec supervisor.ChildSpec) (messages.PID, error)
	terminate func(ctx context.Context, spec supervisor.ChildSpec, pid messages.PID) error
}

// underBoth runs a test under a supervisor of each kind that allows ten restarts.
func underBoth(t *testing.T, test func(b *bench, p parent)) {
	t.Helper()
	t.Run("static", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			s := b.supervise(supervisor.Config{MaxRestarts: 10})
			test(b, parent{
				lister: s, pid: s.PID(),
				start: func(spec supervisor.ChildSpec) (messages.PID, error) { return s.StartChild(b.ctx, spec) },
				terminate: func(ctx context.Context, spec supervisor.ChildSpec, _ messages.PID) error {
					return s.TerminateChild(ctx, spec.ID)
				},
			})
		})
	})
	t.Run("dynamic", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			d := b.dynamic(supervisor.DynamicConfig{MaxRestarts: 10})
			test(b, parent{
				lister: d, pid: d.PID(),
				start: func(spec supervisor.ChildSpec) (messages.PID, error) { return d.StartChild(b.ctx, spec) },
				terminate: func(ctx context.Context, _ supervisor.ChildSpec, pid messages.PID) error {
					return d.TerminateChild(ctx, pid)
				},
			})
		})
	})
}

// A child whose Start has nothing to do with the context that it gets is a child like any other.
func TestAChildIsHeardOfWhateverItsStartDid(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		k := b.kid("k")
		start := k.Start
		k.Start = func(context.Context) (messages.PID, error) { return start(b.ctx) }
		_, err := p.start(k.ChildSpec)
		b.wantErr(err, nil)
		b.end(k, errBoom)
		if len(k.pids) != 2 || !k.alive() {
			b.t.Fatalf("started %d times, alive: %v; want it back", len(k.pids), k.alive())
		}
		b.wantErr(p.terminate(b.ctx, k.ChildSpec, k.pid()), nil)
		last := b.kid("last")
		last.Start = k.Start
		_, err = p.start(last.ChildSpec)
		b.wantErr(err, nil)
		b.system.Kill(p.pid)
		synctest.Wait()
		if k.alive() {
			b.t.Error("the child outlived its supervisor")
		}
	})
}

// A Start that gives a process which is dead, of another system, or somebody else's, must not leave a child that never ends.
func TestAStartThatGivesTheWrongProcess(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		living, dead := b.kid("living"), b.temporary("dead")
		for _, k := range []*kid{living, dead} {
			_, err := p.start(k.ChildSpec)
			b.wantErr(err, nil)
		}
		b.end(dead, errBoom)
		if _, err := p.start(giving(func() (messages.PID, error) { return dead.pid(), nil })); err != nil {
			b.t.Errorf("a dead one: %v", err)
		}
		synctest.Wait()
		other := b.kid("of another")
		b.supervise(supervisor.Config{}, other)
		for name, pid := range map[string]messages.PID{
			"a child": living.pid(), "the supervisor": p.pid, "elsewhere": {Node: "elsewhere", ID: 1}, "another's child": other.pid(),
		} {
			if _, err := p.start(giving(func() (messages.PID, error) { return pid, nil })); err == nil {
				b.t.Errorf("%s was taken for a new child", name)
			}
		}
		b.counted(p, supervisor.Counts{Specs: 1, Active: 1, Workers: 1})
		b.end(living, errBoom)
		if !living.alive() {
			b.t.Error("the child is not restarted any more")
		}
	})
}

// A restart that gives the same dead process again and again is a failure like any other.
func TestARestartThatGivesADeadProcess(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		k, why := b.kid("k"), b.watch(p.pid)
		start, tries := k.Start, 0
		k.Start = func(ctx context.Context) (messages.PID, error) {
			if tries++; tries > 1 {
				return k.pid(), nil
			}
			return start(ctx)
		}
		_, err := p.start(k.ChildSpec)
		b.wantErr(err, nil)
		b.end(k, errBoom)
		b.wantEnd(why, messages.Shutdown)
		if tries != 11 {
			b.t.Errorf("%d tries, want 11", tries)
		}
	})
}

// slowInit is a worker whose init waits.
type slowInit struct {
	worker
	release chan struct{}
}

func (s *slowInit) Init(context.Context) error { <-s.release; return nil }

func TestAStartOfAChildThatIsKilledMeanwhileFails(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		release := make(chan struct{})
		go func() {
			synctest.Wait()
			pid, _ := b.system.Whereis("slow")
			b.system.Kill(pid)
		}()
		_, err := p.start(supervisor.ChildSpec{ID: "slow", Start: func(ctx context.Context) (messages.PID, error) {
			return process.Spawn(ctx, b.system, &slowInit{release: release}, process.Options{Name: "slow", Link: true})
		}})
		b.wantErr(err, messages.Killed)
		b.counted(p, supervisor.Counts{})
		close(release)
	})
}

// A supervisor whose start takes longer than its starter waits is killed, and takes those with it that have started.
func TestAStartOfASupervisorWhoseContextEnds(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d, late := b.kid("a"), b.kid("c"), b.kid("d"), errors.New("too late")
		start := c.Start
		c.Start = func(context.Context) (messages.PID, error) { return start(b.ctx) } // takes no notice
		c.slow = time.Minute
		hurried, cancel := context.WithTimeoutCause(b.ctx, time.Second, late)
		defer cancel()
		_, err := supervisor.Start(hurried, b.system, supervisor.Config{
			Name: "s", Strategy: supervisor.OneForOne, Children: specs([]*kid{a, c, d}),
		})
		b.wantErr(err, late)
		b.supervise(supervisor.Config{Name: "s"})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := b.system.Len(); n != 1 || d.tries != 0 || b.system.Abandoned() != 0 {
			t.Errorf("%d processes, %d starts of the last, %d abandoned; want one, the new supervisor", n, d.tries, b.system.Abandoned())
		}
	})
}

// A Start that hangs keeps its supervisor, which then can only be killed; what it started before ends with it.
func TestAStartThatHangs(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		k := b.kid("k")
		_, err := p.start(k.ChildSpec)
		b.wantErr(err, nil)
		release := make(chan struct{})
		go func() {
			_, err := p.start(giving(func() (messages.PID, error) { <-release; return messages.PID{}, errBoom }))
			b.wantErr(err, messages.Killed)
		}()
		synctest.Wait()
		hurried, cancel := context.WithTimeout(b.ctx, time.Minute)
		defer cancel()
		b.wantErr(process.Stop(hurried, b.system, p.pid, messages.Shutdown), context.DeadlineExceeded)
		b.system.Kill(p.pid)
		synctest.Wait()
		if k.alive() || b.system.Abandoned() != 1 {
			b.t.Errorf("the child lives: %v, %d abandoned; want the supervisor's goroutine", k.alive(), b.system.Abandoned())
		}
		close(release)
		synctest.Wait()
		if n := b.system.Abandoned(); n != 0 {
			b.t.Errorf("%d abandoned in the end", n)
		}
	})
}

// goexits is an error that ends the goroutine in which it is looked into.
type goexits struct{}

func (goexits) Error() string { return "goexits" }
func (goexits) Is(error) bool { runtime.Goexit(); return false }

func TestAGoexitInAChildHarmsNoOther(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		innocent, k := b.kid("innocent"), b.transient("k")
		_, err := p.start(innocent.ChildSpec)
		b.wantErr(err, nil)
		starts, start := 0, k.Start
		k.Start = func(ctx context.Context) (messages.PID, error) {
			switch starts++; starts {
			case 2:
				runtime.Goexit()
			case 3:
				return messages.PID{}, goexits{}
			}
			return start(ctx)
		}
		_, err = p.start(k.ChildSpec)
		b.wantErr(err, nil)
		b.end(k, goexits{})
		if !b.system.Alive(p.pid) || len(innocent.pids) != 1 {
			b.t.Fatal("the supervisor or another child died of it (DS-06)")
		}
		if starts != 4 || !k.alive() {
			b.t.Errorf("%d starts, alive: %v; want the child back at the fourth", starts, k.alive())
		}
	})
}

// panicky is a logger that panics.
type panicky struct{ slog.Handler }

func (panicky) Enabled(context.Context, slog.Level) bool  { return true }
func (panicky) Handle(context.Context, slog.Record) error { panic("no room left") }

func TestALoggerThatPanics(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.system = process.NewSystem(process.Config{Logger: slog.New(panicky{})})
		a, c := b.kid("a"), b.kid("c")
		b.supervise(supervisor.Config{}, a)
		b.add(b.dynamic(supervisor.DynamicConfig{}), c)
		for _, k := range []*kid{a, c} {
			k.will(errBoom)
			b.end(k, errBoom)
		}
		b.saw("+a +c -a !a +a -c !c +c")
	})
}

// A child that is dead when its supervisor stops it, which has not heard of that yet, is reported and listed with its own reason.
func TestAChildThatIsStoppedWhenItIsDead(t *testing.T) {
	inBubble(t, func(b *bench) {
		first, second, slow, late := b.kid("first"), b.kid("second"), b.kid("slow"), errors.New("late")
		s := b.supervise(supervisor.Config{Strategy: supervisor.OneForAll}, first, second)
		slow.slow = time.Second
		go func() { _, _ = s.StartChild(b.ctx, slow.ChildSpec) }()
		synctest.Wait()
		b.end(first, errBoom)
		b.end(second, late) // while the supervisor is busy
		time.Sleep(time.Minute)
		synctest.Wait()
		b.saw("+first +second -first -second +slow -slow +first +second +slow")
		list, _ := s.WhichChildren(b.ctx)
		if list[1].LastExit != late || list[1].Restarts != 1 {
			t.Errorf("listed %+v, want its own reason", list[1])
		}
		if n := b.logged("child did not stop as told", "child=second", "reason=late"); n != 1 {
			t.Errorf("%d lines, want one:\n%s", n, b.log.String())
		}
	})
	inBubble(t, func(b *bench) {
		d, k, slow := b.dynamic(supervisor.DynamicConfig{}), b.kid("k"), b.kid("slow")
		b.add(d, k)
		slow.slow = time.Second
		go func() { _, _ = d.StartChild(b.ctx, slow.ChildSpec) }()
		synctest.Wait()
		go func() { b.wantErr(d.TerminateChild(b.ctx, k.pid()), nil) }()
		synctest.Wait()
		b.end(k, errBoom)
		time.Sleep(time.Minute)
		synctest.Wait()
		b.counted(d, supervisor.Counts{Specs: 1, Active: 1, Workers: 1})
		if n := b.logged("child did not stop as told", "child=k", "reason=boom"); n != 1 {
			t.Errorf("%d lines, want one:\n%s", n, b.log.String())
		}
	})
}

// Two ends at once are two restarts, in the order in which they came.
func TestManyEndsAtOnce(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		kids := []*kid{b.kid("a"), b.kid("b"), b.kid("c")}
		slow := b.kid("slow")
		for _, k := range append(kids, slow) {
			_, err := p.start(k.ChildSpec)
			b.wantErr(err, nil)
		}
		slow.slow = time.Second // the others end while it starts
		b.end(slow, errBoom)
		b.did()
		for _, k := range kids {
			b.end(k, errors.Join(errBoom))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		b.saw("-a -b -c +slow +a +b +c")
	})
}

// goexitError ends the goroutine of whoever asks what it says.
type goexitError struct{ hang chan struct{} }

func (e goexitError) Error() string {
	if e.hang != nil {
		<-e.hang
	}
	runtime.Goexit()
	return ""
}

// What the methods of a reason or of a Start's error do, they do to the child alone.
func TestAReasonHarmsItsChildAlone(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		sibling, k := b.kid("sibling"), b.kid("k")
		for _, c := range []*kid{sibling, k} {
			_, err := p.start(c.ChildSpec)
			b.wantErr(err, nil)
		}
		before := sibling.pid()
		b.end(k, goexitError{})
		if sibling.pid() != before || !k.alive() || len(k.pids) != 2 {
			b.t.Errorf("the sibling is the same: %v; the child was started %d times", sibling.pid() == before, len(k.pids))
		}
		_, err := p.start(giving(func() (messages.PID, error) { return messages.PID{}, goexitError{} }))
		if err == nil || !b.system.Alive(p.pid) {
			b.t.Errorf("the error of a Start: nil: %v; the supervisor lives: %v", err == nil, b.system.Alive(p.pid))
		}
		hang := make(chan struct{})
		b.end(k, goexitError{hang}) // it hangs in its own end
		if sibling.pid() != before || !b.system.Alive(p.pid) {
			b.t.Error("a reason that hangs holds up the supervisor")
		}
		b.system.Kill(k.pid())
		synctest.Wait()
		if len(k.pids) != 3 {
			b.t.Errorf("started %d times, want 3", len(k.pids))
		}
		close(hang)
	})
}

// An Exit that somebody sends before the true one does not count, also when the true one is about to come (SV-37).
func TestALieBeforeTheTruth(t *testing.T) {
	underBoth(t, func(b *bench, p parent) {
		k := b.transient("k")
		_, err := p.start(k.ChildSpec)
		b.wantErr(err, nil)
		b.wantErr(b.system.Suspend(b.ctx, p.pid), nil)
		b.system.Send(b.ctx, p.pid, messages.Exit{From: k.pid(), Reason: messages.Normal})
		b.system.Send(b.ctx, p.pid, messages.Down{PID: k.pid(), Reason: messages.Normal})
		b.system.Kill(k.pid())
		b.wantErr(b.system.Resume(b.ctx, p.pid), nil)
		synctest.Wait()
		if len(k.pids) != 2 || !k.alive() {
			b.t.Errorf("started %d times: the lie was believed", len(k.pids))
		}
	})
}
