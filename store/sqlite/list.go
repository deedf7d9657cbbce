package sqlite

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/taskrunner-go/taskrunner/store"
)

// List implements store.Reader. A page of all, of the running, the cancelled or the discarded costs the same whatever else
// there is. Kind, Runner and the other states have no index: rows that do not match are passed over at about a million a second,
// newest first, until as many are found as there are; of what does not exist, nothing is read.
func (s *Store) List(ctx context.Context, query store.Query) (tasks []store.Task, err error) {
	if err := query.Validate(); err != nil {
		return nil, err
	}
	p := page{Query: query}
	if err := s.read(ctx, p.look, func(c *conn) error { return p.read(ctx, c) }); err != nil {
		return nil, err
	}
	tasks = make([]store.Task, len(p.found))
	for i := range p.found {
		tasks[i] = p.found[i].Task
	}
	return tasks, nil
}

// page is a List under way.
type page struct {
	store.Query
	kinds  filter
	names  []kindName
	young  []*young
	counts map[store.State]int64
	found  []record
}

func (p *page) wants(state store.State) bool {
	return len(p.States) == 0 || slices.Contains(p.States, state)
}

// bounds are the places before which the page begins, in the two parts of a list. active is false if the first is over.
func (p *page) bounds() (seq, pos int64, active bool) {
	return cmp.Or(p.After.Seq, math.MaxInt64), cmp.Or(p.After.Pos, math.MaxInt64), p.After.Pos == 0
}

// look takes the young tasks that may be on the page.
func (p *page) look(v view) {
	p.names, p.kinds = v.names, v.filter(p.Runner, p.Kind)
	before, _, active := p.bounds()
	if !active || !p.wants(store.Running) {
		return
	}
	for y := range v.all() {
		if y.seq < before && p.kinds.has(y.kind) {
			p.young = append(p.young, y)
		}
	}
}

// read fills the page: what waits or runs by Seq, then what has ended by Pos, both from the largest.
func (p *page) read(ctx context.Context, c *conn) error {
	p.counts = map[store.State]int64{}
	if err := c.countStates(ctx, p.kinds, p.counts); err != nil {
		return err
	}
	if err := p.readActive(ctx, c); err != nil {
		return err
	}
	if err := p.readFinished(ctx, c); err != nil {
		return err
	}
	return c.loadHistories(ctx, p.found)
}

func (p *page) readActive(ctx context.Context, c *conn) error {
	before, _, active := p.bounds()
	if !active {
		return nil
	}
	for _, y := range p.newestYoung() {
		rec, err := y.complete(p.names, store.Running)
		if err != nil {
			return err
		}
		p.found = append(p.found, rec)
	}
	if p.wants(store.Running) {
		err := c.query(ctx, selectRunningPage, collectTasks(p.names, &p.found), p.kinds.value(), before, int64(p.Size()))
		if err != nil {
			return err
		}
	}
	codes, n := p.choose(p.Size(), store.Scheduled, store.Available, store.Retryable)
	if n > 0 {
		err := c.query(ctx, selectTaskPage, collectTasks(p.names, &p.found), p.kinds.value(), codes, before, n)
		if err != nil {
			return err
		}
	}
	slices.SortFunc(p.found, func(a, b record) int { return cmp.Compare(b.Seq, a.Seq) })
	p.found = p.found[:min(len(p.found), p.Size())]
	return nil
}

func (p *page) newestYoung() []*young {
	slices.SortFunc(p.young, func(a, b *young) int { return cmp.Compare(b.seq, a.seq) })
	return p.young[:min(len(p.young), p.Size())]
}

// choose gives those of the states that are asked for, as a statement takes them, and how many tasks to look for if there is
// room for so many: no more than there are, or the search for one that is not there would read everything.
func (p *page) choose(room int, states ...store.State) (codes string, n int64) {
	var chosen []int64
	for _, state := range states {
		if p.wants(state) && p.counts[state] > 0 {
			chosen = append(chosen, stateCode(state))
			n += p.counts[state]
		}
	}
	return jsonList(chosen), min(n, int64(room))
}

func (p *page) readFinished(ctx context.Context, c *conn) error {
	start := len(p.found)
	_, before, _ := p.bounds()
	collect := collectTasks(p.names, &p.found)
	if p.wants(store.Completed) {
		codes, n := p.choose(p.Size()-start, store.Completed, store.Cancelled, store.Discarded)
		if n <= 0 {
			return nil
		}
		return c.query(ctx, selectFinishedPage, collect, p.kinds.value(), codes, before, n)
	}
	// Each state is read for itself, because one index scan in the order of pos serves only one state.
	size := int64(p.Size() - start)
	for _, state := range [...]store.State{store.Cancelled, store.Discarded} {
		if !p.wants(state) || size == 0 || p.counts[state] == 0 {
			continue
		}
		if err := c.query(ctx, selectRarePage, collect, p.kinds.value(), stateCode(state), before, size); err != nil {
			return err
		}
	}
	ended := p.found[start:]
	slices.SortFunc(ended, func(a, b record) int { return cmp.Compare(b.Pos, a.Pos) })
	p.found = p.found[:start+min(len(ended), int(size))]
	return nil
}

// Outcomes implements store.Reader. Those of other runners are passed over at about a million a second.
func (s *Store) Outcomes(ctx context.Context, query store.OutcomeQuery) (found store.Outcomes, err error) {
	if err := query.Validate(); err != nil {
		return found, err
	}
	var kinds filter
	var names []kindName
	var end int64
	err = s.read(ctx, func(v view) { kinds, names, end = v.filter(query.Runner, ""), v.names, v.pos }, func(c *conn) (err error) {
		if query.After == store.FromNow {
			found.Next = end
			return nil
		}
		found, err = c.outcomes(ctx, query, kinds, names, end)
		return err
	})
	if err != nil {
		return store.Outcomes{}, err
	}
	return found, nil
}

func (c *conn) outcomes(
	ctx context.Context, query store.OutcomeQuery, kinds filter, names []kindName, end int64,
) (found store.Outcomes, err error) {
	pruned, err := c.pruned(query.Runner)
	if err != nil {
		return found, err
	}
	if found.Next, err = query.Start(pruned, end); err != nil {
		return found, err
	}
	var records []record
	size := query.Size()
	err = c.query(ctx, selectOutcomes, collectTasks(names, &records), kinds.value(), found.Next, int64(size))
	if err != nil {
		return found, err
	}
	if err := c.loadHistories(ctx, records); err != nil {
		return found, err
	}
	for i := range records {
		found.Tasks = append(found.Tasks, records[i].Task)
		found.Next = records[i].Pos
	}
	if len(records) < size {
		found.Next = max(found.Next, end) // behind the last is nothing of the runner
	}
	return found, nil
}

// pruned is up to where outcomes of the runner, or of any, were deleted.
func (c *conn) pruned(runner string) (int64, error) {
	if runner == "" {
		return c.number(selectAllPruned)
	}
	return c.number(selectPruned, runner)
}
