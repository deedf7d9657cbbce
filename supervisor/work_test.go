package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// job is work that notes what happens to it.
type job struct {
	id  string
	run func(ctx context.Context) error

	mu   sync.Mutex
	seen []string
}

func (j *job) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seen = append(j.seen, what)
}

func (j *job) notes() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.seen)
}

func (j *job) ID() string           { return j.id }
func (j *job) Started(messages.PID) { j.note("started") }
func (j *job) Ended(reason error)   { j.note(fmt.Sprint("ended: ", reason)) }

func (j *job) Run(ctx context.Context) error {
	j.note("runs")
	return j.run(ctx)
}

func startWork(t *testing.T, sys *supervisor.System, sup *supervisor.DynamicSupervisor, jobs ...*job) []process.Started {
	t.Helper()
	request := process.StartWork{Shutdown: supervisor.BrutalKill}
	for _, j := range jobs {
		request.Work = append(request.Work, j)
	}
	answer, err := process.Call(t.Context(), sys, sup.PID(), request)
	if err != nil {
		t.Fatal(err)
	}
	return answer.([]process.Started)
}

// TestWork: each is a temporary child with its ID, is told of its start before it runs and of its end however it ends, and touches
// no other.
func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := process.NewSystem(process.Config{})
		sup, err := supervisor.StartDynamic(t.Context(), sys, supervisor.DynamicConfig{MaxChildren: 4})
		if err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		wait := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		jobs := []*job{
			{id: "good", run: func(context.Context) error { return nil }},
			{id: "bad", run: func(context.Context) error { return boom }},
			{id: "panics", run: func(context.Context) error { panic("ouch") }},
			{id: "waits", run: wait},
			{id: "late", run: wait},
		}
		answers := startWork(t, sys, sup, jobs...)
		synctest.Wait()
		var full *supervisor.MaxChildrenError
		if err := answers[4].Err; !errors.As(err, &full) || full.Limit != 4 {
			t.Errorf("one too many: %v", err)
		}
		for i, want := range []string{"ended: normal", "ended: boom", "ended: panic: ouch"} {
			if got := jobs[i].notes(); len(got) != 3 || got[0] != "started" || got[1] != "runs" || got[2] != want || answers[i].Err != nil {
				t.Errorf("%s: %q, %v", jobs[i].id, got, answers[i].Err)
			}
		}
		if got := jobs[4].notes(); len(got) != 0 {
			t.Errorf("the one too many: %q", got)
		}
		children, err := sup.WhichChildren(t.Context())
		if err != nil || len(children) != 1 || children[0].ID != "waits" || children[0].PID != answers[3].PID || children[0].Restart != supervisor.Temporary {
			t.Errorf("children: %+v, %v", children, err)
		}
		if err := sup.TerminateChild(t.Context(), answers[3].PID); err != nil {
			t.Error(err)
		}
		if got := jobs[3].notes(); len(got) != 3 || got[2] != "ended: killed" {
			t.Errorf("the one that was terminated: %q", got)
		}
		if err := sys.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
