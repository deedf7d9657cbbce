package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"math"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// tx is one transaction of the writer. Its methods are what operations are made of. An error of theirs is the
// database's and ends the whole transaction: an operation that merely refuses something returns nil, and tells its
// caller otherwise.
type tx struct {
	*conn
	counts  map[count]int64 // what the transaction adds to the table of this name
	lastSeq int64           // the largest in the table before the next insert; -1 while unknown
}

// count is one number in the table of counts.
type count struct {
	runner string
	state  store.State
}

func newTx(c *conn) *tx { return &tx{conn: c, counts: map[count]int64{}, lastSeq: -1} }

// insert inserts rows and answers for each, in their order. It cuts them into parts for which there is a statement, the
// largest first: a statement of 64 rows takes 2.7 µs a row, one of a single row 4.9.
func (x *tx) insert(rows []store.Task) ([]store.Inserted, error) {
	answers := make([]store.Inserted, 0, len(rows))
	for len(rows) > 0 {
		size := slices.IndexFunc(insertSizes[:], func(n int) bool { return n <= len(rows) })
		part := rows[:insertSizes[size]]
		rows = rows[len(part):]
		some, err := x.insertPart(insertTasks[size], part)
		if err != nil {
			return nil, err
		}
		answers = append(answers, some...)
	}
	return answers, nil
}

// insertPart inserts as many rows as the statement takes. That an id exists already is rare, so it is not looked for
// beforehand: the statement passes such rows over, and the number of those inserted tells.
func (x *tx) insertPart(text string, rows []store.Task) ([]store.Inserted, error) {
	if err := x.knowLastSeq(); err != nil {
		return nil, err
	}
	values := make([]driver.Value, 0, insertColumns*len(rows))
	for i := range rows {
		row := taskRow(&rows[i])
		values = append(values, row[:]...)
	}
	result, err := x.exec(text, values...)
	if err != nil {
		return nil, err
	}
	if n, _ := result.RowsAffected(); n != int64(len(rows)) {
		return x.insertedSome(rows)
	}
	last, _ := result.LastInsertId()
	answers := make([]store.Inserted, len(rows))
	for i := range rows {
		answers[i].Task = rows[i]
		answers[i].Seq = last - int64(len(rows)-1-i) // one statement numbers its rows without a gap
		x.counts[count{rows[i].Runner, rows[i].State}]++
	}
	x.lastSeq = last
	return answers, nil
}

// insertedSome finds out which rows were inserted, and which were there before: their Seq is not above the last one of
// before, or the same id came earlier in these rows.
func (x *tx) insertedSome(rows []store.Task) ([]store.Inserted, error) {
	keys := make([]driver.Value, len(rows))
	for i := range rows {
		keys[i] = key(rows[i].ID)
	}
	found, err := x.tasks(keys...)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]store.Task, len(found))
	for _, task := range found {
		byID[task.ID] = task
	}
	fresh := map[int64]bool{}
	answers := make([]store.Inserted, len(rows))
	before := x.lastSeq
	for i := range rows {
		task := byID[rows[i].ID]
		existed := task.Seq <= before || fresh[task.Seq]
		answers[i] = store.Inserted{Task: task, Existed: existed}
		if existed {
			continue
		}
		fresh[task.Seq] = true
		x.counts[count{task.Runner, task.State}]++
		x.lastSeq = max(x.lastSeq, task.Seq)
	}
	return answers, nil
}

// knowLastSeq reads the largest Seq once in a transaction; from then on, this transaction is the only one to raise it.
func (x *tx) knowLastSeq() (err error) {
	if x.lastSeq < 0 {
		x.lastSeq, err = x.number(selectLastSeq)
	}
	return err
}

// tasks loads whole tasks by their keys, with their histories.
func (x *tx) tasks(keys ...driver.Value) ([]store.Task, error) {
	found, err := x.load(context.Background(), tasksByID, keys)
	if err != nil {
		return nil, err
	}
	return found, x.loadHistories(context.Background(), found)
}

// rule changes a task, or refuses to; see store.ApplyOutcome.
type rule func(*store.Task) (changed bool, refused error)

// change has the rule change a task of which all is loaded, and records what it has become.
func (x *tx) change(t *store.Task, r rule) (refused, err error) {
	return x.changeAnd(t, r, x.saveTask)
}

// end is change for a rule that ends a run. Of the task only runColumns need be loaded, which makes a batch of outcomes
// a tenth faster.
func (x *tx) end(t *store.Task, r rule) (refused, err error) {
	return x.changeAnd(t, r, x.saveEnd)
}

