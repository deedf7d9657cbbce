package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Claim implements store.Worker.
func (s *Store) Claim(ctx context.Context, now time.Time, claim store.Claim) (claimed store.Claimed, err error) {
	if err := errors.Join(store.ValidTime("now", now), claim.Validate()); err != nil {
		return claimed, err
	}
	err = s.write(ctx, min(claim.Limit, batchRows), func(x *tx) (err error) {
		claimed, err = x.claim(now, claim)
		return err
	})
	if err != nil {
		return store.Claimed{}, err
	}
	return claimed, nil
}

// candidate is a waiting task: all of it that decides whether it is claimed, and all in the index.
type candidate struct{ priority, scheduledAt, seq int64 }

func (c candidate) compare(other candidate) int {
	return cmp.Or(cmp.Compare(c.priority, other.priority), cmp.Compare(c.scheduledAt, other.scheduledAt), cmp.Compare(c.seq, other.seq))
}

// queue is the first of those that are due, in the order of claims, and when the next one will be. A kind is read in the order
// of its indices, only as far as what it gives is among the first: a claim of 64 looks at some hundred entries, however many
// wait, and at none of a kind that the node does not know.
type queue struct {
	*tx
	now   int64
	limit int
	due   []candidate
	next  int64 // when the first is due that is not yet; zero: there is none
}

// offer gives errStop if those that come after it in the same order cannot be among the first either.
func (q *queue) offer(c candidate) error {
	if q.mem.damaged[c.seq] {
		return nil
	}
	place, _ := slices.BinarySearchFunc(q.due, c, candidate.compare)
	if place == q.limit {
		return errStop
	}
	q.due = slices.Insert(q.due[:min(len(q.due), q.limit-1)], place, c)
	return nil
}

func (q *queue) wait(until int64) {
	if q.next == 0 || until < q.next {
		q.next = until
	}
}

// read looks at the tasks of one kind.
func (q *queue) read(kind int64) error {
	if err := q.readLane(selectAvailable, q.offer, kind); err != nil {
		return err
	}
	for priority := int64(-1); ; {
		found, urgency, err := q.urgency(kind, priority)
		if err != nil || !found {
			return err
		}
		priority = urgency
		if err := q.readTimed(kind, priority); err != nil {
			return err
		}
	}
}

// urgency gives the next priority that a task which waits for its time has.
func (q *queue) urgency(kind, above int64) (found bool, priority int64, err error) {
	err = q.query(context.Background(), selectUrgency, func(row []driver.Value) error {
		priority, found = row[0].(int64) // NULL: there is none
		return errStop
	}, kind, above)
	return found, priority, err
}

func (q *queue) readTimed(kind, priority int64) error {
	return q.readLane(selectTimed, func(c candidate) error {
		if c.scheduledAt > q.now {
			q.wait(c.scheduledAt)
			return errStop
		}
		return q.offer(c)
	}, kind, priority)
}

func (q *queue) readLane(text string, offer func(candidate) error, args ...driver.Value) error {
	return q.query(context.Background(), text, func(row []driver.Value) error {
		c := columns{row: row}
		found := candidate{priority: next[int64](&c), scheduledAt: next[int64](&c), seq: next[int64](&c)}
		return cmp.Or(c.err, offer(found))
	}, args...)
}

// claim starts those of the claim's tasks that are due. It asks for one task more than it may start: that one is Next.
func (x *tx) claim(now time.Time, claim store.Claim) (claimed store.Claimed, err error) {
	if err := x.settle(); err != nil {
		return claimed, err
	}
	q := queue{tx: x, now: now.UnixMicro(), limit: min(claim.Limit, math.MaxInt-1) + 1}
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(claim.Kinds))) {
		if id, ok := x.mem.ids[claim.Runner][kind]; ok {
			if err := q.read(id); err != nil {
				return claimed, err
			}
		}
	}
	due := q.due
	switch {
	case len(due) > claim.Limit:
		due, claimed.Next = due[:claim.Limit], store.Micro(now)
	case q.next != 0:
		claimed.Next = time.UnixMicro(q.next).UTC()
	}
	claimed.Tasks, err = x.start(now, claim.Node, due)
	return claimed, err
}

// start moves the tasks from taskrunner_tasks to the young ones.
func (x *tx) start(now time.Time, node string, due []candidate) ([]store.Task, error) {
	seqs := make([]driver.Value, len(due))
	for i, c := range due {
		seqs[i] = c.seq
	}
	found, err := x.loadWaiting(seqs)
	if err != nil {
		return nil, err
	}
	for text, part := range deleteTasks.parts(seqs) {
		if err := x.write(text, part...); err != nil {
			return nil, err
		}
	}
	// They come in the order of the keys, but SQL does not promise that.
	slices.SortFunc(found, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.ScheduledAt.Compare(b.ScheduledAt), cmp.Compare(a.Seq, b.Seq))
	})
	tasks := make([]store.Task, len(found))
	for i := range found {
		rec := &found[i]
		x.move(rec.kind, rec.State, store.Running)
		store.ApplyClaim(&rec.Task, now, node)
		if err := x.bear(rec.young()); err != nil {
			return nil, err
		}
		tasks[i] = rec.Task
	}
	return tasks, nil
}

// loadWaiting gives the tasks with these Seqs. One that cannot be read is passed over by the next claims, until the file is opened
// again: it must not keep all that come behind it from being claimed.
func (x *tx) loadWaiting(seqs []driver.Value) ([]record, error) {
	found := make([]record, 0, len(seqs))
	var unread []error
	err := x.lookUpAll(context.Background(), tasksBySeq, seqs, func(values []driver.Value) error {
		rec, err := decodeTask(x.kindNames(), values)
		if seq, ok := values[1].(int64); ok && err != nil {
			x.mem.damaged[seq] = true
			unread = append(unread, fmt.Errorf("%w; it is not claimed again before the file is opened anew", err))
			return nil
		}
		found = append(found, rec)
		return err
	})
	return found, cmp.Or(err, errors.Join(unread...))
}

// young makes a young task of one that was claimed. It shares nothing with the record, which is the claim's answer.
func (rec *record) young() *young {
	return &young{
		row: row{
			id: rec.key, seq: rec.Seq, kind: rec.kind, key: rec.Key, body: appendBody(nil, &rec.Task, rec.hasHistory),
			result: slices.Clone(rec.Result),
		},
		run: rec.Run, node: rec.Node,
	}
}
