package postgres

import (
	"context"
	"errors"

	"github.com/taskrunner-go/taskrunner/store"
)

// leaving is what is to become of young tasks of this handle.
type leaving struct {
	items []leaver
}

// leaver is one of them.
type leaver struct {
	id      uuid
	outcome *store.Outcome // nil: it runs on, as a row of tasks
	answer  error
}

// errNotYoung is the answer where the task is not, or no longer, in a bundle of this handle.
var errNotYoung = errors.New("not young")

// leaveYoung has the items leave their bundles. Each gets its answer; the error is for all.
func (s *Store) leaveYoung(ctx context.Context, items []leaver, watch watcher) error {
	j, err := s.leaves.hand(ctx, len(items), &leaving{items: items})
	if err != nil {
		return s.given(ctx, nil)
	}
	return s.waited(ctx, j.wait(watch))
}

// writeLeaves is the work of the lane of leaves. If one job makes the others fail, each gets its own try.
func (s *Store) writeLeaves(own source) func([]*job[*leaving]) {
	return func(jobs []*job[*leaving]) {
		err := s.leaveAll(own, jobs)
		for _, j := range jobs {
			if err != nil && judge(err) == final && len(jobs) > 1 {
				j.finish(s.leaveAll(own, []*job[*leaving]{j}))
				continue
			}
			j.finish(err)
		}
	}
}

func (s *Store) leaveAll(own source, jobs []*job[*leaving]) (err error) {
	ctx, stop := anybody(s.life, jobs)
	defer stop()
	var items []*leaver
	for _, j := range jobs {
		for i := range j.work.items {
			items = append(items, &j.work.items[i])
		}
	}
	for len(items) > 0 && err == nil {
		some := items[:min(len(items), maxBundle)]
		items = items[len(some):]
		err = s.leaveSome(ctx, own, some)
	}
	return err
}

// brood is young tasks that leave together.
type brood struct {
	items   []*leaver
	nests   map[*nest]int // how many leave each
	changes changes
	plain   bool // all have ended, without a history: one statement does it
}

// leaveSome tries until all bundles that are left to be written to are there.
func (s *Store) leaveSome(ctx context.Context, own source, items []*leaver) error {
	for {
		f, err := s.gather(items)
		if err != nil || len(f.items) == 0 {
			return err
		}
		there, err := s.writeBrood(ctx, own, f)
		switch {
		case codeOf(err) == uniqueViolation:
			// They were written before, and the answer was lost; or not all is as we think. The ordinary way finds out.
			there = nil
		case err != nil:
			return err
		case len(there) == len(f.nests):
			s.left(f)
			return nil
		}
		s.forget(f, there)
	}
}

const uniqueViolation = "23505"

// gather applies the outcomes to the tasks that are young, and answers those that are not.
func (s *Store) gather(items []*leaver) (*brood, error) {
	f := &brood{nests: map[*nest]int{}, plain: true}
	seen := make(map[uuid]bool, len(items))
	f.items, f.changes.finished = make([]*leaver, 0, len(items)), make([]row, 0, len(items))
	for _, item := range items {
		e, ok := s.young.find(item.id)
		if !ok || seen[item.id] || item.outcome != nil && item.outcome.Run != 1 {
			item.answer = errNotYoung
			continue
		}
		seen[item.id] = true
		if err := f.take(e, item); err != nil {
			return nil, err
		}
	}
	for n, leave := range f.nests {
		if leave == n.left {
			f.changes.bundles = append(f.changes.bundles, n.id)
			f.changes.counts.add(n.runner, n.kind, store.Running, int64(n.n))
		}
	}
	return f, nil
}

// take applies one outcome.
func (f *brood) take(e egg, item *leaver) error {
	r, err := e.nest.task(e.i)
	if err != nil {
		return err
	}
	if item.outcome != nil {
		if _, err := store.ApplyOutcome(&r.Task, *item.outcome); err != nil {
			return err // it never is: the run is 1, and it runs
		}
	}
	f.items = append(f.items, item)
	f.nests[e.nest]++
	f.plain = f.plain && r.State.Final() && len(r.History) == 0
	f.changes.record(&r, store.Running)
	if r.State.Final() {
		f.changes.finished = append(f.changes.finished, r)
	} else {
		f.changes.added = append(f.changes.added, r)
	}
	return nil
}

// writeBrood writes, unless a bundle is gone, and says which are there.
func (s *Store) writeBrood(ctx context.Context, own source, f *brood) (there map[uuid]bool, err error) {
	if f.plain {
		err = s.persist(ctx, own, func(ctx context.Context, l *link) error {
			there = map[uuid]bool{}
			return l.run(ctx, s.sql.finishYoung.with(f.args(s.sql)...).each(func(c *columns) { there[c.uuid()] = true }))
		})
		return there, err
	}
	err = s.transact(ctx, own, func(ctx context.Context, t *txn) error {
		there = map[uuid]bool{}
		lock := s.sql.lockBundles.with(f.bundles()).each(func(c *columns) { there[c.uuid()] = true })
		if err := t.run(ctx, lock); err != nil || len(there) < len(f.nests) {
			return err
		}
		return t.commit(ctx, f.changes.calls(s.sql)...)
	})
	return there, err
}

func (f *brood) bundles() []byte {
	ids := make([]uuid, 0, len(f.nests))
	for n := range f.nests {
		ids = append(ids, n.id)
	}
	return uuids(ids...)
}

// args are the parameters of finishYoung.
func (f *brood) args(s *statements) [][]byte {
	args := append(s.args(f.changes.finished), int4(len(f.changes.finished)), f.bundles(), uuids(f.changes.bundles...))
	return append(args, f.changes.counts.args()...)
}

// left notes what was written, and answers.
func (s *Store) left(f *brood) {
	ids := make([]uuid, len(f.items))
	for i, item := range f.items {
		ids[i], item.answer = item.id, nil
	}
	s.young.remove(ids)
	s.tellChanges(&f.changes)
}

// forget drops the nests whose bundles are not there.
func (s *Store) forget(f *brood, there map[uuid]bool) {
	for n := range f.nests {
		if !there[n.id] {
			s.young.drop(n)
		}
	}
}
