package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBoom = errors.New("boom")

// bench is a system with a dynamic supervisor, and the children that it has started, in their order.
type bench struct {
	t      *testing.T
	ctx    context.Context
	system *process.System
	sup    *supervisor.DynamicSupervisor
	pids   []messages.PID
}

func withSupervisor(t *testing.T, config supervisor.DynamicConfig, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, ctx: t.Context(), system: process.NewSystem(process.Config{})}
		var err error
		if b.sup, err = supervisor.StartDynamic(b.ctx, b.system, config); err != nil {
			t.Fatal(err)
		}
		test(b)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := b.system.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
}

// spec is a child that lives until it is told to end, or hears the error that is to end it.
func (b *bench) spec(restart supervisor.Restart) supervisor.ChildSpec {
	return supervisor.ChildSpec{ID: "child", Restart: restart, Start: func(ctx context.Context) (messages.PID, error) {
		pid, err := process.Spawn(ctx, b.system, &worker{}, process.Options{Link: true})
		b.pids = append(b.pids, pid)
		return pid, err
	}}
}

type worker struct{}

func (*worker) Init(context.Context) error       { return nil }
func (*worker) Terminate(context.Context, error) {}
func (*worker) Handle(_ context.Context, message any) error {
	err, _ := message.(error)
	return err
}

func (b *bench) start(spec supervisor.ChildSpec) messages.PID {
	b.t.Helper()
	pid, err := b.sup.StartChild(b.ctx, spec)
	if err != nil {
		b.t.Fatalf("StartChild: %v", err)
	}
	return pid
}

// end has a child end with the reason, and waits until all is quiet.
func (b *bench) end(pid messages.PID, reason error) {
	b.system.Send(b.ctx, pid, reason)
	synctest.Wait()
}

func (b *bench) counts() supervisor.Counts {
	b.t.Helper()
	counts, err := b.sup.CountChildren(b.ctx)
	if err != nil {
		b.t.Fatalf("CountChildren: %v", err)
	}
	return counts
}

func TestRestartTypes(t *testing.T) {
	for _, c := range []struct {
		restart supervisor.Restart
		reason  error
		back    bool
	}{
		{supervisor.Permanent, messages.Normal, true},
		{supervisor.Permanent, messages.Shutdown, true},
		{supervisor.Permanent, errBoom, true},
		{supervisor.Transient, messages.Normal, false},
		{supervisor.Transient, messages.Shutdown, false},
		{supervisor.Transient, &messages.ShutdownWith{Value: 1}, false},
		{supervisor.Transient, errBoom, true},
		{supervisor.Transient, messages.Killed, true},
		{supervisor.Transient, &messages.PanicError{Value: messages.Shutdown}, true},
		{supervisor.Transient, fmt.Errorf("wrapped: %w", &messages.PanicError{Value: messages.Normal}), true},
		{supervisor.Temporary, messages.Normal, false},
		{supervisor.Temporary, errBoom, false},
	} {
		t.Run(fmt.Sprint(c.restart, " ", c.reason), func(t *testing.T) {
			withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
				first := b.start(b.spec(c.restart))
				b.end(first, c.reason)
				counts := b.counts()
				if back := counts.Active == 1; back != c.back || len(b.pids) != map[bool]int{true: 2, false: 1}[c.back] {
					t.Fatalf("%d active, started %d times; want it back: %v", counts.Active, len(b.pids), c.back)
				}
				if c.back && b.pids[1] == first {
					t.Error("the restarted child has the old PID (SV-07)")
				}
			})
		})
	}
}

func TestIntensityIsSharedAndEndsTheSupervisor(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{MaxRestarts: 2, MaxSeconds: 5 * time.Second}, func(b *bench) {
		innocent := b.start(b.spec(supervisor.Permanent))
		a, c := b.start(b.spec(supervisor.Permanent)), b.start(b.spec(supervisor.Transient))
		b.end(a, errBoom)
		b.end(c, errBoom)
		if !b.system.Alive(b.sup.PID()) {
			t.Fatal("two restarts broke a limit of two (SV-19)")
		}
		b.end(b.pids[3], errBoom)
		if b.system.Alive(b.sup.PID()) || b.system.Alive(innocent) {
			t.Error("the third restart left the supervisor or another child alive (SV-21)")
		}
		if _, err := b.sup.StartChild(b.ctx, b.spec(supervisor.Temporary)); !errors.Is(err, messages.NoProc) {
			t.Errorf("StartChild of a dead supervisor: %v", err)
		}
	})
}

