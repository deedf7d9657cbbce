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

// history is all that is known of one session, from which the judge judges.
type history struct {
	Many      bool     // they asked by RunMany
	Machines  []string // their names
	Roles     []string // what runs on each
	Receivers []int    // the machines of the receivers: an event's Peer is an index into it
	Events    []event  // of each machine in its order
	Troubles  []trouble
	Crashes   []string
	Rounds    int
	Recorded  []recorded // by receiver
}

// recorded is what the database of a receiver says in the end.
type recorded struct{ Log, Tasks []store.Task }

// trail is all that is known of one run.
type trail struct {
	Token  string
	Events []event // in the order of time
	Tasks  []*store.Task
	At     []int // the receiver of each task
}

// violation is a promise that was broken.
type violation struct {
	Promise string
	Text    string
	Trail   *trail // of the run, if it is about one
}

// trails sorts a history by run.
func trails(h *history) []*trail {
	byToken := map[string]*trail{}
	var sorted []*trail
	get := func(token string) *trail {
		t := byToken[token]
		if t == nil {
			t = &trail{Token: token}
			byToken[token], sorted = t, append(sorted, t)
		}
		return t
	}
	for _, e := range h.Events {
		if e.Token != "" {
			t := get(e.Token)
			t.Events = append(t.Events, e)
		}
	}
	for at := range h.Recorded {
		for i := range h.Recorded[at].Tasks {
			task := &h.Recorded[at].Tasks[i]
			t := get(tokenIn(task))
			t.Tasks, t.At = append(t.Tasks, task), append(t.At, at)
		}
	}
	for _, t := range sorted {
		slices.SortStableFunc(t.Events, func(a, b event) int { return cmp.Compare(a.At, b.At) })
	}
	return sorted
}

// tokenIn is the token in the recorded arguments. What cannot be read is nobody's.
func tokenIn(t *store.Task) string {
	var o order
	if err := json.Unmarshal(t.Args, &o); err != nil || o.Token == "" {
		return "unreadable " + t.ID
	}
	return o.Token
}

// of gives the events of one kind.
func (t *trail) of(kind what) []event {
	var some []event
	for _, e := range t.Events {
		if e.What == kind {
			some = append(some, e)
		}
	}
	return some
}

func (t *trail) has(kind what) bool {
	return slices.ContainsFunc(t.Events, func(e event) bool { return e.What == kind })
}

// promises are what must hold of each run. Each says how it is broken, "" if it is not.
var promises = []struct {
	name   string
	broken func(*trail) string
}{
	{"what is accepted is recorded", (*trail).lost},
	{"what is accepted is told to who has asked", (*trail).untold},
	{"what was told is what is recorded", (*trail).mistold},
	{"a run is accepted once, however often it is sent", (*trail).doubled},
	{"nothing is recorded that nobody asked for, or that was refused", (*trail).unasked},
	{"what is recorded has ended", (*trail).unended},
	{"a task runs again only if its process has died, or it asked for that", (*trail).ranAgain},
}

// judge says which promises a history breaks. It is pure: the same history is always judged alike.
func judge(h *history) ([]*trail, []violation) {
	sorted := trails(h)
	found := judgeProcesses(h)
	found = append(found, judgeOrder(h, sorted)...)
	found = append(found, judgeCalls(h)...)
	found = append(found, judgeCursors(h)...)
	found = append(found, judgeRecovery(h)...)
	found = append(found, judgeMonitors(h)...)
	for _, t := range sorted {
		for _, p := range promises {
			if text := p.broken(t); text != "" {
				found = append(found, violation{p.name, text, t})
			}
		}
	}
	return sorted, found
}

// judgeProcesses: they end when they are told to, or when all is done.
func judgeProcesses(h *history) (found []violation) {
	for _, text := range h.Crashes {
		found = append(found, violation{"no process ends by itself", text, nil})
	}
	for _, e := range h.Events {
		if e.What == isBroken {
			found = append(found, violation{"nothing fails that must not", h.Machines[e.Machine] + ": " + e.Text, nil})
		}
	}
	return found
}

func (t *trail) lost() string {
	if t.has(isAccepted) && len(t.Tasks) == 0 {
		return "it was accepted and is not recorded"
	}
	return ""
}

func (t *trail) untold() string {
	if t.has(isAccepted) && !t.has(isTold) {
		return "it was accepted, and its outcome was not told"
	}
	return ""
}

// mistold: also what was told by Await in a later life, or twice, is the one outcome.
func (t *trail) mistold() string {
	for _, e := range t.of(isTold) {
		if len(t.Tasks) != 1 {
			continue // that is another promise
		}
		task := t.Tasks[0]
		switch {
		case e.ID != task.ID:
			return fmt.Sprintf("task %s was told of, and task %s is recorded", e.ID, task.ID)
		case e.State != task.State:
			return fmt.Sprintf("it was told to be %s, and it is %s", e.State, task.State)
		case e.State == store.Completed && e.Result != string(task.Result):
			return fmt.Sprintf("it was told to have given %s, and that is %s", e.Result, task.Result)
		case e.State == store.Discarded && e.Text != lastError(task):
			return fmt.Sprintf("it was told to have failed with %q, and that is %q", e.Text, lastError(task))
		}
	}
	return ""
}

func lastError(t *store.Task) string {
	if len(t.History) == 0 {
		return ""
	}
	return t.History[len(t.History)-1].Error
}

