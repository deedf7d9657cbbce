package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// looping starts a supervisor whose child "a", its only one but for "z", fails in each attempt of a restart, without an end. Each takes
// a second.
func (b *bench) looping(strategy supervisor.Strategy) (*supervisor.Supervisor, *kid) {
	a := b.kid("a")
	s := b.supervise(supervisor.Config{Name: "looping", Strategy: strategy, MaxRestarts: 1000}, a, b.kid("z"))
	a.slow = time.Second
	for range 1000 {
		a.answers = append(a.answers, errBoom)
	}
	b.end(a, errBoom)
	b.did()
	return s, a
}

// TestSV24_OthersAreServedBetweenFailedTries: between failed tries of a restart other requests are served: the child is listed as
// restarting, to restart or delete it is refused, and its ID is present already.
func TestSV24_OthersAreServedBetweenFailedTries(t *testing.T) {
	inBubble(t, func(b *bench) {
		s, a := b.looping(supervisor.OneForOne)
		b.listed(s, "z a?")
		_, err := s.RestartChild(b.ctx, "a")
		b.wantErr(err, supervisor.ErrRestarting)
		b.wantErr(s.DeleteChild(b.ctx, "a"), supervisor.ErrRestarting)
		_, err = s.StartChild(b.ctx, a.ChildSpec)
		b.wantErr(err, supervisor.ErrAlreadyPresent)
		b.counted(s, supervisor.Counts{Specs: 2, Active: 1, Workers: 2})
		other := b.kid("other")
		_, err = s.StartChild(b.ctx, other.ChildSpec)
		b.wantErr(err, nil)
		b.listed(s, "other z a?")
		synctest.Wait()
		if a.tries < 4 {
			t.Errorf("%d tries, want them to go on meanwhile", a.tries)
		}
	})
}

// TestSV25_TerminateAndStopEndTheTries: a child that is tried again and again is tried no more once it is terminated, or its
// supervisor stopped.
func TestSV25_TerminateAndStopEndTheTries(t *testing.T) {
	for _, strategy := range []supervisor.Strategy{supervisor.OneForOne, supervisor.OneForAll, supervisor.RestForOne} {
		t.Run("terminate, "+strategy.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				s, a := b.looping(strategy)
				b.wantErr(s.TerminateChild(b.ctx, "a"), nil)
				tries := a.tries
				time.Sleep(time.Minute)
				synctest.Wait()
				if a.tries != tries {
					t.Errorf("%d tries after that", a.tries-tries)
				}
				if got := b.children(s); got != "z a!" && got != "z! a!" { // a group was stopped for the restart
					t.Errorf("listed %q", got)
				}
				a.answers = nil
				_, err := s.RestartChild(b.ctx, "a")
				b.wantErr(err, nil)
			})
		})
		t.Run("stop, "+strategy.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				s, a := b.looping(strategy)
				b.wantErr(s.Stop(b.ctx), nil)
				tries := a.tries
				time.Sleep(time.Minute)
				synctest.Wait()
				if a.tries != tries {
					t.Errorf("%d tries after that", a.tries-tries)
				}
			})
		})
	}
}

// TestSV27_AnIDIsTakenOnce: to add a child under an ID that there is changes nothing: the answer gives the PID of the one that runs, or
// says that it is present.
func TestSV27_AnIDIsTakenOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		a := b.kid("a")
		s := b.supervise(supervisor.Config{}, a, b.kid("c"))
		_, err := s.StartChild(b.ctx, b.kid("a").ChildSpec)
		running, ok := errors.AsType[*supervisor.AlreadyStartedError](err)
		if !ok || running.PID != a.pid() || running.ID != "a" || !errors.Is(err, supervisor.ErrAlreadyStarted) {
			t.Errorf("got %v, want an AlreadyStartedError with the PID", err)
		}
		b.wantErr(s.TerminateChild(b.ctx, "a"), nil)
		_, err = s.StartChild(b.ctx, b.temporary("a").ChildSpec)
		b.wantErr(err, supervisor.ErrAlreadyPresent)
		b.saw("+a +c -a")
		b.listed(s, "c a!")
		spec, err := s.ChildSpec(b.ctx, "a")
		if err != nil || spec.Restart != supervisor.Permanent {
			t.Errorf("the spec is %v, %v; want the one that was there", spec.Restart, err)
		}
	})
}

