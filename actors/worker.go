package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// work is the life of one run: it runs in a process of its own and leaves its ending in the run before that process ends,
// so that whoever hears of the end finds it there. The deferred part sees every way out: a value, an error, a panic, and
// a Goexit, which is none of these.
func (r *run) work(ctx context.Context, runner *TaskRunner) (reason error) {
	ctx, cancel := r.bounded(ctx)
	e := ending{err: messages.ErrGoexit}
	defer func() {
		if value := recover(); value != nil {
			e = ending{err: &messages.PanicError{Value: value, Stack: debug.Stack()}}
		}
		e.at, e.cause = time.Now(), context.Cause(ctx) // before cancel, which is a cause too
		cancel()
		if e.err != nil && errors.Is(e.cause, ErrTaskTimeout) {
			e.err = fmt.Errorf("%w (after %s): %w", ErrTaskTimeout, r.timeout, e.err)
		}
		r.end(e)
		reason = e.err
	}()
	e = r.execute(&taskContext{Context: ctx, runner: runner, run: r})
	return nil
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
	if args == nil && r.kind != nil {
		decoded, err := r.kind.decode(r.encoded)
		if err != nil {
			return ending{err: messages.Discard(fmt.Errorf("actors: the arguments do not decode: %w", err))}
		}
		args = decoded
	}
	value, err := r.handle(ctx, args)
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
