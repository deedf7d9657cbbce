package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// story is a history in the making, of one receiver, one sender and one watcher. Its times are in milliseconds.
type story struct {
	history
	now int
}

// Its machines.
const (
	theReceiver = iota
	theSender
	theWatcher
)

func newStory() *story {
	return &story{history: history{
		Machines: []string{"receiver-0", "sender-0", "watcher-0"}, Roles: []string{receiving, sending, watching}, Receivers: []int{0}, Recorded: make([]recorded, 1),
	}}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// note has a machine note an event, a millisecond after the one before.
func (s *story) note(machine int, e event) {
	s.now++
	e.At, e.Machine = ms(s.now), machine
	s.Events = append(s.Events, e)
}

// run has a run of this number asked for, accepted, executed and told.
func (s *story) run(number int) {
	token := tokenOf("sender-0", 0, number)
	id := order{Token: token}.id()
	s.note(theSender, event{What: isAsked, Token: token, ID: id})
	args, _ := json.Marshal(order{Token: token})
	s.note(theReceiver, event{What: isStarted, Token: token, ID: id, Run: 1})
	s.note(theSender, event{What: isAccepted, Token: token, ID: id})
	s.note(theSender, event{What: isTold, Token: token, ID: id, State: store.Completed, Result: token + "/1", How: byHandle})
	r := &s.Recorded[0]
	n := int64(len(r.Tasks) + 1)
	task := store.Task{ID: id, Seq: n, Pos: 10 * n, Args: args, State: store.Completed, Run: 1, Attempt: 1, Result: []byte(token + "/1")}
	r.Tasks, r.Log = append(r.Tasks, task), append(r.Log, task)
	s.hear(number)
}

// hear has the sender's subscriber be told of the outcome of a run.
func (s *story) hear(number int) {
	t := s.Recorded[0].Log[number]
	s.note(theSender, event{What: isHeard, ID: t.ID, Run: t.Run, State: t.State, Result: string(t.Result), Pos: t.Pos})
}

func (s *story) follow() { s.note(theSender, event{What: isFollowing}) }

func (s *story) acknowledge(pos int64, unsure bool) {
	s.note(theSender, event{What: isAcknowledged, Pos: pos, Unsure: unsure})
}

// trouble is made for a machine, for so long.
func (s *story) trouble(kind string, machine, length int) {
	t := trouble{Kind: kind, Machine: machine, From: ms(s.now + 1), To: ms(s.now + 1 + length)}
	s.now += length + 1
	s.Troubles = append(s.Troubles, t)
}

// drop forgets the events of a kind of the run.
func (s *story) drop(kind what, number int) {
	token := tokenOf("sender-0", 0, number)
	s.Events = slices.DeleteFunc(s.Events, func(e event) bool { return e.What == kind && e.Token == token })
}

// change changes the events of a kind of the run.
func (s *story) change(kind what, number int, change func(*event)) {
	for i := range s.Events {
		if e := &s.Events[i]; e.What == kind && e.Token == tokenOf("sender-0", 0, number) {
			change(e)
		}
	}
}

func (s *story) task(number int) *store.Task { return &s.Recorded[0].Tasks[number] }

// all is a story in which nothing is broken, although much happens: run 1 was killed and ran again, the answer to run 2 was lost.
func all() *story {
	s := newStory()
	s.follow()
	s.run(0)
	s.acknowledge(10, false)
	s.run(1)
	s.acknowledge(20, true)
	s.follow()
	s.hear(1)
	s.note(theReceiver, event{What: isStarted, Token: tokenOf("sender-0", 0, 1), Run: 2, Life: 1})
	s.run(2)
	s.change(isAccepted, 2, func(e *event) { e.Existed = true })
	s.note(theWatcher, event{What: isWatching})
	s.trouble(cutBoth, theReceiver, 14_000)
	s.now -= 1000
	s.note(theWatcher, event{What: isDown, How: ofRunner, Text: messages.NoConnection.Error()})
	s.note(theWatcher, event{What: isDown, How: ofTask, Text: messages.NoConnection.Error()})
	s.now += 1000
	s.run(3)
	return s
}

func TestJudge(t *testing.T) {
	t.Parallel()
	sorted, found := judge(&all().history)
	for _, v := range found {
		t.Errorf("of a story in which nothing is broken: %s: %s", v.Promise, v.Text)
	}
	if got := sorted[1].again(); got != 1 {
		t.Errorf("run 1 ran again %d times, want once", got)
	}
	for name, c := range map[string]struct {
		breaks  func(*story)
		promise string
	}{
		"not recorded":         {func(s *story) { s.Recorded[0].Tasks = s.Recorded[0].Tasks[:3] }, "what is accepted is recorded"},
		"not told":             {func(s *story) { s.drop(isTold, 2) }, "what is accepted is told to who has asked"},
		"told something else":  {func(s *story) { s.change(isTold, 0, func(e *event) { e.Result = "x" }) }, "what was told is what is recorded"},
		"told as failed":       {func(s *story) { s.change(isTold, 0, func(e *event) { e.State = store.Discarded }) }, "what was told is what is recorded"},
		"told another reason":  {toldAnotherReason, "what was told is what is recorded"},
		"told of another task": {func(s *story) { s.change(isTold, 0, func(e *event) { e.ID = s.task(2).ID }) }, "what was told is what is recorded"},
		"told two outcomes": {func(s *story) {
			s.note(theSender, event{What: isTold, Token: tokenOf("sender-0", 0, 0), ID: s.task(0).ID, State: store.Cancelled, How: byID})
		}, "what was told is what is recorded"},
		"recorded twice": {func(s *story) {
			again := *s.task(0)
			again.ID, again.Seq = "x", 99
			s.Recorded[0].Tasks = append(s.Recorded[0].Tasks, again)
		}, "a run is accepted once, however often it is sent"},
		"nobody asked":      {func(s *story) { s.drop(isAsked, 0) }, "nothing is recorded that nobody asked for, or that was refused"},
		"refused":           {func(s *story) { refused(s, false) }, "nothing is recorded that nobody asked for, or that was refused"},
		"not ended":         {func(s *story) { refused(s, true); s.task(0).State = store.Running }, "what is recorded has ended"},
		"same run twice":    {func(s *story) { s.change(isStarted, 1, func(e *event) { e.Run = 1 }) }, "a task runs again only if its process has died, or it asked for that"},
		"again in one life": {func(s *story) { s.change(isStarted, 1, func(e *event) { e.Life = 0 }) }, "a task runs again only if its process has died, or it asked for that"},
		"out of order":      {func(s *story) { s.task(1).Seq, s.task(2).Seq = 3, 2 }, "runs are recorded in the order in which they were sent"},
		"a crash":           {func(s *story) { s.Crashes = []string{"x"} }, "no process ends by itself"},
		"a broken call":     {func(s *story) { s.note(theSender, event{What: isBroken, Text: "x"}) }, "nothing fails that must not"},
		"a call that takes too long": {func(s *story) {
			s.change(isAccepted, 0, func(e *event) { e.At += longestCall })
		}, "every call gets an answer in bounded time"},
		"nothing goes on": {func(s *story) { s.change(isAccepted, 3, func(e *event) { e.At += soon }) }, "everything goes on soon after trouble"},
		"no down":         {func(s *story) { s.Events = slices.DeleteFunc(s.Events, func(e event) bool { return e.What == isDown }) }, "a monitor tells"},
		"a late down": {func(s *story) {
			s.changeDowns(func(e *event) { e.At += 3 * time.Second })
		}, "a monitor tells in time"},
		"a late down of a closed connection": {func(s *story) { s.Troubles[0].Kind = killed }, "a monitor tells in time"},
		"heard again what was acknowledged":  {func(s *story) { s.follow(); s.hear(0) }, "a subscriber misses nothing"},
		"heard again in one sequence":        {func(s *story) { s.hear(2) }, "a subscriber misses nothing"},
		"heard with a gap":                   {func(s *story) { s.dropHeard(2) }, "a subscriber misses nothing"},
		"heard of what is not recorded": {func(s *story) {
			s.note(theSender, event{What: isHeard, ID: "x", Pos: 99})
		}, "a subscriber misses nothing"},
		"heard another outcome": {func(s *story) {
			s.changeHeard(2, func(e *event) { e.Result = "x" })
		}, "a subscriber misses nothing"},
		"not heard of the last": {func(s *story) { s.dropHeard(3) }, "a subscriber misses nothing"},
		"another reason":        {func(s *story) { s.changeDowns(func(e *event) { e.Text = "normal" }) }, "a monitor tells noconnection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := all()
			c.breaks(s)
			_, found := judge(&s.history)
			if len(found) == 0 {
				t.Fatal("nothing was found")
			}
			for _, v := range found {
				if v.Promise != c.promise {
					t.Errorf("found broken: %q (%s), want %q", v.Promise, v.Text, c.promise)
				}
			}
		})
	}
}

