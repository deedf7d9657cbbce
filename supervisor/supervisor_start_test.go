package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestSV01_ChildrenStartInOrder: children start one after the other in their order, each waited for, and Start returns when
// the last has started.
//
// Adapted: protoactor's spawn returns before anything of the actor has run, so a start waits for the end of the init.
func TestSV01_ChildrenStartInOrder(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, c, d := b.kid("a"), b.kid("c"), b.kid("d")
		for _, k := range []*kid{a, c, d} {
			k.slow = time.Second
		}
		began := time.Now()
		b.supervise(supervisor.Config{}, a, c, d)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("Start took %s, want 3s", took)
		}
		b.saw("+a +c +d")
		if !a.alive() || !c.alive() || !d.alive() {
			t.Error("a child does not run")
		}
	})
}

// TestSV02_AStartThatFailsUndoesTheOthers: when a child does not start, those before it are stopped newest first, those behind
// it never start, and the error says which and why.
func TestSV02_AStartThatFailsUndoesTheOthers(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.kid("c")
		c.answers = []error{errBoom}
		_, err := supervisor.Start(b.ctx, b.system, supervisor.Config{
			Name: "taken?", Strategy: supervisor.OneForOne, Children: specs([]*kid{b.kid("a"), b.kid("b"), c, b.kid("d")}),
		})
		failed, ok := errors.AsType[*supervisor.StartError](err)
		if !ok || failed.ID != "c" || !errors.Is(err, errBoom) {
			t.Errorf("got %v, want a StartError of c with boom", err)
		}
		b.saw("+a +b !c -b -a")
		if n := b.system.Len(); n != 0 {
			t.Errorf("%d processes are left", n)
		}
		b.supervise(supervisor.Config{Name: "taken?"})
	})
}

// TestSV03_BadConfigsStartNothing: a config or a spec with a field that is missing, wrong or not the only one of its kind starts
// nothing, and the error names the field, the value and what was expected.
func TestSV03_BadConfigsStartNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(c *supervisor.Config)
		want   string
	}{
		{"no strategy", func(c *supervisor.Config) { c.Strategy = 0 }, "Strategy is missing"},
		{"a strange strategy", func(c *supervisor.Config) { c.Strategy = 4 }, "Strategy is 4"},
		{"a negative strategy", func(c *supervisor.Config) { c.Strategy = -1 }, "Strategy is -1"},
		{"a strange automatic shutdown", func(c *supervisor.Config) { c.AutoShutdown = 3 }, "AutoShutdown is 3"},
		{"a negative automatic shutdown", func(c *supervisor.Config) { c.AutoShutdown = -1 }, "AutoShutdown is -1"},
		{"a negative limit", func(c *supervisor.Config) { c.MaxRestarts = -2 }, "MaxRestarts is -2"},
		{"a negative span", func(c *supervisor.Config) { c.MaxSeconds = -1 }, "MaxSeconds is -1ns"},
		{"a negative wait", func(c *supervisor.Config) { c.Backoff.Initial = -time.Second }, "Backoff.Initial is -1s"},
		{"a longest wait below the first", func(c *supervisor.Config) { c.Backoff = supervisor.Backoff{Initial: 2, Max: 1} }, "Backoff.Max is 1ns"},
		{"children twice", func(c *supervisor.Config) {
			c.Init = func(context.Context) ([]supervisor.ChildSpec, error) { return nil, nil }
		}, "Children and Init are both set"},
		{"no id", func(c *supervisor.Config) { c.Children[1].ID = "" }, "ID is empty"},
		{"an id twice", func(c *supervisor.Config) { c.Children[1].ID = "a" }, `ID is "a"`},
		{"no start", func(c *supervisor.Config) { c.Children[1].Start = nil }, "Start is nil"},
		{"a strange restart", func(c *supervisor.Config) { c.Children[1].Restart = 3 }, "Restart is 3"},
		{"a negative restart", func(c *supervisor.Config) { c.Children[1].Restart = -1 }, "Restart is -1"},
		{"a strange type", func(c *supervisor.Config) { c.Children[1].Type = 2 }, "Type is 2"},
		{"a negative shutdown", func(c *supervisor.Config) { c.Children[1].Shutdown = -3 }, "Shutdown is -3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				config := supervisor.Config{Strategy: supervisor.OneForOne, Children: specs([]*kid{b.kid("a"), b.kid("b")})}
				c.change(&config)
				_, err := supervisor.Start(b.ctx, b.system, config)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "want ") {
					t.Errorf("got %v, want an error with %q, and what was expected", err, c.want)
				}
				b.saw("")
			})
		})
	}
	t.Run("children of an Init", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			_, err := supervisor.Start(b.ctx, b.system, supervisor.Config{
				Strategy: supervisor.OneForOne,
				Init: func(context.Context) ([]supervisor.ChildSpec, error) {
					return specs([]*kid{b.kid("a"), b.kid("a")}), nil
				},
			})
			if err == nil || !strings.Contains(err.Error(), `ID is "a"`) {
				t.Errorf("got %v, want an error about the ID", err)
			}
			b.saw("")
		})
	})
}

