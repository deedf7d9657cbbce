package remote

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// hosts are several listeners on a wire: each says where a task has run, and keeps the tasks of kind "stay" until they are let go.
type hosts struct {
	w       *wire
	release chan struct{}

	mu  sync.Mutex
	ran map[string]int
}

func newHosts(t *testing.T) *hosts {
	return &hosts{w: newWire(t), release: make(chan struct{}), ran: map[string]int{}}
}

// open has a runner of the name "numbers" reached at an address.
func (h *hosts) open(address string, config actors.TaskRunnerConfig) *Listener {
	h.w.t.Helper()
	here := func() string {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ran[address]++
		return address
	}
	config.Name, config.DrainTimeout = "numbers", -1
	config.Kinds = actors.Kinds{
		actors.Kind("where", func(context.Context, string) (string, error) { return here(), nil }),
		actors.Kind("stay", func(ctx context.Context, _ string) (string, error) {
			select {
			case <-h.release:
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
			return here(), nil
		}),
	}
	return h.w.listen(address, ListenConfig{Runners: []*actors.TaskRunner{startRunner(h.w.t, config)}})
}

// allUp waits until there are connections to all addresses, and no others.
func allUp(c *Client, addresses ...string) {
	for {
		var up []string
		for _, n := range c.Nodes() {
			if n.Up {
				up = append(up, n.Address)
			}
		}
		if slices.Sort(up); slices.Equal(up, addresses) && len(c.Nodes()) == len(addresses) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

const (
	first  = "127.0.0.1:7070"
	second = "127.0.0.2:7070"
	third  = "127.0.0.3:7070"
)

// where has a task run, and gives where that was.
func where(t *testing.T, c *Client, kind string) *Handle[string] {
	t.Helper()
	task, err := Run[string](t.Context(), c.Runner("numbers"), kind, "")
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func (h *Handle[R]) want(t *testing.T, want any) {
	t.Helper()
	if got, err := h.Await(t.Context()); any(got) != want || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestTheOneWithTheMostRoomGetsTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		h.open(first, actors.TaskRunnerConfig{MaxChildren: 2})
		h.open(second, actors.TaskRunnerConfig{MaxChildren: 6})
		c := h.w.dial(first + "," + second)
		allUp(c, first, second)
		var tasks []*Handle[string]
		for range 8 {
			tasks = append(tasks, where(t, c, "stay"))
		}
		time.Sleep(2 * roomEvery)
		close(h.release)
		for _, task := range tasks {
			if _, err := task.Await(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if h.ran[first] != 2 || h.ran[second] != 6 {
			t.Errorf("ran %v, want 2 where is room for 2, and 6 where is room for 6", h.ran)
		}
	})
}

func TestWhenOneIsFullAnotherGetsTheTask(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHosts(t)
			// The first seems to have more room, but takes nobody who would have to wait.
			small := actors.TaskRunnerConfig{MaxChildren: 1, MaxWaiting: 1}
			large := actors.TaskRunnerConfig{MaxChildren: 1, MaxWaiting: 8}
			if durable {
				small.Store, large.Store = store.NewMemory(), store.NewMemory()
			}
			h.open(first, small)
			h.open(second, large)
			c := h.w.dial(first + "," + second)
			allUp(c, first, second)
			var tasks []*Handle[string]
			for range 11 {
				tasks = append(tasks, where(t, c, "stay"))
			}
			_, err := Run[string](t.Context(), c.Runner("numbers"), "stay", "")
			if full, ok := errors.AsType[*actors.FullError](err); !ok || full.Limit != "MaxWaiting" || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("both are full: %v, want a FullError", err)
			}
			waited := make(chan error)
			go func() {
				_, err := Run[string](t.Context(), c.Runner("numbers"), "where", "", WithWait())
				waited <- err
			}()
			time.Sleep(time.Minute)
			select {
			case err := <-waited:
				t.Errorf("who waits for room has %v", err)
			default:
			}
			close(h.release)
			if err := <-waited; err != nil {
				t.Errorf("who waited for room: %v", err)
			}
			for _, task := range tasks {
				if _, err := task.Await(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestALeavingListener gets no more runs, ends those that it has, and tells their outcomes.
func TestALeavingListener(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHosts(t)
			roomy, other := actors.TaskRunnerConfig{MaxChildren: 50}, actors.TaskRunnerConfig{MaxChildren: 10}
			if durable {
				roomy.Store, other.Store = store.NewMemory(), store.NewMemory()
			}
			l := h.open(first, roomy)
			h.open(second, other)
			c := h.w.dial(first + "," + second)
			allUp(c, first, second)
			stays := where(t, c, "stay") // at the first, which has the most room
			stopped := make(chan error)
			go func() { stopped <- l.Stop(t.Context()) }()
			synctest.Wait()
			if n := c.Nodes()[0]; !n.Leaving || !n.Up {
				t.Errorf("the first is %+v, want it leaving", n)
			}
			for range 5 {
				where(t, c, "where").want(t, second)
			}
			time.Sleep(DefaultDrainTimeout / 2)
			select {
			case err := <-stopped:
				t.Errorf("it has stopped (%v), and owes an outcome", err)
			default:
			}
			close(h.release)
			stays.want(t, first)
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			where(t, c, "where").want(t, second)
		})
	}
}

// TestTheAddressesOfAName are followed: a new one is used, and one that is gone is left when its connection ends.
func TestTheAddressesOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		for i, address := range []string{first, second, third} {
			h.open(address, actors.TaskRunnerConfig{MaxChildren: 10 * (i + 1)})
		}
		h.w.name("localhost", "127.0.0.1", "127.0.0.2")
		c := h.w.dial("dns:///localhost:7070")
		allUp(c, first, second)
		where(t, c, "where").want(t, second)
		h.w.name("localhost", "127.0.0.2", "127.0.0.3")
		began := time.Now()
		allUp(c, first, second, third)
		if took := time.Since(began); took > 16*time.Second {
			t.Errorf("a new address is used after %s, want 15 seconds at most", took)
		}
		where(t, c, "where").want(t, third)
		h.w.cut()
		allUp(c, second, third)
	})
}