func toldAnotherReason(s *story) {
	task := s.task(0)
	task.State, task.History = store.Discarded, []store.Attempt{{Run: 1, Error: "this"}}
	s.change(isTold, 0, func(e *event) { e.State, e.Text = store.Discarded, "that" })
}

func (s *story) changeDowns(change func(*event)) {
	for i := range s.Events {
		if s.Events[i].What == isDown {
			change(&s.Events[i])
		}
	}
}

func (s *story) dropHeard(number int) {
	s.Events = slices.DeleteFunc(s.Events, func(e event) bool { return e.What == isHeard && e.Pos == s.Recorded[0].Log[number].Pos })
}

func (s *story) changeHeard(number int, change func(*event)) {
	for i := range s.Events {
		if e := &s.Events[i]; e.What == isHeard && e.Pos == s.Recorded[0].Log[number].Pos {
			change(e)
		}
	}
}

// refused has the answer to run 0 be a refusal.
func refused(s *story, unsure bool) {
	s.drop(isAccepted, 0)
	s.drop(isTold, 0)
	s.note(theSender, event{What: isRefused, Token: tokenOf("sender-0", 0, 0), Text: "no room", Unsure: unsure})
}

func TestWhatIsNoViolation(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*story){
		"a refusal that says it may be": func(s *story) { refused(s, true) },
		"a task that failed runs again": func(s *story) {
			s.change(isStarted, 1, func(e *event) { e.Life = 0 })
			s.task(1).History = []store.Attempt{{Run: 1, Error: "as planned"}}
		},
		"told twice, the same": func(s *story) {
			s.note(theSender, event{What: isTold, Token: tokenOf("sender-0", 0, 0), ID: s.task(0).ID, State: store.Completed, Result: string(s.task(0).Result), How: byID})
		},
		"by RunMany, the order of another life": func(s *story) {
			s.Many = true
			s.task(1).Seq, s.task(2).Seq = 3, 2
			for _, number := range []int{2, 3} {
				s.change(isAsked, number, func(e *event) { e.Life = 1 })
				s.change(isAccepted, number, func(e *event) { e.Life = 1 })
			}
		},
		"it goes on late, and other trouble was between": func(s *story) {
			s.change(isAccepted, 3, func(e *event) { e.At += soon })
			s.Troubles = append(s.Troubles, trouble{Kind: killed, Machine: theSender, From: ms(s.now + 5), To: ms(s.now + 6)})
		},
		"a trouble in which nobody monitors": func(s *story) { s.trouble(killed, theReceiver, 10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := all()
			change(s)
			_, found := judge(&s.history)
			for _, v := range found {
				t.Errorf("found broken: %s: %s", v.Promise, v.Text)
			}
		})
	}
}

// TestAccuse: who is told of a broken promise is told the whole story.
func TestAccuse(t *testing.T) {
	t.Parallel()
	s := all()
	s.drop(isTold, 2)
	sorted, found := judge(&s.history)
	var out strings.Builder
	tally(&out, &s.history, sorted)
	accuse(&out, &s.history, found)
	for _, want := range []string{
		"4    accepted", "1    that existed", "1    more than once", "down after silent both ways: 2 times", "BROKEN 1 times: what is accepted is told to who has asked",
		"run sender-0.0.2", fmt.Sprintf("recorded at receiver-0: task %s", s.task(2).ID), "receiver-0 silent both ways",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the report does not say %q:\n%s", want, out.String())
		}
	}
}
