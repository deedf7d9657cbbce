package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// work is the life of one run: it runs in a process of its own and leaves its ending and its fate in the run before that
// process ends, so that whoever hears of the end finds them there. Each deferred step sees every way out of those before
// it: a value, an error, a panic, and a Goexit, which is none of these. The process itself always ends well: its reason
// would be looked at by its supervisor, which must not run code of the user's.
func (r *run) work(ctx context.Context) error {
	ctx, cancel := r.bounded(ctx)
	e, f := ending{err: messages.ErrGoexit}, fate{}
	defer func() { r.end(e, f) }()
	var cause error
	defer func() { f = r.judge(&e, cause) }()
	defer func() {
		if value := recover(); value != nil {
			e = ending{err: &messages.PanicError{Value: value, Stack: debug.Stack()}}
		}
		e.at, cause = time.Now(), context.Cause(ctx)
		cancel()
	}()
	e = r.execute(&taskContext{Context: r.traced(ctx), runner: r.runner, run: r})
	return nil
}

// traced has the handler's context continue the trace of whoever asked for the task.
func (r *run) traced(ctx context.Context) context.Context {
	if extract := r.runner.config.TraceContext; extract != nil && len(r.trace) > 0 {
		return extract(ctx, r.trace)
	}
	return ctx
}

// judge decides what becomes of the task. What it asks of the user's code may panic; then the task is tried again as if
// that had said nothing.
func (r *run) judge(e *ending, cause error) (f fate) {
	defer func() {
		if value := recover(); value != nil {
			f = r.undecided(fmt.Sprintf("panicked: %v", value))
		}
	}()
	switch {
	case e.err == nil || cause != ErrTaskTimeout: //nolint:errorlint // it is ours, unwrapped, or somebody else's
	case messages.Is(e.err, ErrTaskTimeout): // the handler has said so
		e.err = fmt.Errorf("%w (after %s)", e.err, r.timeout)
	default:
		e.err = fmt.Errorf("%w (after %s): %w", ErrTaskTimeout, r.timeout, e.err)
	}
	r.mu.Lock()
	e.told = r.told
	r.mu.Unlock()
	return decideFate(*e, r.task.Attempt, r.policy, time.Now(), rand.Float64())
}

// undecided is the fate of a task whose code could not say what it is.
func (r *run) undecided(why string) fate {
	err := errors.New("actors: the decision on the error " + why)
	return decideVerb(messages.Decision{Verb: messages.VerbRetry, Err: err}, r.task.Attempt, r.policy, time.Now(), rand.Float64())
}

// bounded gives the handler's context its deadline.
func (r *run) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, r.timeout, ErrTaskTimeout)
}

func (r *run) execute(ctx context.Context) ending {
	args := r.args
	if args == nil && r.encoded != nil {
		decoded, err := r.kind.decode(r.encoded)
		if err != nil {
			return ending{err: messages.Discard(fmt.Errorf("actors: the arguments do not decode: %w", err))}
		}
		args = decoded
	}
	value, err := r.handle(ctx, args)
	if err == nil {
		err = taskOf(ctx).checkTx()
	}
	if err != nil || !r.durable {
		return ending{value: value, err: err}
	}
	return encodeResult(value)
}

// encodeResult discards a task whose value cannot be kept: to run it again would give the same.
func encodeResult(value any) ending {
	result, err := json.Marshal(value)
	if err == nil && len(result) > store.MaxResult {
		err = fmt.Errorf("%d bytes as JSON, want at most %d", len(result), store.MaxResult)
	}
	if err != nil {
		return ending{err: messages.Discard(fmt.Errorf("actors: the result cannot be recorded: %w", err))}
	}
	return ending{value: value, result: result}
}

// taskContext is the context of a handler.
type taskContext struct {
	context.Context
	runner *TaskRunner
	run    *run
}

type taskKey struct{}

func (c *taskContext) Value(key any) any {
	if key == (taskKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func taskOf(ctx context.Context) *taskContext {
	c, _ := ctx.Value(taskKey{}).(*taskContext)
	return c
}

func (r *run) setProgress(fraction float64) { r.progress.Store(math.Float64bits(fraction)) }
func (r *run) lastProgress() float64        { return math.Float64frombits(r.progress.Load()) }