// TestWhoIsGoneIsAvoided: runs go to who is left at once, and come back to who is there again.
func TestWhoIsGoneIsAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		h.open(first, actors.TaskRunnerConfig{MaxChildren: 50})
		h.open(second, actors.TaskRunnerConfig{MaxChildren: 10})
		c := h.w.dial(first + "," + second)
		allUp(c, first, second)
		where(t, c, "where").want(t, first)
		h.w.cut()
		synctest.Wait()
		where(t, c, "where").want(t, second)
		allUp(c, first, second)
		where(t, c, "where").want(t, first)
	})
}

// TestNobodyIsThere: every call ends in bounded time, and says that nothing was done.
func TestNobodyIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWire(t).dial(first)
		r, id := c.Runner("numbers"), "018f0000-0000-7000-8000-000000000000"
		outcomes := func(seq func(func(store.Task, error) bool)) (err error) {
			for _, err = range seq {
			}
			return err
		}
		for name, call := range map[string]func(ctx context.Context) error{
			"Run":         func(ctx context.Context) error { _, err := Run[int](ctx, r, "double", 1); return err },
			"RunMany":     func(ctx context.Context) error { _, err := RunMany[int](ctx, r, "double", []int{1, 2}); return err },
			"Await":       func(ctx context.Context) error { _, err := Await[int](ctx, r, id); return err },
			"Cancel":      func(ctx context.Context) error { return r.Cancel(ctx, id) },
			"Outcomes":    func(ctx context.Context) error { return outcomes(r.Outcomes(ctx, 0)) },
			"Subscribe":   func(ctx context.Context) error { return outcomes(r.Subscribe("mailer", 0).Outcomes(ctx)) },
			"Acknowledge": func(ctx context.Context) error { return r.Subscribe("mailer", 0).Acknowledge(ctx, 1) },
			"Unsubscribe": func(ctx context.Context) error { return r.Subscribe("mailer", 0).Unsubscribe(ctx) },
		} {
			began := time.Now()
			err := call(t.Context())
			if took := time.Since(began); took < DefaultAway || took > DefaultAway+3*time.Second {
				t.Errorf("%s: answered after %s, want %s", name, took, DefaultAway)
			}
			if !errors.Is(err, ErrNoConnection) || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "nobody listens") {
				t.Errorf("%s: %v, want ErrNoConnection and why", name, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began = time.Now()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%s, with a deadline: %v after %s", name, err, time.Since(began))
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Ready(ctx); !errors.Is(err, ErrNoConnection) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ready: %v", err)
		}
	})
}

