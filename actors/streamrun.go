package actors

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// element is one input and what has become of it.
type element[T, R any] struct {
	input T
	task  *Task[R]
	timer *time.Timer // nil without a timeout
	first atomic.Int32
	err   error
}

// What comes first for an element; it is put into the stream's ends once.
const (
	running int32 = iota
	ended
	expired
)

// stream is one range over an AsyncStream. It runs in the consumer's goroutine.
type stream[T, R any] struct {
	ctx     context.Context //nolint:containedctx // the owner's
	under   Starter
	f       func(ctx context.Context, input T) (R, error)
	options StreamOptions
	fatal   bool // the failure of one element is that of all
	yield   func(R, error) bool

	ends    *ends
	started int                    // how many elements there are so far
	running map[int]*element[T, R] // by index
	ready   []*element[T, R]       // ended, in the order in which they are to be given out
	waiting map[int]*element[T, R] // ended, ordered, behind one that runs
	given   int                    // how many of an ordered stream are ready
}

// run starts what there is room for, waits for an end, and gives out what it can, until nothing is left.
func (s *stream[T, R]) run(inputs iter.Seq[T]) {
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
	run := func(ctx context.Context) (R, error) { return s.f(ctx, input) }
	task, err := async(&streamContext{Context: s.ctx}, s.under, s.f, run, nil, false)
	if err != nil {
		return s.fail(err)
	}
	e.task = task
	i := s.started
	s.running[i] = e
	s.started++
	if s.options.Timeout != NoTimeout {
		e.timer = time.AfterFunc(s.options.Timeout, func() { s.expire(i, e) })
	}
	task.onEnd(func() {
		if e.first.CompareAndSwap(running, ended) {
			s.ends.put(i)
		}
	})
	return true
}

// expire runs when the time of an element is over, whatever its consumer does meanwhile. If the stream is to go on, the task
// is declared dead before it hears of it, so that its place under a supervisor is free.
func (s *stream[T, R]) expire(i int, e *element[T, R]) {
	if !e.first.CompareAndSwap(running, expired) {
		return
	}
	if s.options.KillOnTimeout {
		e.task.system.Kill(e.task.pid)
	}
	s.ends.put(i)
}

// fail ends the stream.
func (s *stream[T, R]) fail(err error) bool {
	var none R
	s.yield(none, &StreamError{Err: err})
	return false
}

// await waits until an element has ended, or has taken too long. It reports false if that has ended the stream. Ends come
// before the end of ctx, which start hears of too, so that ends which never stop coming hide it from nobody.
func (s *stream[T, R]) await() bool {
	if len(s.running) == 0 {
		return true
	}
	i, err := s.ends.next(s.ctx, nil)
	if err != nil {
		return s.fail(err)
	}
	e := s.running[i]
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.first.Load() == ended {
		s.ended(i, e, e.task.err)
		return !s.fatal || e.err == nil || messages.Is(e.err, messages.Normal) || s.crash(e)
	}
	if !s.options.KillOnTimeout {
		return s.fail(ErrTaskTimeout)
	}
	s.ended(i, e, ErrTaskTimeout)
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
		if e.timer != nil {
			e.timer.Stop()
		}
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
