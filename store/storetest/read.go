package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var readTests = []test{
	{"unknown task", readUnknown},
	{"which have ended", readEnded},
	{"newest first", readNewestFirst},
	{"the last ended first", readLastEndedFirst},
	{"paging", readPaging},
	{"filters", readFilters},
	{"default and largest size", readLimits},
	{"a list has histories", readListHistories},
	{"history grows by each failed run", readHistory},
	{"last by key", readLast},
	{"counts", readCounts},
	{"names with every character", readNames},
}

func sameCounts(e *env, runner string, want map[store.State]int64) {
	e.Helper()
	got, err := e.Counts(ctx(), runner)
	check(e.T, err)
	if !maps.Equal(got, want) {
		e.Errorf("counts of %q are %v, want %v", runner, got, want)
	}
}

func readUnknown(e *env) {
	_, err := e.Get(ctx(), newID())
	refusedAs(e.T, "get", err, store.ErrNotFound)
	_, err = e.Last(ctx(), kind, "nothing")
	refusedAs(e.T, "last", err, store.ErrNotFound)
	sameIDs(e.T, "list", e.list(store.Query{}), []string{})
	sameCounts(e, "", map[store.State]int64{})
}

// readEnded asks for tasks in every state, for one of them twice, and for an unknown one.
func readEnded(e *env) {
	var asked []string
	want := map[string]store.Task{}
	for _, state := range store.States {
		for range 30 {
			task := e.in(state)
			asked = append(asked, task.ID)
			if state.Final() {
				want[task.ID] = task
			}
		}
	}
	got, err := e.Ended(ctx(), append(asked, newID()))
	check(e.T, err)
	if len(got) != len(want) {
		e.Errorf("%d have ended, want %d", len(got), len(want))
	}
	for _, task := range got {
		same(e.T, "ended", task, want[task.ID])
	}
	if none, err := e.Ended(ctx(), nil); err != nil || len(none) != 0 {
		e.Errorf("of no tasks: %v, %v", none, err)
	}
}

func readNewestFirst(e *env) {
	inserted := ids(e.insert(newTasks(20)...))
	slices.Reverse(inserted)
	sameIDs(e.T, "list", e.list(store.Query{}), inserted)
	sameIDs(e.T, "the first three", e.list(store.Query{Limit: 3}), inserted[:3])
}

// readLastEndedFirst: those that have ended come behind the others, in the order of their ends; one that is retried comes back.
func readLastEndedFirst(e *env) {
	var want []string
	tasks := []store.Task{e.running(), e.running(), e.running(), e.running()}
	for _, i := range []int{2, 0, 3} {
		check(e.T, e.finish(e.outcome(tasks[i], outcomes[0])))
		want = append([]string{tasks[i].ID}, want...)
	}
	sameIDs(e.T, "list", e.list(store.Query{}), append([]string{tasks[1].ID}, want...))
	_, err := e.Retry(ctx(), e.now, tasks[0].ID)
	check(e.T, err)
	sameIDs(e.T, "after a retry", e.list(store.Query{}), []string{tasks[1].ID, tasks[0].ID, tasks[3].ID, tasks[2].ID})
	check(e.T, e.finish(e.outcome(e.claimOne(), store.Discarded)))
	sameIDs(e.T, "ended again", e.list(store.Query{}), []string{tasks[1].ID, tasks[0].ID, tasks[3].ID, tasks[2].ID})
}

// readPaging reads pages while tasks are added, start and end: each that was there comes, those that do not end just once.
func readPaging(e *env) {
	tasks := e.insert(newTasks(57)...)
	for i := range 20 {
		task := e.claimOne()
		if i%2 == 0 {
			check(e.T, e.finish(e.outcome(task, store.Completed)))
		}
	}
	times := map[string]int{}
	for query := (store.Query{Runner: runner, Limit: 10}); ; {
		page, err := e.List(ctx(), query)
		check(e.T, err)
		if len(page) == 0 {
			break
		}
		for _, id := range ids(page) {
			times[id]++
		}
		query.After = page[len(page)-1].Place()
		e.insert(newTask())
		check(e.T, e.finish(e.outcome(e.claimOne(), store.Discarded)))
	}
	for _, task := range tasks {
		switch ended := e.get(task.ID).State == store.Discarded; {
		case times[task.ID] == 1, ended && times[task.ID] == 2:
		default:
			e.Errorf("task %d was listed %d times", task.Seq, times[task.ID])
		}
	}
	sameIDs(e.T, "behind the last", e.list(store.Query{After: store.Place{Pos: 1}}), []string{})
}

