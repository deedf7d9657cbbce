package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Memory is a Store that lasts as long as the process. It is for tests and for trying out: what it accepts is lost with the
// process. All methods may be called from any goroutine.
type Memory struct {
	holders Holders

	identity string

	mu     sync.Mutex
	closed bool
	tables
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store. Close it to have its methods answer ErrClosed; nothing else depends on that.
func NewMemory() *Memory { return &Memory{identity: uuid.NewString(), tables: newTables()} }

// Identity implements Store: each has one of its own.
func (m *Memory) Identity() string { return m.identity }

// Exclusive implements Exclusive: nobody else has it.
func (m *Memory) Exclusive() bool { return true }

// Hold implements Worker.
func (m *Memory) Hold(holder Holder) (release func(), err error) { return m.holders.Hold(holder) }

// locked runs f with the tables, unless the store is closed or the context has ended.
func (m *Memory) locked(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return f()
}

// Insert implements Inserter.
func (m *Memory) Insert(ctx context.Context, now time.Time, tasks []NewTask) (inserted []Inserted, err error) {
	err = m.locked(ctx, func() error {
		if err := errors.Join(ValidTime("now", now), ValidateAll(tasks)); err != nil {
			return err
		}
		inserted = make([]Inserted, len(tasks))
		for i, n := range tasks {
			row, existed := m.byID[n.ID]
			if !existed {
				row = m.add(ApplyInsert(now, n))
			}
			inserted[i] = Inserted{Task: row.clone(), Existed: existed}
		}
		return nil
	})
	m.notifyWork(inserted)
	return inserted, err
}

// notifyWork tells the runners of those that wait, also for their time: they may know of none that is due so soon.
func (m *Memory) notifyWork(inserted []Inserted) {
	told := ""
	for i := range inserted {
		if t := &inserted[i]; t.State.Waiting() && !t.Existed && t.Runner != told {
			told = t.Runner
			m.holders.Notify(told, SignalWork)
		}
	}
}

// Claim implements Worker.
func (m *Memory) Claim(ctx context.Context, now time.Time, claim Claim) (claimed Claimed, err error) {
	err = m.locked(ctx, func() error {
		if err := errors.Join(ValidTime("now", now), claim.Validate()); err != nil {
			return err
		}
		for {
			first := m.firstDue(claim.Runner, claim.Kinds, now)
			switch {
			case first == nil:
				claimed.Next = m.nextDue(claim.Runner, claim.Kinds)
				return nil
			case len(claimed.Tasks) == claim.Limit:
				claimed.Next = Micro(now)
				return nil
			}
			m.change(first, func(t *Task) { ApplyClaim(t, now, claim.Node) })
			task := first.clone()
			task.History = nil
			claimed.Tasks = append(claimed.Tasks, task)
		}
	})
	return claimed, err
}

// Finish implements Worker.
func (m *Memory) Finish(ctx context.Context, outcomes []Outcome) (refused []error, err error) {
	var signal Signal
	err = m.locked(ctx, func() error {
		refused = make([]error, len(outcomes))
		for i, o := range outcomes {
			refused[i] = m.finish(o)
			signal |= signalOf(o.To)
		}
		return nil
	})
	if signal != 0 {
		m.holders.Notify("", signal)
	}
	return refused, err
}

// signalOf is what an outcome may be worth to others. What would wait may have been cancelled instead.
func signalOf(to State) Signal {
	if to.Final() {
		return SignalOutcomes
	}
	return SignalWork | SignalOutcomes
}

func (m *Memory) finish(o Outcome) error {
	if err := o.Validate(); err != nil {
		return err
	}
	task, err := m.apply(o.TaskID, func(t *Task) (bool, error) { return ApplyOutcome(t, o) })
	if err != nil {
		return err
	}
	return AsAsked(task.State, o)
}

// Report implements Worker.
func (m *Memory) Report(ctx context.Context, progress []Progress) error {
	return m.locked(ctx, func() error {
		var refused []error
		for _, p := range progress {
			if err := p.Validate(); err != nil {
				refused = append(refused, err)
				continue
			}
			if row, ok := m.byID[p.TaskID]; ok && row.Run == p.Run && row.State == Running {
				row.Progress = p.Fraction
			}
		}
		return errors.Join(refused...)
	})
}

// Recover implements Worker.
func (m *Memory) Recover(ctx context.Context, now time.Time, runner string) (recovered int, err error) {
	err = m.locked(ctx, func() error {
		if err := errors.Join(ValidTime("now", now), ValidName("runner", runner)); err != nil {
			return err
		}
		for _, row := range m.runningOf(runner) {
			if m.holders.Alive(runner, row.Node) {
				continue
			}
			m.change(row, func(t *Task) { ApplyOrphan(t, now) })
			recovered++
		}
		return nil
	})
	if recovered > 0 {
		m.holders.Notify(runner, SignalWork|SignalOutcomes)
	}
	return recovered, err
}

// Running implements Worker.
func (m *Memory) Running(ctx context.Context, runner, node string) (runs []RunID, err error) {
	err = m.locked(ctx, func() error {
		if err := errors.Join(ValidName("runner", runner), ValidName("node", node)); err != nil {
			return err
		}
		for _, row := range m.runningOf(runner) {
			if row.Node == node {
				runs = append(runs, RunID{TaskID: row.ID, Run: row.Run})
			}
		}
		return nil
	})
	return runs, err
}

// CancelRequests implements Worker.
func (m *Memory) CancelRequests(ctx context.Context, runner, node string) (ids []string, err error) {
	err = m.locked(ctx, func() error {
		if err := errors.Join(ValidName("runner", runner), ValidName("node", node)); err != nil {
			return err
		}
		for _, row := range m.runningOf(runner) {
			if row.Node == node && row.CancelRequested {
				ids = append(ids, row.ID)
			}
		}
		return nil
	})
	return ids, err
}

// Cancel implements Controller.
func (m *Memory) Cancel(ctx context.Context, now time.Time, id string) (Moved, error) {
	return m.control(ctx, now, id, ApplyCancel)
}

// Retry implements Controller.
func (m *Memory) Retry(ctx context.Context, now time.Time, id string) (Moved, error) {
	return m.control(ctx, now, id, ApplyRetry)
}

func (m *Memory) control(
	ctx context.Context, now time.Time, id string, rule func(*Task, time.Time) (bool, error),
) (moved Moved, err error) {
	err = m.locked(ctx, func() error {
		if err := errors.Join(ValidTime("now", now), ValidID("id", id)); err != nil {
			return err
		}
		moved.Task, err = m.apply(id, func(t *Task) (bool, error) {
			moved.From = t.State
			return rule(t, now)
		})
		return err
	})
	if err != nil {
		return Moved{}, err
	}
	m.holders.Notify(moved.Runner, SignalWork|SignalOutcomes|SignalCancels)
	return moved, nil
}

// Prune implements Controller.
func (m *Memory) Prune(ctx context.Context, expiry Expiry) (deleted int, err error) {
	err = m.locked(ctx, func() error {
		if err := expiry.Validate(); err != nil {
			return err
		}
		upTo := m.acknowledged(expiry)
		deleted = m.prune(func(o *outcome) bool {
			return o.Pos <= upTo && o.Runner == expiry.Runner && o.FinishedAt.Before(expiry.Before(o.State))
		}, expiry.Size())
		return nil
	})
	return deleted, err
}

// apply has the rule change the task, and gives it as it is afterwards.
func (m *Memory) apply(id string, rule func(*Task) (bool, error)) (Task, error) {
	row, ok := m.byID[id]
	if !ok {
		return Task{}, fmt.Errorf("%w: task %s", ErrNotFound, id)
	}
	var err error
	m.change(row, func(t *Task) { _, err = rule(t) })
	if err != nil {
		return Task{}, err
	}
	return row.clone(), nil
}

// Get implements Reader.
func (m *Memory) Get(ctx context.Context, id string) (task Task, err error) {
	err = m.locked(ctx, func() error {
		if err := ValidID("id", id); err != nil {
			return err
		}
		row, ok := m.byID[id]
		if !ok {
			return fmt.Errorf("%w: task %s", ErrNotFound, id)
		}
		task = row.clone()
		return nil
	})
	return task, err
}

// Ended implements Reader.
func (m *Memory) Ended(ctx context.Context, ids []string) (ended []Task, err error) {
	err = m.locked(ctx, func() error {
		if err := ValidIDs(ids); err != nil {
			return err
		}
		for _, id := range ids {
			if row, ok := m.byID[id]; ok && row.State.Final() {
				ended = append(ended, row.clone())
			}
		}
		return nil
	})
	return ended, err
}

// List implements Reader.
func (m *Memory) List(ctx context.Context, query Query) (tasks []Task, err error) {
	err = m.locked(ctx, func() error {
		if err := query.Validate(); err != nil {
			return err
		}
		for task := range m.listed(query.After) {
			if len(tasks) == query.Size() {
				break
			}
			if query.matches(&task) {
				tasks = append(tasks, task.clone())
			}
		}
		return nil
	})
	return tasks, err
}

func (q Query) matches(t *Task) bool {
	return (len(q.States) == 0 || slices.Contains(q.States, t.State)) &&
		(q.Kind == "" || q.Kind == t.Kind) && (q.Runner == "" || q.Runner == t.Runner)
}

// Last implements Reader.
func (m *Memory) Last(ctx context.Context, kind, key string) (task Task, err error) {
	err = m.locked(ctx, func() error {
		if err := errors.Join(ValidName("kind", kind), ValidName("key", key)); err != nil {
			return err
		}
		for _, o := range slices.Backward(m.keyed[[2]string{kind, key}]) {
			if o.latest() {
				task = o.clone()
				return nil
			}
		}
		return fmt.Errorf("%w: none of kind %q and key %q is completed", ErrNotFound, kind, key)
	})
	return task, err
}

// Counts implements Reader.
func (m *Memory) Counts(ctx context.Context, runner string) (counts map[State]int64, err error) {
	err = m.locked(ctx, func() error {
		counts = m.counted(runner)
		return nil
	})
	return counts, err
}

// Outcomes implements Reader.
func (m *Memory) Outcomes(ctx context.Context, query OutcomeQuery) (found Outcomes, err error) {
	err = m.locked(ctx, func() error {
		if err := query.Validate(); err != nil {
			return err
		}
		if query.After == FromNow {
			found.Next = m.pos
			return nil
		}
		if found.Next, err = query.Start(m.deletedUpTo(query.Runner), m.pos); err != nil {
			return err
		}
		for _, o := range m.after(found.Next) {
			if len(found.Tasks) == query.Size() {
				break
			}
			found.Next = o.Pos
			if query.Runner == "" || query.Runner == o.Runner {
				found.Tasks = append(found.Tasks, o.clone())
			}
		}
		return nil
	})
	return found, err
}

// Ping implements Store.
func (m *Memory) Ping(ctx context.Context) error {
	return m.locked(ctx, func() error { return nil })
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
