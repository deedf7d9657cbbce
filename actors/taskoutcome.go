package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// Await waits for the task's value. The error is the one that f returned; a *messages.PanicError; messages.ErrGoexit (TK-04);
// messages.Shutdown if f stopped as it was told to; messages.Killed if it did not and was declared dead; or the cause of
// ctx. In the last case the task goes on and may be awaited again, but no message about it comes to its owner any more
// (TK-09). There is no timeout but that of ctx (TK-08). ErrConsumed and ErrNotOwner come at once.
func (t *Task[R]) Await(ctx context.Context) (R, error) {
	var none R
	if err := t.check(ctx); err != nil {
		return none, err
	}
	if !t.hasEnded() { // one that has ended has an outcome, also for a ctx that has ended too
		select {
		case <-t.ended:
		case <-ctx.Done():
			t.unsubscribe(ctx)
			return none, context.Cause(ctx)
		}
	}
	return t.consume(ctx)
}

// Yield waits for the task for at most timeout. It reports whether the task has ended; if so, value and error are those of
// Await, and if not, Yield may be called again, and the messages about the task are still to come (TK-15). The error of a task
// that has not ended is the cause of ctx, ErrNotOwner or ErrConsumed.
func (t *Task[R]) Yield(ctx context.Context, timeout time.Duration) (value R, ended bool, err error) {
	if err := t.check(ctx); err != nil {
		return value, false, err
	}
	if !t.over() && timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-t.ended:
		case <-timer.C:
		case <-ctx.Done():
			return value, false, context.Cause(ctx)
		}
	}
	if !t.over() {
		return value, false, nil
	}
	value, err = t.consume(ctx)
	return value, true, err
}

// Shutdown ends the task: it is unlinked from its owner, told to stop, and declared dead if it has not ended when the time is
// over. Zero is supervisor.DefaultShutdown; supervisor.BrutalKill does not ask; supervisor.Infinity waits.
//
// It reports whether the task had an outcome of its own: a value that it returned all the same is not lost (TK-20), and one
// that had to be declared dead gives messages.Killed, unless that was asked for (TK-21). One that has ended because it was told
// to has none (TK-19). One whose outcome was given out before gives messages.NoProc. When ctx ends first, the answer is its
// cause, and the task is stopped all the same.
func (t *Task[R]) Shutdown(ctx context.Context, timeout time.Duration) (value R, ended bool, err error) {
	if timeout < supervisor.Infinity {
		return value, false, fmt.Errorf("actors: Shutdown: timeout is %d, want a duration, supervisor.BrutalKill or Infinity", timeout)
	}
	switch err := t.check(ctx); {
	case errors.Is(err, ErrConsumed):
		return value, true, messages.NoProc
	case err != nil:
		return value, false, err
	}
	if err := t.stop(ctx, timeout); err != nil {
		return value, false, err
	}
	value, err = t.consume(ctx)
	if isTold(err) || timeout == supervisor.BrutalKill && messages.Is(err, messages.Killed) {
		return value, false, nil
	}
	return value, true, err
}

// isTold reports whether a task has ended with no more to say than that it was told to. A ShutdownWith says more. What wraps
// one is not looked at: the methods of an error may never end.
func isTold(err error) bool {
	_, with := err.(*messages.ShutdownWith) //nolint:errorlint // see above
	return !with && messages.Is(err, messages.Shutdown)
}

// stop tells the task to stop and waits until it has ended.
func (t *task) stop(ctx context.Context, timeout time.Duration) error {
	t.system.Unlink(ctx, t.pid)
	if timeout == 0 {
		timeout = supervisor.DefaultShutdown
	}
	if timeout == supervisor.BrutalKill {
		t.system.Kill(t.pid)
	} else {
		t.system.Exit(ctx, t.pid, messages.Shutdown)
	}
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { t.system.Kill(t.pid) })
		t.onEnd(func() { timer.Stop() })
	}
	select {
	case <-t.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ignore gives the outcome if there is one by now. If not, the task runs on, unlinked, and its outcome is dropped; the report
// is false then (TK-22).
func (t *Task[R]) Ignore(ctx context.Context) (value R, ended bool, err error) {
	if err := t.check(ctx); err != nil {
		return value, false, err
	}
	if t.over() {
		value, err = t.consume(ctx)
		return value, true, err
	}
	t.system.Unlink(ctx, t.pid)
	if !t.claim(ctx) {
		return value, false, ErrConsumed
	}
	return value, false, nil
}

// check is the right to ask.
func (t *task) check(ctx context.Context) error {
	if self, _ := process.Self(ctx); self != t.owner {
		return fmt.Errorf("%w: it is %s of %s, not of %s", ErrNotOwner, t.pid, t.owner, self)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.consumed || t.monitored() && !process.Claimable(ctx, t.ref) {
		return ErrConsumed
	}
	return nil
}

// monitored reports whether the owner may get messages of the task.
func (t *task) monitored() bool { return t.ref != 0 && !t.quiet }

// claim takes the outcome, which can be done once, and has the messages about it dropped. It reports false if that was done
// before, or if a message has come meanwhile: the context of an owner may be in use in several goroutines.
func (t *task) claim(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.consumed {
		return false
	}
	t.consumed = true
	return !t.monitored() || process.Claim(ctx, t.ref)
}

// consume gives the outcome of a task that has ended out.
func (t *Task[R]) consume(ctx context.Context) (R, error) {
	var none R
	switch {
	case !t.claim(ctx):
		return none, ErrConsumed
	case t.err != nil:
		return none, t.err
	}
	return t.value, nil
}

// unsubscribe has no messages come any more, and lets Await go on all the same.
func (t *task) unsubscribe(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.monitored() && process.Claim(ctx, t.ref) {
		t.quiet = true
	}
}
