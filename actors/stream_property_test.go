package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// fate is what becomes of one task of a property test.
type fate struct {
	d   time.Duration
	end string // "value", "boom", "panic" or "normal"
}

// drawFates gives tasks no two of which end at the same time, whichever run one after the other: each has a nanosecond bit
// of its own, and timeouts are whole milliseconds.
func drawFates(t *rapid.T, most int) []fate {
	fates := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fate {
		return fate{
			d:   time.Duration(rapid.IntRange(0, 30).Draw(t, "ms")) * time.Millisecond,
			end: rapid.SampledFrom([]string{"value", "value", "value", "boom", "panic", "normal"}).Draw(t, "end"),
		}
	}), 0, most).Draw(t, "fates")
	for i := range fates {
		fates[i].d += 1 << i
	}
	return fates
}

func (f fate) run(ctx context.Context, value int) (int, error) {
	value, err := after(f.d, value)(ctx)
	switch {
	case err != nil:
		return 0, err
	case f.end == "boom":
		return 0, errBoom
	case f.end == "panic":
		panic("ouch")
	case f.end == "normal":
		return 0, messages.Normal
	}
	return value, nil
}

// nameOf names an error as fates do.
func nameOf(err error) string {
	if _, ok := errors.AsType[*messages.PanicError](err); ok {
		return "panic"
	}
	for name, target := range map[string]error{
		"boom": errBoom, "normal": messages.Normal, "timeout": actors.ErrTaskTimeout, "deadline": context.DeadlineExceeded, "consumed": actors.ErrConsumed,
	} {
		if errors.Is(err, target) && (name != "deadline" || !errors.Is(err, actors.ErrTaskTimeout)) {
			return name
		}
	}
	return fmt.Sprint("unexpected ", err)
}

// streamRun is one stream over random tasks.
type streamRun struct {
	fates   []fate
	options actors.StreamOptions
	linked  bool
	owner   string
	trap    bool
	take    int // it breaks off after so many
}

func drawStream(t *rapid.T) streamRun {
	s := streamRun{fates: drawFates(t, 16)}
	s.options = actors.StreamOptions{
		MaxConcurrency: rapid.IntRange(1, 5).Draw(t, "max"), Unordered: rapid.Bool().Draw(t, "unordered"),
		Timeout:       time.Duration(rapid.IntRange(1, 40).Draw(t, "timeout")) * time.Millisecond,
		KillOnTimeout: rapid.Bool().Draw(t, "kill"),
	}
	// Elements whose time is over in the same moment come in any order, so that nothing may tell them apart.
	s.options.ZipInputOnExit = !s.options.Unordered
	s.linked, s.owner, s.trap = rapid.Bool().Draw(t, "linked"), rapid.SampledFrom([]string{"server", "function", "outside"}).Draw(t, "owner"), rapid.Bool().Draw(t, "trap")
	s.take = rapid.IntRange(1, 20).Draw(t, "take")
	return s
}

// model says what the consumer sees, and how long that takes.
func (s streamRun) model() (want []string, took time.Duration) {
	type running struct {
		i    int
		ends time.Duration
	}
	var run []running
	now, next, given := time.Duration(0), 0, 0
	behind := map[int]string{}
	for {
		for ; next < len(s.fates) && len(run) < s.options.MaxConcurrency; next++ {
			run = append(run, running{next, now + min(s.fates[next].d, s.options.Timeout)})
		}
		if len(run) == 0 {
			return want, now
		}
		slices.SortStableFunc(run, func(a, b running) int { return int(a.ends - b.ends) })
		e := run[0]
		run, now = run[1:], e.ends
		shown := s.shown(e.i)
		if s.fatal(e.i) {
			return append(want, "stream: "+shown), now
		}
		behind[e.i] = shown
		if s.options.Unordered {
			want = append(want, shown)
		} else {
			for ; behind[given] != ""; given++ {
				want = append(want, behind[given])
			}
		}
		if len(want) >= s.take {
			return want[:s.take], now
		}
	}
}

func (s streamRun) late(i int) bool { return s.fates[i].d > s.options.Timeout }

// fatal reports whether the end of this element is that of the stream.
func (s streamRun) fatal(i int) bool {
	if s.late(i) {
		return !s.options.KillOnTimeout
	}
	trapping := s.trap && s.owner == "server"
	return s.linked && !trapping && s.fates[i].end != "value" && s.fates[i].end != "normal"
}

func (s streamRun) shown(i int) string {
	name := s.fates[i].end
	switch {
	case s.late(i) && !s.options.KillOnTimeout:
		return "timeout" // of no element
	case s.late(i):
		name = "timeout"
	case name == "value":
		return fmt.Sprint(i)
	}
	if s.options.ZipInputOnExit {
		return fmt.Sprint(i, " ", name)
	}
	return name
}

// seen runs the stream and gives what the consumer saw.
func (s streamRun) seen(ctx context.Context, r *stage) (got []string) {
	how := actors.AsyncStreamNoLink[int, int]
	if s.linked {
		how = actors.AsyncStream[int, int]
	}
	for value, err := range r.stream(ctx, how, upTo(len(s.fates)), func(ctx context.Context, i int) (int, error) { return s.fates[i].run(ctx, i) }, s.options) {
		shown := fmt.Sprint(value)
		if err != nil {
			shown = nameOf(err)
		}
		if zipped, ok := errors.AsType[*actors.InputError](err); ok {
			shown = fmt.Sprint(zipped.Input, " ", shown)
		}
		if _, ok := errors.AsType[*actors.StreamError](err); ok {
			shown = "stream: " + shown
		}
		if got = append(got, shown); len(got) == s.take {
			break
		}
	}
	return got
}

// TestAStreamAgainstItsModel: the elements that come, their order, when, and what is left, over random tasks, options and
// consumers. The supervisor has room for MaxConcurrency tasks, so that one more at once would be refused.
func TestAStreamAgainstItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStream(rt)
		var problem string
		onStage(t, actors.TaskSupervisorConfig{MaxChildren: s.options.MaxConcurrency}, func(r *stage) {
			o := map[string]func() *owner{
				"server":   func() *owner { return r.startServer(actors.GenServerOptions{TrapExit: s.trap}) },
				"function": r.startFunction, "outside": r.outside,
			}[s.owner]()
			want, took := s.model()
			var got []string
			began := time.Now()
			o.end(func(ctx context.Context) error {
				got = s.seen(ctx, r)
				took -= time.Since(began)
				return ctx.Err()
			})
			time.Sleep(time.Hour)
			left := o.got()
			pids, err := r.tasks.Children(r.ctx)
			switch {
			case !slices.Equal(got, want):
				problem = fmt.Sprintf("got %q, want %q", got, want)
			case took != 0:
				problem = fmt.Sprintf("it took %s less than it should", took)
			case len(left) != 0 || len(pids) != 0 || err != nil || r.system.Abandoned() != 0:
				problem = fmt.Sprintf("left: messages %v, tasks %v (%v), %d abandoned", left, pids, err, r.system.Abandoned())
			}
			if info, alive := r.system.Info(o.pid); alive && len(info.Links)+info.Monitors != 0 {
				problem = fmt.Sprintf("left: %+v", info)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