// TestSV28_AnAddedChildThatFailsIsNotKept: when an added child does not start, its spec is not kept, it is not tried again and nothing
// is counted, and the error says which and why.
func TestSV28_AnAddedChildThatFailsIsNotKept(t *testing.T) {
	inBubble(t, func(b *bench) {
		s := b.supervise(supervisor.Config{MaxRestarts: supervisor.NoRestarts}, b.kid("a"))
		c := b.kid("c")
		c.answers = []error{errBoom}
		_, err := s.StartChild(b.ctx, c.ChildSpec)
		failed, ok := errors.AsType[*supervisor.StartError](err)
		if !ok || failed.ID != "c" || !errors.Is(err, errBoom) {
			t.Errorf("got %v, want a StartError of c with boom", err)
		}
		synctest.Wait()
		b.saw("+a !c")
		b.listed(s, "a")
		_, err = s.StartChild(b.ctx, c.ChildSpec)
		b.wantErr(err, nil)
	})
}

var errNotToday = fmt.Errorf("not today: %w", supervisor.ErrIgnore)

// TestSV29_AnAddedChildThatIgnores: when an added child does not want to start, the answer is no PID and no error, and its spec is kept
// unless it is temporary.
//
// Adapted: OTP's undefined is the zero PID.
func TestSV29_AnAddedChildThatIgnores(t *testing.T) {
	inBubble(t, func(b *bench) {
		unwilling := []*kid{b.temporary("x"), b.kid("p"), b.transient("t")} // the temporary one first: it goes while the others start
		for _, k := range unwilling {
			k.answers = []error{errNotToday, nil, errNotToday, supervisor.ErrIgnore}
		}
		s := b.supervise(supervisor.Config{}, unwilling...)
		b.listed(s, "t! p!")
		b.wantErr(s.DeleteChild(b.ctx, "p"), nil)
		for _, k := range unwilling {
			if k.ID != "t" {
				k.answers = k.answers[1:]
				pid, err := s.StartChild(b.ctx, k.ChildSpec)
				if err != nil || !pid.IsZero() {
					t.Errorf("%s: got %s, %v; want no PID and no error", k.ID, pid, err)
				}
			}
		}
		b.listed(s, "p! t!")
		pid, err := s.RestartChild(b.ctx, "p")
		if err != nil || !pid.IsZero() {
			t.Errorf("RestartChild: %s, %v; want no PID and no error", pid, err)
		}
		pid, err = s.RestartChild(b.ctx, "p")
		if err != nil || pid.IsZero() {
			t.Errorf("RestartChild: %s, %v; want its PID", pid, err)
		}
		b.listed(s, "p t!")
	})
}

// TestSV30_AnAddedChildIsTheLast: an added child is the last in order, for rest_for_one and for the stop.
func TestSV30_AnAddedChildIsTheLast(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d := b.kid("a"), b.kid("c"), b.kid("d")
		s := b.supervise(supervisor.Config{Strategy: supervisor.RestForOne}, a, c)
		_, err := s.StartChild(b.ctx, d.ChildSpec)
		b.wantErr(err, nil)
		b.did()
		b.end(d, errBoom)
		b.saw("-d +d")
		b.end(c, errBoom)
		b.saw("-c -d +c +d")
		b.wantErr(s.Stop(b.ctx), nil)
		b.saw("-d -c -a")
	})
}

