package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// ending is how one run of a task ended.
type ending struct {
	value  any
	result []byte // the value, encoded; only of a recorded task
	err    error
	told   error // why the runner told it to stop, if it did: ErrTaskCancelled or ErrStopping
	at     time.Time
}

// fate is what becomes of the task then.
type fate struct {
	state store.State
	at    time.Time // when it runs again, for Retryable and Scheduled
	err   error     // why it has no value
	text  string    // what is recorded of err
	stack string    // of a panic
}

// policy is what a kind says about its failures.
type policy struct {
	maxAttempts int
	backoff     Backoff
	decide      func(err error, attempt int) error
}

// decideFate says what becomes of a task. It is the whole rule, and pure: time and chance are passed in. It asks code of
// the user's (WithDecide, and the methods of the error), so it runs in the task's own process and never in the runner's.
//
// A value counts however late it came. Without one, the reason to stop counts more than the error: a handler that is told
// to stop fails in all kinds of ways.
func decideFate(e ending, attempt int, p policy, now time.Time, chance float64) fate {
	switch {
	case e.err == nil:
		return fate{state: store.Completed}
	case e.told == ErrTaskCancelled: //nolint:errorlint // it is the runner's own, unwrapped
		return failed(store.Cancelled, e.err)
	case stopped(e):
		return failed(store.Available, e.err)
	}
	err := e.err
	if p.decide != nil {
		err = p.decide(err, attempt)
	}
	return decideVerb(decisionOf(err, e.err), attempt, p, now, chance)
}

// failed is the fate of a task without a value.
func failed(state store.State, err error) fate {
	f := fate{state: state, err: err}
	f.text, f.stack = errorText(err)
	return f
}

// errorText gives an error as it is recorded. Its Error method is the user's, and may panic.
func errorText(err error) (text, stack string) {
	defer func() {
		if value := recover(); value != nil {
			text = fmt.Sprintf("%T, whose Error method panicked", err)
		}
	}()
	if err == nil {
		return "", ""
	}
	if p, ok := errors.AsType[*messages.PanicError](err); ok {
		stack = string(p.Stack)
	}
	return err.Error(), stack
}

// stopped reports whether the run ended because its runner told it so. A failure of the handler's own in that moment is one.
func stopped(e ending) bool {
	return e.told == ErrStopping && //nolint:errorlint // it is the runner's own, unwrapped
		(messages.Is(e.err, context.Canceled) || messages.Is(e.err, ErrAbandoned) || messages.Is(e.err, ErrStopping))
}

// decisionOf finds the decision in an error; none is a retry.
func decisionOf(err, original error) messages.Decision {
	decision := messages.Decision{Verb: messages.VerbRetry}
	if d, ok := errors.AsType[*messages.Decision](err); ok {
		decision = *d
	}
	decision.Err = err
	if err == nil {
		decision.Err = original
	}
	return decision
}

func decideVerb(d messages.Decision, attempt int, p policy, now time.Time, chance float64) fate {
	state, wait := store.Retryable, d.After
	switch {
	case d.Verb == messages.VerbSnooze:
		state = store.Scheduled
	case d.Verb == messages.VerbCancel:
		state = store.Cancelled
	case d.Verb == messages.VerbDiscard, attempt >= p.maxAttempts:
		state = store.Discarded
	case wait <= 0:
		wait = p.backoff.wait(attempt, chance)
	}
	f := failed(state, d.Err)
	if !state.Final() {
		f.at = notBefore(now.Add(wait))
	}
	return f
}

// notBefore rounds up to the microseconds that a store keeps: rounded down, a task would run before its time.
func notBefore(t time.Time) time.Time {
	if whole := store.Micro(t); whole.Before(t) {
		return whole.Add(time.Microsecond)
	}
	return t
}
