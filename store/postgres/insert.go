package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	uuids7 "github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// inserting is one call of Insert.
type inserting struct {
	answers []store.Inserted // as they are to be recorded; each gets its Seq
}

// Insert implements store.Inserter. A caller whose context ends while its statement is under way gets that error, and the tasks may
// be recorded nevertheless; those of them that would run in this process are then given back, and run elsewhere or later.
func (s *Store) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidateAll(tasks)); err != nil {
		return nil, err
	}
	work := &inserting{answers: make([]store.Inserted, len(tasks))}
	err := s.call(ctx, "inserting", func() error { return s.insert(ctx, now, tasks, work) })
	if err != nil {
		return nil, err
	}
	return work.answers, nil
}

func (s *Store) insert(ctx context.Context, now time.Time, tasks []store.NewTask, work *inserting) error {
	lane := s.inserts
	for i := range tasks {
		work.answers[i].Task = store.ApplyInsert(now, tasks[i])
		if !tasks[i].Fresh {
			lane = s.knowns
		}
		if err := s.leases.await(ctx, tasks[i].Runner, tasks[i].Node); err != nil {
			return s.given(ctx, nil)
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	j, err := lane.hand(ctx, len(tasks), work)
	if err != nil {
		return s.given(ctx, nil)
	}
	return s.waited(ctx, j.wait(nil))
}

// batch is what one flight inserts for several calls.
type batch struct {
	blocks  []*block
	claim   int64
	runners map[string]bool // for whom there is work
}

// block is tasks in their order, whose Seqs come from one drawing. Those that run here already are bundled, if they may be; the others
// become rows.
type block struct {
	size    int
	bundles []*packer
	eggs    [][]egglet // of each bundle
	nests   []*nest
	rows    []row
	answers []*store.Inserted // of rows
	added   []bool            // of rows: whether they were not there before
}

// egglet is a task in a bundle.
type egglet struct {
	answer *store.Inserted
	place  int // in the block
}

// newClaim marks the rows of one flight, so that it can be repeated.
func newClaim() int64 { return 1 + rand.Int64N(1<<62) }

func newBatch(jobs []*job[*inserting], bundle bool) *batch {
	b := &batch{claim: newClaim(), runners: map[string]bool{}}
	last := &block{size: blockSize}
	for _, j := range jobs {
		for i := range j.work.answers {
			if last.size == blockSize {
				last = &block{}
				b.blocks = append(b.blocks, last)
			}
			answer := &j.work.answers[i]
			last.add(answer, b.claim, bundle && answer.State == store.Running, len(j.work.answers)-i)
			if answer.State.Waiting() {
				b.runners[answer.Runner] = true
			}
		}
	}
	return b
}

func (b *block) add(answer *store.Inserted, claim int64, bundle bool, more int) {
	place := b.size
	b.size++
	if bundle {
		b.pack(answer, place, min(more, maxBundle))
		return
	}
	r := row{Task: answer.Task, claim: claim}
	r.Seq = int64(place)
	b.rows, b.answers, b.added = append(b.rows, r), append(b.answers, answer), append(b.added, false)
}

// pack puts a task into the bundle to which it belongs. There are few. more is how many tasks may come with it.
func (b *block) pack(answer *store.Inserted, place, more int) {
	for i := len(b.bundles) - 1; i >= 0; i-- {
		if b.bundles[i].add(&answer.Task, place) {
			b.eggs[i] = append(b.eggs[i], egglet{answer, place})
			return
		}
	}
	p := newPacker(more, len(answer.Args))
	p.add(&answer.Task, place)
	b.bundles, b.eggs = append(b.bundles, p), append(b.eggs, append(make([]egglet, 0, more), egglet{answer, place}))
}

// writeFresh is the work of the lane for tasks whose ids nobody else knows.
func (s *Store) writeFresh(own source) func([]*job[*inserting]) {
	return func(jobs []*job[*inserting]) {
		err := s.insertFresh(own, jobs)
		for _, j := range jobs {
			if err != nil && judge(err) == final && len(jobs) > 1 {
				s.answer(j, s.insertFresh(own, []*job[*inserting]{j}))
				continue
			}
			s.answer(j, err)
		}
	}
}

// answer answers a call. If nobody waits any more, nobody will run what runs here.
func (s *Store) answer(j *job[*inserting], err error) {
	if j.finish(err) || err != nil {
		return
	}
	for i := range j.work.answers {
		if t := &j.work.answers[i]; t.State == store.Running && !t.Existed {
			s.returns.add(t.ID, t.Run)
		}
	}
}

func (s *Store) insertFresh(own source, jobs []*job[*inserting]) error {
	ctx, stop := anybody(s.life, jobs)
	defer stop()
	batch := newBatch(jobs, true)
	s.expect(batch)
	tried := false
	err := s.persist(ctx, own, func(ctx context.Context, l *link) error {
		if tried {
			if err := s.findLanded(ctx, l, batch); err != nil {
				return err
			}
		}
		tried = true
		if err := l.run(ctx, batch.calls(s.sql)...); err != nil {
			return err
		}
		return s.resolve(ctx, l, batch)
	})
	for _, b := range batch.blocks {
		for i, n := range b.nests {
			if err != nil {
				s.returns.lose(n.id, time.Now()) // if it was inserted nevertheless, it is a stray, and found as such
				s.young.drop(n)
				continue
			}
			s.hatch(ctx, own, n, b.eggs[i])
		}
	}
	if err == nil {
		s.tellWork(batch.runners)
	}
	return err
}

// expect makes the bundles, and has them known as under way.
func (s *Store) expect(batch *batch) {
	for _, b := range batch.blocks {
		for _, p := range b.bundles {
			p.id, p.handle = newUUID(), s.handle
			b.nests = append(b.nests, s.young.expect(p.pack()))
		}
	}
}

// findLanded takes out of the batch what an earlier try has inserted. Nobody else knows these ids, so whatever is found of them comes
// from it; by now it may have been claimed, and have ended, or have been taken out of its bundle, and to insert it again would make
// two tasks of it.
func (s *Store) findLanded(ctx context.Context, l *link, batch *batch) error {
	all, err := s.locate(ctx, l, batch.ids())
	if err != nil {
		return err
	}
	for _, b := range batch.blocks {
		b.land(all)
	}
	return nil
}

// ids are those of all tasks that are still to be inserted.
func (b *batch) ids() (ids []uuid) {
	for _, block := range b.blocks {
		for i := range block.rows {
			ids = append(ids, parseID(block.rows[i].ID))
		}
		for _, n := range block.nests {
			ids = append(ids, n.ids()...)
		}
	}
	return ids
}

// land keeps what was not found.
func (b *block) land(all map[uuid]found) {
	rows, answers := b.rows, b.answers
	b.rows, b.answers, b.added = nil, nil, nil
	for i, r := range rows {
		if f := all[parseID(r.ID)]; f.place != nowhere {
			answers[i].Seq = f.row.Seq
			continue
		}
		b.rows, b.answers, b.added = append(b.rows, r), append(b.answers, answers[i]), append(b.added, false)
	}
	for _, n := range b.nests {
		n.landed = slices.ContainsFunc(n.ids(), func(id uuid) bool { return all[id].place != nowhere })
	}
}

// newUUID orders bundles by time. It reads random bytes, which never fails.
func newUUID() uuid { return uuid(uuids7.Must(uuids7.NewV7())) }

func (b *batch) calls(s *statements) (calls []call) {
	for _, block := range b.blocks {
		bundle, rows := s.insertBundle, s.insertTasks
		for _, n := range block.nests {
			n.block = 0
			if n.landed {
				continue
			}
			calls = append(calls, bundle.with(n.id[:], n.handle[:], text(n.node), text(n.runner), text(n.kind), int4(n.n), n.lo[:], n.hi[:], n.tasks).
				each(func(c *columns) { n.block = c.int64() }))
			bundle, rows = s.insertBundleToo, s.insertTasksToo
		}
		if len(block.rows) > 0 {
			calls = append(calls, rows.with(append(s.args(block.rows), bigint(b.claim))...).each(block.rowAdded()))
		}
	}
	return calls
}

// rowAdded takes what the statement answers: the place in the block and the Seq of each row that was not there before.
func (b *block) rowAdded() func(*columns) {
	at := make(map[int64]int, len(b.rows)) // by place
	for i := range b.rows {
		b.added[i] = false
		at[b.rows[i].Seq] = i
	}
	return func(c *columns) {
		place, seq := c.int64(), c.int64()
		i := at[place]
		b.added[i], b.answers[i].Seq = true, seq
	}
}

// resolve finds out about the rows that were not inserted, because there was one of the id: it may be from an earlier try.
func (s *Store) resolve(ctx context.Context, l *link, batch *batch) error {
	var ids []uuid
	for _, b := range batch.blocks {
		for i := range b.rows {
			if !b.added[i] {
				ids = append(ids, parseID(b.rows[i].ID))
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	all, err := s.locate(ctx, l, ids)
	if err != nil {
		return err
	}
	first := map[string]bool{} // ids that came with a row before
	for _, b := range batch.blocks {
		for i := range b.rows {
			if err := s.resolveRow(ctx, l, b, i, all, batch.claim, first); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) resolveRow(ctx context.Context, l *link, b *block, i int, all map[uuid]found, claim int64, first map[string]bool) error {
	id := b.rows[i].ID
	defer func() { first[id] = true }()
	if b.added[i] {
		return nil
	}
	f := all[parseID(id)]
	switch {
	case f.place == nowhere:
		return errVanished
	case f.place == inTasks && f.row.claim == claim && !first[id]:
		b.answers[i].Seq = f.row.Seq
		return nil
	}
	if err := s.loadHistories(ctx, l, &f.row); err != nil {
		return err
	}
	*b.answers[i] = store.Inserted{Task: f.row.Task, Existed: true}
	return nil
}

// hatch makes the tasks of a bundle known here, and their Seqs to the callers.
func (s *Store) hatch(ctx context.Context, own source, n *nest, eggs []egglet) {
	if n.block == 0 && s.findBlock(ctx, own, n) != nil {
		s.young.drop(n) // it was inserted and taken, or nobody waits any more: the ordinary way finds the tasks
		return
	}
	for _, e := range eggs {
		e.answer.Seq = n.block*blockSize + int64(e.place)
	}
	s.young.hatch(n, time.Now())
}

// findBlock looks for a bundle that an earlier try had inserted.
func (s *Store) findBlock(ctx context.Context, own source, n *nest) error {
	return s.persist(ctx, own, func(ctx context.Context, l *link) error {
		err := l.run(ctx, s.sql.bundleBlock.with(n.id[:]).each(func(c *columns) { n.block = c.int64() }))
		if err == nil && n.block == 0 {
			return notFound(n.id)
		}
		return err
	})
}
