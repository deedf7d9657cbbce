package actors

import (
	"context"
	"errors"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// ending is how one run of a task ended.
type ending struct {
	value  any
	result []byte // the value, encoded; only of a recorded task
	err    error
	cause  error // why the handler's context was cancelled, if it was
	at     time.Time
}

// fate is what becomes of the task then.
type fate struct {
	state store.State
	at    time.Time // when it runs again, for Retryable and Scheduled
	err   error     // why it has no value
}

// policy is what a kind says about its failures.
type policy struct {
	maxAttempts int
	backoff     Backoff
	decide      func(err error, attempt int) error
}

// decideFate says what becomes of a task. It is the whole rule, and pure: time and chance are passed in.
//
// A value counts however late it came. Without one, the reason to stop counts more than the error: a handler that is told
// to stop fails in all kinds of ways.
func decideFate(e ending, attempt int, p policy, now time.Time, chance float64) fate {
	switch {
	case e.err == nil:
		return fate{state: store.Completed}
	case errors.Is(e.cause, ErrTaskCancelled):
		return fate{state: store.Cancelled, err: e.err}
	case stopped(e):
		return fate{state: store.Available, err: e.err}
	}
	err := e.err
	if p.decide != nil {
		err = p.decide(err, attempt)
	}
	return decideVerb(decisionOf(err, e.err), attempt, p, now, chance)
}

// stopped reports whether the run ended because its runner did. A failure of the handler's own in that moment is one.
func stopped(e ending) bool {
	if !errors.Is(e.cause, ErrStopping) && !errors.Is(e.cause, messages.Shutdown) {
		return false
	}
	return errors.Is(e.err, context.Canceled) || errors.Is(e.err, ErrAbandoned) || errors.Is(e.err, e.cause)
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
	switch d.Verb {
	case messages.VerbSnooze:
		return fate{state: store.Scheduled, at: now.Add(d.After), err: d.Err}
	case messages.VerbCancel:
		return fate{state: store.Cancelled, err: d.Err}
	case messages.VerbDiscard:
		return fate{state: store.Discarded, err: d.Err}
	}
	if attempt >= p.maxAttempts {
		return fate{state: store.Discarded, err: d.Err}
	}
	wait := d.After
	if wait <= 0 {
		wait = p.backoff.wait(attempt, chance)
	}
	return fate{state: store.Retryable, at: now.Add(wait), err: d.Err}
}
