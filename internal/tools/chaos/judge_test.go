package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// story is a history in the making. Its times are in milliseconds.
type story struct{ history }

func (s *story) life(name string, slot, born, died int) {
	l := life{Name: name, Slot: slot, Node: "node-" + name, Born: ms(born), Ready: ms(born + 1), Died: ms(died), Gone: ms(died + 1), Killed: true}
	s.Lives = append(s.Lives, l)
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func (s *story) tell(at, process int, e event) {
	e.At, e.Process = ms(at), process
	s.Events = append(s.Events, e)
}

func (s *story) accept(at, process int, id string) {
	s.tell(at, process, event{What: isAsked, Token: "t" + id, Order: &order{Token: "t" + id, MaxAttempts: 3}})
	s.tell(at+1, process, event{What: isAccepted, Token: "t" + id, ID: id})
	args, _ := json.Marshal(order{Token: "t" + id})
	s.Tasks = append(s.Tasks, store.Task{ID: id, Args: args, MaxAttempts: 3})
}

func (s *story) start(at, process int, id string, run int64, attempt int) {
	s.tell(at, process, event{What: isStarted, ID: id, Run: run, Attempt: attempt})
	t := s.task(id)
	t.Run, t.Attempt, t.Node, t.State = run, attempt, s.Lives[process].Node, store.Running
}

func (s *story) returns(at, process int, id string, run int64, how string) {
	e := event{What: isReturned, ID: id, Run: run, How: how}
	if how == withValue {
		e.Result = fmt.Sprintf("%s/%d", id, run)
	}
	s.tell(at, process, e)
}

// ends records an outcome of the task's last run, and has the cursors of both slots told.
func (s *story) ends(at int, id string, state store.State) {
	t := s.task(id)
	t.State, t.Pos, t.Result = state, int64(len(s.Log)+1)*10, nil
	if state == store.Completed {
		t.Result = fmt.Appendf(nil, "%s/%d", id, t.Run)
	}
	s.Log = append(s.Log, *t)
	for slot := range 2 {
		process := slices.IndexFunc(s.Lives, func(l life) bool { return l.Slot == slot && l.Gone > ms(at) })
		s.tell(at, process, event{What: isOutcome, ID: id, Run: t.Run, Attempt: t.Attempt, State: state, Pos: t.Pos, Result: string(t.Result)})
	}
}

func (s *story) task(id string) *store.Task {
	return &s.Tasks[slices.IndexFunc(s.Tasks, func(t store.Task) bool { return t.ID == id })]
}

func (s *story) orphan(id string) {
	t := s.task(id)
	t.History = append(t.History, store.Attempt{Attempt: t.Attempt, Run: t.Run, Node: t.Node, State: store.Available, Error: store.OrphanError})
	t.State = store.Available
}

// change changes the events that match.
func (s *story) change(change func(*event), what what, id string, run int64) {
	for i := range s.Events {
		if e := &s.Events[i]; e.What == what && (e.ID == id || e.Token == "t"+id) && e.Run == run {
			change(e)
		}
	}
}

func (s *story) drop(what what, id string) {
	s.Events = slices.DeleteFunc(s.Events, func(e event) bool { return e.What == what && (e.ID == id || e.Token == "t"+id) })
}

// tellAll has both cursors told of the whole log, late.
func (s *story) tellAll() {
	s.Events = slices.DeleteFunc(s.Events, func(e event) bool { return e.What == isOutcome })
	for _, o := range s.Log {
		for _, process := range []int{a1, b0} {
			s.tell(19000, process, event{What: isOutcome, ID: o.ID, Run: o.Run, Attempt: o.Attempt, State: o.State, Pos: o.Pos, Result: string(o.Result)})
		}
	}
}

const (
	a0, b0, a1 = 0, 1, 2 // two slots; the process of the first is killed and started again
)

// aGoodStory breaks no promise: of its tasks one is completed, one is cut short and runs again, one is retried by hand, one
// is cancelled while it waits after a failure, one is put off, and one is discarded.
func aGoodStory() *story {
	s := &story{}
	s.Rules = rules{Grace: ms(200), Soon: ms(5000)}
	s.life("a0", 0, 0, 100)
	s.life("b0", 1, 0, 20000)
	s.life("a1", 0, 150, 20000)

	s.accept(10, a0, "plain")
	s.start(12, a0, "plain", 1, 1)
	s.returns(15, a0, "plain", 1, withValue)
	s.tell(16, a0, event{What: isHooked, ID: "plain", Run: 1, State: store.Completed, Result: "plain/1"})
	s.ends(17, "plain", store.Completed)
	s.tell(18, b0, event{What: isAwaited, ID: "plain", State: store.Completed, Result: "plain/1"})

	s.accept(20, b0, "cut")
	s.start(90, a0, "cut", 1, 1)
	s.orphan("cut")
	s.start(3000, b0, "cut", 2, 2)
	s.returns(3010, b0, "cut", 2, withValue)
	s.ends(3020, "cut", store.Completed)

	s.accept(4000, b0, "again")
	s.start(4001, b0, "again", 1, 1)
	s.returns(4002, b0, "again", 1, withValue)
	s.ends(4003, "again", store.Completed)
	s.tell(4010, a1, event{What: isRetrying, ID: "again"})
	s.tell(4011, a1, event{What: isRetried, ID: "again", State: store.Available})
	s.start(4020, a1, "again", 2, 2)
	s.returns(4030, a1, "again", 2, withValue)
	s.ends(4040, "again", store.Completed)

	s.accept(5000, b0, "unwanted")
	s.start(5001, b0, "unwanted", 1, 1)
	s.returns(5002, b0, "unwanted", 1, withError)
	s.tell(5010, a1, event{What: isCancelling, ID: "unwanted"})
	s.tell(5011, a1, event{What: isCancelled, ID: "unwanted", Run: 1, State: store.Cancelled})
	s.ends(5012, "unwanted", store.Cancelled)

	s.accept(6000, b0, "later")
	s.start(6001, b0, "later", 1, 1)
	s.returns(6002, b0, "later", 1, withSnooze)
	s.start(6010, b0, "later", 2, 1)
	s.returns(6012, b0, "later", 2, withDiscard)
	s.ends(6013, "later", store.Discarded)

	// Asked for by a process that died of it, and not recorded.
	s.tell(99, a0, event{What: isAsked, Token: "tnever", Order: &order{Token: "tnever"}})
	// Refused for sure, and not recorded.
	s.tell(98, a0, event{What: isAsked, Token: "tfull", Order: &order{Token: "tfull"}})
	s.tell(99, a0, event{What: isRefused, Token: "tfull", Text: "full"})
	return s
}

func broken(s *story) (names []string) {
	_, found := judge(&s.history)
	for _, v := range found {
		names = append(names, v.Promise)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestTheJudgeAcceptsWhatIsGood(t *testing.T) {
	t.Parallel()
	s := aGoodStory()
	sorted, found := judge(&s.history)
	for _, v := range found {
		t.Errorf("%s: %s", v.Promise, v.Text)
	}
	if len(sorted) != 7 {
		t.Errorf("%d tasks, want 7", len(sorted))
	}
}

// TestTheJudgeRefuses breaks the good story in one way each.
func TestTheJudgeRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		breaks func(*story)
		want   []string // all promises that are broken by it
	}{
		"an accepted task is gone": {func(s *story) {
			s.accept(7000, b0, "lost")
			s.Tasks = s.Tasks[:len(s.Tasks)-1]
		}, []string{"what is accepted is recorded"}},
		"a task has no outcome": {func(s *story) {
			s.accept(7000, b0, "stuck")
			s.start(7001, b0, "stuck", 1, 1)
		}, []string{"one outcome, and one more for each retry by hand"}},
		"an outcome has no task": {func(s *story) {
			s.Log = append(s.Log, store.Task{ID: "ghost", Pos: 1000, State: store.Completed})
		}, []string{"a cursor misses nothing", "what has an outcome is recorded"}},
		"nobody asked": {func(s *story) { s.drop(isAsked, "plain"); s.drop(isAccepted, "plain") }, []string{"no task that nobody asked for", "no more attempts than were asked for"}},
		"refused and recorded": {func(s *story) {
			s.drop(isAccepted, "plain")
			s.tell(11, a0, event{What: isRefused, Token: "tplain", Text: "full"})
		}, []string{"no task that nobody asked for"}},
		"two tasks for one call": {func(s *story) {
			s.accept(7000, b0, "twin")
			s.start(7001, b0, "twin", 1, 1)
			s.returns(7002, b0, "twin", 1, withValue)
			s.ends(7003, "twin", store.Completed)
			s.task("twin").Args = s.task("plain").Args
			s.drop(isAsked, "twin")
			s.drop(isAccepted, "twin")
		}, []string{"no task that nobody asked for", "one task for each call", "what has an outcome is recorded"}},
		"accepted as new twice": {func(s *story) {
			s.tell(50, b0, event{What: isAsked, Token: "tplain", ID: "plain"})
			s.tell(51, b0, event{What: isAccepted, Token: "tplain", ID: "plain"})
		}, []string{"a call with the same id is accepted once"}},
		"existed before it was asked for": {func(s *story) {
			s.change(func(e *event) { e.Existed = true }, isAccepted, "plain", 0)
		}, []string{"a call with the same id is accepted once"}},
		"existed before it was asked for, with an id of the runner's": {func(s *story) {
			s.Rules.LosesAnswers = true
			s.change(func(e *event) { e.Existed = true }, isAccepted, "plain", 0)
		}, []string{"a call with the same id is accepted once"}},
		"existed because an answer was lost": {func(s *story) {
			s.Rules.LosesAnswers = true
			s.change(func(e *event) { e.ID = "plain" }, isAsked, "plain", 0)
			s.change(func(e *event) { e.Existed = true }, isAccepted, "plain", 0)
		}, nil},
		"two outcomes": {func(s *story) {
			s.start(7000, b0, "plain", 2, 2)
			s.returns(7001, b0, "plain", 2, withValue)
			s.ends(7002, "plain", store.Completed)
		}, []string{"one outcome, and one more for each retry by hand"}},
		"two outcomes of one run": {func(s *story) { s.ends(7002, "plain", store.Completed) },
			[]string{"a run number is used once, and they rise", "one outcome, and one more for each retry by hand"}},
		"a retry by hand is forgotten": {func(s *story) {
			s.tell(7000, a1, event{What: isRetrying, ID: "plain"})
			s.tell(7001, a1, event{What: isRetried, ID: "plain", State: store.Available})
		}, []string{"one outcome, and one more for each retry by hand"}},
		"the task is not its last outcome": {func(s *story) { s.task("plain").Result = []byte("plain/7") }, []string{"the last outcome is the task"}},
		"an outcome was overwritten": {func(s *story) {
			s.change(func(e *event) { e.Result = "plain/0" }, isOutcome, "plain", 1)
		}, []string{"what was told is what is recorded"}},
		"who awaited was told another": {func(s *story) {
			s.change(func(e *event) { e.State, e.Result = store.Discarded, "" }, isAwaited, "plain", 0)
		}, []string{"what was told is what is recorded"}},
		"the hook was told another run": {func(s *story) {
			s.change(func(e *event) { e.Run = 2 }, isHooked, "plain", 1)
		}, []string{"what was told is what is recorded"}},
		"a cancel was answered and forgotten": {func(s *story) {
			s.tell(5000, a1, event{What: isCancelling, ID: "plain"})
			s.tell(5001, a1, event{What: isCancelled, ID: "plain", Run: 1, State: store.Cancelled})
		}, []string{"what was told is what is recorded"}},
		"a run number is used twice": {func(s *story) {
			s.change(func(e *event) { e.Run = 1 }, isStarted, "cut", 2)
		}, []string{"a run number is used once, and they rise"}},
		"run numbers fall": {func(s *story) {
			s.change(func(e *event) { e.Run = 3 }, isStarted, "cut", 1)
			s.task("cut").Run = 3
			s.Log[1].Run = 3
			s.drop(isOutcome, "cut")
			s.Log = slices.Delete(s.Log, 1, 2)
		}, []string{"a run number is used once, and they rise", "one outcome, and one more for each retry by hand", "each run uses an attempt, but for those that were put off"}},
		"a run that is not recorded": {func(s *story) { s.start(8000, b0, "plain", 5, 2); s.task("plain").Run = 1 },
			[]string{"a run number is used once, and they rise", "one outcome, and one more for each retry by hand", "the last outcome is the task"}},
		"too many attempts": {func(s *story) {
			s.change(func(e *event) { e.Attempt = 4 }, isStarted, "cut", 2)
		}, []string{"no more attempts than were asked for"}},
		"recorded with too many attempts": {func(s *story) {
			s.task("cut").Attempt, s.Log[1].Attempt = 4, 4
			s.change(func(e *event) { e.Attempt = 4 }, isOutcome, "cut", 2)
		}, []string{"no more attempts than were asked for"}},
		"a death that uses no attempt": {func(s *story) {
			s.change(func(e *event) { e.Attempt = 1 }, isStarted, "cut", 2)
		}, []string{"each run uses an attempt, but for those that were put off"}},
		"killed while it gave back what it ran": {func(s *story) {
			s.change(func(e *event) { e.Attempt = 1 }, isStarted, "cut", 2)
			s.Lives[a0].Told = ms(1)
		}, nil},
		"the result of another run": {func(s *story) {
			s.change(func(e *event) { e.Result = "cut/1" }, isReturned, "cut", 2)
		}, []string{"a result is that of its run"}},
		"completed without a value": {func(s *story) {
			s.change(func(e *event) { e.How, e.Result = withError, "" }, isReturned, "plain", 1)
		}, []string{"a result is that of its run"}},
		"cancelled without a reason": {func(s *story) { s.drop(isCancelling, "unwanted") }, []string{"a task ends as it was asked to"}},
		"discarded too early": {func(s *story) {
			s.change(func(e *event) { e.How = withError }, isReturned, "later", 2)
		}, []string{"a task ends as it was asked to"}},
		"runs after its cancel": {func(s *story) {
			s.change(func(e *event) { e.Run = 0 }, isCancelled, "unwanted", 1)
		}, []string{"what was cancelled does not run again", "what was told is what is recorded"}},
		"two runs at a time": {func(s *story) {
			s.change(func(e *event) { e.At = ms(4001) }, isReturned, "again", 1)
			s.change(func(e *event) { e.At = ms(4025) }, isReturned, "again", 1)
		}, []string{"one run at a time"}},
		"taken from the living": {func(s *story) { s.Lives[a0].Killed, s.Lives[a0].Stopped = false, true }, []string{"nobody is thought dead who lives"}},
		"told that it was taken": {func(s *story) {
			s.tell(7000, b0, event{What: isTold, ID: "plain", Run: 1, How: byTaken})
			s.Lives[b0].Killed = false
		}, []string{"nobody is thought dead who lives"}},
		"runs again late": {func(s *story) {
			s.change(func(e *event) { e.At = ms(5101) }, isStarted, "cut", 2)
			s.change(func(e *event) { e.At = ms(5102) }, isReturned, "cut", 2)
		}, []string{"what died runs again soon"}},
		"positions fall": {func(s *story) { s.Log[1].Pos = 5 }, []string{"a cursor misses nothing", "positions rise", "the last outcome is the task", "what was told is what is recorded"}},
		"a cursor misses one": {func(s *story) {
			s.Events = slices.DeleteFunc(s.Events, func(e event) bool { return e.What == isOutcome && e.ID == "cut" && s.Lives[e.Process].Slot == 1 })
		}, []string{"a cursor misses nothing"}},
		"a cursor misses the last": {func(s *story) {
			s.Events = slices.DeleteFunc(s.Events, func(e event) bool { return e.What == isOutcome && e.ID == "later" && s.Lives[e.Process].Slot == 1 })
		}, []string{"a cursor misses nothing"}},
		"behind the cursor": {func(s *story) {
			i := slices.IndexFunc(s.Events, func(e event) bool { return e.What == isOutcome && e.ID == "plain" })
			s.Events = append(s.Events, s.Events[i])
			s.Events = slices.Delete(s.Events, i, i+1)
		}, []string{"a cursor misses nothing"}},
		"one that nobody knows": {func(s *story) { s.tell(100, b0, event{What: isStarted, ID: "strange", Run: 1}) }, []string{"no task that nobody asked for"}},
		"a crash":               {func(s *story) { s.Lives[b0].Crashed = "exit status 2" }, []string{"no process ends by itself"}},
		"a failure":             {func(s *story) { s.tell(100, b0, event{What: isBroken, Text: "no"}) }, []string{"nothing fails that must not"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aGoodStory()
			test.breaks(s)
			slices.Sort(test.want)
			if got := broken(s); !slices.Equal(got, test.want) {
				t.Errorf("broken are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
		})
	}
}
