package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// RunTx checks what is done in callers' transactions. open gives a new, empty store each time it is called; the suite closes it.
// transact begins a transaction in the database of the store, has f use it, and commits it if f returns nil, or else rolls it back and
// returns the error. While f runs, the suite only reads from the store.
func RunTx(t *testing.T, open func(t *testing.T) store.Store, transact func(t *testing.T, s store.Store, f func(tx store.Tx) error) error) {
	for _, test := range txTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() { check(t, s.Close()) })
			test.run(&txEnv{env: &env{T: t, Store: s, now: start}, transact: func(f func(tx store.Tx) error) error { return transact(t, s, f) }})
		})
	}
}

// txEnv is one test.
type txEnv struct {
	*env

	transact func(f func(tx store.Tx) error) error
}

var txTests = []struct {
	name string
	run  func(*txEnv)
}{
	{"a commit inserts", txInsert},
	{"a rollback inserts nothing", txInsertRollback},
	{"nobody sees it before the commit", txIsolated},
	{"the runner is told of the commit", txTold},
	{"an id that exists", txExisting},
	{"nobody runs before the commit", txNode},
	{"invalid tasks", txInvalid},
	{"many tasks", txMany},
	{"a commit completes", txComplete},
	{"a rollback completes nothing", txCompleteRollback},
	{"it completes and inserts at once", txCompleteAndInsert},
	{"what cannot be completed", txCompleteRefused},
	{"two outcomes of one run", txTwoOutcomes},
	{"an outcome given in a transaction and again", txCompleteAgain},
	{"a completed task is retried by hand", txRetried},
}

var errRollback = errors.New("rolled back by the test")

// commit has the transaction commit.
func (e *txEnv) commit(f func(tx store.Tx)) {
	e.Helper()
	check(e.T, e.transact(func(tx store.Tx) error {
		f(tx)
		return nil
	}))
}

func (e *txEnv) rollback(f func(tx store.Tx)) {
	e.Helper()
	err := e.transact(func(tx store.Tx) error {
		f(tx)
		return errRollback
	})
	refusedAs(e.T, "the rollback", err, errRollback)
}

func (e *txEnv) insertIn(tx store.Tx, tasks ...store.NewTask) []store.Inserted {
	e.Helper()
	inserted, err := tx.Insert(ctx(), e.now, tasks)
	check(e.T, err)
	if len(inserted) != len(tasks) {
		e.Fatalf("Insert gave %d answers for %d tasks", len(inserted), len(tasks))
	}
	return inserted
}

// placed waits until an outcome has its place, which a store may give it after the commit.
func (e *txEnv) placed(id string) store.Task {
	e.Helper()
	for deadline := time.Now().Add(signalPatience); time.Now().Before(deadline); {
		if task := e.get(id); task.Pos > 0 {
			return task
		}
	}
	e.Fatalf("the outcome of %s has no place", id)
	return store.Task{}
}

