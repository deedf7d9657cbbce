package storetest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var subscriberTests = []test{
	{"begin where they are told", subscribersBegin},
	{"begin nowhere else", subscribersBeginNowhere},
	{"one that exists goes on", subscribersGoOn},
	{"acknowledge", subscribersAcknowledge},
	{"acknowledge nothing that is not", subscribersAcknowledgeAhead},
	{"are forgotten", subscribersForgotten},
	{"are listed", subscribersListed},
	{"are not too many", subscribersLimit},
	{"keep what they have not acknowledged", subscribersKeep},
	{"keep nothing of other runners", subscribersKeepTheirs},
	{"keep nothing when they are gone", subscribersGone},
	{"who come back hear of what is gone", subscribersComeBack},
	{"keep each outcome of a task", subscribersRetried},
	{"read page by page while all else is deleted", subscribersPaged},
	{"who come later keep what is there", subscribersLater},
	{"give wrong input", subscribersInput},
}

// subscribe has a subscriber of the runner begin, or go on.
func (e *env) subscribe(name string, after int64) (cursor int64) {
	e.Helper()
	cursor, err := e.Subscribe(ctx(), e.now, runner, name, after)
	check(e.T, err)
	return cursor
}

func (e *env) acknowledge(name string, pos int64) (cursor int64) {
	e.Helper()
	cursor, err := e.Acknowledge(ctx(), e.now, runner, name, pos)
	check(e.T, err)
	return cursor
}

func (e *env) subscribers() []store.Subscriber {
	e.Helper()
	all, err := e.Subscribers(ctx(), runner)
	check(e.T, err)
	return all
}

// sameSubscribers compares all of the runner's.
func (e *env) sameSubscribers(what string, want ...store.Subscriber) {
	e.Helper()
	if got := e.subscribers(); !slices.Equal(got, want) {
		e.Errorf("%s: the subscribers are\n%+v, want\n%+v", what, got, want)
	}
}

// behind gives what a subscriber reads behind its cursor.
func (e *env) behind(cursor int64) []store.Task {
	e.Helper()
	found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor, Gapless: true, Limit: store.MaxList})
	check(e.T, err)
	return found.Tasks
}

// pruneAll deletes all that has ended and that no subscriber keeps.
func (e *env) pruneAll() (deleted int) {
	e.Helper()
	later := e.now.Add(time.Hour)
	return e.prune(store.Expiry{Completed: later, Cancelled: later, Discarded: later})
}

func subscribersBegin(e *env) {
	old := e.ended(store.Completed, store.Discarded, store.Cancelled)
	places := e.outcomesAfter(store.FromOldest).Tasks
	oldest, second, now := e.subscribe("oldest", store.FromOldest), e.subscribe("second", places[1].Pos), e.subscribe("now", store.FromNow)
	if second != places[1].Pos {
		e.Errorf("began at %d, told to at %d", second, places[1].Pos)
	}
	later := e.ended(store.Completed, store.Discarded)
	sameIDs(e.T, "from the oldest", ids(e.behind(oldest)), append(slices.Clone(old), later...))
	sameIDs(e.T, "from a cursor", ids(e.behind(second)), append(slices.Clone(old[2:]), later...))
	sameIDs(e.T, "from now", ids(e.behind(now)), later)
}

// subscribersBeginNowhere: a place behind which something is gone, and one that does not exist yet, are told and make no subscriber.
func subscribersBeginNowhere(e *env) {
	e.ended(store.Completed, store.Completed, store.Completed)
	places := e.outcomesAfter(store.FromOldest).Tasks
	e.prune(store.Expiry{Completed: e.now.Add(time.Hour), Limit: 2})
	_, err := e.Subscribe(ctx(), e.now, runner, "late", places[0].Pos)
	refusedAs(e.T, "a place before what was deleted", err, store.ErrCursorExpired)
	for _, ahead := range []int64{e.outcomesAfter(store.FromNow).Next + 1, math.MaxInt64} {
		_, err := e.Subscribe(ctx(), e.now, runner, "early", ahead)
		refusedAs(e.T, "a place that is ahead", err, store.ErrCursorAhead)
	}
	e.sameSubscribers("after three refusals")
	oldest := e.subscribe("oldest", store.FromOldest)
	sameIDs(e.T, "from the oldest", ids(e.behind(oldest)), ids(places[2:]))
}

