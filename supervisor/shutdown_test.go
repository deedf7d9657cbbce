package supervisor_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestSH01_OneAfterTheOther: a supervisor that stops tells its children newest first, and each is gone before the next is told.
//
// Adapted: protoactor tells all children at once, in an order that shifts, so the supervisor does it by hand.
func TestSH01_OneAfterTheOther(t *testing.T) {
	inBubble(t, func(b *bench) {
		kids := []*kid{b.kid("a"), b.kid("c"), b.kid("d")}
		for _, k := range kids {
			k.stubborn = time.Second
		}
		s := b.supervise(supervisor.Config{}, kids...)
		b.did()
		began := time.Now()
		b.wantErr(s.Stop(b.ctx), nil)
		b.saw("-d /d -c /c -a /a")
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %s, want 3s", took)
		}
	})
}

// TestSH02_AllTogether: a dynamic supervisor that stops tells all its children at once and waits for them together.
func TestSH02_AllTogether(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, began := b.dynamic(supervisor.DynamicConfig{}), time.Now()
		for i := range 5 {
			k := b.kid(fmt.Sprint(i))
			k.stubborn = time.Duration(i) * time.Second
			b.add(d, k)
		}
		b.wantErr(d.Stop(b.ctx), nil)
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("it took %s, want as long as the slowest, 4s", took)
		}
		if n := b.system.Len(); n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
}

// Each child is killed when its own time is over, whoever is still waited for, and many at one moment if that is so.
func TestEachIsKilledInItsTime(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, began := b.dynamic(supervisor.DynamicConfig{}), time.Now()
		const s = time.Second
		wants := []time.Duration{time.Hour, 9 * s, 3 * s, 7 * s, 3 * s, 5 * s, 3 * s, s}
		took := make([]time.Duration, len(wants))
		for i, want := range wants {
			k := b.deaf()
			if k.Shutdown = want; want == time.Hour { // when it ends by itself
				k.Shutdown = supervisor.Infinity
			}
			b.add(d, k)
			go func() {
				<-b.system.Done(k.pid())
				took[i] = time.Since(began)
			}()
		}
		b.wantErr(d.Stop(b.ctx), nil)
		synctest.Wait()
		for i, want := range wants {
			if took[i] != want {
				t.Errorf("child %d was gone after %s, want %s", i, took[i], want)
			}
		}
	})
}

// deaf is a child that does not look at its context, for an hour.
func (b *bench) deaf() *kid {
	k := b.kid("deaf")
	k.Start = k.starting(func(ctx context.Context) (messages.PID, error) {
		return process.SpawnFunc(ctx, b.system, func(context.Context) error { time.Sleep(time.Hour); return nil }, process.Options{Link: true})
	})
	return k
}

