package actors

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
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
// sequence is ranged over, and each range starts anew; the options are checked at once (AS-01).
//
// The tasks belong to their owner, the process of ctx: when one fails, the stream ends with a *StreamError, and an owner
// process that does not trap exits ends with the task's reason. To one that traps them, the failure is the element's error,
// and the stream goes on (AS-08). Outside of a process the stream ends likewise.
//
// While results are taken, up to MaxConcurrency tasks run. A slow one at the head of an ordered stream holds up no start
// behind it; what has ended waits for it, without a limit (AS-04). When the consumer breaks off, panics, or ctx ends, the
// tasks that run are stopped and waited for (AS-10, AS-12). A start that is refused (supervisor.ErrMaxChildren) ends the
// stream with a *StreamError too (AS-13).
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
	case f == nil:
		return nil, errors.New("actors: AsyncStream: the func is nil")
	case inputs == nil:
		return nil, errors.New("actors: AsyncStream: the inputs are nil")
	}
	return func(yield func(R, error) bool) {
		s := &stream[T, R]{ctx: ctx, under: under, f: f, options: options, fatal: fatal, yield: yield, ends: newEnds[R](nil), running: map[int]*element[T, R]{}}
		s.run(inputs)
	}, nil
}

// element is one input and what has become of it.
type element[T, R any] struct {
	input    T
	task     *Task[R]
	deadline time.Time // zero without a timeout
	err      error
}

// stream is one range over an AsyncStream. It runs in the consumer's goroutine.
type stream[T, R any] struct {
	ctx     context.Context
	under   Starter
	f       func(ctx context.Context, input T) (R, error)
	options StreamOptions
	fatal   bool // the failure of one element is that of all
	yield   func(R, error) bool

	ends    *ends
	started int                    // how many elements there are so far
	running map[int]*element[T, R] // by index
	oldest  int                    // no element before it runs
	ready   []*element[T, R]       // ended, in the order in which they are to be given out
	waiting map[int]*element[T, R] // ended, ordered, behind one that runs
	given   int                    // how many of an ordered stream are ready
}

// run starts what there is room for, waits for an end, and gives out what it can, until nothing is left.
func (s *stream[T, R]) run(inputs iter.Seq[T]) {
	s.waiting = map[int]*element[T, R]{}
	next, stop := iter.Pull(inputs)
	defer stop()
	defer s.stopAll()
	for more := true; more || len(s.running) > 0; {
		for more && len(s.running) < s.options.MaxConcurrency {
			var input T
			if input, more = next(); more && !s.start(input) {
				return
			}
		}
		if !s.await() || !s.deliver() {
			return
		}
	}
}

func (s *stream[T, R]) start(input T) bool {
	e := &element[T, R]{input: input}
	// Outside of its owner's process, so that no message and no link of it is left with the owner (AS-10).
	task, err := AsyncNoLink(&streamContext{Context: s.ctx}, s.under, func(ctx context.Context) (R, error) { return s.f(ctx, input) })
	if err != nil {
		return s.fail(err)
	}
	e.task = task
	if s.options.Timeout != NoTimeout {
		e.deadline = time.Now().Add(s.options.Timeout)
	}
	i := s.started
	s.running[i] = e
	task.onEnd(func() { s.ends.put(i) })
	s.started++
	return true
}

// fail ends the stream.
func (s *stream[T, R]) fail(err error) bool {
	var none R
	s.yield(none, &StreamError{Err: err})
	return false
}

// await waits until an element has ended, or has taken too long. It reports false if that has ended the stream.
func (s *stream[T, R]) await() bool {
	if len(s.running) == 0 {
		return true
	}
	i, err := s.nextEnd()
	switch {
	case err != nil:
		return s.fail(err)
	case i >= 0:
		e := s.running[i]
		if e == nil {
			return true // it was killed when its time was over
		}
		s.ended(i, e, e.task.failure())
		return e.err == nil || !s.fatal || s.crash(e)
	default:
		return s.expire()
	}
}

func (s *stream[T, R]) nextEnd() (int, error) {
	deadline := s.firstDeadline()
	if deadline.IsZero() {
		return s.ends.next(s.ctx, nil)
	}
	left := time.Until(deadline)
	if left <= 0 && s.ends.len() == 0 {
		return -1, nil
	}
	timer := time.NewTimer(max(left, 1))
	defer timer.Stop()
	return s.ends.next(s.ctx, timer.C)
}

// firstDeadline is that of the oldest running element: all have the same time.
func (s *stream[T, R]) firstDeadline() time.Time {
	for ; s.oldest < s.started; s.oldest++ {
		if e := s.running[s.oldest]; e != nil {
			return e.deadline
		}
	}
	return time.Time{}
}

// expire handles an element that has taken too long.
func (s *stream[T, R]) expire() bool {
	e := s.running[s.oldest]
	if e.task.over() {
		return true // in this moment; await hears of it next
	}
	if !s.options.KillOnTimeout {
		return s.fail(ErrTaskTimeout)
	}
	e.task.system.Kill(e.task.pid)
	s.ended(s.oldest, e, ErrTaskTimeout)
	return true
}

// crash is the end of a stream whose tasks are linked to it: the owner ends too, if it is a process.
func (s *stream[T, R]) crash(e *element[T, R]) bool {
	if self, ok := process.Self(s.ctx); ok {
		s.under.taskSystem().Exit(s.ctx, self, e.err)
	}
	return s.fail(s.shown(e))
}

func (s *stream[T, R]) ended(i int, e *element[T, R], err error) {
	delete(s.running, i)
	e.err = err
	if s.options.Unordered {
		s.ready = append(s.ready, e)
		return
	}
	s.waiting[i] = e
	for e := s.waiting[s.given]; e != nil; e = s.waiting[s.given] {
		delete(s.waiting, s.given)
		s.ready = append(s.ready, e)
		s.given++
	}
}

// deliver gives out what is ready, and reports whether the consumer wants more.
func (s *stream[T, R]) deliver() bool {
	for len(s.ready) > 0 {
		e := s.ready[0]
		s.ready = s.ready[1:]
		var value R
		if e.err == nil {
			value = e.task.value
		}
		if !s.yield(value, s.shown(e)) {
			return false
		}
	}
	return true
}

// shown is the error of an element as the consumer sees it.
func (s *stream[T, R]) shown(e *element[T, R]) error {
	if e.err != nil && s.options.ZipInputOnExit {
		return &InputError{Input: e.input, Err: e.err}
	}
	return e.err
}

// stopAll stops the tasks that still run, all together, and waits for them. It does not heed ctx, which may have ended.
func (s *stream[T, R]) stopAll() {
	system := s.under.taskSystem()
	for _, e := range s.running {
		if s.options.Shutdown == supervisor.BrutalKill {
			system.Kill(e.task.pid)
		} else {
			system.Exit(context.Background(), e.task.pid, messages.Shutdown)
		}
	}
	if s.options.Shutdown > 0 && len(s.running) > 0 {
		timer := time.AfterFunc(s.options.Shutdown, func() { s.killAll() })
		defer timer.Stop()
	}
	for _, e := range s.running {
		<-e.task.ended
	}
}

func (s *stream[T, R]) killAll() {
	for _, e := range s.running {
		s.under.taskSystem().Kill(e.task.pid)
	}
}

// streamContext is the owner's context for starting a task that has no owner: nobody monitors it. Its callers are those of
// the owner's own tasks.
type streamContext struct{ context.Context }

func (c *streamContext) Value(key any) any {
	if key == (callersKey{}) {
		return callersOf(c.Context)
	}
	return process.Outside(c.Context).Value(key)
}
