package actors

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/taskrunner-go/taskrunner/store"
)

// Outcomes gives the outcomes of the runner's recorded tasks, of whatever process they come, in the one order in which they were
// recorded, and waits for more until ctx ends or the runner stops. Each is the task as it was then; its Pos is the cursor.
//
// It is for those who must not miss one: keep the Pos of the last that you have dealt with, and begin behind it (after) when you
// come back, after a restart too. Each outcome comes at least once; one comes twice to those who have not kept their cursor. Begin
// with store.FromOldest or store.FromNow. The sequence ends with an error: the cause of ctx, ErrStopping, what the store says,
// store.ErrCursorExpired, if outcomes behind the cursor were deleted before they were read (see Retention; for whom they are kept, see
// Subscribe), or store.ErrCursorAhead, if the cursor is beyond the last outcome: it is from another database, or from before a backup
// was restored.
//
// It holds nothing between two outcomes and no limit applies: whoever is slow reads later. Any number may read at once.
func (r *TaskRunner) Outcomes(ctx context.Context, after int64) iter.Seq2[store.Task, error] {
	return r.follow(ctx, store.OutcomeQuery{After: after})
}

// follow gives the outcomes that the query asks for, page by page, and waits for more.
func (r *TaskRunner) follow(ctx context.Context, query store.OutcomeQuery) iter.Seq2[store.Task, error] {
	query.Runner, query.Limit = r.config.Name, store.MaxList
	return func(yield func(store.Task, error) bool) {
		if r.config.Store == nil {
			yield(store.Task{}, ErrNoStore)
			return
		}
		query := query // the sequence may be read again
		for {
			more := r.outcomes.changed() // before the look: what is recorded meanwhile is seen or told
			last := r.gone()             // before it too: then nothing is recorded any more
			page, err := r.config.Store.Outcomes(ctx, query)
			if err != nil && last {
				err = errors.Join(ErrStopping, err)
			}
			if err != nil {
				yield(store.Task{}, causeOr(ctx, err))
				return
			}
			for _, task := range page.Tasks {
				if !yield(task, nil) {
					return
				}
			}
			switch {
			case page.Next != query.After:
				query.After = page.Next
			case last:
				yield(store.Task{}, ErrStopping)
				return
			default:
				err = r.waitFor(ctx, more)
			}
			if err != nil {
				yield(store.Task{}, err)
				return
			}
		}
	}
}

// causeOr prefers why ctx has ended.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// waitFor waits until there may be more: when the runner comes to its end, there may be its last.
func (r *TaskRunner) waitFor(ctx context.Context, more <-chan struct{}) error {
	select {
	case <-more:
	case <-r.watched:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// gone reports whether nothing of the runner is alive.
func (r *TaskRunner) gone() bool {
	select {
	case <-r.watched:
		return true
	default:
		return false
	}
}

// announcement tells any number of goroutines that something has changed. Its zero value is ready.
type announcement struct {
	mu   sync.Mutex
	next chan struct{}
}

// changed gives a channel that is closed at the next change.
func (a *announcement) changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = make(chan struct{})
	}
	return a.next
}

func (a *announcement) announce() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		close(a.next)
		a.next = nil
	}
}