// stopOne starts one child under a supervisor of each kind, has that stopped, and gives how long that took and how the child ended.
func stopOne(t *testing.T, child func(b *bench) *kid, check func(b *bench, took time.Duration, why func() error)) {
	t.Helper()
	for _, kind := range []string{"static", "dynamic", "terminate", "terminate dynamic"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				k := child(b)
				stop := b.under(kind, k)
				b.did()
				why, began := b.watch(k.pid()), time.Now()
				b.wantErr(stop(b.ctx), nil)
				check(b, time.Since(began), why)
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// under starts children, and gives what stops them; or terminates the first.
func (b *bench) under(kind string, kids ...*kid) (stop func(ctx context.Context) error) {
	if kind == "static" || kind == "terminate" {
		s := b.supervise(supervisor.Config{}, kids...)
		if kind == "static" {
			return s.Stop
		}
		return func(ctx context.Context) error { return s.TerminateChild(ctx, kids[0].ID) }
	}
	d := b.dynamic(supervisor.DynamicConfig{})
	b.add(d, kids...)
	if kind == "dynamic" {
		return d.Stop
	}
	return func(ctx context.Context) error { return d.TerminateChild(ctx, kids[0].pid()) }
}

// TestSH03_GraceAndBrutalKill: a child is told to shut down, waited for as long as its spec says, and then killed; with BrutalKill it is
// killed at once and runs nothing more of its own; watchers see killed in both.
//
// Adapted: a goroutine cannot be killed, so the child is declared dead and counted as abandoned until its code ends.
func TestSH03_GraceAndBrutalKill(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		stopOne(t, func(b *bench) *kid {
			k := b.kid("k")
			k.Shutdown, k.stubborn = 3*time.Second, 3*time.Second-1
			return k
		}, func(b *bench, took time.Duration, why func() error) {
			b.saw("-k /k")
			b.wantEnd(why, messages.Shutdown)
		})
	})
	t.Run("too late", func(t *testing.T) {
		stopOne(t, func(b *bench) *kid {
			k := b.kid("k")
			k.Shutdown, k.stubborn = 3*time.Second, time.Hour
			return k
		}, func(b *bench, took time.Duration, why func() error) {
			b.saw("-k")
			b.wantEnd(why, messages.Killed)
			if took != 3*time.Second {
				b.t.Errorf("killed after %s, want 3s", took)
			}
		})
	})
	t.Run("deaf", func(t *testing.T) {
		stopOne(t, func(b *bench) *kid {
			return b.deaf()
		}, func(b *bench, took time.Duration, why func() error) {
			b.wantEnd(why, messages.Killed)
			if n := b.system.Abandoned(); took != supervisor.DefaultShutdown || n != 1 {
				b.t.Errorf("%d abandoned after %s, want it after 5s", n, took)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := b.system.Abandoned(); n != 0 {
				b.t.Errorf("%d abandoned in the end", n)
			}
		})
	})
	t.Run("brutal", func(t *testing.T) {
		stopOne(t, func(b *bench) *kid {
			k := b.kid("k")
			k.Shutdown = supervisor.BrutalKill
			return k
		}, func(b *bench, took time.Duration, why func() error) {
			b.saw("")
			b.wantEnd(why, messages.Killed)
			if took != 0 {
				b.t.Errorf("it took %s", took)
			}
		})
	})
}

// TestSH04_InfinityWaits: with Infinity, the default of supervisors, there is no limit, so that a tree goes down leaf first.
func TestSH04_InfinityWaits(t *testing.T) {
	stopOne(t, func(b *bench) *kid {
		k := b.kid("k")
		k.Shutdown, k.stubborn = supervisor.Infinity, time.Hour
		return k
	}, func(b *bench, took time.Duration, why func() error) {
		b.saw("-k /k")
		b.wantEnd(why, messages.Shutdown)
	})
	t.Run("a tree", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			leaf, last := b.kid("leaf"), b.kid("last")
			leaf.stubborn, leaf.Shutdown = time.Hour, 2*time.Hour
			low := b.nest(supervisor.Config{Name: "low", Strategy: supervisor.OneForOne, Children: specs([]*kid{b.kid("first"), leaf})})
			s := b.supervise(supervisor.Config{}, b.kid("a"), low, last)
			b.did()
			b.wantErr(s.Stop(b.ctx), nil)
			b.saw("-last -leaf /leaf -first -a")
		})
	})
}