// TestSV04_TheDefaultIntensity: without limits of its own a supervisor allows three restarts in five seconds, as Elixir does.
func TestSV04_TheDefaultIntensity(t *testing.T) {
	t.Run("three in five seconds", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			why := b.watch(b.supervise(supervisor.Config{}, a).PID())
			for range 3 {
				b.end(a, errBoom)
			}
			b.wantEnd(why, nil)
			time.Sleep(5 * time.Second)
			b.end(a, errBoom)
			b.wantEnd(why, messages.Shutdown)
		})
	})
	t.Run("three each five seconds and a bit", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			a := b.kid("a")
			why := b.watch(b.supervise(supervisor.Config{}, a).PID())
			for range 12 {
				b.end(a, errBoom)
				time.Sleep(5*time.Second/3 + time.Millisecond)
			}
			b.wantEnd(why, nil)
		})
	})
}

// TestSV05_TheDefaultsOfAChild: a child of which nothing is said is permanent, and has five seconds to end if it is a worker,
// and no limit if it is a supervisor.
func TestSV05_TheDefaultsOfAChild(t *testing.T) {
	inBubble(t, func(b *bench) {
		a, sup := b.kid("a"), b.kid("sup")
		sup.Type = supervisor.TypeSupervisor
		s := b.supervise(supervisor.Config{}, a, sup)
		b.end(a, messages.Normal)
		b.saw("+a +sup -a +a")
		a.stubborn, sup.stubborn = time.Hour, time.Hour
		whyA, whySup, began := b.watch(a.pid()), b.watch(sup.pid()), time.Now()
		if err := s.TerminateChild(b.ctx, "a"); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %s, want the worker killed after 5s", err, time.Since(began))
		}
		b.wantEnd(whyA, messages.Killed)
		began = time.Now()
		if err := s.TerminateChild(b.ctx, "sup"); err != nil || time.Since(began) != time.Hour {
			t.Errorf("%v after %s, want the supervisor waited for", err, time.Since(began))
		}
		b.wantEnd(whySup, messages.Shutdown)
	})
}

// TestSV06_AnInitThatIgnores: a supervisor whose Init answers ErrIgnore does not start, the caller gets ErrIgnore, and its process
// ends normally.
func TestSV06_AnInitThatIgnores(t *testing.T) {
	inBubble(t, func(b *bench) {
		var why func() error
		_, err := supervisor.Start(b.ctx, b.system, supervisor.Config{
			Strategy: supervisor.OneForOne,
			Init: func(ctx context.Context) ([]supervisor.ChildSpec, error) {
				self, _ := process.Self(ctx)
				why = b.watch(self)
				return specs([]*kid{b.kid("a")}), fmt.Errorf("not today: %w", supervisor.ErrIgnore)
			},
		})
		b.wantErr(err, supervisor.ErrIgnore)
		b.wantEnd(why, messages.Normal)
		b.saw("")
		if n := b.logged(""); n != 0 {
			t.Errorf("logged %s", b.log.String())
		}
	})
}

