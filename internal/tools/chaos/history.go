package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// history is all that is known of one session, from which the judge judges. It is what the processes told and what was done to
// them, and then what the store says.
type history struct {
	Rules  rules
	Lives  []life          // the processes, in the order of their starts
	Events []event         // of each process in its order
	Marks  []time.Duration // when what kept tasks of the dead from running again was over, as that the store was away
	Log    []store.Task    // all outcomes in their order, as the store gives them
	Tasks  []store.Task    // all tasks, as the store lists them
}

// rules are what differs between the variants.
type rules struct {
	// Pauses: a process that was paused may be thought dead, and then two runs of one task may be under way at the same time.
	Pauses bool
	// LosesAnswers: a store may have to repeat a statement, and then whoever first asked by an id of his own may be told that the task
	// existed, as store.Inserted says.
	LosesAnswers bool
	// Grace is the runner's: a handler that was told to stop may be abandoned then, and its task run again.
	Grace time.Duration
	// Soon is how long it may take until a task of a dead process runs again, once it can: see matter.from. Zero: however long.
	Soon time.Duration
}

// life is one process.
type life struct {
	Name    string // as it is in results: slot and number
	Slot    int    // whose cursor it follows, and which spool it has
	Node    string // by which the store knows it; empty if it was never ready
	Born    time.Duration
	Ready   time.Duration // zero: never
	Told    time.Duration // to stop in order; zero: never
	Died    time.Duration // not before: when the signal was sent
	Gone    time.Duration // at the latest: when it was seen to have ended
	Killed  bool          // by us
	Stopped bool          // in order
	Crashed string        // how it ended, if neither of both
	Pauses  []span
}

type span struct{ From, To time.Duration }

// lease is how long a process must stand still to be thought dead, at the least: it is silent for 3 seconds then, of which one may
// have passed before.
const lease = 2 * time.Second

// tardy is how long after a pause a process may go on with what was taken from it: it looks every few seconds.
const tardy = 7 * time.Second

// excused reports whether the process may not know, at that time, that it was thought dead.
func (l *life) excused(at time.Duration) bool {
	return slices.ContainsFunc(l.Pauses, func(p span) bool { return p.To-p.From >= lease && p.From <= at && at <= p.To+tardy })
}

// end is when the process was over: when it was killed, or had stopped.
func (l *life) end() time.Duration {
	if l.Killed {
		return l.Died
	}
	return l.Gone
}

// trail is all that is known of one task, in the order of time.
type trail struct {
	Token, ID string
	Events    []event
	Outcomes  []store.Task // from the log
	Task      *store.Task  // as listed; nil: it is not recorded
}

// trails sorts a history by task. What fits to no task, or to two, is a violation.
func trails(h *history) (sorted []*trail, found []violation) {
	byToken, byID := map[string]*trail{}, map[string]*trail{}
	get := func(token string) *trail {
		t := byToken[token]
		if t == nil {
			t = &trail{Token: token}
			byToken[token] = t
			sorted = append(sorted, t)
		}
		return t
	}
	name := func(t *trail, id, by string) {
		switch other := byID[id]; {
		case t.ID != "" && t.ID != id:
			found = append(found, violation{"one task for each call", fmt.Sprintf("task %s and task %s were both asked for as %s (%s)", t.ID, id, t.Token, by), t})
		case other != nil && other != t:
			found = append(found, violation{"one task for each call", fmt.Sprintf("task %s was asked for as %s and as %s (%s)", id, other.Token, t.Token, by), t})
		default:
			t.ID, byID[id] = id, t
		}
	}
	for i := range h.Tasks {
		task := &h.Tasks[i]
		t := get(tokenOf(task))
		if t.Task == nil {
			t.Task = task
		}
		name(t, task.ID, "recorded")
	}
	for _, e := range h.Events {
		if e.Token != "" {
			t := get(e.Token)
			if e.ID != "" {
				name(t, e.ID, string(e.What))
			}
		}
	}
	for _, e := range h.Events {
		t := byToken[e.Token]
		if t == nil && e.ID != "" {
			t = byID[e.ID]
		}
		switch {
		case t != nil:
			t.Events = append(t.Events, e)
		case e.ID != "" && e.What != isCancelling && e.What != isRetrying:
			found = append(found, violation{"no task that nobody asked for", fmt.Sprintf("%s: task %s, which is not recorded", e.What, e.ID), nil})
		}
	}
	for _, task := range h.Log {
		if t := byID[task.ID]; t != nil {
			t.Outcomes = append(t.Outcomes, task)
		} else {
			found = append(found, violation{"what has an outcome is recorded", fmt.Sprintf("task %s has an outcome at %d and is not listed", task.ID, task.Pos), nil})
		}
	}
	for _, t := range sorted {
		slices.SortStableFunc(t.Events, func(a, b event) int { return cmp.Compare(a.At, b.At) })
	}
	return sorted, found
}

