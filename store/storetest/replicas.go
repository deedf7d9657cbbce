package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// RunReplicas checks what several handles on one database have in common, as several processes have them. open gives so many handles on
// one new, empty database each time it is called; the suite closes them.
func RunReplicas(t *testing.T, open func(t *testing.T, n int) []store.Store) {
	for _, test := range slices.Concat(replicaTests, concurrentOnReplicas()) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stores := open(t, 3)
			r := &replicas{}
			for _, s := range stores {
				t.Cleanup(func() { check(t, s.Close()) })
				r.envs = append(r.envs, &env{T: t, Store: s, now: start})
			}
			r.env = r.envs[0]
			test.run(r)
		})
	}
}

// replicas is one test with its handles. The first is meant unless another is named.
type replicas struct {
	*env

	envs []*env
}

type replicaTest struct {
	name string
	run  func(*replicas)
}

var replicaTests = []replicaTest{
	{"each task is claimed once", replicasClaim},
	{"one of many inserts of the same id wins", replicasInsert},
	{"all see what one has inserted, and change it", replicasSee},
	{"a task that runs elsewhere ends there, whatever was done to it", replicasEnd},
	{"one of many outcomes of the same run wins", replicasFinish},
	{"what was taken is fenced", replicasFence},
	{"who holds elsewhere is alive", replicasAlive},
	{"what a closed one has left runs elsewhere", replicasClosed},
	{"all are told", replicasTold},
	{"outcomes in one order, for readers who are there while they come", replicasOrder},
	{"deleted for all", replicasPrune},
	{"a cursor that was given is never ahead", replicasCursors},
	{"subscribers are those of all", replicasSubscribers},
}

// togetherOn runs f at once for all handles, many times.
func (r *replicas) togetherOn(f func(e *env, i int)) {
	together(func(i int) { f(r.envs[i%len(r.envs)], i) })
}

func replicasClaim(r *replicas) {
	const n = 300
	r.insert(newTasks(n)...)
	var mu sync.Mutex
	claims := map[string]int{}
	r.togetherOn(func(e *env, i int) {
		for {
			claimed, err := e.Claim(ctx(), e.now, store.Claim{Runner: runner, Node: fmt.Sprint(i), Kinds: []string{kind}, Limit: 1 + i%7})
			if err != nil {
				r.Error(err)
				return
			}
			if len(claimed.Tasks) == 0 && claimed.Next.IsZero() {
				return
			}
			mu.Lock()
			for _, task := range claimed.Tasks {
				claims[task.ID]++
			}
			mu.Unlock()
		}
	})
	for id, times := range claims {
		if times != 1 {
			r.Errorf("%s was claimed %d times", id, times)
		}
	}
	if len(claims) != n {
		r.Errorf("%d tasks were claimed, want %d", len(claims), n)
	}
}

