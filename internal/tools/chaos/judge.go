package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/taskrunner-go/taskrunner/store"
)

// violation is a promise that was broken.
type violation struct {
	Promise string
	Text    string
	Trail   *trail // of the task, if it is about one
}

// judge says which promises a history breaks. It is pure: the same history is always judged alike.
func judge(h *history) ([]*trail, []violation) {
	sorted, found := trails(h)
	found = append(found, judgeLives(h)...)
	found = append(found, judgeLog(h)...)
	for _, t := range sorted {
		c := &matter{h, t, t.of(isStarted)}
		for _, p := range promises {
			if text := p.broken(c); text != "" {
				found = append(found, violation{p.name, text, t})
			}
		}
	}
	return sorted, found
}

// matter is one task before the judge.
type matter struct {
	h      *history
	t      *trail
	starts []event // of its handler, in the order of time
}

// promises are what must hold of each task. Each says how it is broken, "" if it is not.
var promises = []struct {
	name   string
	broken func(*matter) string
}{
	{"what is accepted is recorded", (*matter).lost},
	{"no task that nobody asked for", (*matter).unasked},
	{"a call with the same id is accepted once", (*matter).acceptedTwice},
	{"one outcome, and one more for each retry by hand", (*matter).miscounted},
	{"the last outcome is the task", (*matter).parted},
	{"what was told is what is recorded", (*matter).overwritten},
	{"a run number is used once, and they rise", (*matter).runReused},
	{"no more attempts than were asked for", (*matter).overtried},
	{"each run uses an attempt, but for those that were put off", (*matter).freeRun},
	{"a result is that of its run", (*matter).foreignResult},
	{"a task ends as it was asked to", (*matter).unfounded},
	{"what was cancelled does not run again", (*matter).runAfterCancel},
	{"one run at a time", (*matter).overlapped},
	{"nobody is thought dead who lives", (*matter).buriedAlive},
	{"what was taken is cancelled", (*matter).untold},
	{"what died runs again soon", (*matter).late},
}

// judgeLives: processes end when they are told to.
func judgeLives(h *history) (found []violation) {
	for _, l := range h.Lives {
		if l.Crashed != "" {
			found = append(found, violation{"no process ends by itself", l.Name + ": " + l.Crashed, nil})
		}
	}
	for _, e := range h.Events {
		if e.What == isBroken {
			found = append(found, violation{"nothing fails that must not", h.Lives[e.Process].Name + ": " + e.Text, nil})
		}
	}
	return found
}

// judgeLog: there is one order of outcomes, and who follows it with a cursor is told all of it, in this order, and nothing later
// that stands behind the cursor.
func judgeLog(h *history) (found []violation) {
	for i := 1; i < len(h.Log); i++ {
		if h.Log[i].Pos <= h.Log[i-1].Pos {
			found = append(found, violation{"positions rise", fmt.Sprintf("%d comes after %d", h.Log[i].Pos, h.Log[i-1].Pos), nil})
		}
	}
	told := map[int][]event{} // by slot
	for _, e := range h.Events {
		if e.What == isOutcome {
			slot := h.Lives[e.Process].Slot
			told[slot] = append(told[slot], e)
		}
	}
	for slot, events := range told {
		if text := misled(h.Log, events); text != "" {
			found = append(found, violation{"a cursor misses nothing", fmt.Sprintf("cursor of slot %d: %s", slot, text), nil})
		}
	}
	return found
}

// misled compares what a cursor was told with the log.
func misled(log []store.Task, told []event) string {
	for i, e := range told {
		switch {
		case i >= len(log):
			return fmt.Sprintf("was told of %d outcomes, and there are %d", len(told), len(log))
		case e.Pos != log[i].Pos && (i == 0 || e.Pos > told[i-1].Pos):
			return fmt.Sprintf("was told of the outcome at %d, and not of the one at %d, task %s", e.Pos, log[i].Pos, log[i].ID)
		case e.Pos != log[i].Pos:
			return fmt.Sprintf("was told of the outcome at %d after that at %d", e.Pos, told[i-1].Pos)
		case e.ID != log[i].ID:
			return fmt.Sprintf("was told that task %s ended at %d, and it was %s", e.ID, e.Pos, log[i].ID)
		}
	}
	if len(told) < len(log) {
		return fmt.Sprintf("was told of %d outcomes of %d", len(told), len(log))
	}
	return ""
}

