package storetest

import (
	"math"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var claimTests = []test{
	{"starts a run", claimStarts},
	{"longest due first, then in the order of insertion", claimOrder},
	{"most urgent first", claimPriorities},
	{"whatever the clock says, the available are due", claimClock},
	{"order across kinds", claimOrderAcrossKinds},
	{"only these kinds", claimKinds},
	{"only this runner", claimRunner},
	{"nothing and nobody", claimNothing},
	{"says when the next one is due", claimNext},
	{"more than a few", claimMany},
	{"all there are", claimAll},
	{"a task whose history is long", claimWithHistory},
}

// claimStarts: the second run starts anew, but for the attempts it counts.
func claimStarts(e *env) {
	n := newTask()
	want := e.insert(n)[0]
	e.pass(time.Second)
	got := e.claimOne()
	want.State, want.Run, want.Attempt, want.Node, want.StartedAt = store.Running, 1, 1, node, micro(e.now)
	same(e.T, "answer", got, want)
	same(e.T, "recorded", e.get(n.ID), want)

	check(e.T, e.Report(ctx(), []store.Progress{{TaskID: n.ID, Run: 1, Fraction: 0.5}}))
	check(e.T, e.finish(e.outcome(got, store.Retryable)))
	e.pass(time.Minute)
	again := e.claimOne()
	if again.Run != 2 || again.Attempt != 2 || again.Progress != 0 || again.State != store.Running {
		e.Errorf("second run: %+v", again)
	}
}

// claimOrder has the insertion in another order than the times, and two tasks due at the same time.
func claimOrder(e *env) {
	at := func(d time.Duration) store.NewTask {
		n := newTask()
		n.ScheduledAt = e.now.Add(d)
		return n
	}
	second, first, third, fourth, later := at(-time.Minute), at(-time.Hour), at(-time.Minute), newTask(), at(time.Hour)
	e.insert(second, first, third, fourth, later)
	claimed := e.claim(10)
	sameIDs(e.T, "claimed", ids(claimed.Tasks), []string{first.ID, second.ID, third.ID, fourth.ID})
	if !claimed.Next.Equal(micro(later.ScheduledAt)) {
		e.Errorf("next is %v, want %v", claimed.Next, later.ScheduledAt)
	}
}

// claimPriorities: urgency goes before the time, across kinds and for what has become due; what is not due yet is in nobody's
// way.
func claimPriorities(e *env) {
	var tasks []store.NewTask // in the order in which they are to be claimed
	for priority := range store.MaxPriority + 1 {
		for i, due := range []time.Duration{-time.Hour, -time.Minute, 0} {
			n := newTask()
			n.Priority, n.ScheduledAt = priority, e.now.Add(due)
			n.Kind = []string{kind, "other"}[(priority+i)%2]
			tasks = append(tasks, n)
		}
	}
	want := make([]string, len(tasks))
	for i, n := range slices.Backward(tasks) { // inserted the other way round
		want[i] = n.ID
		e.insert(n)
	}
	urgent := newTask()
	urgent.ScheduledAt = e.now.Add(time.Minute)
	e.insert(urgent)
	sameIDs(e.T, "claimed", ids(e.claim(20, kind, "other").Tasks), want[:20])
	e.pass(time.Minute)
	sameIDs(e.T, "when the urgent one has become due", ids(e.claim(20, kind, "other").Tasks), append([]string{urgent.ID}, want[20:]...))
}

// claimClock: a clock that jumps an hour back must not stop the work that is to be done at once.
func claimClock(e *env) {
	first, later := newTask(), newTask()
	later.ScheduledAt = e.now.Add(time.Minute)
	e.insert(first, later)
	e.pass(-time.Hour)
	claimed := e.claim(2)
	sameIDs(e.T, "claimed an hour earlier", ids(claimed.Tasks), []string{first.ID})
	if !claimed.Next.Equal(micro(later.ScheduledAt)) {
		e.Errorf("next is %v, want %v", claimed.Next, later.ScheduledAt)
	}
}

// claimOrderAcrossKinds: a store may keep each kind for itself; the order is that of all together.
func claimOrderAcrossKinds(e *env) {
	var want []string
	for i := range 30 {
		n := newTask()
		n.Kind = []string{"a", "b", "c"}[i%3]
		n.ScheduledAt = e.now.Add(time.Duration(i-100) * time.Second)
		e.insert(n)
		want = append(want, n.ID)
	}
	for len(want) > 0 {
		claimed := e.claim(7, "c", "a", "b", "a")
		sameIDs(e.T, "claimed", ids(claimed.Tasks), want[:min(7, len(want))])
		want = want[len(claimed.Tasks):]
		if more := len(want) > 0; more == claimed.Next.IsZero() {
			e.Fatalf("%d left, next is %v", len(want), claimed.Next)
		}
	}
}

// claimKinds: a task of another kind that is due longer is neither claimed nor in the way, nor is it Next.
func claimKinds(e *env) {
	mine, other := newTask(), newTask()
	other.Kind = "other"
	other.ScheduledAt = e.now.Add(-time.Hour)
	e.insert(other, mine)
	claimed := e.claim(10, kind, "unused")
	sameIDs(e.T, "claimed", ids(claimed.Tasks), []string{mine.ID})
	if !claimed.Next.IsZero() {
		e.Errorf("next is %v although no task of this kind waits", claimed.Next)
	}
	if none := e.claim(10, "asset", "asset.move "); len(none.Tasks) != 0 {
		e.Errorf("claimed %v", none.Tasks)
	}
}

func claimRunner(e *env) {
	other := newTask()
	other.Runner = "other"
	e.insert(other)
	if claimed := e.claim(10); len(claimed.Tasks) != 0 || !claimed.Next.IsZero() {
		e.Errorf("claimed %v of another runner", claimed)
	}
}

// claimNothing: no kinds and no room are ordinary for a runner that is full or stopping.
func claimNothing(e *env) {
	if claimed := e.claim(10); len(claimed.Tasks) != 0 || !claimed.Next.IsZero() {
		e.Errorf("claimed %v from an empty store", claimed)
	}
	n := newTask()
	e.insert(n)
	claimed, err := e.Claim(ctx(), e.now, store.Claim{Runner: runner, Node: node, Limit: 1})
	check(e.T, err)
	if len(claimed.Tasks) != 0 || !claimed.Next.IsZero() {
		e.Errorf("a claim of no kinds gave %v", claimed)
	}
	if claimed := e.claim(0); len(claimed.Tasks) != 0 || !claimed.Next.Equal(micro(e.now)) {
		e.Errorf("a claim of no tasks gave %v", claimed)
	}
}

// claimNext: a runner sleeps until Next, so too late is a delay, and too early is a wake-up for nothing.
func claimNext(e *env) {
	n := newTask()
	n.ScheduledAt = e.now.Add(time.Minute)
	e.insert(n)
	if claimed := e.claim(1); len(claimed.Tasks) != 0 || !claimed.Next.Equal(micro(n.ScheduledAt)) {
		e.Errorf("a minute early: %v", claimed)
	}
	e.pass(time.Minute - time.Microsecond)
	if claimed := e.claim(1); len(claimed.Tasks) != 0 || !claimed.Next.Equal(micro(n.ScheduledAt)) {
		e.Errorf("a microsecond early: %v", claimed)
	}
	e.pass(time.Microsecond)
	task := e.claimOne()
	o := e.outcome(task, store.Retryable)
	check(e.T, e.finish(o))
	if claimed := e.claim(1); len(claimed.Tasks) != 0 || !claimed.Next.Equal(micro(o.ScheduledAt)) {
		e.Errorf("before the retry: %v", claimed)
	}
	e.pass(time.Minute)
	two := newTasks(2)
	e.insert(two...)
	if claimed := e.claim(2); len(claimed.Tasks) != 2 || claimed.Next.After(e.now) || claimed.Next.IsZero() {
		e.Errorf("next is %v although one is left that is due", claimed.Next)
	}
}

func claimMany(e *env) {
	tasks := newTasks(300)
	e.insert(tasks...)
	var got []string
	for {
		claimed := e.claim(130)
		got = append(got, ids(claimed.Tasks)...)
		if claimed.Next.IsZero() {
			break
		}
	}
	want := make([]string, len(tasks))
	for i := range tasks {
		want[i] = tasks[i].ID
	}
	sameIDs(e.T, "claimed", got, want)
	sameCounts(e, runner, map[store.State]int64{store.Running: 300})
}

// claimAll asks for as many as an int can say.
func claimAll(e *env) {
	e.insert(newTasks(10)...)
	if claimed := e.claim(math.MaxInt); len(claimed.Tasks) != 10 || !claimed.Next.IsZero() {
		e.Errorf("claimed %d of 10, next is %v", len(claimed.Tasks), claimed.Next)
	}
}

// claimWithHistory: a claim is what runs often, and who runs a task does not need its history.
func claimWithHistory(e *env) {
	e.insert(newTask())
	for range 3 {
		task := e.claimOne()
		if len(task.History) != 0 {
			e.Errorf("run %d was claimed with %d errors: a claim carries none", task.Run, len(task.History))
		}
		check(e.T, e.finish(e.outcome(task, store.Retryable)))
		e.pass(time.Minute)
	}
}