// replicasInsert has some of the tasks run at once where they are inserted.
func replicasInsert(r *replicas) {
	tasks := newTasks(20)
	for i := range tasks {
		tasks[i] = known(tasks[i])
		if i%2 == 0 {
			tasks[i].Node = node
		}
	}
	var mu sync.Mutex
	fresh := map[string]int{}
	seqs := map[string]int64{}
	r.togetherOn(func(e *env, _ int) {
		inserted, err := e.Insert(ctx(), e.now, tasks)
		if err != nil {
			r.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, answer := range inserted {
			if !answer.Existed {
				fresh[answer.ID]++
			}
			if seq, ok := seqs[answer.ID]; ok && seq != answer.Seq {
				r.Errorf("%s has seq %d and %d", answer.ID, seq, answer.Seq)
			}
			seqs[answer.ID] = answer.Seq
		}
	})
	for _, n := range tasks {
		if fresh[n.ID] != 1 {
			r.Errorf("%s was inserted %d times", n.ID, fresh[n.ID])
		}
	}
}

// replicasSee has a task that waits, and one that runs where it was inserted, which a store may keep in a place of its own.
func replicasSee(r *replicas) {
	waiting, running := r.insert(newTask())[0], r.running()
	for _, e := range r.envs {
		same(r.T, "waiting", e.get(waiting.ID), waiting)
		same(r.T, "running", e.get(running.ID), running)
		sameIDs(r.T, "list", e.list(store.Query{}), []string{running.ID, waiting.ID})
		sameCounts(e, runner, map[store.State]int64{store.Available: 1, store.Running: 1})
		runs, err := e.Running(ctx(), runner, node)
		check(r.T, err)
		if !slices.Equal(runs, []store.RunID{{TaskID: running.ID, Run: 1}}) {
			r.Errorf("running: %v", runs)
		}
		again := known(newTask())
		again.ID = running.ID
		inserted, err := e.Insert(ctx(), e.now, []store.NewTask{again})
		check(r.T, err)
		if !inserted[0].Existed {
			r.Error("it exists, and was inserted again")
		}
	}
	check(r.T, r.envs[1].Report(ctx(), []store.Progress{{TaskID: running.ID, Run: 1, Fraction: 0.5}}))
	if _, err := r.envs[2].Cancel(ctx(), r.now, running.ID); err != nil {
		r.Error(err)
	}
	requests, err := r.CancelRequests(ctx(), runner, node)
	check(r.T, err)
	sameIDs(r.T, "cancel requests", requests, []string{running.ID})
	refusedAs(r.T, "a snooze of what is to be cancelled", r.finish(r.outcome(running, store.Scheduled)), store.ErrCancelled)
	if got := r.envs[1].get(running.ID); got.State != store.Cancelled {
		r.Errorf("afterwards: %+v", got)
	}
}

// replicasEnd has siblings of the task, which were inserted with it: nothing must happen to them.
func replicasEnd(r *replicas) {
	deeds := map[string]func(id string) error{
		"nothing": func(string) error { return nil },
		"progress": func(id string) error {
			return r.envs[1].Report(ctx(), []store.Progress{{TaskID: id, Run: 1, Fraction: 0.5}})
		},
		"cancel": func(id string) error { _, err := r.envs[1].Cancel(ctx(), r.now, id); return err },
		"an insert of its id": func(id string) error {
			n := known(newTask())
			n.ID = id
			_, err := r.envs[1].Insert(ctx(), r.now, []store.NewTask{n})
			return err
		},
		"an outcome of another run": func(id string) error {
			refused, err := r.envs[1].Finish(ctx(), []store.Outcome{r.outcome(store.Task{ID: id, Run: 2}, store.Completed)})
			refusedAs(r.T, "run 2", refused[0], store.ErrFenced)
			return err
		},
	}
	for what, deed := range deeds {
		tasks := newTasks(20)
		for i := range tasks {
			tasks[i].Node = node
		}
		inserted := r.insert(tasks...)
		check(r.T, r.finish(r.outcome(inserted[3], store.Completed)))
		if err := deed(inserted[7].ID); err != nil {
			r.Errorf("%s: %v", what, err)
		}
		for i, task := range inserted {
			to := []store.State{store.Completed, store.Discarded, store.Cancelled}[i%3]
			if i == 3 {
				to = store.Completed
			}
			check(r.T, r.finish(r.outcome(task, to)))
			if got := r.envs[2].get(task.ID); got.State != to || got.Run != 1 {
				r.Errorf("%s: task %d is %s in run %d, want %s in run 1", what, i, got.State, got.Run, to)
			}
		}
	}
	counts, err := r.Counts(ctx(), runner)
	check(r.T, err)
	if total := counts[store.Completed] + counts[store.Discarded] + counts[store.Cancelled]; len(counts) != 3 || total != int64(20*len(deeds)) {
		r.Errorf("counts: %v, want %d in all", counts, 20*len(deeds))
	}
}

func replicasFinish(r *replicas) {
	for _, task := range []store.Task{r.running(), r.claimed()} {
		var mu sync.Mutex
		won := map[store.State]int{}
		r.togetherOn(func(e *env, i int) {
			to := outcomes[i%len(outcomes)]
			refused, err := e.Finish(ctx(), []store.Outcome{e.outcome(task, to)})
			if err != nil {
				r.Error(err)
				return
			}
			if refused[0] == nil {
				mu.Lock()
				won[to]++
				mu.Unlock()
			}
		})
		if len(won) != 1 || won[r.get(task.ID).State] == 0 {
			r.Errorf("accepted were %v, the task is %s", won, r.get(task.ID).State)
		}
	}
}

// claimed gives a task that waited and was claimed.
func (e *env) claimed() store.Task {
	n := newTask()
	n.Kind = "claimed"
	e.insert(n)
	return e.claim(1, n.Kind).Tasks[0]
}

func replicasFence(r *replicas) {
	for _, makeTask := range []func() store.Task{r.running, r.claimed} {
		task := makeTask()
		if n := r.envs[1].recover(); n != 1 {
			r.Fatalf("recovered %d, want 1", n)
		}
		refusedMove(r.T, "late outcome", r.finish(r.outcome(task, store.Completed)), store.Available, store.Completed)
		again := r.envs[2].claim(1, task.Kind).Tasks
		if len(again) != 1 || again[0].ID != task.ID || again[0].Run != 2 {
			r.Fatalf("claimed %+v", again)
		}
		refusedAs(r.T, "late outcome", r.finish(r.outcome(task, store.Completed)), store.ErrFenced)
		check(r.T, r.Report(ctx(), []store.Progress{{TaskID: task.ID, Run: 1, Fraction: 0.5}}))
		check(r.T, r.envs[2].finish(r.outcome(again[0], store.Completed)))
		if got := r.get(task.ID); got.Run != 2 || got.Progress != 0 || got.State != store.Completed {
			r.Errorf("afterwards: %+v", got)
		}
	}
}

func replicasAlive(r *replicas) {
	release := r.hold(runner)
	tasks := []store.Task{r.running(), r.claimed()}
	for _, e := range r.envs {
		if n := e.recover(); n != 0 {
			r.Fatalf("recovered %d from the living", n)
		}
	}
	for _, task := range tasks {
		same(r.T, "of the living", r.get(task.ID), task)
	}
	release()
	r.hold("another")()
	if n := r.recover(); n != 2 {
		r.Errorf("recovered %d after the release, want 2", n)
	}
}

func replicasClosed(r *replicas) {
	other := r.envs[1]
	heard, release := other.listen()
	defer release()
	_, err := r.Hold(store.Holder{Runner: runner, Node: "closed"})
	check(r.T, err)
	n := newTask()
	n.Node = "closed"
	task := r.insert(n)[0]
	check(r.T, r.Close())
	for other.get(task.ID).State == store.Running {
		heard("the task of the closed one", store.SignalWork)
	}
	if again := other.claimOne(); again.ID != task.ID || again.Run != 2 || again.Attempt != 2 {
		r.Errorf("claimed %+v", again)
	}
}

func replicasTold(r *replicas) {
	heard, release := r.listen()
	defer release()
	other := r.envs[1]
	other.insert(newTask())
	heard("work", store.SignalWork)
	task := r.claimOne()
	_, err := other.Cancel(ctx(), r.now, task.ID)
	check(r.T, err)
	heard("a cancel", store.SignalCancels)
	check(r.T, other.finish(r.outcome(task, store.Completed)))
	heard("an outcome", store.SignalOutcomes)
	young := r.running()
	_, err = other.Cancel(ctx(), r.now, young.ID)
	check(r.T, err)
	heard("a cancel of what runs where it was inserted", store.SignalCancels)
	_, err = other.Retry(ctx(), r.now, task.ID)
	check(r.T, err)
	heard("a retry", store.SignalWork)
}

// replicasOrder has readers go on from cursor to cursor while outcomes come from all handles, in all ways. All must be told the same, in
// the same order, and at the end nothing may stand where they have passed.
func replicasOrder(r *replicas) {
	const writers, each = 6, 40
	var writing, reading sync.WaitGroup
	done := make(chan bool)
	told := make([][]string, 3)
	for i, e := range r.envs {
		reading.Go(func() { told[i] = e.follow(done) })
	}
	for i := range writers {
		e := r.envs[i%len(r.envs)]
		writing.Go(func() { e.endMany(each, i) })
	}
	writing.Wait()
	close(done)
	reading.Wait()
	want := ids(r.outcomesAfter(store.FromOldest).Tasks)
	if len(want) != writers*each {
		r.Errorf("there are %d outcomes, want %d", len(want), writers*each)
	}
	for i := range told {
		sameIDs(r.T, fmt.Sprint("reader ", i), told[i], want)
	}
}

// follow reads outcomes until all is written and read.
func (e *env) follow(done <-chan bool) (told []string) {
	cursor := store.FromOldest
	for over := false; ; {
		found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor, Limit: 7})
		if err != nil {
			e.Error(err)
			return nil
		}
		told = append(told, ids(found.Tasks)...)
		if over && len(found.Tasks) == 0 {
			return told
		}
		cursor = found.Next
		select {
		case <-done:
			over = true
		default:
		}
	}
}

