package actors

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// DefaultStreamTimeout is how long one element of a stream may take unless StreamOptions say otherwise.
const DefaultStreamTimeout = 5 * time.Second

// NoTimeout is a StreamOptions.Timeout without a limit.
const NoTimeout time.Duration = -1

// StreamOptions are how a stream runs its tasks. The zero value works.
type StreamOptions struct {
	MaxConcurrency int           // how many tasks at once; zero is GOMAXPROCS
	Unordered      bool          // results come as their tasks end, and not in the order of the inputs
	Timeout        time.Duration // for each element, from the start of its task; zero is DefaultStreamTimeout, NoTimeout is none
	// KillOnTimeout makes an element that takes too long one with the error ErrTaskTimeout, and the stream goes on (AS-06).
	// Without it, the stream ends (AS-05).
	KillOnTimeout  bool
	ZipInputOnExit bool // the error of an element is an *InputError, which says for which input it is (AS-07)
	// Shutdown is how long the tasks that run when the stream ends early may take to end, together, before they are declared
	// dead. Zero is supervisor.DefaultShutdown; supervisor.BrutalKill does not ask (AS-10).
	Shutdown time.Duration
}

func (o StreamOptions) withDefaults() StreamOptions {
	setDefault(&o.MaxConcurrency, runtime.GOMAXPROCS(0))
	setDefault(&o.Timeout, DefaultStreamTimeout)
	setDefault(&o.Shutdown, supervisor.DefaultShutdown)
	return o
}

func (o StreamOptions) validate() error {
	switch {
	case o.MaxConcurrency < 1:
		return fmt.Errorf("actors: StreamOptions: MaxConcurrency is %d, want at least 1", o.MaxConcurrency)
	case o.Timeout < NoTimeout:
		return fmt.Errorf("actors: StreamOptions: Timeout is %s, want a positive duration or NoTimeout", o.Timeout)
	case o.Shutdown < supervisor.Infinity:
		return fmt.Errorf("actors: StreamOptions: Shutdown is %s, want a duration, supervisor.BrutalKill or Infinity", o.Shutdown)
	}
	return nil
}

// InputError is the error of a stream's element with the input that it is for.
type InputError struct {
	Input any
	Err   error // why the element has no value
}

func (e *InputError) Error() string { return fmt.Sprintf("actors: input %v: %v", e.Input, e.Err) }

// Unwrap gives the error itself.
func (e *InputError) Unwrap() error { return e.Err }

// StreamError is the last thing that a stream gives when it ends before its inputs: the tasks that ran are stopped.
type StreamError struct{ Err error }

func (e *StreamError) Error() string { return "actors: the stream ended: " + e.Err.Error() }

// Unwrap gives the reason.
func (e *StreamError) Unwrap() error { return e.Err }

// AsyncStream runs f for each input, in a task each, and gives the values (OTP: Task.async_stream). No task starts before the
// sequence is ranged over, and each range starts anew, also one beside another; the options are checked at once (AS-01).
//
// The tasks belong to their owner, the process of ctx: when one fails, the stream ends with a *StreamError, and an owner
// process that does not trap exits ends with the task's reason. To one that traps them, the failure is the element's error,
// and the stream goes on (AS-08). Outside of a process the stream ends likewise. A task that ends with messages.Normal instead
// of a value has not failed: its element has that error, and the stream goes on. The owner gets no messages of the tasks.
//
// While results are taken, up to MaxConcurrency tasks run. A slow one at the head of an ordered stream holds up no start
// behind it; what has ended waits for it, without a limit (AS-04). Free places are filled before results are given out, so
// inputs that block hold up the results; they should heed ctx, since the stream cannot interrupt them.
//
// When the consumer breaks off, panics, or ctx ends, the tasks that run are stopped and waited for (AS-10, AS-12). A start that
// is refused (supervisor.ErrMaxChildren) ends the stream with a *StreamError too (AS-13).
//
// For work that is not wanted at once, or not in this program alone, use a TaskRunner.
func AsyncStream[T, R any](ctx context.Context, under Starter, inputs iter.Seq[T], f func(ctx context.Context, input T) (R, error), options StreamOptions) (iter.Seq2[R, error], error) {
	return newStream(ctx, under, inputs, f, options, !process.TrapsExit(ctx))
}

// AsyncStreamNoLink is AsyncStream with tasks that nobody is linked to: the failure of one is the error of its element, and
// the others go on (AS-09).
func AsyncStreamNoLink[T, R any](ctx context.Context, under Starter, inputs iter.Seq[T], f func(ctx context.Context, input T) (R, error), options StreamOptions) (iter.Seq2[R, error], error) {
	return newStream(ctx, under, inputs, f, options, false)
}

func newStream[T, R any](ctx context.Context, under Starter, inputs iter.Seq[T], f func(ctx context.Context, input T) (R, error), options StreamOptions, fatal bool) (iter.Seq2[R, error], error) {
	options = options.withDefaults()
	switch err := options.validate(); {
	case err != nil:
		return nil, err
	case under == nil:
		return nil, errNoStarter
	case f == nil:
		return nil, errors.New("actors: AsyncStream: the func is nil")
	case inputs == nil:
		return nil, errors.New("actors: AsyncStream: the inputs are nil")
	}
	return func(yield func(R, error) bool) {
		s := &stream[T, R]{
			ctx: ctx, under: under, f: f, options: options, fatal: fatal, yield: yield,
			ends: newEnds[R](nil), running: map[int]*element[T, R]{}, waiting: map[int]*element[T, R]{},
		}
		s.run(inputs)
	}, nil
}
