package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var insertTests = []test{
	{"keeps every field", insertKeepsFields},
	{"already running", insertRunning},
	{"scheduled", insertScheduled},
	{"nothing", insertNothing},
	{"the same id twice", insertTwice},
	{"the same id twice in one call", insertTwiceInOneCall},
	{"old and new ids mixed", insertMixed},
	{"all or none", insertAllOrNone},
	{"seq rises", insertSeqRises},
	{"an id that was fresh before", insertKnownLater},
	{"ten thousand at once", insertMany},
	{"arguments of every size", insertArgs},
	{"what is given and what is answered is not shared", insertNotShared},
}

// insertKeepsFields also reads back: what is answered and what is recorded must not come apart.
func insertKeepsFields(e *env) {
	n := newTask()
	n.Timeout = 1500 * time.Nanosecond // rounded up: cut to nothing it would be no timeout
	n.Priority = 7
	got := e.insert(n)[0]
	want := store.Task{
		ID: n.ID, Seq: got.Seq, Runner: n.Runner, Kind: n.Kind, Key: n.Key, Args: n.Args, Priority: 7, State: store.Available,
		MaxAttempts: 3, Timeout: 2 * time.Microsecond, InsertedAt: micro(e.now), ScheduledAt: micro(e.now),
	}
	same(e.T, "answer", got, want)
	same(e.T, "recorded", e.get(n.ID), want)
}

// insertRunning: a task that there is room for is recorded as running, which saves the write of a claim.
func insertRunning(e *env) {
	n := onNode(newTask())
	n.ScheduledAt = e.now.Add(time.Hour) // ignored
	got := e.insert(n)[0]
	want := store.Task{
		ID: n.ID, Seq: got.Seq, Runner: n.Runner, Kind: n.Kind, Key: n.Key, Args: n.Args, State: store.Running,
		Run: 1, Attempt: 1, MaxAttempts: 3, Timeout: n.Timeout, Node: node,
		InsertedAt: micro(e.now), ScheduledAt: micro(e.now), StartedAt: micro(e.now),
	}
	same(e.T, "answer", got, want)
	same(e.T, "recorded", e.get(n.ID), want)
	if claimed := e.claim(1); len(claimed.Tasks) != 0 || !claimed.Next.IsZero() {
		e.Errorf("claimed %v although it runs already", claimed)
	}
}

// insertScheduled is about the border: due now is available, a microsecond later is scheduled.
func insertScheduled(e *env) {
	cases := []struct {
		after time.Duration
		state store.State
	}{{-time.Hour, store.Available}, {0, store.Available}, {time.Microsecond, store.Scheduled}, {time.Hour, store.Scheduled}}
	for _, c := range cases {
		n := newTask()
		n.ScheduledAt = e.now.Add(c.after)
		got := e.insert(n)[0]
		if got.State != c.state || !got.ScheduledAt.Equal(micro(n.ScheduledAt)) {
			e.Errorf("scheduled %v after now: is %s at %v, want %s at %v", c.after, got.State, got.ScheduledAt, c.state, n.ScheduledAt)
		}
		same(e.T, "recorded", e.get(n.ID), got)
	}
}

func insertNothing(e *env) {
	if got := e.insert(); len(got) != 0 {
		e.Errorf("got %v", got)
	}
}

// insertTwice: a caller that lost the answer asks again, perhaps much later, and must not start the task a second
// time.
func insertTwice(e *env) {
	n := known(newTask())
	e.insert(n)
	task := e.claimOne()
	failed := e.finished(e.outcome(task, store.Retryable))
	changed := onNode(n)
	changed.Args, changed.Kind = []byte("other"), "other"
	e.pass(time.Second)
	inserted, err := e.Insert(ctx(), e.now, []store.NewTask{changed})
	check(e.T, err)
	if !inserted[0].Existed {
		e.Error("Existed is false")
	}
	same(e.T, "answer", inserted[0].Task, failed)
	same(e.T, "recorded", e.get(n.ID), failed)
}

// insertTwiceInOneCall repeats ids next to each other and far apart, because a store may insert many rows with one
// statement.
func insertTwiceInOneCall(e *env) {
	fresh := newTasks(100)
	for i := range fresh {
		fresh[i] = known(fresh[i])
	}
	var tasks []store.NewTask
	var existed []bool
	for i, n := range fresh {
		tasks, existed = append(tasks, n), append(existed, false)
		if i%3 == 0 {
			tasks, existed = append(tasks, n, fresh[i/2]), append(existed, true, true)
		}
	}
	inserted, err := e.Insert(ctx(), e.now, tasks)
	check(e.T, err)
	for i, answer := range inserted {
		if answer.Existed != existed[i] {
			e.Errorf("answer %d: Existed is %v, want %v", i, answer.Existed, existed[i])
		}
		same(e.T, fmt.Sprint("answer ", i), answer.Task, e.get(tasks[i].ID))
	}
	sameCounts(e, runner, map[store.State]int64{store.Available: 100})
}