func TestTheWindowSlides(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{MaxRestarts: 1, MaxSeconds: time.Second}, func(b *bench) {
		b.start(b.spec(supervisor.Permanent))
		for i := range 10 {
			b.end(b.pids[i], errBoom)
			time.Sleep(time.Second + time.Nanosecond)
		}
		b.end(b.pids[10], errBoom)
		time.Sleep(time.Second) // the edge is inclusive
		b.end(b.pids[11], errBoom)
		if b.system.Alive(b.sup.PID()) {
			t.Error("two restarts within the span kept a limit of one (SV-20)")
		}
	})
}

func TestNoRestartsAtAll(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{MaxRestarts: supervisor.NoRestarts}, func(b *bench) {
		for range 50 {
			b.end(b.start(b.spec(supervisor.Temporary)), errBoom)
		}
		if !b.system.Alive(b.sup.PID()) {
			t.Fatal("temporary children were counted (DS-11)")
		}
		b.end(b.start(b.spec(supervisor.Permanent)), errBoom)
		if b.system.Alive(b.sup.PID()) {
			t.Error("a restart was allowed (SV-19)")
		}
	})
}

func TestMaxChildren(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{MaxChildren: 2}, func(b *bench) {
		first := b.start(b.spec(supervisor.Temporary))
		b.start(b.spec(supervisor.Temporary))
		_, err := b.sup.StartChild(b.ctx, b.spec(supervisor.Temporary))
		full, ok := errors.AsType[*supervisor.MaxChildrenError](err)
		if !ok || full.Limit != 2 || !errors.Is(err, supervisor.ErrMaxChildren) {
			t.Fatalf("got %v, want a MaxChildrenError of 2 (DS-08)", err)
		}
		b.end(first, messages.Normal)
		b.start(b.spec(supervisor.Temporary))
	})
	withSupervisor(t, supervisor.DynamicConfig{MaxChildren: supervisor.NoChildren}, func(b *bench) {
		if _, err := b.sup.StartChild(b.ctx, b.spec(supervisor.Temporary)); !errors.Is(err, supervisor.ErrMaxChildren) {
			t.Errorf("got %v, want ErrMaxChildren", err)
		}
	})
}

func TestAStartThatFails(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		for name, c := range map[string]struct {
			start func() (messages.PID, error)
			want  error
		}{
			"error":  {func() (messages.PID, error) { return messages.PID{}, errBoom }, errBoom},
			"ignore": {func() (messages.PID, error) { return messages.PID{}, supervisor.ErrIgnore }, supervisor.ErrIgnore},
			"panic":  {func() (messages.PID, error) { panic(errBoom) }, errBoom},
			"goexit": {func() (messages.PID, error) { runtime.Goexit(); return messages.PID{}, nil }, messages.ErrGoexit},
		} {
			_, err := b.sup.StartChild(b.ctx, supervisor.ChildSpec{Start: func(context.Context) (messages.PID, error) { return c.start() }})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
		}
		if _, err := b.sup.StartChild(b.ctx, supervisor.ChildSpec{Start: func(context.Context) (messages.PID, error) { return messages.PID{}, nil }}); err == nil {
			t.Error("a Start without a PID was taken for a child")
		}
		if counts := b.counts(); counts != (supervisor.Counts{}) {
			t.Errorf("failed starts left %+v", counts)
		}
	})
}

func TestBadSpecsNeverReachTheSupervisor(t *testing.T) {
	nobody := supervisor.Dynamic(process.NewSystem(process.Config{}), messages.Name("nobody"))
	start := func(context.Context) (messages.PID, error) { return messages.PID{}, nil }
	for field, spec := range map[string]supervisor.ChildSpec{
		"Start":    {},
		"Restart":  {Start: start, Restart: 7},
		"Type":     {Start: start, Type: -1},
		"Shutdown": {Start: start, Shutdown: -3},
	} {
		if _, err := nobody.StartChild(t.Context(), spec); err == nil || errors.Is(err, messages.NoProc) {
			t.Errorf("%s: got %v, want an error about the spec (DS-03)", field, err)
		}
	}
	for _, config := range []supervisor.DynamicConfig{{MaxChildren: -2}, {MaxRestarts: -2}, {MaxSeconds: -1}} {
		if _, err := supervisor.StartDynamic(t.Context(), process.NewSystem(process.Config{}), config); err == nil {
			t.Errorf("%+v was taken (DS-01)", config)
		}
	}
}