// readFilters has one task in each state, and one that differs in all else.
func readFilters(e *env) {
	byState := map[store.State]string{}
	for _, state := range store.States {
		byState[state] = e.in(state).ID
	}
	other := newTask()
	other.Runner, other.Kind = "other", "other.kind"
	e.insert(other)
	for _, state := range store.States {
		sameIDs(e.T, string(state), e.list(store.Query{States: []store.State{state}, Kind: kind}), []string{byState[state]})
		sameIDs(e.T, string(state), e.list(store.Query{States: []store.State{state}, Runner: runner}), []string{byState[state]})
		sameIDs(e.T, string(state)+" of nobody", e.list(store.Query{States: []store.State{state}, Kind: "none"}), []string{})
	}
	sameIDs(e.T, "other runner", e.list(store.Query{Runner: "other"}), []string{other.ID})
	sameIDs(e.T, "other kind", e.list(store.Query{Kind: "other.kind"}), []string{other.ID})
	sameIDs(e.T, "both", e.list(store.Query{Kind: "other.kind", Runner: runner}), []string{})
	some := []store.State{store.Retryable, store.Running, store.Completed, store.Running}
	want := []string{byState[store.Retryable], byState[store.Running], byState[store.Completed]}
	sameIDs(e.T, "three states", e.list(store.Query{States: some}), want)
	sameIDs(e.T, "three states, two tasks", e.list(store.Query{States: some, Limit: 2}), want[:2])
	if all := e.list(store.Query{States: store.States[:]}); len(all) != len(store.States)+1 {
		e.Errorf("all states: %d tasks", len(all))
	}
}

func readLimits(e *env) {
	e.insert(newTasks(store.MaxList + 1)...)
	for limit, want := range map[int]int{0: 50, 1: 1, store.MaxList: store.MaxList} {
		if got := len(e.list(store.Query{Limit: limit})); got != want {
			e.Errorf("limit %d: got %d, want %d", limit, got, want)
		}
	}
	if got := len(e.list(store.Query{States: []store.State{store.Available}})); got != 50 {
		e.Errorf("by state without a limit: got %d, want 50", got)
	}
}

// readListHistories: each history must come to its own task, however many are read at once.
func readListHistories(e *env) {
	var active, ended []store.Task
	for i := range 130 {
		task := e.running()
		if i%2 == 0 {
			o := e.outcome(task, store.Discarded)
			o.Error = fmt.Sprint("failure ", i)
			ended = append(ended, e.finished(o))
			continue
		}
		active = append(active, task)
	}
	slices.Reverse(active)
	slices.Reverse(ended)
	got, err := e.List(ctx(), store.Query{Limit: 130})
	check(e.T, err)
	for i, want := range slices.Concat(active, ended) {
		same(e.T, fmt.Sprint("task ", i), got[i], want)
	}
}

func readHistory(e *env) {
	n := newTask()
	n.MaxAttempts = 20
	e.insert(n)
	var want []store.Attempt
	for i := range 10 {
		task := e.claimOne()
		o := e.outcome(task, store.Retryable)
		o.Error = fmt.Sprint("failure ", i)
		check(e.T, e.finish(o))
		want = append(want, store.Attempt{
			Attempt: i + 1, Run: int64(i + 1), Node: node, State: store.Retryable, StartedAt: task.StartedAt, FinishedAt: micro(e.now),
			Error: o.Error,
		})
		e.pass(time.Minute)
	}
	if got := e.get(n.ID).History; !slices.Equal(got, want) {
		e.Errorf("history is %v\nwant %v", got, want)
	}
	completed := e.finished(e.outcome(e.claimOne(), store.Completed))
	if !slices.Equal(completed.History, want) {
		e.Errorf("history after completing is %v", completed.History)
	}
}

// readLast has near misses: another state, key or kind, and no key at all.
func readLast(e *env) {
	keyed := func(kind, key string, to store.State) store.Task {
		n := onNode(newTask())
		n.Kind, n.Key = kind, key
		return e.finished(e.outcome(e.insert(n)[0], to))
	}
	keyed(kind, "a", store.Completed)
	newest := keyed(kind, "a", store.Completed)
	keyed(kind, "a", store.Discarded)
	keyed(kind, "b", store.Completed)
	keyed("other", "a", store.Completed)
	keyed(kind, "", store.Completed)
	failed := keyed(kind, "c", store.Retryable)
	got, err := e.Last(ctx(), kind, "a")
	check(e.T, err)
	same(e.T, "last", got, newest)
	_, err = e.Last(ctx(), kind, failed.Key)
	refusedAs(e.T, "last of what never completed", err, store.ErrNotFound)
}

// readCounts has a different number in each state, so that no two can be mixed up.
func readCounts(e *env) {
	want := map[store.State]int64{}
	for i, state := range store.States {
		for range i + 1 {
			e.in(state)
			want[state]++
		}
	}
	other := newTask()
	other.Runner = "other"
	e.insert(other)
	sameCounts(e, runner, want)
	sameCounts(e, "other", map[store.State]int64{store.Available: 1})
	sameCounts(e, "nobody", map[store.State]int64{})
	want[store.Available]++
	sameCounts(e, "", want)
}

// readNames: names are data, never part of a statement.
func readNames(e *env) {
	n := onNode(newTask())
	n.Runner, n.Kind, n.Key = `a'b"c;--%_\`, "日本語 🎉", strings.Repeat("k", store.MaxName)
	task := e.finished(e.outcome(e.insert(n)[0], store.Completed))
	got, err := e.Last(ctx(), n.Kind, n.Key)
	check(e.T, err)
	same(e.T, "last", got, task)
	sameIDs(e.T, "list", e.list(store.Query{Runner: n.Runner, Kind: n.Kind}), []string{n.ID})
	sameCounts(e, n.Runner, map[store.State]int64{store.Completed: 1})
}