func (m *matter) lost() string {
	if i := slices.IndexFunc(m.t.Events, func(e event) bool { return e.What == isAccepted }); i >= 0 && m.t.Task == nil {
		return "it was accepted and is not recorded"
	}
	return ""
}

func (m *matter) unasked() string {
	if m.t.Task == nil {
		return ""
	}
	asked, refused := m.t.of(isAsked), 0
	for _, e := range m.t.Events {
		if e.What == isRefused && !e.Unsure {
			refused++
		}
	}
	switch {
	case len(asked) == 0:
		return "it is recorded"
	case len(asked) == refused:
		return "it was refused, and is recorded: " + m.t.of(isRefused)[0].Text
	}
	return ""
}

// acceptedTwice: of several calls with one id, one is told that the task is new, and the first call of all is never told that it
// was there already.
func (m *matter) acceptedTwice() string {
	asked, created, named := 0, 0, false
	for _, e := range m.t.Events {
		switch {
		case e.What == isAsked:
			asked, named = asked+1, e.ID != ""
		case e.What == isAccepted && !e.Existed:
			created++
		case e.What == isAccepted && asked == 1 && !(m.h.Rules.LosesAnswers && named):
			return "the first to ask was told that it existed"
		}
	}
	if created > 1 {
		return fmt.Sprintf("it was accepted as new %d times", created)
	}
	return ""
}

// miscounted: a retry by hand is asked for only of a task that has ended, and by nobody else until its answer is known. So each
// that was answered is one outcome more, and one whose answer is not known may be.
func (m *matter) miscounted() string {
	if m.t.Task == nil {
		return ""
	}
	sure, open := m.retries()
	switch n := len(m.t.Outcomes); {
	case !m.t.Task.State.Final():
		return fmt.Sprintf("it has not ended: it is %s", m.t.Task.State)
	case n < 1+sure || n > 1+sure+open:
		return fmt.Sprintf("it has %d outcomes after %d retries by hand, and %d of which the answer is not known", n, sure, open)
	}
	return ""
}

func (m *matter) retries() (sure, open int) {
	for _, e := range m.t.Events {
		switch {
		case e.What == isRetrying:
			open++
		case e.What == isRetried && e.Text == "":
			open--
			sure++
		case e.What == isRetried && !e.Unsure:
			open--
		}
	}
	return sure, open
}

func (m *matter) parted() string {
	if m.t.Task == nil || len(m.t.Outcomes) == 0 {
		return ""
	}
	last := m.t.Outcomes[len(m.t.Outcomes)-1]
	if last.Pos != m.t.Task.Pos || differ(&last, m.t.Task) {
		return fmt.Sprintf("the log says %s at %d, the list %s at %d", describe(&last), last.Pos, describe(m.t.Task), m.t.Task.Pos)
	}
	return ""
}

func differ(a, b *store.Task) bool {
	return a.State != b.State || a.Run != b.Run || a.Attempt != b.Attempt || string(a.Result) != string(b.Result)
}

// overwritten: whatever anybody was told of an outcome is in the log.
func (m *matter) overwritten() string {
	for _, e := range m.t.Events {
		if !tellsOutcome(e) || slices.ContainsFunc(m.t.Outcomes, func(o store.Task) bool { return isOf(e, &o) }) {
			continue
		}
		return fmt.Sprintf("%s: %s, run %d, result %s; there is no such outcome", e.What, e.State, e.Run, e.Result)
	}
	return ""
}

func tellsOutcome(e event) bool {
	switch e.What {
	case isAwaited, isHooked, isOutcome:
		return e.State.Final()
	case isCancelled:
		return e.State == store.Cancelled
	}
	return false
}

// isOf reports whether the event may have told of this outcome. Who awaits a task is not told of its run.
func isOf(e event, o *store.Task) bool {
	switch {
	case e.State != o.State || e.Result != string(o.Result):
		return false
	case e.What == isAwaited:
		return true
	case e.What == isOutcome && (e.Pos != o.Pos || e.Attempt != o.Attempt):
		return false
	}
	return e.Run == o.Run
}

