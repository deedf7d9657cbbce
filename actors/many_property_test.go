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

// polls are tasks and how their owner asks for them.
type polls struct {
	fates []fate
	owner string
	list  []poll
	await time.Duration // in the end, all that are left with AwaitMany, for so long; negative: not at all
}

type poll struct {
	pause   time.Duration
	options actors.YieldOptions
}

func drawPolls(t *rapid.T) polls {
	ms := func(most int, name string) time.Duration {
		return time.Duration(rapid.IntRange(-1, most).Draw(t, name)) * time.Millisecond
	}
	p := polls{fates: drawFates(t, 8), owner: rapid.SampledFrom([]string{"server", "function", "outside"}).Draw(t, "owner")}
	for range rapid.IntRange(0, 4).Draw(t, "polls") {
		p.list = append(p.list, poll{pause: max(0, ms(10, "pause")), options: actors.YieldOptions{
			Timeout: ms(20, "timeout"), Limit: rapid.IntRange(0, 4).Draw(t, "limit"),
			OnTimeout: rapid.SampledFrom([]actors.OnTimeout{actors.LeaveRunning, actors.LeaveRunning, actors.IgnoreTask, actors.KillTask}).Draw(t, "on timeout"),
		}})
	}
	p.await = ms(40, "await")
	return p
}

// pollModel is what the owner should see.
type pollModel struct {
	fates []fate
	now   time.Duration
	left  []int // the tasks that may be asked for
	seen  []string
}

func (m *pollModel) ended(i int) bool { return m.fates[i].d <= m.now }

// outcome names what a task that has ended gives.
func (f fate) outcome(i int) string {
	if f.end == "value" {
		return fmt.Sprint(i)
	}
	return f.end
}

// ends gives the tasks that are left in the order of their ends.
func (m *pollModel) ends() []int {
	order := slices.Clone(m.left)
	slices.SortFunc(order, func(a, b int) int { return int(m.fates[a].d - m.fates[b].d) })
	return order
}

func (m *pollModel) poll(p poll) {
	m.now += p.pause
	enough := len(m.left)
	if p.options.Limit > 0 {
		enough = min(enough, p.options.Limit)
	}
	until, reached := m.now+max(p.options.Timeout, 0), true
	if enough > 0 {
		last := m.fates[m.ends()[enough-1]].d
		reached = last <= until
		until = min(until, max(m.now, last))
	} else {
		until = m.now
	}
	m.now = until
	var left []int
	for _, i := range m.left {
		switch {
		case m.ended(i):
			m.seen = append(m.seen, m.fates[i].outcome(i))
		case reached || p.options.OnTimeout == actors.LeaveRunning:
			left = append(left, i)
			m.seen = append(m.seen, "-")
		default:
			m.seen = append(m.seen, "-")
		}
	}
	m.left = left
}

// await is AwaitMany. Failures that are there already come in the order of the tasks, later ones in that of their ends.
func (m *pollModel) await(timeout time.Duration) {
	order := slices.DeleteFunc(m.ends(), m.ended)
	order = slices.Concat(slices.DeleteFunc(slices.Clone(m.left), func(i int) bool { return !m.ended(i) }), order)
	until := m.now + timeout
	for _, i := range order {
		if m.fates[i].d > until {
			m.seen, m.now = append(m.seen, "deadline"), until
			return
		}
		m.now = max(m.now, m.fates[i].d)
		if m.fates[i].end != "value" {
			m.seen = append(m.seen, m.fates[i].end)
			m.left = slices.DeleteFunc(m.left, func(j int) bool { return j == i })
			return
		}
	}
	m.seen, m.left = append(m.seen, fmt.Sprint(m.left)), nil
}

// run does as the model does, with real tasks. It gives what it saw, how long that took, and the tasks that are left.
func (p polls) run(ctx context.Context, r *stage) (seen []string, took time.Duration, left []*actors.Task[int]) {
	began := time.Now()
	for i, f := range p.fates {
		task, err := actors.AsyncNoLink(ctx, r.tasks, func(ctx context.Context) (int, error) { return f.run(ctx, i) })
		if err != nil {
			r.Error(err)
		}
		left = append(left, task)
	}
	for _, poll := range p.list {
		time.Sleep(poll.pause)
		list, err := actors.YieldMany(ctx, poll.options, left...)
		if err != nil {
			r.Error(err)
		}
		left = nil
		for _, y := range list {
			seen = append(seen, shownOutcome(y.Value, y.Ended, y.Err))
			if _, _, err := y.Task.Yield(ctx, 0); !errors.Is(err, actors.ErrConsumed) {
				left = append(left, y.Task)
			}
		}
	}
	if p.await >= 0 {
		short, cancel := context.WithTimeout(ctx, p.await)
		defer cancel()
		values, err := actors.AwaitMany(short, left...)
		seen = append(seen, nameOfMany(values, err))
	}
	return seen, time.Since(began), left
}

func shownOutcome(value int, ended bool, err error) string {
	switch {
	case !ended && err == nil:
		return "-"
	case err != nil:
		return nameOf(err)
	}
	return fmt.Sprint(value)
}

func nameOfMany(values []int, err error) string {
	if err != nil {
		return nameOf(err)
	}
	return fmt.Sprint(values)
}

// TestManyAgainstTheirModel: what YieldMany and AwaitMany give, when, and which messages come afterwards, over random tasks,
// options and owners.
func TestManyAgainstTheirModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPolls(rt)
		m := &pollModel{fates: p.fates}
		for i := range p.fates {
			m.left = append(m.left, i)
		}
		for _, poll := range p.list {
			m.poll(poll)
		}
		quiet := p.await >= 0
		if quiet {
			m.await(p.await)
		}
		var problem string
		onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) {
			o := map[string]func() *owner{
				"server": func() *owner { return r.startServer(actors.GenServerOptions{}) }, "function": r.startFunction, "outside": r.outside,
			}[p.owner]()
			var seen []string
			var took time.Duration
			var left []*actors.Task[int]
			if err := o.do(func(ctx context.Context) error { seen, took, left = p.run(ctx, r); return nil }); err != nil {
				problem = err.Error()
			}
			time.Sleep(time.Hour)
			downs := 0
			for _, message := range o.got() {
				if _, ok := message.(messages.Down); ok {
					downs++
				}
			}
			wantDowns := 0
			if p.owner == "server" && !quiet {
				wantDowns = len(m.left)
			}
			switch {
			case !slices.Equal(seen, m.seen):
				problem = fmt.Sprintf("got %q, want %q", seen, m.seen)
			case took != m.now:
				problem = fmt.Sprintf("it took %s, want %s", took, m.now)
			case downs != wantDowns:
				problem = fmt.Sprintf("%d Downs, want %d", downs, wantDowns)
			}
			for _, task := range left {
				if task.Listeners() != 0 {
					problem = "a task that has ended has listeners"
				}
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