// tokenOf is the token in the recorded arguments. What cannot be read is nobody's.
func tokenOf(t *store.Task) string {
	var o order
	if err := json.Unmarshal(t.Args, &o); err != nil || o.Token == "" {
		return "unreadable " + t.ID
	}
	return o.Token
}

// of gives the events of these kinds.
func (t *trail) of(kinds ...what) []event {
	var some []event
	for _, e := range t.Events {
		if slices.Contains(kinds, e.What) {
			some = append(some, e)
		}
	}
	return some
}

// has reports whether there is such an event.
func (t *trail) has(match func(event) bool) bool { return slices.ContainsFunc(t.Events, match) }

// ofRun gives the first event of this kind of the run.
func (t *trail) ofRun(kind what, run int64) (event, bool) {
	i := slices.IndexFunc(t.Events, func(e event) bool { return e.What == kind && e.Run == run })
	if i < 0 {
		return event{}, false
	}
	return t.Events[i], true
}

// recorded reports whether the log has an outcome that this run has brought.
func (t *trail) recorded(run int64) bool {
	return slices.ContainsFunc(t.Outcomes, func(o store.Task) bool { return o.Run == run && brought(&o) })
}

// ended reports whether the log has an outcome of this run, whatever has brought it.
func (t *trail) ended(run int64) bool {
	return slices.ContainsFunc(t.Outcomes, func(o store.Task) bool { return o.Run == run })
}

// orphaned reports whether the death of its node is recorded of this run.
func (t *trail) orphaned(run int64) bool {
	return t.Task != nil && slices.ContainsFunc(t.Task.History, func(a store.Attempt) bool { return a.Run == run && a.Error == store.OrphanError })
}

// brought reports whether the outcome is what the run of its number has brought: it is not if the task ended because its node died,
// or was cancelled while it waited.
func brought(o *store.Task) bool {
	if o.State == store.Completed || len(o.History) == 0 {
		return true
	}
	last := o.History[len(o.History)-1]
	return last.Run != o.Run || last.Error != store.OrphanError && !last.StartedAt.IsZero()
}

// order is what the task was asked to do.
func (t *trail) order() order {
	for _, e := range t.Events {
		if e.Order != nil {
			return *e.Order
		}
	}
	return order{}
}

// evidence tells the task's whole story.
func (t *trail) evidence(h *history) string {
	var b strings.Builder
	fmt.Fprintf(&b, "task %s, asked for as %s\n", t.ID, t.Token)
	for _, e := range t.Events {
		line, _ := json.Marshal(e) //nolint:errchkjson // it was read as JSON
		fmt.Fprintf(&b, "  %13.6f s  %-6s %s\n", e.At.Seconds(), h.Lives[e.Process].Name, line)
	}
	for _, o := range t.Outcomes {
		fmt.Fprintf(&b, "  outcome at %d: %s\n", o.Pos, describe(&o))
	}
	if t.Task != nil {
		fmt.Fprintf(&b, "  recorded: %s\n", describe(t.Task))
	}
	return b.String()
}

func describe(t *store.Task) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, run %d, attempt %d of %d, node %s, inserted %s, scheduled %s, started %s, finished %s, cancel requested %t, result %s", t.State, t.Run,
		t.Attempt, t.MaxAttempts, t.Node, clock(t.InsertedAt), clock(t.ScheduledAt), clock(t.StartedAt), clock(t.FinishedAt), t.CancelRequested, t.Result)
	for _, a := range t.History {
		fmt.Fprintf(&b, "\n    attempt %d, run %d on %s, %s to %s: %s %.100q", a.Attempt, a.Run, a.Node, clock(a.StartedAt), clock(a.FinishedAt), a.State, a.Error)
	}
	return b.String()
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("15:04:05.000000")
}