// TestSH05_ChildrenThatDoNotTrapExits: a child that does not trap exits ends without its Terminate, whatever its grace.
//
// Adapted: its code cannot be interrupted; its context is cancelled, with shutdown as cause, and it may clean up before it returns.
func TestSH05_ChildrenThatDoNotTrapExits(t *testing.T) {
	t.Run("a process", func(t *testing.T) {
		stopOne(t, func(b *bench) *kid {
			k := b.kid("k")
			k.stubborn = time.Second
			k.Start = k.starting(func(ctx context.Context) (messages.PID, error) {
				return process.Spawn(ctx, b.system, &worker{kid: k}, process.Options{Link: true})
			})
			return k
		}, func(b *bench, took time.Duration, why func() error) {
			b.saw("")
			b.wantEnd(why, messages.Shutdown)
			if took != 0 {
				b.t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("a function", func(t *testing.T) {
		stopOne(t, func(b *bench) *kid {
			k := b.kid("k")
			k.Start = k.starting(func(ctx context.Context) (messages.PID, error) {
				return process.SpawnFunc(ctx, b.system, func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(time.Second)
					b.record(context.Cause(ctx).Error())
					return context.Cause(ctx)
				}, process.Options{Link: true})
			})
			return k
		}, func(b *bench, took time.Duration, why func() error) {
			b.saw("shutdown")
			b.wantEnd(why, messages.Shutdown)
			if took != time.Second {
				b.t.Errorf("it took %s, want the second that it cleaned up", took)
			}
		})
	})
}

// TestSH06_ChildrenAreToldShutdown: children are told shutdown, whatever their supervisor ends with.
func TestSH06_ChildrenAreToldShutdown(t *testing.T) {
	for _, reason := range []error{messages.Normal, errBoom} {
		t.Run(reason.Error(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a, c := b.kid("a"), b.kid("c")
				d := b.dynamic(supervisor.DynamicConfig{})
				b.add(d, c)
				s := b.supervise(supervisor.Config{}, a)
				whyA, whyC, whyS, whyD := b.watch(a.pid()), b.watch(c.pid()), b.watch(s.PID()), b.watch(d.PID())
				b.wantErr(s.StopWith(b.ctx, reason), nil)
				b.wantErr(d.StopWith(b.ctx, reason), nil)
				b.wantEnd(whyA, messages.Shutdown)
				b.wantEnd(whyC, messages.Shutdown)
				b.wantEnd(whyS, reason)
				b.wantEnd(whyD, reason)
			})
		})
	}
}

// TestSH07_EndsThatAreReported: a child that was told to stop and ends with another reason than shutdown is reported, unless it is not
// permanent and the end was clean; that keeps nobody from stopping.
func TestSH07_EndsThatAreReported(t *testing.T) {
	rows := []struct {
		restart  supervisor.Restart
		shutdown time.Duration
		reason   error
		reported int
	}{
		{supervisor.Permanent, 0, messages.Shutdown, 0},
		{supervisor.Permanent, 0, messages.Normal, 1},
		{supervisor.Permanent, 0, shutdownWith, 1},
		{supervisor.Permanent, 0, errBoom, 1},
		{supervisor.Transient, 0, messages.Shutdown, 0},
		{supervisor.Transient, 0, messages.Normal, 0},
		{supervisor.Transient, 0, shutdownWith, 0},
		{supervisor.Transient, 0, errBoom, 1},
		{supervisor.Temporary, 0, messages.Normal, 0},
		{supervisor.Temporary, 0, errBoom, 1},
		{supervisor.Permanent, time.Second, messages.Killed, 1}, // too late
		{supervisor.Permanent, supervisor.BrutalKill, messages.Killed, 0},
	}
	for _, kind := range []string{"static", "dynamic"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				var kids []*kid
				for i, row := range rows {
					k := b.deaf().with(row.restart)
					k.ID, k.Shutdown = fmt.Sprint("k", i), row.shutdown
					if row.reason != error(messages.Killed) {
						k.Start = k.starting(func(ctx context.Context) (messages.PID, error) {
							return process.SpawnFunc(ctx, b.system, func(ctx context.Context) error { <-ctx.Done(); return row.reason }, process.Options{Link: true})
						})
					}
					kids = append(kids, k)
				}
				stop := b.under(kind, kids...)
				var whys []func() error
				for _, k := range kids {
					whys = append(whys, b.watch(k.pid()))
				}
				b.wantErr(stop(b.ctx), nil)
				for i, row := range rows {
					b.wantEnd(whys[i], row.reason)
					if n := b.logged("child did not stop as told", "child="+kids[i].ID+" ", "reason="); n != row.reported {
						t.Errorf("%s after %v: %d lines, want %d", row.restart, row.reason, n, row.reported)
					}
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// TestSH08_NobodyIsRestartedInAStop: a child that ends by itself while its supervisor is stopping is not started again.
func TestSH08_NobodyIsRestartedInAStop(t *testing.T) {
	for _, kind := range []string{"static", "dynamic"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a, slow := b.kid("a"), b.kid("slow")
				slow.stubborn = 2 * time.Second
				var stop func(ctx context.Context) error
				if kind == "static" {
					stop = b.supervise(supervisor.Config{}, a, slow).Stop
				} else {
					d := b.dynamic(supervisor.DynamicConfig{})
					b.add(d, a, slow)
					stop = d.Stop
				}
				b.did()
				time.AfterFunc(time.Second, func() { b.system.Kill(a.pid()) })
				b.wantErr(stop(b.ctx), nil)
				if len(a.pids) != 1 || b.system.Len() != 0 {
					t.Errorf("%d starts, %d processes left", len(a.pids), b.system.Len())
				}
			})
		})
	}
}

// TestSH09_AChildThatUnlinkedItself: a child that has unlinked itself from its supervisor is stopped by it all the same, and nobody hangs,
// also if it is dead already.
func TestSH09_AChildThatUnlinkedItself(t *testing.T) {
	for _, kind := range []string{"static", "dynamic", "terminate", "terminate dynamic"} {
		for _, dead := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, ", dead: ", dead), func(t *testing.T) {
				inBubble(t, func(b *bench) {
					k := b.kid("k")
					stop := b.under(kind, k)
					info, _ := b.system.Info(k.pid())
					b.system.Send(b.ctx, k.pid(), func(ctx context.Context) { b.system.Unlink(ctx, info.Parent) })
					synctest.Wait()
					if dead {
						b.end(k, errBoom)
					}
					hurried, cancel := context.WithTimeout(b.ctx, time.Minute)
					defer cancel()
					b.wantErr(stop(hurried), nil)
					b.saw("+k -k")
					if k.alive() {
						t.Error("it lives")
					}
				})
			})
		}
	}
}