// endMany ends tasks that were young, that were claimed, and that waited.
func (e *env) endMany(n, writer int) {
	for i := range n {
		fresh := onNode(newTask())
		fresh.Kind = fmt.Sprint("writer ", writer)
		if i%3 != 0 {
			fresh.Node = ""
		}
		inserted, err := e.Insert(ctx(), e.now, []store.NewTask{fresh})
		if err != nil {
			e.Error(err)
			return
		}
		task := inserted[0].Task
		switch i % 3 {
		case 1:
			claimed, claimErr := e.Claim(ctx(), e.now, store.Claim{Runner: runner, Node: node, Kinds: []string{fresh.Kind}, Limit: 1})
			if claimErr != nil || len(claimed.Tasks) != 1 {
				e.Error("claim:", claimErr, len(claimed.Tasks))
				return
			}
			task = claimed.Tasks[0]
			_, err = e.Finish(ctx(), []store.Outcome{e.outcome(task, store.Discarded)})
		case 2:
			_, err = e.Cancel(ctx(), e.now, task.ID)
		default:
			_, err = e.Finish(ctx(), []store.Outcome{e.outcome(task, store.Completed)})
		}
		if err != nil {
			e.Error(err)
		}
	}
}

func replicasPrune(r *replicas) {
	old := r.ended(store.Completed, store.Discarded)
	cursor := r.envs[1].outcomesAfter(store.FromOldest).Tasks[0].Pos
	r.pass(time.Hour)
	var deleted int
	for _, e := range r.envs { // one after the other: who comes late finds nothing
		n, err := e.Prune(ctx(), store.Expiry{Runner: runner, Completed: r.now, Discarded: r.now})
		check(r.T, err)
		deleted += n
	}
	if deleted != 2 {
		r.Errorf("deleted %d, want 2", deleted)
	}
	for _, e := range r.envs {
		_, err := e.Get(ctx(), old[0])
		refusedAs(r.T, "get", err, store.ErrNotFound)
		_, err = e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor})
		refusedAs(r.T, "a cursor before what was deleted", err, store.ErrCursorExpired)
		sameCounts(e, "", map[store.State]int64{})
	}
}