// insertMixed has old ids at every place of a long list, because a store may insert many rows with one statement.
func insertMixed(e *env) {
	tasks := newTasks(500)
	var old []store.NewTask
	for i := range tasks {
		tasks[i] = known(tasks[i])
		if i%7 == 0 {
			old = append(old, tasks[i])
		}
	}
	e.insert(old...)
	inserted, err := e.Insert(ctx(), e.now, tasks)
	check(e.T, err)
	for i, answer := range inserted {
		if answer.ID != tasks[i].ID || answer.Existed != (i%7 == 0) {
			e.Fatalf("answer %d: %s existed %v, want %s existed %v", i, answer.ID, answer.Existed, tasks[i].ID, i%7 == 0)
		}
		same(e.T, fmt.Sprintf("answer %d", i), answer.Task, e.get(answer.ID))
	}
	sameCounts(e, runner, map[store.State]int64{store.Available: 500})
}

// insertAllOrNone has the bad task at the start, early and at the end.
func insertAllOrNone(e *env) {
	for _, bad := range []int{0, 1, 99} {
		tasks := newTasks(100)
		tasks[bad].MaxAttempts = 0
		inserted, err := e.Insert(ctx(), e.now, tasks)
		refusedAs(e.T, "insert with one bad task", err, store.ErrInvalid)
		if inserted != nil {
			e.Errorf("got %d answers with the error", len(inserted))
		}
	}
	sameIDs(e.T, "recorded", e.list(store.Query{}), []string{})
	sameCounts(e, "", map[store.State]int64{})
}

// insertSeqRises: Seq is a cursor, so it must rise across calls and within them.
func insertSeqRises(e *env) {
	last := int64(0)
	for range 3 {
		for _, task := range e.insert(newTasks(150)...) {
			if task.Seq <= last {
				e.Fatalf("seq %d after %d", task.Seq, last)
			}
			last = task.Seq
		}
	}
}

// insertKnownLater: who was told an id may give it again, whether the task waits, runs or has ended.
func insertKnownLater(e *env) {
	for _, state := range store.States {
		task := e.in(state)
		for _, node := range []string{"", node} {
			again := known(newTask())
			again.ID, again.Node = task.ID, node
			inserted, err := e.Insert(ctx(), e.now, []store.NewTask{newTask(), again})
			check(e.T, err)
			if inserted[0].Existed || !inserted[1].Existed {
				e.Errorf("%s: existed %v and %v, want false and true", state, inserted[0].Existed, inserted[1].Existed)
			}
			same(e.T, string(state), inserted[1].Task, e.get(task.ID))
			same(e.T, string(state)+", recorded", e.get(task.ID), task)
		}
	}
}

// insertMany: one request may start thousands of tasks, and is told of each in its order.
func insertMany(e *env) {
	if testing.Short() {
		e.Skip("long")
	}
	tasks := newTasks(10_000)
	got := e.insert(tasks...)
	for i := range tasks {
		if got[i].ID != tasks[i].ID {
			e.Fatalf("answer %d is %s, want %s", i, got[i].ID, tasks[i].ID)
		}
	}
	same(e.T, "the last one", e.get(tasks[9_999].ID), got[9_999])
	sameCounts(e, runner, map[store.State]int64{store.Available: 10_000})
}

// insertArgs: arguments are bytes of any codec, not text.
func insertArgs(e *env) {
	for _, args := range [][]byte{nil, {}, {0}, []byte("\xff\x00'\"%"), make([]byte, store.MaxArgs)} {
		n := newTask()
		n.Args = args
		e.insert(n)
		if got := e.get(n.ID).Args; !bytes.Equal(got, args) {
			e.Errorf("got %d bytes, want %d", len(got), len(args))
		}
	}
}

// insertNotShared: a caller reuses its buffers, and changes what it gets.
func insertNotShared(e *env) {
	n := newTask()
	before := slices.Clone(n.Args)
	task := e.insert(n)[0]
	n.Args[0], task.Args[1] = 'X', 'Y'
	e.get(n.ID).Args[2] = 'Z'
	if got := e.get(n.ID).Args; !bytes.Equal(got, before) {
		e.Errorf("recorded args became %q, were %q", got, before)
	}
}