// TestSH10_WhoNeedsWhomStartsLater: with the one who is needed first and the one who needs it behind, under rest_for_one, the second stops
// while the first still runs, and the death of the first restarts both; the other way round, the first is gone below a living second.
func TestSH10_WhoNeedsWhomStartsLater(t *testing.T) {
	inBubble(t, func(b *bench) {
		tasks, runner := b.kid("tasks"), b.kid("runner")
		runner.stubborn = time.Second // time in which it still needs its tasks
		s := b.supervise(supervisor.Config{Strategy: supervisor.RestForOne}, tasks, runner)
		b.did()
		b.end(tasks, errBoom)
		time.Sleep(time.Second)
		synctest.Wait()
		b.saw("-tasks -runner /runner +tasks +runner")
		b.wantErr(s.Stop(b.ctx), nil)
		b.saw("-runner /runner -tasks")
	})
	inBubble(t, func(b *bench) {
		tasks, runner := b.kid("tasks"), b.kid("runner")
		s := b.supervise(supervisor.Config{Strategy: supervisor.RestForOne}, runner, tasks)
		b.did()
		b.end(tasks, errBoom)
		b.saw("-tasks +tasks")
		b.wantErr(s.Stop(b.ctx), nil)
		b.saw("-tasks -runner")
	})
}

// A stop that comes while a child is being terminated does not start its grace anew.
func TestTheGraceOfAChildDoesNotStartAnew(t *testing.T) {
	inBubble(t, func(b *bench) {
		d, k, began := b.dynamic(supervisor.DynamicConfig{}), b.deaf(), time.Now()
		b.add(d, k)
		go func() { _ = d.TerminateChild(b.ctx, k.pid()) }()
		time.Sleep(3 * time.Second)
		b.wantErr(d.Stop(b.ctx), nil)
		if took := time.Since(began); took != supervisor.DefaultShutdown {
			t.Errorf("the child was killed after %s, want %s", took, supervisor.DefaultShutdown)
		}
		time.Sleep(time.Hour)
	})
}

// A supervisor that is killed takes its children with it, also while it stops them.
func TestAKillInAStop(t *testing.T) {
	for _, kind := range []string{"static", "dynamic"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a, slow := b.kid("a"), b.kid("slow")
				slow.stubborn = time.Hour
				slow.Shutdown = supervisor.Infinity
				var pid messages.PID
				if kind == "static" {
					pid = b.supervise(supervisor.Config{}, a, slow).PID()
				} else {
					d := b.dynamic(supervisor.DynamicConfig{})
					b.add(d, a, slow)
					pid = d.PID()
				}
				b.system.Exit(b.ctx, pid, messages.Shutdown)
				synctest.Wait()
				b.system.Kill(pid)
				synctest.Wait()
				if n := b.system.Len(); n != 0 {
					t.Errorf("%d processes outlived it", n)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}