// changeAnd counts and remembers besides. A rule appends to Errors what the run has left; what was there before is in
// the database already.
func (x *tx) changeAnd(t *store.Task, r rule, save func(*store.Task) error) (refused, err error) {
	from, known := t.State, len(t.Errors)
	changed, refused := r(t)
	if refused != nil || !changed {
		return refused, nil
	}
	if err := save(t); err != nil {
		return nil, err
	}
	added := t.Errors[known:]
	for _, e := range added {
		_, err := x.exec(insertAttempt, t.Seq, int64(e.Attempt), e.Run, e.Node, moment(e.At), e.Error, e.Stack)
		if err != nil {
			return nil, err
		}
	}
	if len(added) > 0 && t.Run > store.MaxHistory {
		if _, err := x.exec(deleteAttempts, t.Seq, int64(store.MaxHistory)); err != nil {
			return nil, err
		}
		t.Errors = t.Errors[max(0, len(t.Errors)-store.MaxHistory):]
	}
	x.counts[count{t.Runner, from}]--
	x.counts[count{t.Runner, t.State}]++
	return nil, nil
}

func (x *tx) saveTask(t *store.Task) error {
	_, err := x.exec(updateTask, stateCode(t.State), t.Run, int64(t.Attempt), int64(t.MaxAttempts), flag(t.CancelRequested),
		t.Progress, t.Node, moment(t.ScheduledAt), moment(t.StartedAt), moment(t.FinishedAt), blob(t.Result), t.Seq)
	return err
}

func (x *tx) saveEnd(t *store.Task) error {
	if t.State.Waiting() {
		_, err := x.exec(updateWaits, stateCode(t.State), int64(t.Attempt), moment(t.ScheduledAt), t.Seq)
		return err
	}
	_, err := x.exec(updateEnd, stateCode(t.State), int64(t.Attempt), moment(t.ScheduledAt), moment(t.FinishedAt),
		blob(t.Result), t.Seq)
	return err
}

// candidate is a waiting task: all of it that decides whether it is claimed, and all in the index.
type candidate struct{ seq, scheduledAt int64 }

func (c candidate) compare(other candidate) int {
	return cmp.Or(cmp.Compare(c.scheduledAt, other.scheduledAt), cmp.Compare(c.seq, other.seq))
}

// firstWaiting gives the first n waiting tasks of these kinds, whether they are due or not. It reads each kind in the
// order of its index, only as far as what it finds is among the first n: a claim of 64 looks at some hundred entries,
// however many wait, and at none of a kind that the node does not know.
func (x *tx) firstWaiting(runner string, kinds []string, n int) ([]candidate, error) {
	var first []candidate
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
		err := x.query(context.Background(), selectWaiting, func(row []driver.Value) error {
			c := columns{row: row}
			found := candidate{seq: next[int64](&c), scheduledAt: next[int64](&c)}
			place, _ := slices.BinarySearchFunc(first, found, candidate.compare)
			if place == n {
				return errStop // the others of this kind come later still
			}
			first = slices.Insert(first[:min(len(first), n-1)], place, found)
			return c.err
		}, runner, kind)
		if err != nil {
			return nil, err
		}
	}
	return first, nil
}

// claim starts those of the claim's tasks that are due. It asks for one task more than it may start: that one is Next.
func (x *tx) claim(now time.Time, claim store.Claim) (claimed store.Claimed, err error) {
	waiting, err := x.firstWaiting(claim.Runner, claim.Kinds, min(claim.Limit, math.MaxInt-1)+1)
	if err != nil {
		return claimed, err
	}
	var due []driver.Value
	for _, c := range waiting {
		if len(due) == claim.Limit || c.scheduledAt > now.UnixMicro() {
			claimed.Next = time.UnixMicro(c.scheduledAt).UTC()
			break
		}
		due = append(due, c.seq)
	}
	claimed.Tasks, err = x.load(context.Background(), tasksBySeq, due)
	if err != nil {
		return claimed, err
	}
	// They come in the order of the keys, but SQL does not promise that.
	slices.SortFunc(claimed.Tasks, func(a, b store.Task) int {
		return cmp.Or(a.ScheduledAt.Compare(b.ScheduledAt), cmp.Compare(a.Seq, b.Seq))
	})
	for i := range claimed.Tasks {
		_, err := x.change(&claimed.Tasks[i], func(t *store.Task) (bool, error) {
			store.ApplyClaim(t, now, claim.Node)
			return true, nil
		})
		if err != nil {
			return claimed, err
		}
	}
	return claimed, nil
}

// flush records what the transaction adds to the counts: a few rows for a batch of any size.
func (x *tx) flush() error {
	for c, n := range x.counts {
		if n == 0 {
			continue
		}
		if _, err := x.exec(addCount, c.runner, stateCode(c.state), n); err != nil {
			return err
		}
	}
	return nil
}
