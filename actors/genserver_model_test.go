package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// step is one thing that a client does. What is not a message has only a kind, and, for a sleep, how long it takes.
type step struct {
	kind      string // cast, info, call, sleep, suspend, resume
	id        int
	takes     time.Duration // of the callback
	continues int           // how often
	timeout   time.Duration // that it asks for in the end; negative: none
	noReply   bool          // for a call: it is answered by its last continue, or not at all
}

func (s step) isMessage() bool { return s.kind == "cast" || s.kind == "info" || s.kind == "call" }

// Nothing happens at the same instant as anything else, or the order would be anybody's guess: clients act every ten
// milliseconds, callbacks take a few microseconds more, timeouts one.
var (
	aStep = rapid.Custom(func(t *rapid.T) step {
		return step{
			kind:      rapid.SampledFrom([]string{"cast", "cast", "info", "info", "call", "call", "sleep", "sleep", "suspend", "resume"}).Draw(t, "kind"),
			takes:     rapid.SampledFrom([]time.Duration{0, 0, 0, 20*time.Millisecond + 7*time.Microsecond, 50*time.Millisecond + 7*time.Microsecond}).Draw(t, "takes"),
			continues: rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "continues"),
			timeout:   rapid.SampledFrom([]time.Duration{-1, -1, 0, 0, 10*time.Millisecond + time.Microsecond, 30*time.Millisecond + time.Microsecond}).Draw(t, "timeout"),
			noReply:   rapid.Bool().Draw(t, "no reply"),
		}
	})
	someSteps = rapid.SliceOfN(aStep, 1, 40)
)

const tick = 10 * time.Millisecond

// model says what a GenServer does, as a queue, a clock and nothing else.
type model struct {
	now       time.Duration
	queue     []any // a step, a string, or expired
	held      []any
	suspended bool
	wait      int // counts the messages: a timeout is for one wait
	expiry    time.Duration
	armed     bool
	busy      *step
	until     time.Duration
	ended     bool
	log       []string
	handled   map[int]bool
}

type expired struct{ wait int }

// run lets the server work until the time has come.
func (m *model) run(until time.Duration) {
	for !m.ended {
		switch {
		case m.busy != nil && m.until > until:
			m.now = until
			return
		case m.busy != nil:
			m.now = m.until
			m.finish(*m.busy)
		case len(m.queue) > 0:
			item := m.queue[0]
			m.queue = m.queue[1:]
			m.take(item)
		case m.armed && m.expiry <= until:
			m.now, m.armed = m.expiry, false
			m.queue = append(m.queue, expired{m.wait})
		default:
			m.now = until
			return
		}
	}
}

func (m *model) take(item any) {
	switch item {
	case "suspend":
		m.suspended = true
		return
	case "resume":
		m.suspended = false
		m.queue = append(m.held, m.queue...)
		m.held = nil
		return
	case "stop":
		m.ended = true
		m.log = append(m.log, "terminate")
		return
	}
	if m.suspended {
		m.held = append(m.held, item)
		return
	}
	switch i := item.(type) {
	case expired:
		if i.wait == m.wait {
			m.wait, m.armed = m.wait+1, false
			m.log = append(m.log, "timeout")
		}
	case step:
		m.wait, m.armed = m.wait+1, false
		m.log = append(m.log, fmt.Sprint(i.kind, " ", i.id))
		m.busy, m.until = &i, m.now+i.takes
		m.handled[i.id] = true
	}
}

func (m *model) finish(s step) {
	m.busy = nil
	for n := range s.continues {
		m.log = append(m.log, fmt.Sprint("continue ", s.id, " ", n+1))
	}
	switch {
	case s.timeout == 0:
		m.queue = append(m.queue, expired{m.wait})
	case s.timeout > 0:
		m.armed, m.expiry = true, m.now+s.timeout
	}
}