// txInsert keeps every field.
func txInsert(e *txEnv) {
	now, later := newTask(), newTask()
	now.Priority, now.Timeout = 7, 1500*time.Nanosecond
	later.ScheduledAt, later.Args, later.Key = e.now.Add(time.Hour), []byte{0, 255}, `a'b"\`
	var inserted []store.Inserted
	e.commit(func(tx store.Tx) { inserted = e.insertIn(tx, now, later) })
	want := []store.Task{store.ApplyInsert(e.now, now), store.ApplyInsert(e.now, later)}
	for i := range want {
		want[i].Seq = inserted[i].Seq
		same(e.T, "answer", inserted[i].Task, want[i])
		same(e.T, "recorded", e.get(want[i].ID), want[i])
	}
	if inserted[0].Existed || inserted[1].Seq <= inserted[0].Seq {
		e.Errorf("answers: %+v", inserted)
	}
	sameCounts(e.env, runner, map[store.State]int64{store.Available: 1, store.Scheduled: 1})
	if task := e.claimOne(); task.ID != now.ID {
		e.Errorf("claimed %s", task.ID)
	}
}

func txInsertRollback(e *txEnv) {
	n := known(newTask())
	e.rollback(func(tx store.Tx) { e.insertIn(tx, n) })
	_, err := e.Get(ctx(), n.ID)
	refusedAs(e.T, "get", err, store.ErrNotFound)
	sameCounts(e.env, "", map[store.State]int64{})
	if claimed := e.claim(1); len(claimed.Tasks) != 0 {
		e.Errorf("claimed %v", claimed)
	}
	e.insert(n) // the id is free
}

func txIsolated(e *txEnv) {
	n := newTask()
	e.commit(func(tx store.Tx) {
		e.insertIn(tx, n)
		_, err := e.Get(ctx(), n.ID)
		refusedAs(e.T, "get before the commit", err, store.ErrNotFound)
		sameIDs(e.T, "list before the commit", e.list(store.Query{}), []string{})
		sameCounts(e.env, "", map[store.State]int64{})
	})
	sameIDs(e.T, "list after the commit", e.list(store.Query{}), []string{n.ID})
}

func txTold(e *txEnv) {
	heard, release := e.listen()
	defer release()
	check(e.T, e.Report(ctx(), nil)) // whatever a store tells at first is told
	e.commit(func(tx store.Tx) { e.insertIn(tx, newTask()) })
	heard("work", store.SignalWork)
	task := e.claimOne()
	e.commit(func(tx store.Tx) { check(e.T, tx.Complete(ctx(), e.outcome(task, store.Completed))) })
	heard("an outcome", store.SignalOutcomes)
}

// txExisting has ids of tasks in every state, and one that was inserted before in the same transaction.
func txExisting(e *txEnv) {
	var tasks []store.Task
	for _, state := range store.States {
		tasks = append(tasks, e.in(state))
	}
	fresh := known(newTask())
	e.commit(func(tx store.Tx) {
		given := []store.NewTask{fresh, fresh}
		for _, task := range tasks {
			n := known(newTask())
			n.ID, n.Kind = task.ID, "other"
			given = append(given, n)
		}
		inserted := e.insertIn(tx, given...)
		if inserted[0].Existed || !inserted[1].Existed || inserted[0].Seq != inserted[1].Seq {
			e.Errorf("given twice: %+v", inserted[:2])
		}
		for i, task := range tasks {
			if !inserted[i+2].Existed {
				e.Errorf("%s: it does not exist", task.State)
			}
			same(e.T, string(task.State), inserted[i+2].Task, task)
		}
		if again := e.insertIn(tx, fresh); !again[0].Existed {
			e.Error("given again: it does not exist")
		}
	})
	for _, task := range tasks {
		same(e.T, "afterwards", e.get(task.ID), task)
	}
}

func txNode(e *txEnv) {
	err := e.transact(func(tx store.Tx) error {
		_, err := tx.Insert(ctx(), e.now, []store.NewTask{newTask(), onNode(newTask())})
		return err
	})
	refusedInput(e.env, "a task that runs already", err, "Node")
	sameCounts(e.env, "", map[store.State]int64{})
}

func txInvalid(e *txEnv) {
	err := e.transact(func(tx store.Tx) error {
		n := newTask()
		n.Kind = ""
		_, err := tx.Insert(ctx(), e.now, []store.NewTask{newTask(), n})
		return err
	})
	refusedInput(e.env, "no kind", err, "Kind")
	task := e.running()
	for _, to := range outcomes[1:] {
		err := e.transact(func(tx store.Tx) error { return tx.Complete(ctx(), e.outcome(task, to)) })
		refusedInput(e.env, string(to), err, "To")
	}
	err = e.transact(func(tx store.Tx) error {
		o := e.outcome(task, store.Completed)
		o.Run = 0
		return tx.Complete(ctx(), o)
	})
	refusedInput(e.env, "run 0", err, "Run")
	same(e.T, "afterwards", e.get(task.ID), task)
}

func txMany(e *txEnv) {
	tasks := newTasks(2500)
	e.commit(func(tx store.Tx) {
		last := int64(0)
		for i, answer := range e.insertIn(tx, tasks...) {
			if answer.ID != tasks[i].ID || answer.Seq <= last {
				e.Fatalf("answer %d: %s with seq %d after %d", i, answer.ID, answer.Seq, last)
			}
			last = answer.Seq
		}
	})
	sameCounts(e.env, runner, map[store.State]int64{store.Available: 2500})
	sameIDs(e.T, "the first", []string{e.claimOne().ID}, []string{tasks[0].ID})
}

// txComplete completes a task that was claimed and one that runs where it was inserted.
func txComplete(e *txEnv) {
	for _, task := range []store.Task{e.claimed(), e.running()} {
		e.pass(time.Second)
		o := e.outcome(task, store.Completed)
		o.Result = []byte{0, 255, '\''}
		before := e.outcomesAfter(store.FromNow).Next
		e.commit(func(tx store.Tx) { check(e.T, tx.Complete(ctx(), o)) })
		if got := e.get(task.ID); got.State != store.Completed {
			e.Fatalf("after the commit it is %s", got.State)
		}
		got := e.placed(task.ID)
		want := task
		want.State, want.Result, want.FinishedAt, want.Pos = store.Completed, o.Result, micro(e.now), got.Pos
		same(e.T, "completed", got, want)
		found := e.outcomesAfter(before).Tasks
		sameIDs(e.T, "outcomes", ids(found), []string{task.ID})
		last, err := e.Last(ctx(), task.Kind, task.Key)
		check(e.T, err)
		same(e.T, "last", last, want)
	}
	sameCounts(e.env, runner, map[store.State]int64{store.Completed: 2})
}

func txCompleteRollback(e *txEnv) {
	for _, task := range []store.Task{e.claimed(), e.running()} {
		e.rollback(func(tx store.Tx) {
			check(e.T, tx.Complete(ctx(), e.outcome(task, store.Completed)))
			if got := e.get(task.ID); got.State != store.Running {
				e.Errorf("before the commit it is %s", got.State)
			}
		})
		same(e.T, "after the rollback", e.get(task.ID), task)
		check(e.T, e.finish(e.outcome(task, store.Discarded)))
	}
	sameCounts(e.env, runner, map[store.State]int64{store.Discarded: 2})
}

func txCompleteAndInsert(e *txEnv) {
	task, next := e.running(), newTask()
	e.commit(func(tx store.Tx) {
		check(e.T, tx.Complete(ctx(), e.outcome(task, store.Completed)))
		e.insertIn(tx, next)
	})
	e.placed(task.ID)
	sameIDs(e.T, "list", e.list(store.Query{}), []string{next.ID, task.ID})
	sameCounts(e.env, runner, map[store.State]int64{store.Completed: 1, store.Available: 1})
}

func txCompleteRefused(e *txEnv) {
	complete := func(task store.Task) error {
		return e.transact(func(tx store.Tx) error { return tx.Complete(ctx(), e.outcome(task, store.Completed)) })
	}
	refusedAs(e.T, "unknown", complete(store.Task{ID: newID(), Run: 1}), store.ErrNotFound)
	fenced := e.running()
	fenced.Run = 2
	refusedAs(e.T, "of another run", complete(fenced), store.ErrFenced)
	for _, state := range store.States {
		task := e.in(state)
		switch state {
		case store.Running, store.Completed:
			check(e.T, complete(task))
		default:
			refusedMove(e.T, string(state), complete(task), state, store.Completed)
			same(e.T, string(state), e.get(task.ID), task)
		}
	}
}

// txTwoOutcomes: the second one, given while the first is not committed yet, is refused or waits.
func txTwoOutcomes(e *txEnv) {
	for _, task := range []store.Task{e.claimed(), e.running()} {
		answered := make(chan error, 1)
		e.commit(func(tx store.Tx) {
			check(e.T, tx.Complete(ctx(), e.outcome(task, store.Completed)))
			go func() {
				refused, err := e.Finish(ctx(), []store.Outcome{e.outcome(task, store.Discarded)})
				answered <- errors.Join(append(refused, err)...)
			}()
		})
		refusedMove(e.T, "the other outcome", <-answered, store.Completed, store.Discarded)
		if got := e.placed(task.ID); got.State != store.Completed {
			e.Errorf("it is %s", got.State)
		}
	}
}

func txCompleteAgain(e *txEnv) {
	task := e.running()
	o := e.outcome(task, store.Completed)
	e.commit(func(tx store.Tx) { check(e.T, tx.Complete(ctx(), o)) })
	check(e.T, e.finish(o))
	e.commit(func(tx store.Tx) { check(e.T, tx.Complete(ctx(), o)) })
	got := e.placed(task.ID)
	check(e.T, e.finish(o))
	e.commit(func(tx store.Tx) { check(e.T, tx.Complete(ctx(), o)) })
	same(e.T, "afterwards", e.get(task.ID), got)
	sameIDs(e.T, "outcomes", ids(e.outcomesAfter(store.FromOldest).Tasks), []string{task.ID})
}

func txRetried(e *txEnv) {
	task := e.running()
	e.commit(func(tx store.Tx) { check(e.T, tx.Complete(ctx(), e.outcome(task, store.Completed))) })
	moved, err := e.Retry(ctx(), e.now, task.ID)
	check(e.T, err)
	if moved.From != store.Completed || moved.State != store.Available {
		e.Errorf("moved: %+v", moved)
	}
	check(e.T, e.finish(e.outcome(e.claimOne(), store.Discarded)))
	sameIDs(e.T, "outcomes", ids(e.outcomesAfter(store.FromOldest).Tasks), []string{task.ID, task.ID})
	sameCounts(e.env, runner, map[store.State]int64{store.Discarded: 1})
}