func (t *trail) doubled() string {
	if len(t.Tasks) > 1 {
		return fmt.Sprintf("it is recorded %d times: as %s at receiver %d, and as %s at receiver %d", len(t.Tasks), t.Tasks[0].ID, t.At[0], t.Tasks[1].ID, t.At[1])
	}
	return ""
}

// unasked: a call that got an answer other than that it may have been accepted was not.
func (t *trail) unasked() string {
	if len(t.Tasks) == 0 || strings.HasSuffix(t.Token, ".probe") {
		return ""
	}
	asked, refused := len(t.of(isAsked)), 0
	for _, e := range t.of(isRefused) {
		if !e.Unsure {
			refused++
		}
	}
	switch {
	case asked == 0 && !t.isHeld():
		return "it is recorded"
	case asked > 0 && asked == refused:
		return "it was refused, and is recorded: " + t.of(isRefused)[0].Text
	}
	return ""
}

// isHeld reports whether it is a task of a watcher, which does not note that it asks.
func (t *trail) isHeld() bool {
	var o order
	return json.Unmarshal(t.Tasks[0].Args, &o) == nil && o.Do == planHolds
}

func (t *trail) unended() string {
	if len(t.Tasks) > 0 && !t.Tasks[0].State.Final() && !t.isHeld() {
		return fmt.Sprintf("it is %s", t.Tasks[0].State)
	}
	return ""
}

// ranAgain: each start has a run number of its own, and in one process only what fails starts again.
func (t *trail) ranAgain() string {
	starts := t.of(isStarted)
	for i, a := range starts {
		for _, b := range starts[i+1:] {
			if a.Run == b.Run {
				return fmt.Sprintf("run %d was started twice", a.Run)
			}
			if a.Life == b.Life && !t.failed(a.Run) {
				return fmt.Sprintf("runs %d and %d were both started in life %d", a.Run, b.Run, a.Life)
			}
		}
	}
	return ""
}

// failed reports whether the run has failed.
func (t *trail) failed(run int64) bool {
	return len(t.Tasks) > 0 && slices.ContainsFunc(t.Tasks[0].History, func(a store.Attempt) bool { return a.Run == run })
}

// again is how often a run was executed although its handler had done so before and not failed.
func (t *trail) again() int {
	n := 0
	for _, e := range t.of(isStarted) {
		if !t.failed(e.Run) {
			n++
		}
	}
	return max(0, n-1)
}

// sequence is the runs that one caller has asked for, one after the other.
type sequence struct {
	sender       string
	caller, life int
}

// judgeOrder: the runs of one caller are recorded in the order in which they were asked for. Of RunMany that is promised to one life
// of the sender: the next does not know what of the calls before is still on its way.
func judgeOrder(h *history, sorted []*trail) (found []violation) {
	type step struct {
		number int
		seq    int64
		trail  *trail
	}
	steps := map[sequence][]step{}
	for _, t := range sorted {
		asked := t.of(isAsked)
		if len(t.Tasks) != 1 || len(asked) == 0 {
			continue
		}
		caller, number := placeOf(t.Token)
		s := sequence{h.Machines[asked[0].Machine], caller, 0}
		if h.Many {
			s.life = asked[0].Life
		}
		steps[s] = append(steps[s], step{number, t.Tasks[0].Seq, t})
	}
	for _, all := range steps {
		slices.SortFunc(all, func(a, b step) int { return cmp.Compare(a.number, b.number) })
		for i := 1; i < len(all); i++ {
			if all[i].seq < all[i-1].seq {
				found = append(found, violation{"runs are recorded in the order in which they were sent",
					fmt.Sprintf("%s was asked for before %s, and is recorded as %d, after %d", all[i-1].trail.Token, all[i].trail.Token, all[i-1].seq, all[i].seq), all[i-1].trail})
			}
		}
	}
	return found
}

// longestCall is how long a call may take: until the silence of the other side is noticed, and then away; or patience, if it waits for
// room. Trouble makes it longer.
const longestCall = patience + away + 15*time.Second

// judgeCalls: every call gets an answer, in a time that is bounded.
func judgeCalls(h *history) (found []violation) {
	for _, c := range callsOf(h) {
		if c.took > longestCall+h.paused(c.pair.sender, c.from) {
			found = append(found, violation{"every call gets an answer in bounded time", fmt.Sprintf("%s: %s took %s", h.Machines[c.pair.sender], c.token, c.took), nil})
		}
	}
	return found
}

// aCall is a call that has got its answer.
type aCall struct {
	pair    pair
	token   string
	from    time.Duration
	took    time.Duration
	refused bool
}

func callsOf(h *history) (calls []aCall) {
	open := map[string]event{}
	for _, e := range h.Events {
		switch e.What {
		case isAsked:
			open[e.Token] = e
		case isAccepted, isRefused:
			if asked, ok := open[e.Token]; ok && asked.Life == e.Life {
				calls = append(calls, aCall{pair{e.Machine, h.Receivers[e.Peer]}, e.Token, asked.At, e.At - asked.At, e.What == isRefused})
			}
			delete(open, e.Token)
		}
	}
	return calls
}

// paused is for how long the machine's process stood still, at most, since then.
func (h *history) paused(machine int, since time.Duration) (sum time.Duration) {
	for _, t := range h.Troubles {
		if t.Kind == paused && t.Machine == machine && t.To > since {
			sum += t.To - t.From
		}
	}
	return sum
}
