package actors

import (
	"fmt"
	"reflect"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Option is an option of [Kind], of [Run] and [RunMany], of [RunTx], or of [RunFunc]; each says of which. One that is given at the wrong
// place is an error.
type Option struct {
	name  string
	place place
	apply func(*options)
}

type place int

const (
	ofKind place = 1 << iota
	ofRun
	ofFunc
	ofTx
)

// options are all that can be set. Zero values mean: not given.
type options struct {
	timeout     time.Duration
	maxAttempts int
	limited     bool // attempts were given
	backoff     Backoff
	decide      func(err error, attempt int) error
	check       func(args any) error
	key         func(args any) string
	argsTypes   []typedOption // the options that are for arguments of one type

	priority    int
	prioritized bool // a priority was given

	id    string
	at    time.Time
	delay time.Duration
	wait  bool
	trace map[string]string // of a message
}

type typedOption struct {
	name string
	args reflect.Type
}

func gather(given []Option, where place, caller string) (options, error) {
	var o options
	for _, option := range given {
		if option.apply == nil {
			return o, fmt.Errorf("actors: %s: an Option is empty, want one of the With functions", caller)
		}
		if option.place&where == 0 {
			return o, fmt.Errorf("actors: %s is not an option of %s", option.name, caller)
		}
		option.apply(&o)
	}
	return o, o.validate(caller)
}

func (o options) validate(caller string) error {
	switch {
	case o.timeout < 0:
		return fmt.Errorf("actors: %s: WithTimeout is %s, want a positive duration", caller, o.timeout)
	case o.maxAttempts < 0, o.maxAttempts == 0 && o.limited:
		return fmt.Errorf("actors: %s: WithMaxAttempts is %d, want at least 1", caller, o.maxAttempts)
	case o.priority < 0 || o.priority > store.MaxPriority:
		return fmt.Errorf("actors: %s: WithPriority is %d, want 0 to %d", caller, o.priority, store.MaxPriority)
	case o.delay < 0:
		return fmt.Errorf("actors: %s: WithDelay is %s, want a positive duration", caller, o.delay)
	}
	return o.backoff.validate()
}

// WithTimeout ends the context of each run after d. A handler that has not returned Grace later is abandoned. Of a kind:
// for all its tasks; of a Run: for this one. The default is none.
func WithTimeout(d time.Duration) Option {
	return Option{"WithTimeout", ofKind | ofRun | ofFunc | ofTx, func(o *options) { o.timeout = d }}
}

// WithMaxAttempts says after how many attempts a task that fails is discarded. Of a kind: for all its tasks, by default
// DefaultMaxAttempts; of a Run: for this one; of a RunFunc, whose default is one.
func WithMaxAttempts(n int) Option {
	return Option{"WithMaxAttempts", ofKind | ofRun | ofFunc | ofTx, func(o *options) { o.maxAttempts, o.limited = n, true }}
}

// WithBackoff says how long the tasks of a kind, or a plain func, wait between attempts.
func WithBackoff(b Backoff) Option {
	return Option{"WithBackoff", ofKind | ofFunc, func(o *options) { o.backoff = b }}
}

// WithDecide says for each error of the kind's handler what becomes of the task: decide gives the error itself (retry), or
// one made with messages.RetryAfter, Snooze, Cancel or Discard; nil is a retry. It runs where the handler ran, and what holds
// for a handler holds for it. It is not asked about a handler that was abandoned.
func WithDecide(decide func(err error, attempt int) error) Option {
	return Option{"WithDecide", ofKind, func(o *options) { o.decide = decide }}
}

// WithCheck has the arguments of each task of the kind checked before anything is recorded; the error is the caller's, in an
// *ArgsError. It runs in the caller's goroutine.
func WithCheck[A any](check func(args A) error) Option {
	return Option{"WithCheck", ofKind, func(o *options) {
		o.argsTypes = append(o.argsTypes, typedOption{"WithCheck", reflect.TypeFor[A]()})
		o.check = func(args any) error { return check(args.(A)) }
	}}
}

// WithKey names what a task of the kind is about. Tasks with the same key may run at the same time; their handler can
// see the result of the last one that completed ([Previous]). An empty key is none; the longest is store.MaxName bytes.
func WithKey[A any](key func(args A) string) Option {
	return Option{"WithKey", ofKind, func(o *options) {
		o.argsTypes = append(o.argsTypes, typedOption{"WithKey", reflect.TypeFor[A]()})
		o.key = func(args any) string { return key(args.(A)) }
	}}
}

// WithPriority says how urgent a task is, from 0, which is the default, down to store.MaxPriority: of those that wait and could run,
// the smallest priority runs first. Of a kind: for all its tasks; of a Run: for this one. A task that finds a free slot runs at
// once, whatever its priority.
func WithPriority(priority int) Option {
	return Option{"WithPriority", ofKind | ofRun | ofTx, func(o *options) { o.priority, o.prioritized = priority, true }}
}

// startAt is when a task is to run; zero is at once.
func (o options) startAt(now time.Time) time.Time {
	at := o.at
	if o.delay > 0 {
		at = now.Add(o.delay)
	}
	return notBefore(at)
}

// WithID gives the task its id, a UUID, which makes Run idempotent: if there is a task of this id already, nothing is
// recorded and the handle is that task's. It needs a runner with a store, which is what knows of earlier ids.
func WithID(id string) Option {
	return Option{"WithID", ofRun | ofTx, func(o *options) { o.id = id }}
}

// WithScheduledAt has the task run at that time or soon after, not before.
func WithScheduledAt(at time.Time) Option {
	return Option{"WithScheduledAt", ofRun | ofFunc | ofTx, func(o *options) { o.at = at }}
}

// WithDelay has the task run after d or soon after, not before.
func WithDelay(d time.Duration) Option {
	return Option{"WithDelay", ofRun | ofFunc | ofTx, func(o *options) { o.delay = d }}
}

// WithWait has the call wait for room when the runner is full, in the order of the callers and until its context ends,
// instead of failing with a *FullError. A call for recorded tasks then also waits while the store is behind with more than MaxUnrecorded
// outcomes; without WithWait such tasks are accepted, and wait in the store.
func WithWait() Option {
	return Option{"WithWait", ofRun | ofFunc, func(o *options) { o.wait = true }}
}