// TestSV31_TheLifeOfAChildByAPI: a child that is terminated is not restarted and not counted, keeps its spec unless it is temporary, and
// may be terminated again; to restart or delete one that runs is refused, and an unknown ID is not found.
func TestSV31_TheLifeOfAChildByAPI(t *testing.T) {
	inBubble(t, func(b *bench) {
		s := b.supervise(supervisor.Config{Strategy: supervisor.OneForAll, MaxRestarts: supervisor.NoRestarts}, b.kid("a"), b.transient("c"), b.temporary("x"))
		_, err := s.RestartChild(b.ctx, "a")
		b.wantErr(err, supervisor.ErrRunning)
		b.wantErr(s.DeleteChild(b.ctx, "a"), supervisor.ErrRunning)
		b.did()
		for _, id := range []string{"a", "c", "x"} {
			b.wantErr(s.TerminateChild(b.ctx, id), nil)
		}
		b.saw("-a -c -x")
		b.listed(s, "c! a!")
		b.wantErr(s.TerminateChild(b.ctx, "a"), nil)
		pid, err := s.RestartChild(b.ctx, "a")
		if err != nil || !b.system.Alive(pid) {
			t.Errorf("RestartChild: %s, %v", pid, err)
		}
		b.saw("+a")
		b.wantErr(s.DeleteChild(b.ctx, "c"), nil)
		b.listed(s, "a")
		for _, id := range []string{"c", "x", "nobody"} {
			b.wantErr(s.TerminateChild(b.ctx, id), supervisor.ErrNotFound)
			b.wantErr(s.DeleteChild(b.ctx, id), supervisor.ErrNotFound)
			_, err = s.RestartChild(b.ctx, id)
			b.wantErr(err, supervisor.ErrNotFound)
			_, err = s.ChildSpec(b.ctx, id)
			b.wantErr(err, supervisor.ErrNotFound)
		}
	})
	t.Run("a restart that fails", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			s := b.supervise(supervisor.Config{MaxRestarts: supervisor.NoRestarts}, a)
			b.wantErr(s.TerminateChild(b.ctx, "a"), nil)
			a.answers = []error{errBoom}
			pid, err := s.RestartChild(b.ctx, "a")
			b.wantErr(err, errBoom)
			if !pid.IsZero() {
				t.Errorf("got %s with an error", pid)
			}
			b.listed(s, "a!")
			b.saw("+a -a !a")
		})
	})
}

// TestSV32_WhichAndCountChildren: children are listed newest first with what they are and how they are, and counted by specs, active
// ones, supervisors and workers.
func TestSV32_WhichAndCountChildren(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, done := b.kid("a"), b.transient("done")
		low := b.nest(supervisor.Config{Name: "low", Strategy: supervisor.OneForOne})
		s := b.supervise(supervisor.Config{Backoff: supervisor.Backoff{Initial: time.Hour}}, a, low, done)
		b.end(done, shutdownWith)
		b.end(a, errBoom)
		list, err := s.WhichChildren(b.ctx)
		b.wantErr(err, nil)
		want := []supervisor.Child{
			{ID: "done", Restart: supervisor.Transient, LastExit: shutdownWith},
			{ID: "low", PID: low.pid(), Type: supervisor.TypeSupervisor},
			{ID: "a", Restarting: true, LastExit: errBoom},
		}
		for i := range want {
			if len(list) != len(want) || list[i] != want[i] {
				t.Fatalf("got %+v, want %+v", list, want)
			}
		}
		b.counted(s, supervisor.Counts{Specs: 3, Active: 1, Supervisors: 1, Workers: 2})
		time.Sleep(time.Hour)
		synctest.Wait()
		list, _ = s.WhichChildren(b.ctx)
		if want := (supervisor.Child{ID: "a", PID: a.pid(), Restarts: 1, LastExit: errBoom}); list[2] != want {
			t.Errorf("got %+v, want %+v", list[2], want)
		}
	})
}

// TestSV37_StrangersDoNoHarm: a message that is not for a supervisor, a request that it does not know, and the end of somebody who is
// not its child are ignored by a supervisor of any kind.
func TestSV37_StrangersDoNoHarm(t *testing.T) {
	inBubble(t, func(b *bench) {
		partitions, err := supervisor.StartPartition(b.ctx, b.system, supervisor.PartitionConfig{
			Name: "partitions", Partitions: 1, Child: func(int) supervisor.ChildSpec { return b.kid("p").ChildSpec },
		})
		b.wantErr(err, nil)
		d, k := b.dynamic(supervisor.DynamicConfig{}), b.transient("d")
		b.add(d, k)
		a := b.transient("a")
		static := b.supervise(supervisor.Config{}, a)
		b.did()
		for _, s := range []interface {
			lister
			PID() messages.PID
		}{static, d, partitions} {
			for _, message := range []any{
				"hello", nil, messages.Down{}, messages.Exit{},
				messages.Exit{From: a.pid(), Reason: errBoom}, // who lives
				messages.Exit{From: k.pid(), Reason: messages.Normal},
				messages.Exit{From: messages.PID{Node: "elsewhere", ID: 1}, Reason: errBoom},
			} {
				b.system.Send(b.ctx, s.PID(), message)
			}
			stranger := b.starter() // dies linked with the supervisor
			b.system.Send(b.ctx, stranger, func(ctx context.Context) { b.system.Link(ctx, s.PID()) })
			b.system.Send(b.ctx, stranger, errBoom)
			if _, err := process.Call(b.ctx, b.system, s.PID(), "what?"); err == nil || errors.Is(err, messages.NoProc) {
				t.Errorf("an unknown request: %v, want an error that says so", err)
			}
			b.counted(s, supervisor.Counts{Specs: 1, Active: 1, Workers: 1})
		}
		synctest.Wait()
		b.saw("-starter -starter -starter")
	})
}

