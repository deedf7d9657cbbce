package actors

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

func TestDecideFate(t *testing.T) {
	boom := errors.New("boom")
	now := time.Unix(1000, 0)
	p := policy{maxAttempts: 3, backoff: Backoff{Base: time.Second, Jitter: NoJitter}.withDefaults()}
	never := policy{maxAttempts: 3, decide: func(err error, _ int) error { return messages.Discard(err) }}
	silent := policy{maxAttempts: 3, decide: func(error, int) error { return nil }, backoff: p.backoff}
	cancelled := fmt.Errorf("read: %w", context.Canceled)
	abandoned := &abandonedError{ErrStopping}

	for name, c := range map[string]struct {
		ending  ending
		attempt int
		policy  policy
		state   store.State
		wait    time.Duration
	}{
		"a value":                             {ending{value: 1}, 1, p, store.Completed, 0},
		"a value, though cancelled":           {ending{told: ErrTaskCancelled}, 1, p, store.Completed, 0},
		"a value, though stopping":            {ending{told: ErrStopping}, 1, p, store.Completed, 0},
		"an error, first":                     {ending{err: boom}, 1, p, store.Retryable, time.Second},
		"an error, second":                    {ending{err: boom}, 2, p, store.Retryable, 2 * time.Second},
		"an error, last":                      {ending{err: boom}, 3, p, store.Discarded, 0},
		"an error beyond the last":            {ending{err: boom}, 9, p, store.Discarded, 0},
		"cancelled":                           {ending{err: cancelled, told: ErrTaskCancelled}, 1, p, store.Cancelled, 0},
		"cancelled, with an error of its own": {ending{err: boom, told: ErrTaskCancelled}, 1, p, store.Cancelled, 0},
		"cancelled and abandoned":             {ending{err: &abandonedError{ErrTaskCancelled}, told: ErrTaskCancelled}, 1, p, store.Cancelled, 0},
		"stopping":                            {ending{err: cancelled, told: ErrStopping}, 3, p, store.Available, 0},
		"stopping, with the cause":            {ending{err: ErrStopping, told: ErrStopping}, 3, p, store.Available, 0},
		"shut down by nobody we know":         {ending{err: cancelled}, 1, p, store.Retryable, time.Second},
		"stopping and abandoned":              {ending{err: abandoned, told: ErrStopping}, 3, p, store.Available, 0},
		"stopping, with an error of its own":  {ending{err: boom, told: ErrStopping}, 1, p, store.Retryable, time.Second},
		"timed out":                           {ending{err: context.DeadlineExceeded, told: nil}, 1, p, store.Retryable, time.Second},
		"retry":                               {ending{err: messages.Retry(boom)}, 1, p, store.Retryable, time.Second},
		"retry after":                         {ending{err: messages.RetryAfter(time.Minute, boom)}, 1, p, store.Retryable, time.Minute},
		"retry after, last":                   {ending{err: messages.RetryAfter(time.Minute, boom)}, 3, p, store.Discarded, 0},
		"snooze":                              {ending{err: messages.Snooze(time.Hour)}, 3, p, store.Scheduled, time.Hour},
		"cancel":                              {ending{err: messages.Cancel(boom)}, 1, p, store.Cancelled, 0},
		"discard":                             {ending{err: messages.Discard(boom)}, 1, p, store.Discarded, 0},
		"discard, wrapped":                    {ending{err: fmt.Errorf("x: %w", messages.Discard(boom))}, 1, p, store.Discarded, 0},
		"decided by the kind":                 {ending{err: boom}, 1, never, store.Discarded, 0},
		"the kind says nothing":               {ending{err: boom}, 1, silent, store.Retryable, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f := decideFate(c.ending, c.attempt, c.policy, now, 0)
			if f.state != c.state {
				t.Fatalf("got %s, want %s", f.state, c.state)
			}
			if !f.at.IsZero() && f.at.Sub(now) != c.wait || f.at.IsZero() && c.wait != 0 {
				t.Errorf("runs again at %s, want after %s", f.at, c.wait)
			}
			if c.ending.err != nil && f.err == nil {
				t.Error("the error is gone")
			}
			if !store.CanMove(store.Running, f.state) {
				t.Errorf("no task can become %s", f.state)
			}
		})
	}
}

func TestBackoffGrowsUpToItsMax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			Base:   time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base")),
			Jitter: rapid.Float64Range(0.01, 1).Draw(t, "jitter"),
		}
		b.Max = b.Base + time.Duration(rapid.Int64Range(0, 1<<62).Draw(t, "max"))
		if err := b.validate(); err != nil {
			t.Fatal(err)
		}
		chance := rapid.Float64Range(0, 1).Draw(t, "chance")
		attempts := rapid.IntRange(1, 200).Draw(t, "attempts")
		longest := b.wait(attempts, 0)
		if longest < b.Base || longest > b.Max || longest > b.wait(attempts+1, 0) {
			t.Fatalf("after %d attempts %s", attempts, longest)
		}
		if got := b.wait(attempts, chance); got < 0 || got > longest || float64(got) < float64(longest)*(1-b.Jitter)*0.999 {
			t.Fatalf("with chance %v it is %s, without %s", chance, got, longest)
		}
	})
}

func TestDefaultAttemptsTakeAboutSixHours(t *testing.T) {
	var total time.Duration
	b := Backoff{}.withDefaults()
	for attempt := 1; attempt < DefaultMaxAttempts; attempt++ {
		total += b.wait(attempt, 0.5)
	}
	if total < 5*time.Hour || total > 7*time.Hour {
		t.Errorf("the default attempts take %s; the documentation says about six hours", total)
	}
}
