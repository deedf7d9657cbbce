package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/supervisor"
)

// AwaitMany waits for all tasks and gives their values in the order of the tasks, whatever the order of their ends (TK-13).
// If one ends without a value, the answer is its error, at once; that is given out then, the others go on and may be awaited
// again, but no message about them comes to their owner any more (TK-14). So it is when ctx ends. No tasks are done at once.
func AwaitMany[R any](ctx context.Context, tasks ...*Task[R]) ([]R, error) {
	if err := checkAll(ctx, tasks); err != nil {
		return nil, err
	}
	if err := awaitAll(ctx, tasks); err != nil {
		for _, t := range tasks {
			t.unsubscribe(ctx)
		}
		return nil, err
	}
	values := make([]R, len(tasks))
	for i, t := range tasks {
		var err error
		if values[i], err = t.consume(ctx); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// awaitAll waits until all have a value, or one has an error.
func awaitAll[R any](ctx context.Context, tasks []*Task[R]) error {
	ends := newEnds(tasks)
	defer ends.leave()
	for range tasks {
		i, err := ends.next(ctx, nil)
		if err != nil {
			return err
		}
		if tasks[i].err != nil {
			_, err = tasks[i].consume(ctx)
			return err
		}
	}
	return nil
}

// checkAll looks at all before any is touched.
func checkAll[R any](ctx context.Context, tasks []*Task[R]) error {
	seen := map[*Task[R]]bool{}
	for i, t := range tasks {
		if t == nil || seen[t] {
			return fmt.Errorf("actors: task %d of %d is nil or there twice", i, len(tasks))
		}
		seen[t] = true
		if err := t.check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// OnTimeout says what becomes of the tasks that have not ended in time.
type OnTimeout int

// What YieldMany does with tasks that have not ended.
const (
	// LeaveRunning is the default: they go on, and may be asked again; their messages are still to come.
	LeaveRunning OnTimeout = iota
	// IgnoreTask drops their outcomes; they go on, unlinked.
	IgnoreTask
	// KillTask declares them dead.
	KillTask
)

func (o OnTimeout) String() string {
	switch o {
	case LeaveRunning:
		return "leave running"
	case IgnoreTask:
		return "ignore"
	case KillTask:
		return "kill"
	}
	return fmt.Sprintf("OnTimeout(%d)", int(o))
}

// YieldOptions are how YieldMany waits. The zero value does not wait at all.
type YieldOptions struct {
	Timeout   time.Duration // for all tasks together
	Limit     int           // enough of them: it returns when that many have ended; zero is all
	OnTimeout OnTimeout     // what becomes of the others; of none, if Limit was reached first (TK-18)
}

// Yielded is what YieldMany has of one task.
type Yielded[R any] struct {
	Task  *Task[R]
	Value R
	Ended bool  // it has ended, and the value or the error is its outcome
	Err   error // why it ended without a value
}

// YieldMany waits for tasks, for at most options.Timeout in all, and gives what there is of each, in the order of the tasks
// (TK-17). All that have ended by then are given out, also beyond the Limit; of any other Ended is false, and it may be asked
// again. The error is the cause of ctx, ErrNotOwner, ErrConsumed, or names a wrong option; then nothing was given out.
func YieldMany[R any](ctx context.Context, options YieldOptions, tasks ...*Task[R]) ([]Yielded[R], error) {
	if options.Limit < 0 || options.OnTimeout < LeaveRunning || options.OnTimeout > KillTask {
		return nil, fmt.Errorf("actors: YieldMany: Limit is %d and OnTimeout %d, want at least 0, and LeaveRunning, IgnoreTask or KillTask",
			options.Limit, int(options.OnTimeout))
	}
	if err := checkAll(ctx, tasks); err != nil {
		return nil, err
	}
	enough := len(tasks)
	if options.Limit > 0 {
		enough = min(enough, options.Limit)
	}
	reached, err := yieldUntil(ctx, options.Timeout, enough, tasks)
	if err != nil {
		return nil, err
	}
	list := make([]Yielded[R], len(tasks))
	for i, t := range tasks {
		list[i] = yieldOne(ctx, t, options.OnTimeout, reached)
	}
	return list, nil
}

// yieldUntil waits until enough tasks have ended, and reports whether that was in time.
func yieldUntil[R any](ctx context.Context, timeout time.Duration, enough int, tasks []*Task[R]) (bool, error) {
	ends := newEnds(tasks)
	defer ends.leave()
	var over <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		over = timer.C
	}
	for range enough {
		if timeout <= 0 && ends.len() == 0 {
			return false, nil
		}
		i, err := ends.next(ctx, over)
		if err != nil || i < 0 {
			return false, err
		}
	}
	return true, nil
}

func yieldOne[R any](ctx context.Context, t *Task[R], onTimeout OnTimeout, reached bool) Yielded[R] {
	y := Yielded[R]{Task: t}
	switch {
	case t.over():
		y.Ended = true
		y.Value, y.Err = t.consume(ctx)
	case reached || onTimeout == LeaveRunning:
	case onTimeout == IgnoreTask:
		y.Value, y.Ended, y.Err = t.Ignore(ctx)
	default:
		y.Value, y.Ended, y.Err = t.Shutdown(ctx, supervisor.BrutalKill)
	}
	return y
}