// A call whose context ends is answered with its cause; what was asked for is done all the same.
func TestACallerWhoLeaves(t *testing.T) {
	inBubble(t, func(b *bench) {
		s, late := b.supervise(supervisor.Config{}), errors.New("too late")
		a := b.kid("a")
		a.slow = time.Minute
		hurried, cancel := context.WithTimeoutCause(b.ctx, time.Second, late)
		defer cancel()
		_, err := s.StartChild(hurried, a.ChildSpec)
		b.wantErr(err, late)
		b.listed(s, "a")
	})
}

// Whoever asks a supervisor from within a Start of its own children would wait for itself.
func TestAStartThatAsksItsSupervisor(t *testing.T) {
	inBubble(t, func(b *bench) {
		s, d := b.supervise(supervisor.Config{}), b.dynamic(supervisor.DynamicConfig{})
		asking := func(count func(ctx context.Context) (supervisor.Counts, error), stop func(ctx context.Context) error) supervisor.ChildSpec {
			return supervisor.ChildSpec{ID: "a", Start: func(ctx context.Context) (messages.PID, error) {
				_, err := count(ctx)
				b.wantErr(err, process.ErrCallingSelf)
				return messages.PID{}, stop(ctx)
			}}
		}
		_, err := s.StartChild(b.ctx, asking(s.CountChildren, s.Stop))
		b.wantErr(err, process.ErrCallingSelf)
		_, err = d.StartChild(b.ctx, asking(d.CountChildren, d.Stop))
		b.wantErr(err, process.ErrCallingSelf)
	})
}

// keys is a registry.
type keys map[any]messages.PID

func (k keys) RegisterName(key any, pid messages.PID) error {
	if _, taken := k[key]; taken {
		return errBoom
	}
	k[key] = pid
	return nil
}

func (k keys) String() string { return "keys" }

func (k keys) UnregisterName(key any, _ messages.PID) { delete(k, key) }

func (k keys) WhereisName(key any) (messages.PID, bool) {
	pid, ok := k[key]
	return pid, ok
}

// A supervisor is known by its name, in the system or in a registry, until it ends.
func TestNamesOfSupervisors(t *testing.T) {
	inBubble(t, func(b *bench) {
		registry := keys{}
		via := func(key string) messages.Via { return messages.Via{Registry: registry, Key: key} }
		s := b.supervise(supervisor.Config{Name: "s", Via: via("s")}, b.kid("a"))
		d := b.dynamic(supervisor.DynamicConfig{Name: "d", Via: via("d")})
		for _, target := range []messages.Target{messages.Name("s"), via("s")} {
			b.listed(supervisor.Static(b.system, target), "a")
			if supervisor.Static(b.system, target).PID() != s.PID() {
				t.Errorf("%s is not the supervisor", target)
			}
		}
		for _, target := range []messages.Target{messages.Name("d"), via("d")} {
			b.listed(supervisor.Dynamic(b.system, target), "")
		}
		_, err := supervisor.Start(b.ctx, b.system, supervisor.Config{Name: "s", Strategy: supervisor.OneForOne})
		if taken, ok := errors.AsType[*process.NameTakenError](err); !ok || taken.Holder != s.PID() {
			t.Errorf("got %v, want a NameTakenError", err)
		}
		_, err = supervisor.StartDynamic(b.ctx, b.system, supervisor.DynamicConfig{Via: via("s")})
		b.wantErr(err, errBoom)
		b.wantErr(s.Stop(b.ctx), nil)
		b.wantErr(d.Stop(b.ctx), nil)
		_, err = supervisor.Static(b.system, via("s")).CountChildren(b.ctx)
		b.wantErr(err, messages.NoProc)
		if pid := supervisor.Static(b.system, messages.Name("s")).PID(); !pid.IsZero() || len(registry) != 2 {
			t.Errorf("the name leads to %s, the registry, which is to learn of the ends itself, has %v", pid, registry)
		}
	})
}
