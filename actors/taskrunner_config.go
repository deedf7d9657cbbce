package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Defaults of TaskRunnerConfig.
const (
	DefaultMaxChildren   = 100
	DefaultMaxWaiting    = 1_000_000
	DefaultMaxUnrecorded = 10_000
	DefaultDrainTimeout  = 10 * time.Second
	DefaultGrace         = 5 * time.Second
)

// TaskRunnerConfig configures a TaskRunner. Only Name is needed.
type TaskRunnerConfig struct {
	// Name registers the runner's process, and says in the store which tasks are its own. A second runner of the same name
	// in the same system, or on the same store, is refused.
	Name string

	// System is where the runner lives. Without one it makes its own, and Stop stops it.
	System *System

	// Store keeps every task and its outcome. Without one, tasks live in memory and are gone with the process. The runner
	// does not close it.
	Store store.Store

	// Kinds are the kinds of task that the runner knows. Recorded tasks of other kinds wait until a runner that knows them
	// is started.
	Kinds Kinds

	// InsertOnly has the runner take tasks, follow and change them, but run none: others of its name do, in other processes on
	// the same Store. Its kinds need no handlers.
	InsertOnly bool

	// HandleInfo is told every outcome (messages.Completed, Failed, Cancelled, Snoozed), after it was recorded, and every
	// message that the runner does not know. It runs in the runner, one message at a time: as long as it takes, nothing is
	// started and nothing else is told. Its panic is logged and touches nothing.
	HandleInfo func(ctx context.Context, message any)

	// TraceContext puts the trace that a messages.Run came with into the context of its handler, as a propagator of OpenTelemetry does: what
	// it gives is derived from ctx. It must not change the carrier. nil: none. A recorded task has its trace only in a run that begins in the
	// process which accepted it, at once: the store does not keep it.
	TraceContext func(ctx context.Context, carrier map[string]string) context.Context

	// MaxChildren is how many tasks run at once; zero is DefaultMaxChildren.
	MaxChildren int
	// MaxWaiting is how many tasks may wait to be run; zero is DefaultMaxWaiting. Beyond it Run gives a *FullError, or
	// waits (WithWait). Tasks that are put off or tried again count, but are never refused.
	//
	// With several processes on one Store, the limit is that of each, for all that wait there under the runner's Name. Nobody is refused
	// by an old number: before that, the store is asked, which takes some milliseconds, or 50 more if it has just been asked, and a second
	// if it does not answer; callers with WithWait get in within 300 ms after others have made room. But tasks are let in by a number that
	// is up to ReconcileInterval old as to what others have put there: together, n processes may let in n times as many. What a process
	// itself hands over or claims while it counts may be counted twice, or not at all, until the next count.
	MaxWaiting int
	// MaxUnrecorded is how many outcomes may wait for the store before the runner starts no more recorded tasks, and calls with
	// WithWait wait; zero is DefaultMaxUnrecorded.
	MaxUnrecorded int

	// DrainTimeout is how long a stopping runner lets its tasks go on before it cancels them; zero is
	// DefaultDrainTimeout, a negative one cancels at once.
	DrainTimeout time.Duration
	// Grace is how long a handler that was told to stop (cancelled, timed out, runner stopping) may take before it is
	// abandoned: its task has its outcome then, and what its goroutine still does is only counted. Zero is DefaultGrace.
	Grace time.Duration

	// Retention says for how long recorded tasks are kept after their end.
	Retention Retention

	// Logger gets what goes wrong; nil: nobody does.
	Logger *slog.Logger
}

func (c TaskRunnerConfig) withDefaults() TaskRunnerConfig {
	setDefault(&c.MaxChildren, DefaultMaxChildren)
	setDefault(&c.MaxWaiting, DefaultMaxWaiting)
	setDefault(&c.MaxUnrecorded, DefaultMaxUnrecorded)
	setDefault(&c.DrainTimeout, DefaultDrainTimeout)
	setDefault(&c.Grace, DefaultGrace)
	c.Retention = c.Retention.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Store != nil {
		c.Store = guarded{c.Store}
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// slots is how many tasks may run here.
func (c TaskRunnerConfig) slots() int {
	if c.InsertOnly {
		return 0
	}
	return c.MaxChildren
}

func (c TaskRunnerConfig) validate() error {
	if c.InsertOnly && c.Store == nil {
		return errors.New("actors: TaskRunnerConfig: InsertOnly needs a Store, where other processes find the tasks")
	}
	if err := store.ValidName("Name", c.Name); err != nil {
		return fmt.Errorf("actors: TaskRunnerConfig: %w", err)
	}
	for _, limit := range []struct {
		name     string
		value    any
		negative bool
	}{
		{"MaxChildren", c.MaxChildren, c.MaxChildren < 0}, {"MaxWaiting", c.MaxWaiting, c.MaxWaiting < 0},
		{"MaxUnrecorded", c.MaxUnrecorded, c.MaxUnrecorded < 0}, {"Grace", c.Grace, c.Grace < 0},
	} {
		if limit.negative {
			return fmt.Errorf("actors: TaskRunnerConfig: %s is %v, want a positive value", limit.name, limit.value)
		}
	}
	return c.Retention.validate()
}