// subscribersGoOn: whatever a subscriber asks for that exists, it goes on at its cursor, and is seen.
func subscribersGoOn(e *env) {
	e.ended(store.Completed, store.Completed)
	first := e.subscribe("s", store.FromOldest)
	created := e.now
	e.pass(time.Minute)
	for _, after := range []int64{store.FromOldest, store.FromNow, first + 1, math.MaxInt64} {
		e.pass(time.Second)
		if again := e.subscribe("s", after); again != first {
			e.Errorf("asked for %d it goes on at %d, want %d", after, again, first)
		}
		e.sameSubscribers("again", store.Subscriber{Name: "s", Cursor: first, CreatedAt: micro(created), SeenAt: micro(e.now)})
	}
	pos := e.behind(first)[0].Pos
	e.acknowledge("s", pos)
	if again := e.subscribe("s", store.FromOldest); again != pos {
		e.Errorf("it goes on at %d, it has acknowledged %d", again, pos)
	}
}

// subscribersAcknowledge: the cursor only rises, and the subscriber is seen either way.
func subscribersAcknowledge(e *env) {
	e.ended(store.Completed, store.Completed, store.Completed)
	begin := e.subscribe("s", store.FromOldest)
	places := e.behind(begin)
	created := e.now
	for _, c := range []struct{ pos, want int64 }{
		{store.FromOldest, begin}, {places[1].Pos, places[1].Pos}, {places[1].Pos, places[1].Pos}, {places[0].Pos, places[1].Pos},
		{store.FromOldest, places[1].Pos}, {places[2].Pos, places[2].Pos},
	} {
		e.pass(time.Second)
		if got := e.acknowledge("s", c.pos); got != c.want {
			e.Errorf("acknowledged %d, the cursor is %d, want %d", c.pos, got, c.want)
		}
		e.sameSubscribers("afterwards", store.Subscriber{Name: "s", Cursor: c.want, CreatedAt: micro(created), SeenAt: micro(e.now)})
	}
}

func subscribersAcknowledgeAhead(e *env) {
	e.ended(store.Completed)
	begin := e.subscribe("s", store.FromOldest)
	end := e.outcomesAfter(store.FromNow).Next
	want := store.Subscriber{Name: "s", Cursor: begin, CreatedAt: micro(e.now), SeenAt: micro(e.now)}
	e.pass(time.Second)
	for _, ahead := range []int64{end + 1, math.MaxInt64} {
		_, err := e.Acknowledge(ctx(), e.now, runner, "s", ahead)
		refusedAs(e.T, "beyond the last", err, store.ErrCursorAhead)
	}
	e.sameSubscribers("after two refusals", want)
	for _, pos := range []int64{store.FromOldest, end, math.MaxInt64} {
		_, err := e.Acknowledge(ctx(), e.now, runner, "unknown", pos)
		refusedAs(e.T, "of nobody", err, store.ErrNotFound)
		_, err = e.Acknowledge(ctx(), e.now, "other", "s", pos)
		refusedAs(e.T, "of nobody of another runner", err, store.ErrNotFound)
	}
	if got := e.acknowledge("s", end); got != end {
		e.Errorf("acknowledged all up to %d, the cursor is %d", end, got)
	}
}

func subscribersForgotten(e *env) {
	e.ended(store.Completed)
	e.subscribe("s", store.FromOldest)
	for range 2 { // the second time there is none
		check(e.T, e.Unsubscribe(ctx(), runner, "s"))
		e.sameSubscribers("forgotten")
	}
	_, err := e.Acknowledge(ctx(), e.now, runner, "s", store.FromOldest)
	refusedAs(e.T, "acknowledge", err, store.ErrNotFound)
	e.pass(time.Minute)
	cursor := e.subscribe("s", store.FromNow)
	e.sameSubscribers("anew", store.Subscriber{Name: "s", Cursor: cursor, CreatedAt: micro(e.now), SeenAt: micro(e.now)})
	if n := len(e.behind(cursor)); n != 0 {
		e.Errorf("from now there are %d outcomes", n)
	}
}

