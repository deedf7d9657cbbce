package store

import (
	"container/heap"
	"iter"
	"slices"
)

// tables are the rows of a Memory and the ways to find them, which are those of the tables and indices of a database.
type tables struct {
	rows    []*row // in the order of insertion: rows[i].Seq is i+1
	byID    map[string]*row
	keyed   map[[2]string][]*row       // by kind and key, in the order of insertion
	waiting map[[2]string]*waiting     // by runner and kind
	running map[string]map[*row]bool   // by runner
	counts  map[string]map[State]int64 // by runner
}

func newTables() tables {
	return tables{
		byID:    map[string]*row{},
		keyed:   map[[2]string][]*row{},
		waiting: map[[2]string]*waiting{},
		running: map[string]map[*row]bool{},
		counts:  map[string]map[State]int64{},
	}
}

// row is one task, with its place in the heap of those that wait.
type row struct {
	Task
	place int
}

// copy shares nothing with the row: the caller may change what it gets.
func (r *row) copy() Task {
	task := r.Task
	task.Args, task.Result, task.Errors = cloneBytes(r.Args), cloneBytes(r.Result), slices.Clone(r.Errors)
	return task
}

func (t *tables) add(task Task) *row {
	task.Seq = int64(len(t.rows)) + 1
	r := &row{Task: task}
	t.rows = append(t.rows, r)
	t.byID[r.ID] = r
	if r.Key != "" {
		t.keyed[[2]string{r.Kind, r.Key}] = append(t.keyed[[2]string{r.Kind, r.Key}], r)
	}
	t.enter(r)
	return r
}

// change applies f to the task and moves it to where it is to be found afterwards. A row must not change in any other
// way: a heap whose elements change under it gives them in the wrong order.
func (t *tables) change(r *row, f func(*Task)) {
	t.exit(r)
	f(&r.Task)
	if beyond := len(r.Errors) - MaxHistory; beyond > 0 {
		r.Errors = slices.Delete(r.Errors, 0, beyond)
	}
	t.enter(r)
}

func (t *tables) enter(r *row) {
	switch {
	case r.State.Waiting():
		heap.Push(t.lane(r.Runner, r.Kind), r)
	case r.State == Running:
		if t.running[r.Runner] == nil {
			t.running[r.Runner] = map[*row]bool{}
		}
		t.running[r.Runner][r] = true
	}
	if t.counts[r.Runner] == nil {
		t.counts[r.Runner] = map[State]int64{}
	}
	t.counts[r.Runner][r.State]++
}

func (t *tables) exit(r *row) {
	switch {
	case r.State.Waiting():
		heap.Remove(t.lane(r.Runner, r.Kind), r.place)
	case r.State == Running:
		delete(t.running[r.Runner], r)
	}
	t.counts[r.Runner][r.State]--
}

// lane is the heap of the runner's waiting tasks of this kind. Each kind has its own, so that a claim need not look at
// kinds that the node does not know.
func (t *tables) lane(runner, kind string) *waiting {
	lane := [2]string{runner, kind}
	if t.waiting[lane] == nil {
		t.waiting[lane] = &waiting{}
	}
	return t.waiting[lane]
}

// firstWaiting is the waiting task of these kinds that is due first, or nil.
func (t *tables) firstWaiting(runner string, kinds []string) *row {
	var first *row
	for _, kind := range kinds {
		lane := t.waiting[[2]string{runner, kind}]
		if lane == nil || lane.Len() == 0 {
			continue
		}
		if top := (*lane)[0]; first == nil || top.before(first) {
			first = top
		}
	}
	return first
}

// runningOf gives the runner's running tasks in the order of insertion, so that what is done to all is done in the
// same order each time.
func (t *tables) runningOf(runner string) []*row {
	rows := make([]*row, 0, len(t.running[runner]))
	for r := range t.running[runner] {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b *row) int { return int(a.Seq - b.Seq) })
	return rows
}

// newestFirst gives the rows with a Seq below before; zero is all.
func (t *tables) newestFirst(before int64) iter.Seq2[int, *row] {
	if before == 0 || before > int64(len(t.rows)) {
		return slices.Backward(t.rows)
	}
	return slices.Backward(t.rows[:before-1])
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

// waiting is a heap of rows, the one that is due first on top.
type waiting []*row

// before is the order of claims: the longest due first, then the one inserted first.
func (r *row) before(other *row) bool {
	if c := r.ScheduledAt.Compare(other.ScheduledAt); c != 0 {
		return c < 0
	}
	return r.Seq < other.Seq
}

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].before(w[j]) }

func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// Push implements heap.Interface.
func (w *waiting) Push(x any) {
	r := x.(*row)
	r.place = len(*w)
	*w = append(*w, r)
}

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	r := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return r
}

var _ heap.Interface = (*waiting)(nil)
