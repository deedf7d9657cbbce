package main

import (
	"slices"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// paused is a story in which b0 stands still from 1 to 9 s, while its task runs elsewhere, and learns of it at 9.5 s.
func paused() *story {
	s := aGoodStory()
	s.Rules.Pauses = true
	s.Lives[b0].Pauses = []span{{ms(1000), ms(9000)}}
	s.accept(900, b0, "taken")
	s.start(990, b0, "taken", 1, 1)
	s.orphan("taken")
	s.start(5000, a1, "taken", 2, 2)
	s.returns(5010, a1, "taken", 2, withValue)
	s.ends(7000, "taken", store.Completed)
	s.tell(9500, b0, event{What: isTold, ID: "taken", Run: 1, How: byTaken})
	s.returns(9501, b0, "taken", 1, withError)
	return s
}

func TestTheJudgeOfPauses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		breaks func(*story)
		want   []string
	}{
		"good": {func(*story) {}, nil},
		"not in this variant": {func(s *story) { s.Rules.Pauses, s.Lives[b0].Killed = false, false },
			[]string{"nobody is thought dead who lives", "one run at a time"}},
		"too short a pause": {func(s *story) {
			s.Lives[b0].Pauses[0].To = ms(2999)
			s.change(func(e *event) { e.At = ms(5100) }, isTold, "taken", 1)
			s.change(func(e *event) { e.At = ms(5200) }, isReturned, "taken", 1)
			s.Lives[b0].Killed = false
		}, []string{"nobody is thought dead who lives", "one run at a time"}},
		"the loser is recorded": {func(s *story) {
			i := slices.IndexFunc(s.Log, func(o store.Task) bool { return o.ID == "taken" })
			for _, task := range []*store.Task{s.task("taken"), &s.Log[i]} {
				task.Run, task.Attempt, task.Result = 1, 1, []byte("taken/1")
			}
			s.drop(isOutcome, "taken")
			for _, process := range []int{a1, b0} {
				s.tell(9600, process, event{What: isOutcome, ID: "taken", Run: 1, Attempt: 1, Pos: s.Log[i].Pos, State: store.Completed, Result: "taken/1"})
			}
			s.change(func(e *event) { e.How, e.Result = withValue, "taken/1" }, isReturned, "taken", 1)
		}, []string{"a run number is used once, and they rise", "one run at a time"}},
		"discarded by its death": {func(s *story) {
			t := s.task("taken")
			first := *t
			first.Run, first.Attempt, first.State, first.Pos, first.Result = 1, 1, store.Discarded, t.Pos-5, nil
			i := slices.IndexFunc(s.Log, func(o store.Task) bool { return o.ID == "taken" })
			s.Log = slices.Insert(s.Log, i, first)
			s.tell(4000, a1, event{What: isRetrying, ID: "taken"})
			s.tell(4001, a1, event{What: isRetried, ID: "taken", State: store.Available})
			s.tellAll()
			s.change(func(e *event) { e.How = withDiscard }, isReturned, "taken", 1)
		}, nil},
		"cancelled while it waited, and retried by hand": {func(s *story) {
			t := s.task("taken")
			first := *t
			first.Run, first.Attempt, first.State, first.Pos, first.Result = 1, 1, store.Cancelled, t.Pos-5, nil
			first.History = append(slices.Clone(t.History), store.Attempt{Attempt: 1, Run: 1, State: store.Cancelled})
			i := slices.IndexFunc(s.Log, func(o store.Task) bool { return o.ID == "taken" })
			s.Log = slices.Insert(s.Log, i, first)
			s.tell(4000, a1, event{What: isCancelling, ID: "taken"})
			s.tell(4001, a1, event{What: isCancelled, ID: "taken", Run: 1, State: store.Cancelled})
			s.tell(4002, a1, event{What: isRetrying, ID: "taken"})
			s.tell(4003, a1, event{What: isRetried, ID: "taken", State: store.Available})
			s.tellAll()
		}, nil},
		"goes on and is not told": {func(s *story) {
			s.drop(isTold, "taken")
			s.change(func(e *event) { e.At = ms(17000) }, isReturned, "taken", 1)
		}, []string{"what was taken is cancelled"}},
		"goes on and is told after another pause": {func(s *story) {
			s.Lives[b0].Pauses = []span{{ms(100), ms(800)}, {ms(1000), ms(9000)}, {ms(10000), ms(17000)}}
			s.change(func(e *event) { e.At = ms(18000) }, isTold, "taken", 1)
			s.change(func(e *event) { e.At = ms(18001) }, isReturned, "taken", 1)
		}, nil},
		"returns soon after another pause": {func(s *story) {
			s.Lives[b0].Pauses = []span{{ms(100), ms(800)}, {ms(1000), ms(9000)}, {ms(10000), ms(17000)}}
			s.drop(isTold, "taken")
			s.change(func(e *event) { e.At = ms(18001) }, isReturned, "taken", 1)
		}, nil},
		"goes on before another pause, and is not told": {func(s *story) {
			s.Lives[b0].Pauses = []span{{ms(1000), ms(9000)}, {ms(16500), ms(18000)}}
			s.drop(isTold, "taken")
			s.change(func(e *event) { e.At = ms(18100) }, isReturned, "taken", 1)
		}, []string{"what was taken is cancelled"}},
		"starts late": {func(s *story) { s.change(func(e *event) { e.At = ms(9400) }, isStarted, "taken", 1) }, nil},
		"starts much too late": {func(s *story) {
			s.change(func(e *event) { e.At = ms(16400) }, isStarted, "taken", 1)
			s.change(func(e *event) { e.At = ms(16500) }, isReturned, "taken", 1)
		}, []string{"a run number is used once, and they rise"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := paused()
			test.breaks(s)
			if got := broken(s); !slices.Equal(got, test.want) {
				t.Errorf("broken are %q, want %q", got, test.want)
			}
		})
	}
}