// predict gives the callbacks in their order, and which messages were handled.
func predict(steps []step) (log []string, handled map[int]bool) {
	m := &model{handled: map[int]bool{}}
	var now time.Duration
	for _, s := range steps {
		switch {
		case s.isMessage():
			m.queue = append(m.queue, s)
		case s.kind == "sleep":
			now += 2 * tick
		default:
			m.queue = append(m.queue, s.kind)
		}
		now += tick
		m.run(now)
	}
	m.queue = append(m.queue, "stop")
	m.run(now + time.Hour)
	return m.log, m.handled
}

// scripted is the server that the model is of: it does what its messages say.
type scripted struct {
	log  *journal
	from map[int]actors.From
}

type goingOn struct {
	step
	n int
}

func (s *scripted) handle(m step) error {
	s.log.add("%s %d", m.kind, m.id)
	time.Sleep(m.takes)
	return s.next(goingOn{m, 0})
}

func (s *scripted) next(g goingOn) error {
	switch {
	case g.n < g.continues:
		g.n++
		return actors.Continue(g)
	case g.timeout >= 0:
		return actors.Timeout(g.timeout)
	}
	return nil
}

func (s *scripted) HandleCall(_ context.Context, request any, from actors.From) (any, error) {
	m := request.(step)
	if m.noReply && m.continues > 0 {
		s.from[m.id] = from
		return nil, errors.Join(actors.NoReply, s.handle(m))
	}
	return m.id, s.handle(m)
}

func (s *scripted) HandleCast(_ context.Context, message any) error { return s.handle(message.(step)) }

func (s *scripted) HandleInfo(_ context.Context, message any) error {
	if (message == messages.Timeout{}) {
		s.log.add("timeout")
		return nil
	}
	return s.handle(message.(step))
}

func (s *scripted) HandleContinue(_ context.Context, argument any) error {
	g := argument.(goingOn)
	s.log.add("continue %d %d", g.id, g.n)
	if from, ok := s.from[g.id]; ok && g.n == g.continues {
		from.Reply(g.id, nil)
	}
	return s.next(g)
}

func (s *scripted) Terminate(context.Context, error) { s.log.add("terminate") }

// play has a client do the steps, and gives what ran, and what the calls got.
func play(t *testing.T, steps []step) (log string, replies map[int]string) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		var ran, answers journal
		g := w.serve(t, ctx, &scripted{log: &ran, from: map[int]actors.From{}}, actors.GenServerOptions{})
		for _, s := range steps {
			switch s.kind {
			case "cast":
				g.Cast(ctx, s)
			case "info":
				g.Info(ctx, s)
			case "call":
				go func() {
					reply, err := g.Call(ctx, s)
					answers.add("%d: %v %v", s.id, reply, err)
				}()
			case "suspend":
				go func() { _ = w.Suspend(ctx, g.PID()) }()
			case "resume":
				go func() { _ = w.Resume(ctx, g.PID()) }()
			case "sleep":
				time.Sleep(2 * tick)
			}
			time.Sleep(tick)
			synctest.Wait()
		}
		if err := g.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		log = ran.String()
		replies = map[int]string{}
		for line := range strings.SplitSeq(answers.String(), ", ") {
			var id int
			if _, err := fmt.Sscanf(line, "%d:", &id); err == nil {
				replies[id] = line
			}
		}
	})
	return log, replies
}

// Whatever is sent to a server, and however it is suspended meanwhile, its callbacks run as a simple model says.
func TestTheCallbacksRunAsTheModelSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := slices.Clone(someSteps.Draw(rt, "steps"))
		for i := range steps {
			steps[i].id = i
		}
		log, handled := predict(steps)
		ran, replies := play(t, steps)
		if want := strings.Join(log, ", "); ran != want {
			rt.Fatalf("ran  %s\nwant %s", ran, want)
		}
		for _, s := range steps {
			want := fmt.Sprintf("%d: %d <nil>", s.id, s.id)
			if !handled[s.id] {
				want = fmt.Sprintf("%d: <nil> normal", s.id) // the server has stopped before
			}
			if s.kind == "call" && replies[s.id] != want {
				rt.Fatalf("a call got %q, want %q", replies[s.id], want)
			}
		}
	})
}