// TestARunWithoutAnAnswer may have been accepted: the error says so, in bounded time.
func TestARunWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		h.open(first, actors.TaskRunnerConfig{Store: store.NewMemory()})
		c := h.w.dial(first)
		allUp(c, first)
		h.w.silence(first)
		began := time.Now()
		_, err := Run[string](t.Context(), c.Runner("numbers"), "where", "")
		if took := time.Since(began); took > DefaultAway+15*time.Second+3*time.Second {
			t.Errorf("answered after %s", took)
		}
		if !errors.Is(err, ErrNoConnection) || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%v, want ErrNoConnection, and store.ErrUnavailable because it may have been accepted", err)
		}
	})
}

// TestARepeatedIDWhereNothingIsRecorded is known until its outcome has arrived, or Keep after its end.
func TestARepeatedIDWhereNothingIsRecorded(t *testing.T) {
	const id = "018f0000-0000-7000-8000-000000000000"
	for name, test := range map[string]struct {
		later   time.Duration
		existed bool
		runs    int
	}{
		"within Keep": {Keep - time.Second, true, 1},
		"after Keep":  {Keep + time.Second, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHosts(t)
				h.open(first, actors.TaskRunnerConfig{})
				away := h.w.dial(first)
				if _, err := Run[string](t.Context(), away.Runner("numbers"), "stay", "", WithID(id)); err != nil {
					t.Fatal(err)
				}
				if err := away.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				c := h.w.dial(first)
				other, err := Run[string](t.Context(), c.Runner("numbers"), "stay", "", WithID("018f0000-0000-7000-8000-000000000001"))
				if err != nil {
					t.Fatal(err)
				}
				close(h.release)
				other.want(t, first)
				time.Sleep(test.later)
				task, err := Run[string](t.Context(), c.Runner("numbers"), "stay", "", WithID(id))
				if err != nil || task.Existed() != test.existed {
					t.Fatalf("repeated: %v, existed is %t, want %t", err, task.Existed(), test.existed)
				}
				task.want(t, first)
				if h.ran[first] != test.runs+1 {
					t.Errorf("%d have run, want %d and the other one", h.ran[first], test.runs)
				}
			})
		})
	}
}

// TestADeadlineTravels: what could not be handed over by then is not accepted later.
func TestADeadlineTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		c := h.w.dial(first)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Run[string](ctx, c.Runner("numbers"), "where", ""); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("nobody was there in time: %v", err)
		}
		h.open(first, actors.TaskRunnerConfig{})
		where(t, c, "where").want(t, first)
		if h.ran[first] != 1 {
			t.Errorf("%d tasks have run, want the one that nobody has given up", h.ran[first])
		}
		long, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		task, err := Run[string](long, c.Runner("numbers"), "stay", "")
		if err != nil {
			t.Fatal(err)
		}
		<-long.Done()
		synctest.Wait()
		close(h.release)
		task.want(t, first) // who does not ask for WithCancel has the task go on
	})
}

// TestARunWhoseAnswerWasLost may have been accepted, whatever it is refused for when it is sent again. It goes nowhere else meanwhile.
func TestARunWhoseAnswerWasLost(t *testing.T) {
	for name, refuse := range map[string]func(h *hosts, l *Listener){
		"it is full by now":    func(*hosts, *Listener) {},
		"it is leaving by now": func(_ *hosts, l *Listener) { go func() { _ = l.Stop(context.Background()) }() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHosts(t)
				l := h.open(first, actors.TaskRunnerConfig{MaxChildren: 1, MaxWaiting: 1, Store: store.NewMemory()})
				other := h.w.dial(first)
				where(t, other, "stay")
				c := h.w.dial(first)
				allUp(c, first)
				h.w.deafen(first)
				answer := make(chan error)
				go func() {
					_, err := Run[string](t.Context(), c.Runner("numbers"), "where", "")
					answer <- err
				}()
				synctest.Wait() // it has arrived, and waits: the runner is full
				refuse(h, l)
				synctest.Wait()
				h.open(second, actors.TaskRunnerConfig{MaxChildren: 50, Store: store.NewMemory()})
				h.w.cut()
				c.mu.Lock()
				c.open(second, "")
				c.mu.Unlock()
				if err := <-answer; !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%v, want store.ErrUnavailable: it was accepted", err)
				}
				if h.ran[second] != 0 {
					t.Error("it was handed over to another one too")
				}
				close(h.release)
			})
		})
	}
}