// subscribersListed: by the bytes of their names, each runner's for itself.
func subscribersListed(e *env) {
	e.sameSubscribers("at first")
	var want []store.Subscriber
	for _, name := range []string{"ü", "b", "a b", "B", "a", "名"} {
		cursor := e.subscribe(name, store.FromNow)
		want = append(want, store.Subscriber{Name: name, Cursor: cursor, CreatedAt: micro(e.now), SeenAt: micro(e.now)})
		e.pass(time.Second)
	}
	_, err := e.Subscribe(ctx(), e.now, "other", "a", store.FromNow)
	check(e.T, err)
	slices.SortFunc(want, func(a, b store.Subscriber) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
	e.sameSubscribers("all", want...)
}

func subscribersLimit(e *env) {
	name := func(i int) string { return fmt.Sprint("subscriber ", i) }
	for i := range store.MaxSubscribers {
		e.subscribe(name(i), store.FromNow)
	}
	_, err := e.Subscribe(ctx(), e.now, runner, "one more", store.FromNow)
	refusedAs(e.T, "one more", err, store.ErrSubscribers)
	_, err = e.Subscribe(ctx(), e.now, "other", "one more", store.FromNow)
	check(e.T, err)
	e.subscribe(name(7), store.FromNow) // it exists
	if n := len(e.subscribers()); n != store.MaxSubscribers {
		e.Errorf("there are %d", n)
	}
	check(e.T, e.Unsubscribe(ctx(), runner, name(7)))
	e.subscribe("one more", store.FromNow)
}

// subscribersKeep: the one who is furthest behind decides, and what it has acknowledged goes by its age as ever.
func subscribersKeep(e *env) {
	all := e.ended(store.Completed, store.Discarded, store.Cancelled, store.Completed, store.Discarded, store.Completed)
	slow, quick := e.subscribe("slow", store.FromOldest), e.subscribe("quick", store.FromOldest)
	waiting := e.insert(newTask())[0]
	places := e.behind(slow)
	e.pass(time.Hour)
	want := func(what string, deleted, left int) {
		e.Helper()
		for _, n := range []int{deleted, 0} { // the second time there is nothing to do
			if got := e.pruneAll(); got != n {
				e.Errorf("%s: deleted %d, want %d", what, got, n)
			}
		}
		sameIDs(e.T, what, ids(e.outcomesAfter(store.FromOldest).Tasks), all[len(all)-left:])
	}
	want("nobody has acknowledged anything", 0, 6)
	e.acknowledge("quick", places[5].Pos)
	want("one has acknowledged all", 0, 6)
	e.acknowledge("slow", places[1].Pos)
	want("the other has acknowledged two", 2, 4)
	if n := e.prune(store.Expiry{Discarded: e.now}); n != 0 {
		e.Errorf("deleted %d of those that are kept", n)
	}
	_, err := e.Get(ctx(), all[1])
	refusedAs(e.T, "get", err, store.ErrNotFound)
	e.get(all[2])
	sameIDs(e.T, "behind the slow one", ids(e.behind(places[1].Pos)), all[2:])
	check(e.T, e.Unsubscribe(ctx(), runner, "slow"))
	want("the slow one is gone", 4, 0)
	same(e.T, "what waits", e.get(waiting.ID), waiting)
	sameCounts(e, "", map[store.State]int64{store.Available: 1})
	if quick > places[0].Pos {
		e.Errorf("the quick one began at %d", quick)
	}
}

func subscribersKeepTheirs(e *env) {
	e.ended(store.Completed)
	_, err := e.Subscribe(ctx(), e.now, "other", "s", store.FromOldest)
	check(e.T, err)
	e.pass(time.Hour)
	if n := e.pruneAll(); n != 1 {
		e.Errorf("deleted %d, want 1", n)
	}
}

// subscribersGone: one that was not seen for too long keeps nothing, until it is seen again.
func subscribersGone(e *env) {
	e.ended(store.Completed, store.Completed, store.Completed)
	cursor := e.subscribe("s", store.FromOldest)
	seen := e.now
	places := e.behind(cursor)
	expired := func(subscribers time.Time, limit int) store.Expiry {
		return store.Expiry{Completed: e.now.Add(time.Hour), Subscribers: subscribers, Limit: limit}
	}
	e.pass(24 * time.Hour)
	for _, still := range []time.Time{{}, seen.Add(-time.Hour), seen} {
		if n := e.prune(expired(still, 0)); n != 0 {
			e.Errorf("last seen at %v, it keeps nothing at %v", seen, still)
		}
	}
	if n := e.prune(expired(seen.Add(time.Microsecond), 1)); n != 1 {
		e.Errorf("deleted %d of one that is gone, want 1", n)
	}
	e.acknowledge("s", store.FromOldest) // it is seen
	if n := e.prune(expired(seen.Add(time.Microsecond), 0)); n != 0 {
		e.Errorf("deleted %d of one that has come back", n)
	}
	e.sameSubscribers("afterwards", store.Subscriber{Name: "s", Cursor: cursor, CreatedAt: micro(seen), SeenAt: micro(e.now)})
	e.acknowledge("s", places[2].Pos)
	if n := e.pruneAll(); n != 2 {
		e.Errorf("deleted %d of what was acknowledged, want 2", n)
	}
}

// subscribersComeBack: each has its cursor still, also the one that began before the first outcome of all, and what was deleted behind
// it is told and not passed over.
func subscribersComeBack(e *env) {
	first := e.subscribe("first", store.FromOldest)
	e.ended(store.Completed, store.Completed, store.Completed)
	places := e.behind(first)
	second := e.subscribe("second", places[1].Pos)
	gone := e.now
	e.pass(time.Hour)
	if n := e.prune(store.Expiry{Completed: e.now, Subscribers: e.now, Limit: 2}); n != 2 {
		e.Fatalf("deleted %d, want 2", n)
	}
	e.sameSubscribers("afterwards", store.Subscriber{Name: "first", Cursor: first, CreatedAt: micro(gone), SeenAt: micro(gone)},
		store.Subscriber{Name: "second", Cursor: second, CreatedAt: micro(gone), SeenAt: micro(gone)})
	if again := e.subscribe("first", store.FromOldest); again != first {
		e.Errorf("it had the cursor %d and gets %d", first, again)
	}
	for _, of := range []string{runner, ""} {
		_, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: of, After: first, Gapless: true})
		refusedAs(e.T, "behind the first", err, store.ErrCursorExpired)
	}
	sameIDs(e.T, "behind the second", ids(e.behind(second)), ids(places[2:]))
	found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: "other", Gapless: true})
	if check(e.T, err); len(found.Tasks) != 0 {
		e.Errorf("of another runner, nothing of which is gone: %v", ids(found.Tasks))
	}
}

