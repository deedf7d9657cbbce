package store

import (
	"cmp"
	"container/heap"
	"iter"
	"maps"
	"slices"
	"time"
)

// tables are the rows of a Memory and the ways to find them, which are those of the tables and indices of a database.
type tables struct {
	seq, pos int64            // the last that were given
	pruned   map[string]int64 // the largest Pos of an outcome that was deleted, by runner
	byID     map[string]*row
	active   map[*row]bool              // those that have not ended
	outcomes []*outcome                 // in their order
	keyed    map[[2]string][]*outcome   // the completed ones, by kind and key
	lanes    map[[2]string]*lane        // of those that wait, by runner and kind
	running  map[string]map[*row]bool   // by runner
	counts   map[string]map[State]int64 // by runner

	subscribers map[string]map[string]*Subscriber // by runner and name
}

func newTables() tables {
	return tables{
		pruned:  map[string]int64{},
		byID:    map[string]*row{},
		active:  map[*row]bool{},
		keyed:   map[[2]string][]*outcome{},
		lanes:   map[[2]string]*lane{},
		running: map[string]map[*row]bool{},
		counts:  map[string]map[State]int64{},

		subscribers: map[string]map[string]*Subscriber{},
	}
}

// row is one task.
type row struct {
	Task
	outcome *outcome // its last, once it has ended
	heap    *waiting // where it waits, and its place there
	place   int
}

// outcome is the end of a task as it was then.
type outcome struct {
	Task
	row *row
}

// latest reports whether the task has not been retried since.
func (o *outcome) latest() bool { return o.row.outcome == o }

// clone shares nothing with the task: the caller may change what it gets.
func (t Task) clone() Task {
	t.Args, t.Result, t.History = cloneBytes(t.Args), cloneBytes(t.Result), slices.Clone(t.History)
	return t
}

func (t *tables) add(task Task) *row {
	t.seq++
	task.Seq = t.seq
	r := &row{Task: task}
	t.byID[r.ID] = r
	t.enter(r)
	return r
}

// change applies f to the task and moves it to where it is to be found afterwards. A row must not change in any other
// way: a heap whose elements change under it gives them in the wrong order.
func (t *tables) change(r *row, f func(*Task)) {
	t.exit(r)
	ended := r.State.Final()
	f(&r.Task)
	if beyond := len(r.History) - MaxHistory; beyond > 0 {
		r.History = slices.Delete(r.History, 0, beyond)
	}
	if !ended && r.State.Final() {
		t.end(r)
	}
	t.enter(r)
}

// end gives the outcome its place in the order.
func (t *tables) end(r *row) {
	t.pos++
	r.Pos = t.pos
	r.outcome = &outcome{Task: r.clone(), row: r}
	t.outcomes = append(t.outcomes, r.outcome)
	if r.State == Completed && r.Key != "" {
		key := [2]string{r.Kind, r.Key}
		t.keyed[key] = append(t.keyed[key], r.outcome)
	}
}

func (t *tables) enter(r *row) {
	switch {
	case r.State.Waiting():
		t.lane(r.Runner, r.Kind).push(r)
	case r.State == Running:
		if t.running[r.Runner] == nil {
			t.running[r.Runner] = map[*row]bool{}
		}
		t.running[r.Runner][r] = true
	}
	if !r.State.Final() {
		t.active[r] = true
		r.outcome = nil
	}
	if t.counts[r.Runner] == nil {
		t.counts[r.Runner] = map[State]int64{}
	}
	t.counts[r.Runner][r.State]++
}

func (t *tables) exit(r *row) {
	switch {
	case r.State.Waiting():
		heap.Remove(r.heap, r.place)
	case r.State == Running:
		delete(t.running[r.Runner], r)
	}
	delete(t.active, r)
	t.counts[r.Runner][r.State]--
}

// lane is where the runner's tasks of this kind wait. Each kind has its own, so that a claim need not look at kinds that the
// node does not know.
func (t *tables) lane(runner, kind string) *lane {
	key := [2]string{runner, kind}
	if t.lanes[key] == nil {
		t.lanes[key] = &lane{ready: waiting{before: (*row).before}, later: waiting{before: (*row).dueBefore}}
	}
	return t.lanes[key]
}

// firstDue is the task of these kinds that is to be claimed first, or nil.
func (t *tables) firstDue(runner string, kinds []string, now time.Time) *row {
	var first *row
	for _, kind := range kinds {
		if top := t.lane(runner, kind).firstDue(now); top != nil && (first == nil || top.before(first)) {
			first = top
		}
	}
	return first
}

// nextDue is when the first task of these kinds that is not due yet will be; zero: there is none.
func (t *tables) nextDue(runner string, kinds []string) (next time.Time) {
	for _, kind := range kinds {
		if top := t.lane(runner, kind).later.top(); top != nil && (next.IsZero() || top.ScheduledAt.Before(next)) {
			next = top.ScheduledAt
		}
	}
	return next
}

