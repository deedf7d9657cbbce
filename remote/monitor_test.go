package remote

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// watched is what a monitor has told, and when.
type watched struct {
	began time.Time
	downs chan messages.Down
}

func watch(begin func(told func(messages.Down)) *Monitor) (*watched, *Monitor) {
	w := &watched{time.Now(), make(chan messages.Down, 4)}
	return w, begin(func(down messages.Down) { w.downs <- down })
}

// want wants one noconnection within so much of the bubble's time.
func (w *watched) want(t *testing.T, what string, m *Monitor, within time.Duration) {
	t.Helper()
	w.began = time.Now()
	select {
	case down := <-w.downs:
		if !errors.Is(down.Reason, messages.NoConnection) || m != nil && down.Ref != m.Ref() {
			t.Errorf("%s: %+v, want noconnection", what, down)
		}
		if took := time.Since(w.began); took > within {
			t.Errorf("%s: told after %s, want at most %s", what, took, within)
		}
	case <-time.After(time.Minute):
		t.Errorf("%s: nothing was told", what)
	}
}

func (w *watched) wantNothing(t *testing.T, what string) {
	t.Helper()
	synctest.Wait()
	select {
	case down := <-w.downs:
		t.Errorf("%s: %+v, want nothing", what, down)
	default:
	}
}

// watchAll monitors a node, a runner, and a task that does not end.
func watchAll(t *testing.T, c *Client) (all map[string]*watched, node *Monitor) {
	t.Helper()
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	task, err := Run[string](t.Context(), c.Runner("numbers"), "hang", "")
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]*watched{}
	all["runner"], _ = watch(c.Runner("numbers").Monitor)
	all["task"], _ = watch(func(told func(messages.Down)) *Monitor { return c.Runner("numbers").MonitorTask(task.ID(), told) })
	all["node"], node = watch(func(told func(messages.Down)) *Monitor { return c.MonitorNode(c.Nodes()[0].Name, told) })
	synctest.Wait()
	return all, node
}

func TestMonitorsTellOfTheEndOfAConnection(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(w *wire, l *Listener, c *Client)
		within time.Duration
	}{
		"it is closed":         {func(w *wire, _ *Listener, _ *Client) { w.cut() }, 0},
		"the listener stops":   {func(_ *wire, l *Listener, _ *Client) { _ = l.Stop(context.Background()) }, 0},
		"the client is closed": {func(_ *wire, _ *Listener, c *Client) { _ = c.Close(context.Background()) }, 0},
		"it falls silent":      {func(w *wire, _ *Listener, _ *Client) { w.silence(first) }, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t)
				l := w.listen(first, ListenConfig{Runners: []*actors.TaskRunner{startRunner(t, hanging())}, DrainTimeout: -1})
				c := w.dial(first)
				all, _ := watchAll(t, c)
				for what, one := range all {
					one.wantNothing(t, what+", before")
				}
				test.end(w, l, c)
				left := test.within
				for what, one := range all {
					began := time.Now()
					one.want(t, what, nil, left)
					left -= time.Since(began)
				}
			})
		})
	}
}

func hanging() actors.TaskRunnerConfig {
	return actors.TaskRunnerConfig{Name: "numbers", Kinds: actors.Kinds{
		actors.Kind("hang", func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", context.Cause(ctx)
		}),
		actors.Kind("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
	}, DrainTimeout: -1}
}

func TestMonitorOfANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		config := ListenConfig{Runners: []*actors.TaskRunner{startRunner(t, hanging())}, DrainTimeout: -1}
		w.listen(first, config)
		c := w.dial(first)
		nobody, m := watch(func(told func(messages.Down)) *Monitor { return c.MonitorNode("nobody", told) })
		nobody.want(t, "of a node that is not there", m, 0)
		all, m := watchAll(t, c)
		node := c.Nodes()[0].Name
		stopped, monitor := watch(func(told func(messages.Down)) *Monitor { return c.MonitorNode(node, told) })
		monitor.Stop()
		monitor.Stop() // again
		c.mu.Lock()
		n := len(c.links[0].watchers)
		c.mu.Unlock()
		if n != 1 {
			t.Errorf("%d watchers are left, want the one that was not stopped", n)
		}
		w.cut()
		all["node"].want(t, "of a node whose connection is lost", m, 0)
		stopped.wantNothing(t, "a monitor that was stopped")
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		all["node"].wantNothing(t, "told once")
		again, m := watch(func(told func(messages.Down)) *Monitor { return c.MonitorNode(node, told) })
		again.wantNothing(t, "the same node is there again")
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		again.want(t, "when the client is closed", m, 0)
		closed, m := watch(func(told func(messages.Down)) *Monitor { return c.MonitorNode(node, told) })
		closed.want(t, "of a client that is closed", m, 0)
	})
}

// TestANodeWithTwoAddresses is there as long as one of them leads to it.
func TestANodeWithTwoAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		config := ListenConfig{Runners: []*actors.TaskRunner{startRunner(t, hanging())}, DrainTimeout: -1}
		const other = "[::1]:7070"
		one, two := w.listen(first, config), w.listen(other, config)
		c := w.dial(first + "," + other)
		for len(c.Nodes()) < 2 || !c.Nodes()[0].Up || !c.Nodes()[1].Up {
			time.Sleep(time.Millisecond)
		}
		node, m := watch(func(told func(messages.Down)) *Monitor { return c.MonitorNode(c.Nodes()[0].Name, told) })
		_ = one.Stop(t.Context())
		node.wantNothing(t, "one address is left")
		_ = two.Stop(t.Context())
		node.want(t, "none is left", m, 0)
	})
}
