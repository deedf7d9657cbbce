package supervisor_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// strange is a child whose Start has nothing to do with the context that it gets.
func (b *bench) strange(restart supervisor.Restart) supervisor.ChildSpec {
	spec := b.spec(restart)
	start := spec.Start
	spec.Start = func(context.Context) (messages.PID, error) { return start(b.ctx) }
	return spec
}

func TestAChildIsHeardOfWhateverItsStartDid(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		first := b.start(b.strange(supervisor.Transient))
		b.end(first, errBoom)
		if len(b.pids) != 2 || b.counts().Active != 1 {
			t.Fatalf("started %d times, %+v; want it back", len(b.pids), b.counts())
		}
		hurried, cancel := context.WithTimeout(b.ctx, time.Hour)
		defer cancel()
		if err := b.sup.TerminateChild(hurried, b.pids[1]); err != nil {
			t.Errorf("TerminateChild: %v", err)
		}
		last := b.start(b.strange(supervisor.Permanent))
		b.system.Kill(b.sup.PID())
		synctest.Wait()
		if b.system.Alive(last) {
			t.Error("the child outlived its supervisor")
		}
	})
}

// A Start that gives a process which is dead, of another system, or somebody else's, must not leave a child that never ends.
func TestAStartThatGivesTheWrongProcess(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		living := b.start(b.spec(supervisor.Permanent))
		dead := b.start(b.spec(supervisor.Temporary))
		b.end(dead, errBoom)
		give := func(pid messages.PID) supervisor.ChildSpec {
			return supervisor.ChildSpec{Restart: supervisor.Temporary, Start: func(context.Context) (messages.PID, error) { return pid, nil }}
		}
		for name, pid := range map[string]messages.PID{"dead": dead, "elsewhere": {Node: "elsewhere", ID: 1}} {
			if _, err := b.sup.StartChild(b.ctx, give(pid)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
		}
		for name, pid := range map[string]messages.PID{"a child": living, "the supervisor": b.sup.PID()} {
			if _, err := b.sup.StartChild(b.ctx, give(pid)); err == nil {
				t.Errorf("%s was taken for a new child", name)
			}
		}
		if counts := b.counts(); counts != (supervisor.Counts{Specs: 1, Active: 1, Workers: 1}) {
			t.Errorf("%+v, want the living child", counts)
		}
	})
}

func TestAStartOfAChildThatIsKilledMeanwhileFails(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		release := make(chan struct{})
		go func() {
			synctest.Wait()
			pid, _ := b.system.Whereis("slow")
			b.system.Kill(pid)
		}()
		_, err := b.sup.StartChild(b.ctx, supervisor.ChildSpec{Start: func(ctx context.Context) (messages.PID, error) {
			return process.Spawn(ctx, b.system, &slow{release: release}, process.Options{Name: "slow", Link: true})
		}})
		if !errors.Is(err, messages.Killed) || b.counts() != (supervisor.Counts{}) {
			t.Errorf("StartChild: %v, %+v; want killed, and nothing left", err, b.counts())
		}
		close(release)
	})
}

// slow is a worker whose init waits.
type slow struct {
	worker
	release chan struct{}
}

func (s *slow) Init(context.Context) error { <-s.release; return nil }

// goexits is an error that ends the goroutine in which it is looked into.
type goexits struct{}

func (goexits) Error() string { return "goexits" }
func (goexits) Is(error) bool { runtime.Goexit(); return false }

func TestAGoexitInAChildHarmsNoOther(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{MaxRestarts: 10}, func(b *bench) {
		innocent := b.start(b.spec(supervisor.Permanent))
		starts := 0
		spec := b.spec(supervisor.Transient)
		working := spec.Start
		spec.Start = func(ctx context.Context) (messages.PID, error) {
			switch starts++; starts {
			case 2:
				runtime.Goexit()
			case 3:
				return messages.PID{}, goexits{}
			}
			return working(ctx)
		}
		b.end(b.start(spec), goexits{})
		if !b.system.Alive(b.sup.PID()) || !b.system.Alive(innocent) {
			t.Fatal("the supervisor or another child died of it (DS-06)")
		}
		if counts := b.counts(); starts != 4 || counts.Active != 2 {
			t.Errorf("%d starts, %+v; want the child back at the fourth", starts, counts)
		}
	})
}

func TestTheGraceOfAChildDoesNotStartAnew(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		began := time.Now()
		deaf := b.start(b.deaf(time.Hour, 0))
		go func() { _ = b.sup.TerminateChild(b.ctx, deaf) }()
		time.Sleep(3 * time.Second)
		if err := b.sup.Stop(b.ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != supervisor.DefaultShutdown {
			t.Errorf("the child was killed after %s, want %s", took, supervisor.DefaultShutdown)
		}
		time.Sleep(time.Hour)
	})
}
