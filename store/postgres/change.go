package postgres

import (
	"github.com/taskrunner-go/taskrunner/store"
)

// changes are what a transaction writes. All rows of tasks in it are locked.
type changes struct {
	finished  []row  // become outcomes, in this order; at most blockSize
	updated   []row  // of tasks
	added     []row  // to tasks
	removed   []uuid // from tasks
	retried   []uuid // whose outcomes are not the latest any more
	bundles   []uuid // to be deleted
	histories []entry
	trims     []entry // up to which number a history is to be deleted
	counts    counts
}

// entry is one of a history.
type entry struct {
	store.Attempt

	task   int64
	number int
}

// slack is how many entries of a history are kept beyond store.MaxHistory: older outcomes are shown with those that there were at
// the time, and to delete one by one would take a statement each.
const slack = store.MaxHistory

// record notes what a rule has made of a row: from is the state before.
func (c *changes) record(r *row, from store.State) {
	c.counts.move(r, from, r.State)
	for _, attempt := range r.History {
		r.attempts++
		c.histories = append(c.histories, entry{Attempt: attempt, task: r.Seq, number: r.attempts})
	}
	if len(r.History) > 0 && r.attempts > store.MaxHistory+slack && r.attempts%slack == 0 {
		c.trims = append(c.trims, entry{task: r.Seq, number: r.attempts - store.MaxHistory - slack})
	}
	r.History = nil
}

// moved takes a row of tasks to where it belongs now.
func (c *changes) moved(r *row) {
	if !r.State.Final() {
		c.updated = append(c.updated, *r)
		return
	}
	c.removed = append(c.removed, parseID(r.ID))
	c.finished = append(c.finished, *r)
}

// empty reports whether there is nothing to write.
func (c *changes) empty() bool {
	return len(c.finished)+len(c.updated)+len(c.added)+len(c.removed)+len(c.bundles) == 0
}

// calls are the statements, of which the last one draws the places of the outcomes; it is to be followed by the commit in the same
// flight. Who waits for a turn to draw waits for the commit.
func (c *changes) calls(s *statements) (calls []call) {
	if len(c.bundles) > 0 {
		for _, id := range c.bundles {
			calls = append(calls, s.deleteBundle.with(id[:]))
		}
	}
	if len(c.retried) > 0 {
		calls = append(calls, s.supersede.with(uuids(c.retried...)))
	}
	if len(c.removed) > 0 {
		calls = append(calls, s.deleteTasks.with(uuids(c.removed...)))
	}
	if len(c.updated) > 0 {
		calls = append(calls, s.updateTasks.with(s.withClaims(c.updated)...))
	}
	if len(c.added) > 0 {
		calls = append(calls, s.addTasks.with(s.withClaims(c.added)...))
	}
	calls = append(calls, c.historyCalls(s)...)
	if args := c.counts.args(); args != nil {
		calls = append(calls, s.addCounts.with(args...))
	}
	if len(c.finished) > 0 {
		args := append(s.args(c.finished), int4(len(c.finished)))
		calls = append(calls, s.finish.with(args...).each(c.place))
	}
	return calls
}

// place tells the outcomes their places.
func (c *changes) place(row *columns) {
	base := row.int64()
	for i := range c.finished {
		c.finished[i].Pos = base + int64(i)
	}
}

func (s *statements) withClaims(rows []row) [][]byte {
	claims := newArray(oidInt8, len(rows), 8)
	for i := range rows {
		claims.int64(rows[i].claim)
	}
	return append(s.args(rows), claims.value())
}

func (c *changes) historyCalls(s *statements) (calls []call) {
	if len(c.histories) > 0 {
		calls = append(calls, s.addAttempts.with(historyArgs(c.histories)...))
	}
	for _, e := range c.trims { // few
		calls = append(calls, s.trimAttempts.with(bigint(e.task), int4(e.number)))
	}
	return calls
}

func historyArgs(entries []entry) [][]byte {
	n := len(entries)
	task, number, attempt, run := newArray(oidInt8, n, 8), newArray(oidInt4, n, 4), newArray(oidInt4, n, 4), newArray(oidInt8, n, 8)
	node, state, text, stack := newArray(oidText, n, 40), newArray(oidText, n, 12), newArray(oidText, n, 64), newArray(oidText, n, 16)
	started, finished := newArray(oidTimestamptz, n, 8), newArray(oidTimestamptz, n, 8)
	for i := range entries {
		e := &entries[i]
		task.int64(e.task)
		number.int32(e.number)
		attempt.int32(e.Attempt.Attempt)
		run.int64(e.Run)
		node.text(e.Node)
		state.text(string(e.State))
		started.time(e.StartedAt)
		finished.time(e.FinishedAt)
		text.text(e.Error)
		stack.text(e.Stack)
	}
	return [][]byte{
		task.value(), number.value(), attempt.value(), run.value(), node.value(), state.value(), started.value(), finished.value(),
		text.value(), stack.value(),
	}
}

// lane is what one number of tasks is counted by, besides their state.
type countKey struct{ runner, kind string }

// counts are what a transaction adds to the table of this name, by the place of the state in store.States.
type counts struct {
	keys   []countKey
	deltas [][len(store.States)]int64
}

func (c *counts) add(runner, kind string, s store.State, n int64) {
	key := countKey{runner, kind}
	i := len(c.keys) - 1 // most often the last one
	for i >= 0 && c.keys[i] != key {
		i--
	}
	if i < 0 {
		i = len(c.keys)
		c.keys, c.deltas = append(c.keys, key), append(c.deltas, [len(store.States)]int64{})
	}
	for j, state := range store.States {
		if state == s {
			c.deltas[i][j] += n
		}
	}
}

func (c *counts) move(r *row, from, to store.State) {
	if from == to {
		return
	}
	c.add(r.Runner, r.Kind, from, -1)
	c.add(r.Runner, r.Kind, to, 1)
}

// args are the parameters of addCounts; nil if nothing changes.
func (c *counts) args() [][]byte {
	runners, kinds := newArray(oidText, len(c.keys), 16), newArray(oidText, len(c.keys), 16)
	var numbers [len(store.States)]*array
	for j := range numbers {
		numbers[j] = newArray(oidInt8, len(c.keys), 8)
	}
	changed := false
	for i, delta := range c.deltas {
		if delta == [len(store.States)]int64{} {
			continue
		}
		changed = true
		runners.text(c.keys[i].runner)
		kinds.text(c.keys[i].kind)
		for j := range numbers {
			numbers[j].int64(delta[j])
		}
	}
	if !changed {
		return nil
	}
	args := [][]byte{runners.value(), kinds.value()}
	for _, n := range numbers {
		args = append(args, n.value())
	}
	return args
}
