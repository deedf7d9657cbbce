package storetest

import (
	"fmt"
	"sync"

	"github.com/taskrunner-go/taskrunner/store"
)

var concurrencyTests = []test{
	{"each task is claimed once", concurrentClaims},
	{"one of many inserts of the same id wins", concurrentInserts},
	{"one of many outcomes of the same run wins", concurrentOutcomes},
	{"insert, claim, finish and read at once", concurrentLife},
	{"readers see whole tasks", concurrentReads},
}

const goroutines = 16

// together runs f in many goroutines and waits for all.
func together(f func(i int)) {
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// concurrentClaims has claims of different sizes compete for the same tasks.
func concurrentClaims(e *env) {
	const n = 400
	e.insert(newTasks(n)...)
	var mu sync.Mutex
	claims := map[string]int{}
	together(func(i int) {
		for {
			claim := store.Claim{Runner: runner, Node: fmt.Sprint(i), Kinds: []string{kind}, Limit: 1 + i%7}
			claimed, err := e.Claim(ctx(), e.now, claim)
			if err != nil {
				e.Error(err)
				return
			}
			if len(claimed.Tasks) == 0 {
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
			e.Errorf("%s was claimed %d times", id, times)
		}
	}
	if len(claims) != n {
		e.Errorf("%d tasks were claimed, want %d", len(claims), n)
	}
}

func concurrentInserts(e *env) {
	tasks := newTasks(20)
	for i := range tasks {
		tasks[i] = known(tasks[i])
	}
	var mu sync.Mutex
	var fresh int
	seqs := map[string]int64{}
	together(func(int) {
		inserted, err := e.Insert(ctx(), e.now, tasks)
		if err != nil {
			e.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, answer := range inserted {
			if !answer.Existed {
				fresh++
			}
			if seq, ok := seqs[answer.ID]; ok && seq != answer.Seq {
				e.Errorf("%s has seq %d and %d", answer.ID, seq, answer.Seq)
			}
			seqs[answer.ID] = answer.Seq
		}
	})
	if fresh != len(tasks) {
		e.Errorf("%d were inserted, want %d", fresh, len(tasks))
	}
}

func concurrentOutcomes(e *env) {
	task := e.running()
	together(func(i int) {
		refused, err := e.Finish(ctx(), []store.Outcome{e.outcome(task, store.Retryable)})
		if err != nil || refused[0] != nil {
			e.Error(err, refused)
		}
	})
	if got := e.get(task.ID); len(got.History) != 1 || got.State != store.Retryable {
		e.Errorf("afterwards: %+v", got)
	}
}

// concurrentLife: nobody may lose a task to another, or be lost.
func concurrentLife(e *env) {
	const each = 15
	together(func(i int) {
		node := fmt.Sprint(i)
		for range each {
			if _, err := e.Insert(ctx(), e.now, newTasks(1)); err != nil {
				e.Error(err)
				return
			}
			claimed, err := e.Claim(ctx(), e.now, store.Claim{Runner: runner, Node: node, Kinds: []string{kind}, Limit: 2})
			if err != nil {
				e.Error(err)
				return
			}
			for _, task := range claimed.Tasks {
				refused, err := e.Finish(ctx(), []store.Outcome{e.outcome(task, store.Completed)})
				if err != nil || refused[0] != nil {
					e.Error(err, refused)
				}
			}
			if _, err := e.List(ctx(), store.Query{States: []store.State{store.Completed}}); err != nil {
				e.Error(err)
			}
		}
	})
	sameCounts(e, runner, map[store.State]int64{store.Completed: goroutines * each})
}

// concurrentReads reads tasks while they fail: the history of what is seen always fits its state.
func concurrentReads(e *env) {
	tasks := make([]store.Task, 10)
	for i := range tasks {
		tasks[i] = e.running()
	}
	together(func(i int) {
		task := tasks[i%len(tasks)]
		if i < len(tasks) {
			if refused, err := e.Finish(ctx(), []store.Outcome{e.outcome(task, store.Discarded)}); err != nil || refused[0] != nil {
				e.Error(err, refused)
			}
		}
		for range 20 {
			got, err := e.Get(ctx(), task.ID)
			if err != nil {
				e.Error(err)
				return
			}
			if (got.State == store.Discarded) != (len(got.History) == 1) || got.State.Final() == got.FinishedAt.IsZero() {
				e.Errorf("half a task: %+v", got)
			}
		}
	})
}
