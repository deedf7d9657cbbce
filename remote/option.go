package remote

import (
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// Option is an option of Run and RunMany.
type Option func(*options)

type options struct {
	run    messages.Run
	delay  time.Duration
	wait   bool
	cancel bool
}

// WithID gives the task its id, a UUID: if there is a task of this id already, nothing is recorded and the handle is that task's. Without it
// each task has a new one.
func WithID(id string) Option { return func(o *options) { o.run.TaskID = id } }

// WithTimeout ends the context of each run after d; zero is the kind's.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.run.Timeout = d } }

// WithMaxAttempts says after how many attempts a task that fails is discarded; zero is the kind's.
func WithMaxAttempts(n int) Option { return func(o *options) { o.run.MaxAttempts = n } }

// WithPriority says how urgent a task is while it waits, from 1 down to store.MaxPriority; zero is the kind's.
func WithPriority(priority int) Option { return func(o *options) { o.run.Priority = priority } }

// WithScheduledAt has the task run at that time or soon after, not before.
func WithScheduledAt(at time.Time) Option { return func(o *options) { o.run.ScheduledAt = at } }

// WithDelay has the task run after d or soon after, not before, by the clock of the caller.
func WithDelay(d time.Duration) Option { return func(o *options) { o.delay = d } }

// WithWait has Run wait while the runner is full, as long as ctx allows.
func WithWait() Option { return func(o *options) { o.wait = true } }

// WithCancel has the task cancelled when the context of Run ends, also after Run has returned: by this client if it is there, and at the
// deadline of the context by the listener. Without it the task goes on, whoever waits for it. It needs the right to cancel.
func WithCancel() Option { return func(o *options) { o.cancel = true } }

func gather(given []Option, now time.Time) (options, error) {
	if len(given) == 0 {
		return options{}, nil
	}
	var o options
	for _, option := range given {
		if option == nil {
			return o, fmt.Errorf("%w: an Option is nil, want one of the With functions", ErrInvalid)
		}
		option(&o)
	}
	switch r := o.run; {
	case r.Timeout < 0:
		return o, fmt.Errorf("%w: WithTimeout is %s, want a positive duration", ErrInvalid, r.Timeout)
	case r.MaxAttempts < 0:
		return o, fmt.Errorf("%w: WithMaxAttempts is %d, want at least 1", ErrInvalid, r.MaxAttempts)
	case r.Priority < 0 || r.Priority > store.MaxPriority:
		return o, fmt.Errorf("%w: WithPriority is %d, want 0 to %d", ErrInvalid, r.Priority, store.MaxPriority)
	case o.delay < 0:
		return o, fmt.Errorf("%w: WithDelay is %s, want a positive duration", ErrInvalid, o.delay)
	case r.TaskID != "":
		if err := validID("WithID", r.TaskID); err != nil {
			return o, err
		}
	}
	if o.delay > 0 {
		o.run.ScheduledAt = now.Add(o.delay)
	}
	return o, nil
}
