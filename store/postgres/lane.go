package postgres

import (
	"context"
	"runtime"
	"sync/atomic"
)

// lane is one goroutine that writes for all. Whoever wants something written hands it over and waits; what gathers while one
// statement is under way is the next (group commit). There is no timer.
type lane[T any] struct {
	queue chan *job[T]
	limit int // how much one statement takes; one job may exceed it
	done  chan struct{}
}

// job is what one caller wants written.
type job[T any] struct {
	ctx   context.Context
	work  T
	size  int
	state atomic.Int32
	done  chan struct{}
	err   error // valid when done is closed
}

// The states of a job. A caller may leave at any time; one who leaves before the job is taken has it passed over.
const (
	jobWaits int32 = iota
	jobTaken
	jobLeft     // by the caller, before it was taken
	jobDeserted // by the caller, after it was taken: nobody will look at what came of it
	jobDone
)

// startLane starts the goroutine, which calls write with what has gathered until stop is called; write closes each job with
// finish. end is called in the end.
func startLane[T any](queue, limit int, write func([]*job[T]), end func()) *lane[T] {
	l := &lane[T]{queue: make(chan *job[T], queue), limit: limit, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer end()
		for first := range l.queue {
			l.yield()
			if jobs := l.gather(first); len(jobs) > 0 {
				write(jobs)
			}
		}
	}()
	return l
}

// stop has the lane write what is in the queue, and waits for it. Nobody may hand over anything any more.
func (l *lane[T]) stop() {
	close(l.queue)
	<-l.done
}

// yield lets those run first who are about to hand something over. Whoever was answered by the last statement may want more: of 16 callers,
// the first to come would else have a statement for itself, and the other 15 the next one.
func (l *lane[T]) yield() {
	for before := -1; before < len(l.queue) && len(l.queue) < cap(l.queue); {
		before = len(l.queue)
		runtime.Gosched()
	}
}

// gather takes what is in the queue without waiting for more.
func (l *lane[T]) gather(first *job[T]) (jobs []*job[T]) {
	size := 0
	for j := first; ; {
		if j.state.CompareAndSwap(jobWaits, jobTaken) {
			jobs = append(jobs, j)
			size += max(1, j.size)
		}
		if size >= l.limit {
			return jobs
		}
		var open bool
		select {
		case j, open = <-l.queue:
			if !open {
				return jobs
			}
		default:
			return jobs
		}
	}
}

// hand hands work over. The job is to be waited for with wait.
func (l *lane[T]) hand(ctx context.Context, size int, work T) (*job[T], error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j := &job[T]{ctx: ctx, work: work, size: size, done: make(chan struct{})}
	select {
	case l.queue <- j:
		return j, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// watcher is called before a job is waited for, and each time when what it gives is closed; nil: nothing is watched.
type watcher func() <-chan struct{}

// wait returns when the job is done, or when its context has ended: then with that error.
func (j *job[T]) wait(watch watcher) error {
	for over := false; !over; {
		var changed <-chan struct{}
		if watch != nil {
			changed = watch()
		}
		select {
		case <-j.done:
			return j.err
		case <-j.ctx.Done():
			over = true
		case <-changed:
		}
	}
	if j.state.CompareAndSwap(jobWaits, jobLeft) || j.state.CompareAndSwap(jobTaken, jobDeserted) {
		return j.ctx.Err()
	}
	<-j.done
	return j.err
}

// finish answers the caller, and reports whether there still is one.
func (j *job[T]) finish(err error) bool {
	j.err = err
	there := j.state.CompareAndSwap(jobTaken, jobDone)
	close(j.done)
	return there
}

// anybody is a context that ends when those of all jobs have: as long as one caller waits, the work is worth trying. stop must be
// called in the end.
func anybody[T any](life context.Context, jobs []*job[T]) (ctx context.Context, stop func()) {
	if len(jobs) == 1 {
		return joined(jobs[0].ctx, life)
	}
	ctx, cancel := context.WithCancelCause(life)
	var left atomic.Int32
	left.Store(int32(len(jobs)))
	unhooks := make([]func() bool, len(jobs))
	for i, j := range jobs {
		unhooks[i] = context.AfterFunc(j.ctx, func() {
			if left.Add(-1) == 0 {
				cancel(context.Cause(j.ctx))
			}
		})
	}
	return ctx, func() {
		for _, unhook := range unhooks {
			unhook()
		}
		cancel(nil)
	}
}

// joined is a context that ends with the first of both.
func joined(ctx, life context.Context) (both context.Context, stop func()) {
	both, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(life, func() { cancel(context.Cause(life)) })
	return both, func() {
		unhook()
		cancel(nil)
	}
}
