package supervisor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// traced gives what a process gets while do runs, as text, but for the ends of others.
func (b *bench) traced(pid messages.PID, do func()) (lines []string) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	events, err := b.system.Trace(ctx, pid, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	do()
	synctest.Wait()
	cancel()
	for e := range events {
		switch e.Message.(type) {
		case messages.Exit, messages.Down:
			continue
		}
		if e.What == process.Received {
			lines = append(lines, e.Callback+" "+process.Render(e.Message))
		}
	}
	return lines
}

// Who traces a supervisor reads what it was asked, and for which child.
func TestTracesOfSupervisors(t *testing.T) {
	inBubble(t, func(b *bench) {
		want := func(got []string, want ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("the trace is %q, want %q", got, want)
			}
		}
		s := b.supervise(supervisor.Config{Backoff: supervisor.Backoff{Initial: time.Second}}, b.kid("a"))
		k := b.kid("b")
		want(b.traced(s.PID(), func() {
			_, _ = s.StartChild(b.ctx, k.ChildSpec)
			_ = s.TerminateChild(b.ctx, "b")
			_, _ = s.ChildSpec(b.ctx, "b")
			_ = s.DeleteChild(b.ctx, "b")
			_, _ = s.RestartChild(b.ctx, "b")
			_, _ = s.WhichChildren(b.ctx)
			_, _ = s.CountChildren(b.ctx)
		}), `HandleCall StartChild "b"`, `HandleCall TerminateChild "b"`, `HandleCall ChildSpec "b"`, `HandleCall DeleteChild "b"`,
			`HandleCall RestartChild "b"`, "HandleCall WhichChildren", "HandleCall CountChildren")
		d := b.dynamic(supervisor.DynamicConfig{})
		want(b.traced(d.PID(), func() {
			b.add(d, k)
			_ = d.TerminateChild(b.ctx, k.pid())
			_, _ = d.StartChild(b.ctx, supervisor.ChildSpec{Start: func(context.Context) (messages.PID, error) { return messages.PID{}, errBoom }})
		}), `HandleCall StartChild "b"`, "HandleCall TerminateChild "+k.pid().String(), "HandleCall StartChild")
		p := b.partition(supervisor.PartitionConfig{Partitions: 2})
		want(b.traced(p.PID(), func() { _, _ = p.Resize(b.ctx, 1) }), "HandleCall Resize to 1")
	})
}

// What a supervisor sends itself reads as what it is about to do.
func TestTracesOfRestarts(t *testing.T) {
	inBubble(t, func(b *bench) {
		backoff := supervisor.Backoff{Initial: time.Second}
		k, l := b.kid("k"), b.kid("l")
		s, d := b.supervise(supervisor.Config{Backoff: backoff}, k), b.dynamic(supervisor.DynamicConfig{Backoff: backoff})
		b.add(d, l)
		want := fmt.Sprintf("HandleInfo start %s again", l.pid())
		for _, c := range []struct {
			pid  messages.PID
			kid  *kid
			want string
		}{{s.PID(), k, `HandleInfo start "k" again`}, {d.PID(), l, want}} {
			lines := b.traced(c.pid, func() {
				b.end(c.kid, errBoom)
				time.Sleep(time.Second)
			})
			if !slices.Equal(lines, []string{c.want}) {
				t.Errorf("the trace is %q, want %q", lines, c.want)
			}
		}
	})
}

// Who looks at a supervisor whose child hangs in its Start sees what it does.
func TestTheTreeOfABusySupervisor(t *testing.T) {
	inBubble(t, func(b *bench) {
		s := b.supervise(supervisor.Config{})
		k := b.kid("slow")
		k.slow = time.Minute
		go func() { _, _ = s.StartChild(b.ctx, k.ChildSpec) }()
		synctest.Wait()
		if tree := b.system.Tree(); !strings.Contains(tree, "in HandleCall supervisor.startChild") {
			t.Errorf("the tree is\n%s", tree)
		}
		time.Sleep(time.Minute)
	})
}
