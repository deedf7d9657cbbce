package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/taskrunner-go/taskrunner/store"
)

var concurrentSubscriberTests = []struct {
	name string
	run  func(envs []*env)
}{
	{"acknowledge at once", acknowledgeAtOnce},
	{"come while others come", subscribeAtOnce},
	{"from now, while outcomes are recorded", subscribeFromNowAtOnce},
	{"miss nothing while all else is deleted", readWhilePruned},
	{"come while all is deleted", subscribeWhilePruned},
}

// concurrentSubscribers makes tests for a store of one process of them.
func concurrentSubscribers() (tests []test) {
	for _, c := range concurrentSubscriberTests {
		tests = append(tests, test{c.name, func(e *env) { c.run([]*env{e}) }})
	}
	return tests
}

// acknowledgeAtOnce: the largest stays, and nobody is told of a smaller cursor than their own.
func acknowledgeAtOnce(envs []*env) {
	e := envs[0]
	e.ended(slices.Repeat([]store.State{store.Completed}, goroutines)...)
	places := e.behind(e.subscribe("s", store.FromOldest))
	together(func(i int) {
		pos := places[(7*i)%len(places)].Pos
		got, err := envs[i%len(envs)].Acknowledge(ctx(), e.now, runner, "s", pos)
		if err != nil || got < pos {
			e.Errorf("acknowledged %d, the cursor is %d, error %v", pos, got, err)
		}
	})
	if got, want := e.subscribers()[0].Cursor, places[len(places)-1].Pos; got != want {
		e.Errorf("the cursor is %d, want %d", got, want)
	}
}

// subscribeAtOnce: of those who come with one name, all get one cursor; of those with different names, the limit lets in so many.
func subscribeAtOnce(envs []*env) {
	e := envs[0]
	var cursors [goroutines]int64
	var in atomic.Int64
	together(func(i int) {
		e := envs[i%len(envs)]
		var err error
		if cursors[i], err = e.Subscribe(ctx(), e.now, runner, "s", store.FromNow); err != nil {
			e.Error(err)
		}
		for n := range store.MaxSubscribers / 10 {
			_, err := e.Subscribe(ctx(), e.now, runner, fmt.Sprint(i, " ", n), store.FromNow)
			switch {
			case err == nil:
				in.Add(1)
			case !errors.Is(err, store.ErrSubscribers):
				e.Error(err)
			}
		}
	})
	for _, cursor := range cursors {
		if cursor != cursors[0] {
			e.Errorf("one name has the cursors %v", cursors)
			break
		}
	}
	if n := len(e.subscribers()); n != store.MaxSubscribers || in.Load() != store.MaxSubscribers-1 {
		e.Errorf("there are %d, and %d were let in besides the first", n, in.Load())
	}
}

// subscribeFromNowAtOnce: what each ends after it has subscribed, it is given.
func subscribeFromNowAtOnce(envs []*env) {
	together(func(i int) {
		e := envs[i%len(envs)]
		for n := range 5 {
			cursor, err := e.Subscribe(ctx(), e.now, runner, fmt.Sprint(i, " ", n), store.FromNow)
			if err != nil {
				e.Error(err)
				return
			}
			id, err := e.endOne()
			if err != nil {
				e.Error(err)
				return
			}
			told, err := e.readFrom(cursor, func(got []string) bool { return slices.Contains(got, id) })
			if err != nil || !slices.Contains(told, id) {
				e.Errorf("behind %d there is no %s: %v", cursor, id, err)
			}
		}
	})
}

// endOne ends a new task, from any goroutine.
func (e *env) endOne() (id string, err error) {
	inserted, err := e.Insert(ctx(), e.now, []store.NewTask{onNode(newTask())})
	if err != nil {
		return "", err
	}
	refused, err := e.Finish(ctx(), []store.Outcome{e.outcome(inserted[0].Task, store.Completed)})
	return inserted[0].ID, errors.Join(append(refused, err)...)
}

// readFrom reads behind the cursor until there is no more, or enough.
func (e *env) readFrom(cursor int64, enough func(told []string) bool) (told []string, err error) {
	for !enough(told) {
		found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor, Gapless: true, Limit: 7})
		if err != nil || len(found.Tasks) == 0 && found.Next == cursor {
			return told, err
		}
		told = append(told, ids(found.Tasks)...)
		cursor = found.Next
	}
	return told, nil
}

