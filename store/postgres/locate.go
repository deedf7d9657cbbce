package postgres

import (
	"context"

	"github.com/taskrunner-go/taskrunner/store"
)

// place is where a task is.
type place int

const (
	nowhere place = iota
	inTasks
	inFinished
	inBundle
)

// found is a task and where it is.
type found struct {
	place  place
	row    row
	bundle uuid // inBundle
}

// locate finds tasks, as of one moment.
func (s *Store) locate(ctx context.Context, l *link, ids []uuid) (map[uuid]found, error) {
	all := make(map[uuid]found, len(ids))
	var bundles []*bundle
	err := l.run(ctx, s.sql.locate.with(uuids(ids...)).each(func(c *columns) {
		where, pos, claim := place(c.int64())+inTasks, c.int64(), c.int64()
		r := s.sql.scan(c)
		r.Pos, r.claim = pos, claim
		if where == inBundle {
			bundles = append(bundles, foundRow(&r))
			return
		}
		all[parseID(r.ID)] = found{place: where, row: r}
	}))
	if err != nil {
		return nil, err
	}
	return all, addBundled(all, bundles, ids)
}

// foundRow is the bundle that came in the columns of a task.
func foundRow(r *row) *bundle {
	b := &bundle{id: parseID(r.ID), node: r.Node, runner: r.Runner, kind: r.Kind, block: r.Seq, n: int(r.Run), tasks: r.Args}
	copy(b.handle[:], r.Result)
	return b
}

// addBundled adds those of the ids that are in bundles; one that is found elsewhere has left its bundle.
func addBundled(all map[uuid]found, bundles []*bundle, ids []uuid) error {
	wanted := make(map[uuid]bool, len(ids))
	for _, id := range ids {
		wanted[id] = all[id].place == nowhere
	}
	for _, b := range bundles {
		if err := b.check(); err != nil {
			return err
		}
		for i, id := range b.ids() {
			if !wanted[id] {
				continue
			}
			r, err := b.task(i)
			if err != nil {
				return err
			}
			all[id] = found{place: inBundle, row: r, bundle: b.id}
		}
	}
	return nil
}

// loadHistories loads the histories of the tasks, as far as the tasks have them.
func (s *Store) loadHistories(ctx context.Context, l *link, rows ...*row) error {
	bySeq := map[int64][]*row{} // several, if they are outcomes of one task
	var seqs []int64
	for _, r := range rows {
		if r.attempts == 0 {
			continue
		}
		if bySeq[r.Seq] == nil {
			seqs = append(seqs, r.Seq)
		}
		bySeq[r.Seq] = append(bySeq[r.Seq], r)
	}
	if len(seqs) == 0 {
		return nil
	}
	return l.run(ctx, s.sql.histories.with(int8s(seqs...)).each(func(c *columns) {
		task, number := c.int64(), c.int32()
		attempt := scanAttempt(c)
		for _, r := range bySeq[task] {
			r.remember(number, attempt)
		}
	}))
}

func scanAttempt(c *columns) store.Attempt {
	return store.Attempt{
		Attempt: c.int32(), Run: c.int64(), Node: c.text(), State: state(c.next(-1)), StartedAt: c.time(), FinishedAt: c.time(),
		Error: c.text(), Stack: c.text(),
	}
}

// remember adds an entry that belongs to the task as it is: not those that came later, and of the others the newest.
func (r *row) remember(number int, a store.Attempt) {
	if number <= r.attempts && number > r.attempts-store.MaxHistory {
		r.History = append(r.History, a)
	}
}

// unbundle takes all tasks out of bundles that somebody else may use, and makes rows of tasks of those that still run, whose ids it
// gives. It deletes the bundle, so that what its owner writes is refused, and looks closer.
func (s *Store) unbundle(ctx context.Context, from source, bundles ...uuid) (running []uuid, err error) {
	done := map[uuid]bool{}
	for _, id := range bundles {
		if done[id] {
			continue
		}
		done[id] = true
		var c *changes
		err := s.transact(ctx, from, func(ctx context.Context, t *txn) (err error) {
			c, err = s.unbundleOne(ctx, t, id)
			return err
		})
		if err != nil {
			return running, err
		}
		for i := range c.added {
			running = append(running, parseID(c.added[i].ID))
		}
	}
	return running, nil
}

func (s *Store) unbundleOne(ctx context.Context, t *txn, id uuid) (*changes, error) {
	var b *bundle
	if err := t.run(ctx, s.sql.deleteBundle.with(id[:]).each(func(c *columns) { b = scanBundle(c) })); err != nil || b == nil {
		return &changes{}, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	ended := map[uuid]int64{}
	err := t.run(ctx, s.sql.endedOf.with(uuids(b.ids()...)).each(func(c *columns) { ended[c.uuid()] = c.int64() }))
	if err != nil {
		return nil, err
	}
	c, err := b.rest(ended)
	if err != nil {
		return nil, err
	}
	return c, t.commit(ctx, c.calls(s.sql)...)
}

func scanBundle(c *columns) *bundle {
	return &bundle{
		id: c.uuid(), handle: c.uuid(), node: c.text(), runner: c.text(), kind: c.text(), block: c.int64(), n: c.int32(), tasks: c.bytes(),
	}
}

// rest makes rows of what still runs of a bundle that is deleted. ended are the others, with their seqs: if they are not of this
// bundle, it was inserted twice, the second time when all was over: by a statement that had been given up as lost.
func (b *bundle) rest(ended map[uuid]int64) (*changes, error) {
	c := &changes{}
	for _, seq := range ended {
		if seq/blockSize != b.block {
			return c, nil
		}
	}
	c.counts.add(b.runner, b.kind, store.Running, int64(b.n))
	for i, id := range b.ids() {
		if _, has := ended[id]; has {
			continue
		}
		r, err := b.task(i)
		if err != nil {
			return nil, err
		}
		c.added = append(c.added, r)
	}
	return c, nil
}