// subscribersRetried: a retry by hand makes another outcome, at the end. The old one is kept for itself, and so is the task.
func subscribersRetried(e *env) {
	cursor := e.subscribe("s", store.FromOldest)
	task := e.finished(e.outcome(e.running(), store.Discarded))
	_, err := e.Retry(ctx(), e.now, task.ID)
	check(e.T, err)
	again := e.claimOne()
	if n := e.pruneAll(); n != 0 {
		e.Errorf("deleted %d while the task runs again", n)
	}
	second := e.finished(e.outcome(again, store.Completed))
	if n := e.pruneAll(); n != 0 {
		e.Errorf("deleted %d when it had ended again", n)
	}
	found := e.behind(cursor)
	if len(found) != 2 {
		e.Fatalf("there are %d outcomes, want 2", len(found))
	}
	same(e.T, "the first outcome", found[0], task)
	same(e.T, "the second outcome", found[1], second)
	e.acknowledge("s", found[0].Pos)
	if n := e.pruneAll(); n != 1 {
		e.Errorf("deleted %d when the first was acknowledged, want 1", n)
	}
	same(e.T, "the task", e.get(task.ID), second)
	_, err = e.Retry(ctx(), e.now, task.ID)
	check(e.T, err)
	e.acknowledge("s", found[1].Pos)
	if n := e.pruneAll(); n != 1 {
		e.Errorf("deleted %d when both were acknowledged, want 1", n)
	}
	if got := e.get(task.ID); got.State != store.Available {
		e.Errorf("the task that waits again: %+v", got)
	}
}