// TestSV33_AddedChildrenAreLostWithTheirSupervisor: when a supervisor is restarted, the children that were added at run time are
// gone, and those of its config or Init are there again.
func TestSV33_AddedChildrenAreLostWithTheirSupervisor(t *testing.T) {
	t.Run("children", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			inner := b.nest(supervisor.Config{Name: "inner", Strategy: supervisor.OneForOne, Children: specs([]*kid{b.kid("a")})})
			b.supervise(supervisor.Config{}, inner)
			s := supervisor.Static(b.system, messages.Name("inner"))
			_, err := s.StartChild(b.ctx, b.kid("b").ChildSpec)
			b.wantErr(err, nil)
			b.saw("+a +inner +b")
			b.wantErr(s.Stop(b.ctx), nil)
			synctest.Wait()
			b.saw("-b -a +a +inner")
			b.listed(s, "a")
		})
	})
	t.Run("Init", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			starts := 0
			inner := b.nest(supervisor.Config{
				Name: "inner", Strategy: supervisor.OneForOne,
				Init: func(context.Context) ([]supervisor.ChildSpec, error) {
					starts++
					return specs([]*kid{b.kid(fmt.Sprint("a", starts))}), nil
				},
			})
			b.supervise(supervisor.Config{}, inner)
			b.end(inner, messages.Killed)
			b.did()
			b.listed(supervisor.Static(b.system, messages.Name("inner")), "a2")
		})
	})
}

// starter is a process that starts a supervisor when it is told to.
func (b *bench) starter() messages.PID {
	pid, err := process.Spawn(b.ctx, b.system, &worker{kid: b.kid("starter")}, process.Options{})
	b.wantErr(err, nil)
	return pid
}

// TestSV34_ASupervisorEndsWithItsStarter: when the process that started a supervisor ends, for whatever reason, the supervisor
// stops its children and ends; one that was started outside of a process belongs to the system.
//
// Adapted: the starter is the process of the context that Start gets.
func TestSV34_ASupervisorEndsWithItsStarter(t *testing.T) {
	for _, reason := range []error{messages.Normal, messages.Shutdown, errBoom, messages.Killed} {
		t.Run(reason.Error(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				starter := b.starter()
				var why func() error
				b.system.Send(b.ctx, starter, func(ctx context.Context) {
					s, err := supervisor.Start(ctx, b.system, supervisor.Config{
						Strategy: supervisor.OneForOne, Children: specs([]*kid{b.kid("a"), b.kid("b")}),
					})
					b.wantErr(err, nil)
					why = b.watch(s.PID())
				})
				synctest.Wait()
				b.wantEnd(why, nil)
				if reason == error(messages.Killed) {
					b.system.Kill(starter)
				} else {
					b.system.Send(b.ctx, starter, reason)
				}
				b.wantEnd(why, reason)
				if got := b.did(); !strings.HasSuffix(got, "-b -a") {
					t.Errorf("the children did %q, want them stopped newest first", got)
				}
			})
		})
	}
	t.Run("of the other kinds", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			starter := b.starter()
			var dynamic, partition func() error
			b.system.Send(b.ctx, starter, func(ctx context.Context) {
				d, err := supervisor.StartDynamic(ctx, b.system, supervisor.DynamicConfig{})
				b.wantErr(err, nil)
				p, err := supervisor.StartPartition(ctx, b.system, supervisor.PartitionConfig{
					Name: "p", Child: func(int) supervisor.ChildSpec { return b.kid("p").ChildSpec },
				})
				b.wantErr(err, nil)
				dynamic, partition = b.watch(d.PID()), b.watch(p.PID())
			})
			synctest.Wait()
			b.wantEnd(dynamic, nil)
			b.wantEnd(partition, nil)
			b.system.Send(b.ctx, starter, messages.Normal)
			b.wantEnd(dynamic, messages.Normal)
			b.wantEnd(partition, messages.Normal)
		})
	})
}