// runReused: a cancelled task that waited ends with the number of the run before.
func (m *matter) runReused() string {
	seen := map[int64]event{}
	for i, e := range m.starts {
		before, used := seen[e.Run]
		switch {
		case used:
			return fmt.Sprintf("run %d was started in %s and in %s", e.Run, m.name(before), m.name(e))
		case i > 0 && e.Run < m.starts[i-1].Run && !m.mayOverlap(e, e.At):
			return fmt.Sprintf("run %d was started in %s after run %d in %s", e.Run, m.name(e), m.starts[i-1].Run, m.name(m.starts[i-1]))
		case m.t.Task != nil && e.Run > m.t.Task.Run:
			return fmt.Sprintf("run %d was started, and the task is recorded with run %d", e.Run, m.t.Task.Run)
		}
		seen[e.Run] = e
	}
	for i := 1; i < len(m.t.Outcomes); i++ {
		a, b := m.t.Outcomes[i-1], m.t.Outcomes[i]
		if b.Run < a.Run || b.Run == a.Run && b.State != store.Cancelled {
			return fmt.Sprintf("the outcome at %d is of run %d, that at %d of run %d", a.Pos, a.Run, b.Pos, b.Run)
		}
	}
	return ""
}

func (m *matter) name(e event) string { return m.h.Lives[e.Process].Name }

func (m *matter) overtried() string {
	sure, open := m.retries()
	most := m.t.order().MaxAttempts + sure + open
	for _, e := range m.starts {
		if e.Attempt > most {
			return fmt.Sprintf("attempt %d of %d, with %d retries by hand", e.Attempt, m.t.order().MaxAttempts, sure+open)
		}
	}
	if m.t.Task != nil && m.t.Task.Attempt > most {
		return fmt.Sprintf("recorded with attempt %d of %d, with %d retries by hand", m.t.Task.Attempt, m.t.order().MaxAttempts, sure+open)
	}
	return ""
}

// freeRun: what snoozes, and what its process gives back when it stops, also if it is killed before it has stopped, leaves the attempt as
// it was. All else uses one.
func (m *matter) freeRun() string {
	byRun := slices.SortedFunc(slices.Values(m.starts), func(a, b event) int { return cmp.Compare(a.Run, b.Run) })
	for i := 1; i < len(byRun); i++ {
		before, e := byRun[i-1], byRun[i]
		putOff := m.t.has(func(r event) bool {
			return r.Run == before.Run && (r.What == isReturned && r.How == withSnooze || r.What == isTold && r.How == byStop)
		})
		if e.Attempt < before.Attempt || e.Attempt == before.Attempt && !putOff && m.h.Lives[before.Process].Told == 0 {
			return fmt.Sprintf("run %d is attempt %d, and run %d is attempt %d", before.Run, before.Attempt, e.Run, e.Attempt)
		}
	}
	return ""
}

func (m *matter) foreignResult() string {
	for _, o := range m.t.Outcomes {
		if o.State != store.Completed {
			continue
		}
		switch e, ok := m.t.ofRun(isReturned, o.Run); {
		case !ok || e.How != withValue:
			return fmt.Sprintf("it was completed by run %d, which did not return a value", o.Run)
		case e.Result != string(o.Result):
			return fmt.Sprintf("run %d returned %s, and %s is recorded", o.Run, e.Result, o.Result)
		}
	}
	return ""
}

// unfounded: nothing is cancelled or discarded for no reason.
func (m *matter) unfounded() string {
	for _, o := range m.t.Outcomes {
		e, _ := m.t.ofRun(isReturned, o.Run)
		asked := m.t.has(func(e event) bool { return e.What == isCancelling })
		switch {
		case o.State == store.Cancelled && !asked && e.How != withCancel:
			return "it was cancelled, and nobody asked for that"
		case o.State == store.Discarded && o.Attempt < o.MaxAttempts && e.How != withDiscard:
			return fmt.Sprintf("it was discarded at attempt %d of %d", o.Attempt, o.MaxAttempts)
		}
	}
	return ""
}

// runAfterCancel: an answered cancel names the run that is the last, unless the task is retried by hand.
func (m *matter) runAfterCancel() string {
	if sure, open := m.retries(); sure+open > 0 {
		return ""
	}
	for _, c := range m.t.of(isCancelled) {
		for _, e := range m.starts {
			if c.Text == "" && e.Run > c.Run {
				return fmt.Sprintf("its cancel was answered at run %d, and run %d was started", c.Run, e.Run)
			}
		}
	}
	return ""
}
