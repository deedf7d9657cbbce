package actors

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// guarded is a store whose mistakes are errors: anybody may write one, and its panic would end a loop of the runner, or the
// caller's program. What the runner indexes by position is checked to be complete.
type guarded struct{ store.Store }

// sharedStore reports whether other processes may put tasks into the store, or take them.
func sharedStore(s store.Store) bool {
	if g, ok := s.(guarded); ok {
		s = g.Store
	}
	exclusive, ok := s.(store.Exclusive)
	return s != nil && !(ok && exclusive.Exclusive())
}

// recovered is deferred by each method.
func recovered(err *error) {
	if value := recover(); value != nil { //nolint:revive // it is called by defer, in each method below
		*err = fmt.Errorf("actors: the store failed: %w", &messages.PanicError{Value: value, Stack: debug.Stack()})
	}
}

func (g guarded) Hold(holder store.Holder) (release func(), err error) {
	defer recovered(&err)
	return g.Store.Hold(holder)
}

func (g guarded) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) (inserted []store.Inserted, err error) {
	defer recovered(&err)
	inserted, err = g.Store.Insert(ctx, now, tasks)
	if err == nil && len(inserted) != len(tasks) {
		err = fmt.Errorf("actors: the store answered Insert of %d tasks with %d", len(tasks), len(inserted))
	}
	return inserted, err
}

func (g guarded) Claim(ctx context.Context, now time.Time, claim store.Claim) (claimed store.Claimed, err error) {
	defer recovered(&err)
	claimed, err = g.Store.Claim(ctx, now, claim)
	known := func(t store.Task) bool { return slices.Contains(claim.Kinds, t.Kind) }
	if i := slices.IndexFunc(claimed.Tasks, func(t store.Task) bool { return !known(t) }); err == nil && i >= 0 {
		err = fmt.Errorf("actors: the store gave a task of kind %q, which was not asked for", claimed.Tasks[i].Kind)
	}
	return claimed, err
}

func (g guarded) Finish(ctx context.Context, outcomes []store.Outcome) (refused []error, err error) {
	defer recovered(&err)
	refused, err = g.Store.Finish(ctx, outcomes)
	if err == nil && len(refused) != len(outcomes) {
		err = fmt.Errorf("actors: the store answered Finish of %d outcomes with %d", len(outcomes), len(refused))
	}
	return refused, err
}

func (g guarded) Report(ctx context.Context, progress []store.Progress) (err error) {
	defer recovered(&err)
	return g.Store.Report(ctx, progress)
}

func (g guarded) Recover(ctx context.Context, now time.Time, runner string) (n int, err error) {
	defer recovered(&err)
	return g.Store.Recover(ctx, now, runner)
}

func (g guarded) Running(ctx context.Context, runner, node string) (runs []store.RunID, err error) {
	defer recovered(&err)
	return g.Store.Running(ctx, runner, node)
}

func (g guarded) CancelRequests(ctx context.Context, runner, node string) (ids []string, err error) {
	defer recovered(&err)
	return g.Store.CancelRequests(ctx, runner, node)
}

func (g guarded) Prune(ctx context.Context, expiry store.Expiry) (n int, err error) {
	defer recovered(&err)
	return g.Store.Prune(ctx, expiry)
}

func (g guarded) Outcomes(ctx context.Context, query store.OutcomeQuery) (outcomes store.Outcomes, err error) {
	defer recovered(&err)
	return g.Store.Outcomes(ctx, query)
}

func (g guarded) Cancel(ctx context.Context, now time.Time, id string) (moved store.Moved, err error) {
	defer recovered(&err)
	return g.Store.Cancel(ctx, now, id)
}

func (g guarded) Retry(ctx context.Context, now time.Time, id string) (moved store.Moved, err error) {
	defer recovered(&err)
	return g.Store.Retry(ctx, now, id)
}

func (g guarded) Get(ctx context.Context, id string) (task store.Task, err error) {
	defer recovered(&err)
	return g.Store.Get(ctx, id)
}

func (g guarded) Ended(ctx context.Context, ids []string) (tasks []store.Task, err error) {
	defer recovered(&err)
	return g.Store.Ended(ctx, ids)
}

func (g guarded) Last(ctx context.Context, kind, key string) (task store.Task, err error) {
	defer recovered(&err)
	return g.Store.Last(ctx, kind, key)
}

func (g guarded) Counts(ctx context.Context, runner string) (counts map[store.State]int64, err error) {
	defer recovered(&err)
	return g.Store.Counts(ctx, runner)
}

func (g guarded) Subscribe(ctx context.Context, now time.Time, runner, name string, after int64) (cursor int64, err error) {
	defer recovered(&err)
	return g.Store.Subscribe(ctx, now, runner, name, after)
}

func (g guarded) Acknowledge(ctx context.Context, now time.Time, runner, name string, pos int64) (cursor int64, err error) {
	defer recovered(&err)
	return g.Store.Acknowledge(ctx, now, runner, name, pos)
}

func (g guarded) Unsubscribe(ctx context.Context, runner, name string) (err error) {
	defer recovered(&err)
	return g.Store.Unsubscribe(ctx, runner, name)
}