// TestTheJudgeKnowsTheAbandoned: a task whose handler did not heed its cancel may run again when the grace is over.
func TestTheJudgeKnowsTheAbandoned(t *testing.T) {
	t.Parallel()
	for again, want := range map[int][]string{5250: nil, 5100: {"one run at a time"}} {
		s := &story{}
		s.Rules = rules{Grace: ms(200)}
		s.life("a0", 0, 0, 20000)
		s.life("b0", 1, 0, 20000)
		s.accept(1000, b0-1, "deaf")
		s.start(1001, a0, "deaf", 1, 1)
		s.tell(4999, b0, event{What: isCancelling, ID: "deaf"})
		s.tell(5000, a0, event{What: isTold, ID: "deaf", Run: 1, How: byCancel})
		s.start(again, b0, "deaf", 2, 2)
		s.returns(again+1, b0, "deaf", 2, withValue)
		s.ends(again+2, "deaf", store.Completed)
		s.returns(9000, a0, "deaf", 1, withValue)
		if got := broken(s); !slices.Equal(got, want) {
			t.Errorf("again after %d ms: broken are %q, want %q", again-5000, got, want)
		}
	}
}

// TestTheJudgeKnowsTimeouts: they are over when they are, also if the process tells of it late.
func TestTheJudgeKnowsTimeouts(t *testing.T) {
	t.Parallel()
	for again, want := range map[int][]string{1241: nil, 1141: {"one run at a time"}} {
		s := &story{}
		s.Rules = rules{Grace: ms(200)}
		s.life("a0", 0, 0, 20000)
		s.life("b0", 1, 0, 20000)
		s.accept(1000, a0, "deaf")
		s.change(func(e *event) { e.Order.Timeout = ms(40) }, isAsked, "deaf", 0)
		s.start(1001, a0, "deaf", 1, 1)
		s.tell(1300, a0, event{What: isTold, ID: "deaf", Run: 1, How: byTimeout})
		s.returns(1350, a0, "deaf", 1, withValue)
		s.start(again, b0, "deaf", 2, 2)
		s.returns(again+1, b0, "deaf", 2, withValue)
		s.ends(again+2, "deaf", store.Completed)
		if got := broken(s); !slices.Equal(got, want) {
			t.Errorf("again after %d ms: broken are %q, want %q", again-1001, got, want)
		}
	}
}

// TestFromWhenWhatDiedCanRun: the good story's process a0 dies at 100 ms, and its task runs again at 3000 ms, in b0.
func TestFromWhenWhatDiedCanRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		changes func(*story)
		after   int // ms; 0: it is no re-run
	}{
		"from its death":                   {func(*story) {}, 2900},
		"from the last mark before":        {func(s *story) { s.Marks = []time.Duration{ms(50), ms(1500), ms(3500)} }, 1500},
		"the death of others is no matter": {func(s *story) { s.life("c0", 2, 0, 2000) }, 2900},
		"who watches is new": {func(s *story) {
			s.Lives[b0].Born = ms(1000)
			s.life("c0", 2, 0, 2500) // has watched, and died of it
		}, 2850}, // since the birth of a1
		"all who watch are new":       {func(s *story) { s.Lives[b0].Born, s.Lives[a1].Born = ms(1000), ms(1100) }, 2000},
		"who watches has stood still": {func(s *story) { s.Lives[b0].Pauses, s.Lives[a1].Born = []span{{ms(500), ms(2000)}}, ms(2200) }, 1000},
		"others had it, and died":     {func(s *story) { third(s); s.life("c0", 2, 0, 2500) }, 500},
		"others had it, and stopped":  {func(s *story) { third(s); s.life("c0", 2, 0, 2500); s.Lives[3].Killed = false }, 499},
		"its handler had returned":    {func(s *story) { s.returns(95, a0, "cut", 1, withValue) }, 2900},
		"it had failed before":        {func(s *story) { s.returns(95, a0, "cut", 1, withError); s.task("cut").History[0].Error = "no" }, 0},
		"its process was not killed":  {func(s *story) { s.Lives[a0].Killed = false }, 0},
		"it was retried by hand later": {func(s *story) {
			s.Log = append(s.Log, store.Task{ID: "cut", Run: 1, Attempt: 1, State: store.Discarded})
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aGoodStory()
			test.changes(s)
			sorted, _ := trails(&s.history)
			i := slices.IndexFunc(sorted, func(t *trail) bool { return t.ID == "cut" })
			m := &matter{&s.history, sorted[i], sorted[i].of(isStarted)}
			var after time.Duration
			for _, r := range m.reruns() {
				after += r.after
			}
			if after != ms(test.after) {
				t.Errorf("after %s, want %s", after, ms(test.after))
			}
		})
	}
}

// third has the task that was cut short run again as its third run: the second has not come to its handler.
func third(s *story) {
	s.change(func(e *event) { e.Run = 3 }, isStarted, "cut", 2)
}