// subscribersPaged: whoever acknowledges each page when the next one comes misses nothing, however much is deleted.
func subscribersPaged(e *env) {
	cursor := e.subscribe("s", store.FromOldest)
	var want, got []string
	for len(got) < 30 {
		want = append(want, e.ended(store.Completed, store.Discarded)...)
		found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor, Gapless: true, Limit: 3})
		check(e.T, err)
		got = append(got, ids(found.Tasks)...)
		e.pruneAll()
		e.acknowledge("s", cursor)
		e.pruneAll()
		cursor = found.Next
	}
	sameIDs(e.T, "all pages", got, want[:len(got)])
	e.acknowledge("s", cursor)
	e.pruneAll()
	sameIDs(e.T, "left", ids(e.outcomesAfter(store.FromOldest).Tasks), want[len(got):])
}

// subscribersLater: one that comes when others have acknowledged more keeps what is there.
func subscribersLater(e *env) {
	all := e.ended(store.Completed, store.Completed, store.Discarded, store.Completed)
	places := e.outcomesAfter(store.FromOldest).Tasks
	e.subscribe("s", places[2].Pos)
	e.pass(time.Hour)
	if n := e.prune(store.Expiry{Completed: e.now}); n != 2 {
		e.Errorf("deleted %d, want 2", n)
	}
	late := e.subscribe("late", store.FromOldest)
	e.acknowledge("s", places[3].Pos)
	if n := e.pruneAll(); n != 0 {
		e.Errorf("deleted %d of what the late one has not read", n)
	}
	sameIDs(e.T, "behind the late one", ids(e.behind(late)), all[2:])
	e.acknowledge("late", places[3].Pos)
	if n := e.pruneAll(); n != 2 {
		e.Errorf("deleted %d in the end, want 2", n)
	}
}

func subscribersInput(e *env) {
	bad := func(what, field string, now time.Time, of, name string, at int64) {
		e.Helper()
		_, err := e.Subscribe(ctx(), now, of, name, at)
		refusedInput(e, "subscribe, "+what, err, field)
		_, err = e.Acknowledge(ctx(), now, of, name, at)
		refusedInput(e, "acknowledge, "+what, err, field)
	}
	for what, name := range badNames {
		bad("runner: "+what, "runner", e.now, name, "s", 0)
		bad("name: "+what, "name", e.now, runner, name, 0)
		refusedInput(e, "unsubscribe, runner: "+what, e.Unsubscribe(ctx(), name, "s"), "runner")
		refusedInput(e, "unsubscribe, name: "+what, e.Unsubscribe(ctx(), runner, name), "name")
		_, err := e.Subscribers(ctx(), name)
		refusedInput(e, "subscribers: "+what, err, "runner")
	}
	for _, now := range []time.Time{{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		bad("time", "now", now, runner, "s", 0)
		if !now.IsZero() {
			_, err := e.Prune(ctx(), store.Expiry{Runner: runner, Subscribers: now})
			refusedInput(e, "prune", err, "Subscribers")
		}
	}
	for _, after := range []int64{store.FromNow - 1, math.MinInt64} {
		_, err := e.Subscribe(ctx(), e.now, runner, "s", after)
		refusedInput(e, "no cursor", err, "after")
	}
	e.subscribe("s", store.FromOldest)
	for _, pos := range []int64{store.FromNow, math.MinInt64} {
		_, err := e.Acknowledge(ctx(), e.now, runner, "s", pos)
		refusedInput(e, "no pos", err, "pos")
	}
	e.sameSubscribers("afterwards", store.Subscriber{Name: "s", CreatedAt: micro(e.now), SeenAt: micro(e.now)})
}