func TestARestartThatFailsIsTriedAgainWhileOthersAreServed(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{MaxRestarts: 5}, func(b *bench) {
		tries := 0
		spec := b.spec(supervisor.Permanent)
		working := spec.Start
		spec.Start = func(ctx context.Context) (messages.PID, error) {
			if tries++; tries > 1 && tries < 5 {
				return messages.PID{}, errBoom
			}
			return working(ctx)
		}
		b.end(b.start(spec), errBoom)
		if tries != 5 || b.counts().Active != 1 {
			t.Errorf("%d tries, %+v; want the child back after 4 restarts (DS-13)", tries, b.counts())
		}
		b.end(b.pids[1], errBoom)
		b.end(b.pids[2], errBoom)
		if b.system.Alive(b.sup.PID()) {
			t.Error("the failed tries were not counted")
		}
	})
}

func TestTerminateChild(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		pid := b.start(b.spec(supervisor.Permanent))
		if err := b.sup.TerminateChild(b.ctx, pid); err != nil {
			t.Fatal(err)
		}
		if b.system.Alive(pid) || len(b.pids) != 1 {
			t.Error("the child lives, or was started again (DS-15)")
		}
		if err := b.sup.TerminateChild(b.ctx, pid); !errors.Is(err, supervisor.ErrNotFound) {
			t.Errorf("a second time: %v", err)
		}
	})
}

func TestWhichChildren(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		pid := b.start(b.spec(supervisor.Transient))
		children, err := b.sup.WhichChildren(b.ctx)
		if err != nil || len(children) != 1 {
			t.Fatal(children, err)
		}
		if want := (supervisor.Child{ID: "child", PID: pid, Restart: supervisor.Transient}); children[0] != want {
			t.Errorf("got %+v, want %+v", children[0], want)
		}
	})
}

// deaf is a child that does not look at its context.
func (b *bench) deaf(d time.Duration, shutdown time.Duration) supervisor.ChildSpec {
	return supervisor.ChildSpec{Restart: supervisor.Permanent, Shutdown: shutdown, Start: func(ctx context.Context) (messages.PID, error) {
		return process.SpawnFunc(ctx, b.system, func(context.Context) error { time.Sleep(d); return nil }, process.Options{Link: true})
	}}
}

func TestStopWaitsForAllTogetherAndKillsTheDeaf(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		began := time.Now()
		b.start(b.deaf(3*time.Second, 0))                   // within the default of 5 s
		b.start(b.deaf(4*time.Second, supervisor.Infinity)) // waited for
		b.start(b.deaf(time.Hour, 2*time.Second))           // declared dead after 2 s
		b.start(b.deaf(2*time.Hour, supervisor.BrutalKill)) // at once
		hears := b.start(b.spec(supervisor.Permanent))
		if err := b.sup.Stop(b.ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("Stop took %s, want 4s (SH-02)", took)
		}
		if n := b.system.Abandoned(); n != 2 || b.system.Alive(hears) {
			t.Errorf("%d abandoned, want 2 (SH-03)", n)
		}
		time.Sleep(3 * time.Hour)
		if n := b.system.Abandoned(); n != 0 {
			t.Errorf("%d abandoned in the end", n)
		}
	})
}

func TestStrangersDoNoHarm(t *testing.T) {
	withSupervisor(t, supervisor.DynamicConfig{}, func(b *bench) {
		child := b.start(b.spec(supervisor.Transient))
		b.system.Send(b.ctx, b.sup.PID(), messages.Exit{From: child, Reason: messages.Normal})
		b.system.Send(b.ctx, b.sup.PID(), messages.Exit{})
		b.system.Send(b.ctx, b.sup.PID(), "hello")
		b.system.Send(b.ctx, b.sup.PID(), messages.Down{})
		b.system.Send(b.ctx, b.sup.PID(), messages.Exit{From: messages.PID{Node: "x", ID: 1}, Reason: errBoom})
		if _, err := process.Call(b.ctx, b.system, b.sup.PID(), "what?"); err == nil {
			t.Error("an unknown request was answered")
		}
		if counts := b.counts(); counts.Active != 1 {
			t.Errorf("%+v after an Exit that somebody made up, want the child", counts)
		}
	})
}
