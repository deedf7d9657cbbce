package sqlite

import (
	"context"
	"database/sql/driver"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// tx is one transaction of the writer. Its methods are what operations are made of. An error of theirs is the
// database's and ends the whole transaction: an operation that merely refuses something returns nil, and tells its
// caller otherwise.
//
// What it changes of the memory, it notes, and the writer does it when the transaction is committed.
type tx struct {
	*conn
	mem     *memory
	now     time.Time // of the process, for the age of bundles
	numbers           // as this transaction leaves them
	changed bool
	names   []kindName              // new ones
	counts  map[count]int64         // what the transaction adds to the table of this name
	waiting *inserts                // rows of taskrunner_tasks
	ended   *inserts                // rows of taskrunner_finished
	born    []*young                // tasks that begin to run
	bundles []*bundle               // made of these
	left    []*young                // young tasks of earlier transactions that are young no more
	told    map[string]store.Signal // by runner
	toldAll store.Signal

	departed []*young             // those of left that were counted out of their bundles
	newborn  map[uuid.UUID]*young // of born, those that are indexed
	indexed  int
}

// count is one number in the table of counts.
type count struct {
	kind  int64
	state store.State
}

func newTx(c *conn, m *memory, now time.Time) *tx {
	return &tx{
		conn: c, mem: m, now: now, numbers: m.numbers, counts: map[count]int64{}, told: map[string]store.Signal{},
		waiting: c.inserts[0].reset(&insertTasks), ended: c.inserts[1].reset(&insertFinished),
	}
}

// inserts are rows that wait to be inserted with others. Each connection has them once: they take 10 KB, and there is one
// transaction at a time.
type inserts struct {
	*insert
	values []driver.Value
}

func (p *inserts) reset(s *insert) *inserts {
	clear(p.values) // what a transaction that failed has left
	p.insert, p.values = s, p.values[:0]
	return p
}

// add inserts when there are as many rows as the largest statement takes.
func (x *tx) add(p *inserts, row ...driver.Value) error {
	p.values = append(p.values, row...)
	if len(p.values) < chunk*p.columns {
		return nil
	}
	return x.drain(p)
}

// drain inserts all, with the largest statements that there are: one of 64 rows takes half of what 64 of one row do.
func (x *tx) drain(p *inserts) error {
	for rest := p.values; len(rest) > 0; {
		size := slices.IndexFunc(insertSizes[:], func(n int) bool { return n*p.columns <= len(rest) })
		n := insertSizes[size] * p.columns
		if err := x.write(p.texts[size], rest[:n]...); err != nil {
			return err
		}
		rest = rest[n:]
	}
	clear(p.values) // large arguments must not be held until the next use
	p.values = p.values[:0]
	return nil
}

// write runs a statement that changes something.
func (x *tx) write(text string, args ...driver.Value) error {
	x.changed = true
	return x.exec(text, args...)
}

// settle inserts what waits. Whoever reads rows calls it first.
func (x *tx) settle() error {
	if err := x.drain(x.waiting); err != nil {
		return err
	}
	return x.drain(x.ended)
}

// kind gives the number of a runner's kind.
func (x *tx) kind(runner, kind string) (int64, error) {
	if id, ok := x.mem.ids[runner][kind]; ok {
		return id, nil
	}
	name := kindName{runner: runner, kind: kind}
	before := int64(len(x.mem.names))
	if i := slices.Index(x.names, name); i >= 0 {
		return before + int64(i) + 1, nil
	}
	x.names = append(x.names, name)
	id := before + int64(len(x.names))
	return id, x.write(insertKind, id, runner, kind)
}

// kindNames are all that may stand in a row.
func (x *tx) kindNames() []kindName {
	if len(x.names) == 0 {
		return x.mem.names
	}
	return slices.Concat(x.mem.names, x.names)
}

// youngOf gives the task if it is young still.
func (x *tx) youngOf(id uuid.UUID) *young {
	y := x.mem.young[id]
	if y == nil && len(x.born) > 0 {
		y = x.newbornOf(id)
	}
	if y == nil || y.leaving {
		return nil
	}
	return y
}

// allYoung gives those that are young still, in no order.
func (x *tx) allYoung() iter.Seq[*young] {
	return func(yield func(*young) bool) {
		for _, y := range x.born {
			if !y.leaving && !yield(y) {
				return
			}
		}
		for _, b := range x.mem.bundles {
			for _, y := range b.tasks {
				if !y.leaving && y.gone == 0 && !yield(y) {
					return
				}
			}
		}
	}
}

// newbornOf looks among those of this transaction. Their ids are not put into a map until somebody asks: that is rare, since
// hardly anybody knows them yet.
func (x *tx) newbornOf(id uuid.UUID) *young {
	if x.newborn == nil {
		x.newborn = map[uuid.UUID]*young{}
	}
	for _, y := range x.born[x.indexed:] {
		x.newborn[y.id] = y
	}
	x.indexed = len(x.born)
	return x.newborn[id]
}

// bear has a task that runs begin as a young one; its row is nowhere. One that leaves its youth in this very transaction gets a
// row, because the memory has one place for it.
func (x *tx) bear(y *young) error {
	x.changed = true
	if x.mem.young[y.id] == nil {
		x.born = append(x.born, y)
		return nil
	}
	rec, err := x.complete(y)
	if err != nil {
		return err
	}
	return x.put(rec)
}

// complete makes a task of a young one, without its history.
func (x *tx) complete(y *young) (*record, error) {
	rec, err := y.complete(x.kindNames(), store.Running)
	return &rec, err
}

// leave ends the youth of a task. Its row is put somewhere else.
func (x *tx) leave(y *young) {
	y.leaving = true
	if y.bundle != nil {
		x.left = append(x.left, y)
	}
	x.changed = true
}

// put records a task that has no row where it belongs. An outcome gets its place in the order.
func (x *tx) put(rec *record) error {
	body := appendBody(nil, &rec.Task, rec.hasHistory)
	if rec.State.Final() {
		x.pos++
		rec.Pos = x.pos
		r := row{id: rec.key, seq: rec.Seq, kind: rec.kind, key: rec.Key, body: body}
		return x.putEnded(&r, rec.Result, rec.State, rec.Pos, rec.FinishedAt)
	}
	return x.add(x.waiting, rec.Seq, rec.key[:], rec.kind, stateCode(rec.State), int64(rec.Priority), moment(rec.ScheduledAt),
		flag(rec.CancelRequested), text(rec.Key), body, blob(rec.Result))
}

func (x *tx) putEnded(r *row, result []byte, state store.State, pos int64, finishedAt time.Time) error {
	return x.add(x.ended, pos, r.id[:], r.seq, r.kind, stateCode(state), moment(finishedAt), text(r.key), r.body, blob(result))
}

// move counts a task that was in one state and is in another; an empty state is none.
func (x *tx) move(kind int64, from, to store.State) {
	if from != "" {
		x.counts[count{kind, from}]--
	}
	if to != "" {
		x.counts[count{kind, to}]++
	}
}

// tell has a runner told when the transaction is committed.
func (x *tx) tell(runner string, s store.Signal) { x.told[runner] |= s }

// flush writes what was gathered. Then the transaction is ready for its commit.
func (x *tx) flush() error {
	if err := x.settle(); err != nil {
		return err
	}
	if err := x.writeBundles(); err != nil {
		return err
	}
	if err := x.writeCounts(); err != nil {
		return err
	}
	if !x.changed {
		return nil
	}
	x.mark++
	return x.write(updateNumbers, x.mark, x.seq, x.pos)
}

// writeCounts records what the transaction adds to the counts: a few rows for a batch of any size.
func (x *tx) writeCounts() error {
	for c, n := range x.counts {
		if n == 0 {
			continue
		}
		if err := x.write(addCount, c.kind, stateCode(c.state), n); err != nil {
			return err
		}
	}
	return nil
}

// find gives the tasks of these ids with where they are: in taskrunner_tasks, or with a Pos in taskrunner_finished. It does not
// look among the young.
func (x *tx) find(ids []driver.Value) (map[uuid.UUID]*record, error) {
	if err := x.settle(); err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*record, len(ids))
	for _, from := range []keyed{tasksByID, finishedByID} {
		found, err := x.load(context.Background(), x.kindNames(), from, ids)
		if err != nil {
			return nil, err
		}
		for i := range found {
			byID[found[i].key] = &found[i]
		}
		if len(byID) == len(ids) {
			break
		}
	}
	return byID, nil
}
