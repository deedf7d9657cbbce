package remote

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

func TestPick(t *testing.T) {
	up := candidate{known: true, may: true}
	with := func(free int64) candidate { c := up; c.free = free; return c }
	stopped, full, foreign := with(9), with(9), with(9)
	stopped.stopped, full.full, foreign.may = true, true, false
	for name, test := range map[string]struct {
		candidates []candidate
		want       int
	}{
		"nobody":                    {nil, -1},
		"the one with the most":     {[]candidate{with(1), with(3), with(2)}, 1},
		"the first of two alike":    {[]candidate{with(2), with(2)}, 0},
		"also one with none left":   {[]candidate{with(-5)}, 0},
		"not those who cannot":      {[]candidate{stopped, full, foreign, {free: 9}, with(-100)}, 4},
		"nobody of those who can't": {[]candidate{stopped, full, foreign, {}}, -1},
	} {
		if got := pick(test.candidates); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestJudge(t *testing.T) {
	free, stopped, full := candidate{known: true, may: true}, candidate{known: true, may: true, stopped: true}, candidate{known: true, may: true, full: true}
	for name, test := range map[string]struct {
		candidates []candidate
		allUp      bool
		want       verdict
	}{
		"somebody is missing":         {[]candidate{{}}, false, keepWaiting},
		"all are there, none has it":  {[]candidate{{}, {}}, true, nobodyHas},
		"it is stopped everywhere":    {[]candidate{stopped, {}}, true, allStopped},
		"stopped, but one is missing": {[]candidate{stopped, {}}, false, keepWaiting},
		"full, and one is missing":    {[]candidate{full, {}}, false, everybodyFull},
		"full and stopped":            {[]candidate{full, stopped}, true, everybodyFull},
		"free":                        {[]candidate{free}, true, keepWaiting},
	} {
		if got := judge(test.candidates, test.allUp); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestWhereARepeatedCallMayGo(t *testing.T) {
	shared := place{"a", "n1", "db"}
	plain := place{"a", "n1", ""}
	for name, test := range map[string]struct {
		bound, other place
		want         bool
	}{
		"not sent yet":                    {place{}, shared, true},
		"the same database elsewhere":     {shared, place{"b", "n2", "db"}, true},
		"another database":                {shared, place{"a", "n1", "other"}, false},
		"nothing recorded, the same":      {plain, plain, true},
		"nothing recorded, restarted":     {plain, place{"a", "n2", ""}, true},
		"nothing recorded, another one":   {plain, place{"b", "n2", ""}, false},
		"nothing was recorded, now it is": {plain, shared, false},
	} {
		if got := test.bound.allows(test.other); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestReasonsTravel: what callers branch on is the same on both sides, over the stream and as a status.
func TestReasonsTravel(t *testing.T) {
	id := "018f0000-0000-7000-8000-000000000000"
	for _, err := range []error{
		ErrUnknownRequest, ErrNotAllowed, ErrUnknownRunner, ErrTooLate, ErrInvalid, actors.ErrUnknownKind, actors.ErrNoStore, actors.ErrStopping,
		store.ErrUnavailable, store.ErrNotFound, store.ErrCursorExpired, store.ErrCursorAhead,
		messages.ErrUnknownKind, messages.ErrSchemaVersion,
	} {
		for way, back := range map[string]error{
			"stream": reason(refused(fmt.Errorf("over there: %w", err)), "r", id),
			"status": ofStatus(statusOf(fmt.Errorf("over there: %w", err)), "r", id),
		} {
			if !errors.Is(back, err) || back.Error() != "over there: "+err.Error() {
				t.Errorf("%s: %v became %v", way, err, back)
			}
		}
	}
	full, ok := errors.AsType[*actors.FullError](reason(refused(&actors.FullError{Limit: "MaxWaiting", Max: 7}), "r", id))
	if !ok || full.Limit != "MaxWaiting" || full.Max != 7 || full.Runner != "r" {
		t.Errorf("a FullError became %+v", full)
	}
	state, ok := errors.AsType[*store.StateError](reason(refused(&store.StateError{From: store.Completed}), "r", id))
	if !ok || state.From != store.Completed || state.TaskID != id {
		t.Errorf("a StateError became %+v", state)
	}
	if err := reason(&remotepb.Refused{Code: 9999, Text: "of a newer one"}, "r", id); err == nil || err.Error() != "of a newer one" {
		t.Errorf("a code that is not known: %v", err)
	}
}

func TestInbox(t *testing.T) {
	b, now := newInbox(2, 1000), time.Now()
	enter := func(owner, id string) string {
		existed, err := b.enter(owner, id, 1, now)
		switch {
		case errors.Is(err, actors.ErrFull):
			return "full"
		case errors.Is(err, store.ErrNotFound):
			return "not yours"
		case existed:
			return "existed"
		}
		return "new"
	}
	for i, test := range []struct{ owner, id, want string }{
		{"web", "1", "new"}, {"web", "1", "existed"}, {"other", "1", "not yours"},
		{"web", "2", "new"}, {"web", "3", "full"}, {"other", "4", "new"},
	} {
		if got := enter(test.owner, test.id); got != test.want {
			t.Errorf("step %d: %s, want %s", i, got, test.want)
		}
	}
	told := &tellers{map[uint64]string{}}
	for number := range uint64(4) {
		if err := b.follow("web", "1", follower{told, number}); err != nil {
			t.Fatal(err)
		}
	}
	b.leave("1", follower{told, 0})
	b.leave("1", follower{told, 2})
	b.end("1", "done", nil, now)
	b.end("1", "twice", nil, now)
	if err := b.follow("web", "1", follower{told, 4}); err != nil || fmt.Sprint(told.told) != "map[1:done 3:done 4:done]" {
		t.Errorf("told %v, %v; want those who have not left, and one who came when it was over", told.told, err)
	}
	if got := enter("web", "1"); got != "existed" {
		t.Errorf("repeated behind its end: %s", got)
	}
	b.arrive("web", "1", false)
	if got := enter("web", "3"); got != "new" {
		t.Errorf("what has arrived gives way: %s", got)
	}
	b.end("2", "done", nil, now)
	now = now.Add(Keep + time.Second)
	if got := enter("web", "5"); got != "new" || b.tasks["2"] != nil {
		t.Errorf("what ended long ago goes: %s", got)
	}
	b.arrive("web", "3", true) // not over yet
	if b.tasks["3"] == nil {
		t.Error("a task that has not ended was forgotten")
	}
}

// tellers is what was told, by number.
type tellers struct{ told map[uint64]string }

func (t *tellers) tell(number uint64, outcome any, err error) {
	if err != nil || t.told[number] != "" {
		outcome = fmt.Sprint(t.told[number], outcome, err)
	}
	t.told[number] = fmt.Sprint(outcome)
}

func TestAnInboxDoesNotGrowByWhatHasArrived(t *testing.T) {
	b, now := newInbox(10, 1000), time.Now()
	for i := range 10_000 {
		id := fmt.Sprint(i)
		if _, err := b.enter("web", id, 1, now); err != nil {
			t.Fatal(err)
		}
		b.end(id, "done", nil, now)
		b.arrive("web", id, true)
	}
	if len(b.ended) > 10 || len(b.tasks) > 0 || len(b.owners) > 0 {
		t.Errorf("%d ended, %d tasks, %d owners are left", len(b.ended), len(b.tasks), len(b.owners))
	}
}

func TestOutboxHoldsBackWhoPutsTooMuch(t *testing.T) {
	o := newOutbox[int]()
	o.put(1, 2, 3)
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan bool)
	go func() { waited <- o.below(ctx, 3, 1) }()
	if items := o.take(nil); len(items) != 3 {
		t.Errorf("took %v", items)
	}
	if !<-waited {
		t.Error("there is room, and it was not told")
	}
	o.put(1, 2, 3)
	cancel()
	if o.below(ctx, 3, 1) {
		t.Error("the context has ended")
	}
}

// The arguments of tasks that are not recorded are in memory, and so are perhaps their results: together they have a limit too.
func TestInboxLimitsBytes(t *testing.T) {
	b, now := newInbox(10, 100), time.Now()
	enter := func(id string, bytes int) error {
		_, err := b.enter("web", id, bytes, now)
		return err
	}
	if err := errors.Join(enter("1", 1000), b.room("other", 1000)); err != nil {
		t.Fatalf("the first: %v", err)
	}
	var full *actors.FullError
	if err := enter("2", 1); !errors.As(err, &full) || full.Limit != "MaxBytes" || full.Max != 100 {
		t.Errorf("behind a large one: %v", err)
	}
	b.end("1", "done", nil, now)
	if err := enter("2", 1); !errors.As(err, &full) {
		t.Errorf("while its outcome has not arrived: %v", err)
	}
	b.arrive("web", "1", false)
	if err := errors.Join(enter("2", 60), enter("3", 40)); err != nil {
		t.Error(err)
	}
	if err := enter("4", 1); !errors.As(err, &full) {
		t.Errorf("one byte too many: %v", err)
	}
	b.refuse("2")
	if err := enter("4", 60); err != nil || b.owners["web"] != (share{tasks: 2, bytes: 100}) {
		t.Errorf("%v, %+v", err, b.owners["web"])
	}
}

// Whoever has no room for one more run does not have the listener walk through all that it keeps for each that it asks for.
func TestAFullInboxAnswersAtOnce(t *testing.T) {
	const tasks = 10_000
	b, now := newInbox(tasks, 1<<20), time.Now()
	for i := range tasks {
		if _, err := b.enter("web", fmt.Sprint(i), 1, now); err != nil {
			t.Fatal(err)
		}
		b.end(fmt.Sprint(i), "done", nil, now)
	}
	began := time.Now()
	for range tasks {
		if _, err := b.enter("web", "one more", 1, now); err == nil {
			t.Fatal("there is no room, and it was entered")
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("%d refusals took %s", tasks, took)
	}
}

func TestFollowersOfOneTaskAreLimited(t *testing.T) {
	b := newInbox(10, 1000)
	if _, err := b.enter("web", "1", 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	to := new(session)
	for i := range uint64(maxFollowers + 1) {
		if err := b.follow("web", "1", follower{to, i}); err != nil {
			t.Fatal(err)
		}
	}
	var full *actors.FullError
	if err := b.follow("web", "1", follower{to, 1000}); !errors.As(err, &full) || full.Limit != "MaxFollowers" {
		t.Errorf("one too many: %v", err)
	}
	b.leave("1", follower{to, 7})
	if err := b.follow("web", "1", follower{to, 1000}); err != nil {
		t.Errorf("when one has left: %v", err)
	}
}