// readWhilePruned: two readers of different pace are given everything in one order, while everything that may be is deleted.
func readWhilePruned(envs []*env) {
	e := envs[0]
	const each = 40
	var told [2][]string
	var writing, reading sync.WaitGroup
	done := make(chan bool)
	for i := range told {
		name := fmt.Sprint("reader ", i)
		cursor := e.subscribe(name, store.FromOldest)
		reading.Go(func() { told[i] = envs[i%len(envs)].readAndAcknowledge(name, cursor, 1+5*i, len(envs)*each) })
	}
	for _, e := range envs {
		writing.Go(func() {
			for range each {
				if _, err := e.endOne(); err != nil {
					e.Error(err)
				}
			}
		})
	}
	var pruning sync.WaitGroup
	pruning.Go(func() { envs[len(envs)-1].pruneUntil(done) })
	writing.Wait()
	reading.Wait()
	close(done)
	pruning.Wait()
	if !slices.Equal(told[0], told[1]) || len(told[0]) != len(envs)*each {
		e.Errorf("one was told of %d, the other of %d, want %d of both in one order", len(told[0]), len(told[1]), len(envs)*each)
	}
	e.pruneAll()
	if left := e.outcomesAfter(store.FromOldest).Tasks; len(left) != 0 {
		e.Errorf("all was acknowledged, and %d are kept", len(left))
	}
}

// readAndAcknowledge reads n outcomes, and acknowledges each page as it comes.
func (e *env) readAndAcknowledge(name string, cursor int64, page, n int) (told []string) {
	for len(told) < n {
		found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor, Gapless: true, Limit: page})
		if err == nil {
			cursor = found.Next
			_, err = e.Acknowledge(ctx(), e.now, runner, name, cursor)
		}
		if err != nil {
			e.Error(err)
			return told
		}
		told = append(told, ids(found.Tasks)...)
	}
	return told
}

// subscribeWhilePruned: from when a subscriber has its cursor on, nothing behind it is deleted.
func subscribeWhilePruned(envs []*env) {
	e := envs[0]
	done := make(chan bool)
	var others, coming sync.WaitGroup
	others.Go(func() { e.pruneUntil(done) })
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := e.endOne(); err != nil {
				e.Error(err)
			}
		}
	})
	for i := range 4 {
		coming.Go(func() { envs[i%len(envs)].comeAndGo(fmt.Sprint(i), 25) })
	}
	coming.Wait()
	close(done)
	others.Wait()
}

// comeAndGo subscribes again and again, and looks each time whether anything behind the cursor goes.
func (e *env) comeAndGo(name string, times int) {
	for range times {
		cursor, err := e.Subscribe(ctx(), e.now, runner, name, store.FromOldest)
		if err != nil {
			e.Error(err)
			return
		}
		var seen []string
		for range 3 {
			found, err := e.Outcomes(ctx(), store.OutcomeQuery{Runner: runner, After: cursor, Gapless: true, Limit: 5})
			if err != nil {
				e.Errorf("behind the cursor %d of one that exists: %v", cursor, err)
				return
			}
			if got := ids(found.Tasks); len(got) < len(seen) || !slices.Equal(got[:len(seen)], seen) {
				e.Errorf("behind the cursor %d there were %v, now %v", cursor, seen, got)
			} else {
				seen = got
			}
		}
		if err := e.Unsubscribe(ctx(), runner, name); err != nil {
			e.Error(err)
			return
		}
	}
}

// concurrentOnReplicas makes tests for several handles of them.
func concurrentOnReplicas() (tests []replicaTest) {
	for _, c := range concurrentSubscriberTests {
		tests = append(tests, replicaTest{"subscribers " + c.name, func(r *replicas) { c.run(r.envs) }})
	}
	return tests
}

// replicasSubscribers: a subscriber is the same one wherever it asks, also when the handle is closed on which it began.
func replicasSubscribers(r *replicas) {
	first, second, third := r.envs[0], r.envs[1], r.envs[2]
	cursor := first.subscribe("s", store.FromOldest)
	ended := second.ended(store.Completed, store.Discarded, store.Completed)
	if n := third.pruneAll(); n != 0 {
		r.Errorf("another handle has deleted %d", n)
	}
	places := third.behind(cursor)
	sameIDs(r.T, "behind the cursor", ids(places), ended)
	second.acknowledge("s", places[0].Pos)
	check(r.T, first.Close())
	if n := third.pruneAll(); n != 1 {
		r.Errorf("deleted %d of what was acknowledged elsewhere, want 1", n)
	}
	if again := third.subscribe("s", store.FromOldest); again != places[0].Pos {
		r.Errorf("it goes on at %d, it has acknowledged %d", again, places[0].Pos)
	}
	check(r.T, second.Unsubscribe(ctx(), runner, "s"))
	third.sameSubscribers("forgotten elsewhere")
	if n := third.pruneAll(); n != 2 {
		r.Errorf("deleted %d when nobody was left, want 2", n)
	}
}