// runningOf gives the runner's running tasks in the order of insertion, so that what is done to all is done in the
// same order each time.
func (t *tables) runningOf(runner string) []*row {
	rows := slices.Collect(maps.Keys(t.running[runner]))
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.Seq, b.Seq) })
	return rows
}

// listed gives the tasks behind the place, in the order of a List.
func (t *tables) listed(after Place) iter.Seq[Task] {
	return func(yield func(Task) bool) {
		if after.Pos == 0 && !t.listActive(after.Seq, yield) {
			return
		}
		for _, o := range slices.Backward(t.outcomes) {
			if o.latest() && (after.Pos == 0 || o.Pos < after.Pos) && !yield(o.Task) {
				return
			}
		}
	}
}

func (t *tables) listActive(before int64, yield func(Task) bool) bool {
	rows := slices.Collect(maps.Keys(t.active))
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(b.Seq, a.Seq) })
	for _, r := range rows {
		if (before == 0 || r.Seq < before) && !yield(r.Task) {
			return false
		}
	}
	return true
}

// after gives the outcomes behind the cursor.
func (t *tables) after(pos int64) []*outcome {
	i, _ := slices.BinarySearchFunc(t.outcomes, pos+1, func(o *outcome, pos int64) int { return cmp.Compare(o.Pos, pos) })
	return t.outcomes[i:]
}

// deletedUpTo is the largest Pos of an outcome of the runner that was deleted; an empty runner is all.
func (t *tables) deletedUpTo(runner string) (pos int64) {
	for name, pruned := range t.pruned {
		if runner == "" || runner == name {
			pos = max(pos, pruned)
		}
	}
	return pos
}

// prune deletes outcomes.
func (t *tables) prune(expired func(*outcome) bool, limit int) (deleted int) {
	t.outcomes = slices.DeleteFunc(t.outcomes, func(o *outcome) bool {
		if deleted == limit || !expired(o) {
			return false
		}
		deleted++
		t.forget(o)
		return true
	})
	return deleted
}

func (t *tables) forget(o *outcome) {
	t.pruned[o.Runner] = max(t.pruned[o.Runner], o.Pos)
	key := [2]string{o.Kind, o.Key}
	if t.keyed[key] = slices.DeleteFunc(t.keyed[key], func(other *outcome) bool { return other == o }); len(t.keyed[key]) == 0 {
		delete(t.keyed, key)
	}
	if o.latest() {
		delete(t.byID, o.ID)
		t.counts[o.Runner][o.State]--
	}
}

// counted leaves out states without tasks.
func (t *tables) counted(runner string) map[State]int64 {
	sum := map[State]int64{}
	for name, counts := range t.counts {
		if runner != "" && runner != name {
			continue
		}
		for state, n := range counts {
			if n > 0 {
				sum[state] += n
			}
		}
	}
	return sum
}

// lane holds the waiting tasks of one runner and kind: those that can be claimed, and those that wait for their time.
type lane struct{ ready, later waiting }

func (l *lane) push(r *row) {
	if r.State == Available {
		heap.Push(&l.ready, r)
	} else {
		heap.Push(&l.later, r)
	}
}

// firstDue moves what has become due to those that can be claimed. The clock may have been set back since: then some of these
// are not due any more.
func (l *lane) firstDue(now time.Time) *row {
	for r := l.later.top(); r != nil && !r.ScheduledAt.After(now); r = l.later.top() {
		heap.Pop(&l.later)
		heap.Push(&l.ready, r)
	}
	for r := l.ready.top(); r != nil; r = l.ready.top() {
		if r.State == Available || !r.ScheduledAt.After(now) {
			return r
		}
		heap.Pop(&l.ready)
		heap.Push(&l.later, r)
	}
	return nil
}

// before is the order of claims.
func (r *row) before(other *row) bool {
	if r.Priority != other.Priority {
		return r.Priority < other.Priority
	}
	return r.dueBefore(other)
}

func (r *row) dueBefore(other *row) bool {
	if c := r.ScheduledAt.Compare(other.ScheduledAt); c != 0 {
		return c < 0
	}
	return r.Seq < other.Seq
}

// waiting is a heap of rows.
type waiting struct {
	rows   []*row
	before func(a, b *row) bool
}

func (w *waiting) top() *row {
	if len(w.rows) == 0 {
		return nil
	}
	return w.rows[0]
}

func (w *waiting) Len() int           { return len(w.rows) }
func (w *waiting) Less(i, j int) bool { return w.before(w.rows[i], w.rows[j]) }

func (w *waiting) Swap(i, j int) {
	w.rows[i], w.rows[j] = w.rows[j], w.rows[i]
	w.rows[i].place, w.rows[j].place = i, j
}

// Push implements heap.Interface.
func (w *waiting) Push(x any) {
	r := x.(*row)
	r.heap, r.place = w, len(w.rows)
	w.rows = append(w.rows, r)
}

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	last := len(w.rows) - 1
	r := w.rows[last]
	w.rows[last] = nil
	w.rows = w.rows[:last]
	return r
}

var _ heap.Interface = (*waiting)(nil)
