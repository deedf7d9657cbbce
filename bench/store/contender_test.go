package store

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// queue is a durable task queue, open and empty, whose workers run. Its tasks do nothing.
type queue interface {
	// enqueue records n tasks by one call, and returns when they are accepted. It may be called from any goroutine.
	enqueue(ctx context.Context, n int) error
	// await returns when the completion of every task that the queue was opened for is recorded, as durably as the task was.
	await(ctx context.Context) error
	// kept is how many finished tasks are still in the tables.
	kept(ctx context.Context) (int, error)
	close(ctx context.Context) error
}

// engine is what a queue keeps its tasks in.
type engine string

const (
	onSQLite   engine = "SQLite"
	onPostgres engine = "PostgreSQL"
	onRedis    engine = "Redis"
)

// way is how a queue is used. Ways of the same name are compared.
type way string

const (
	best     way = "best"       // whatever is fastest with it
	oneByOne way = "one by one" // each task by a call of its own, from 16 goroutines
)

// load is what a queue has to do in one round.
type load struct {
	callers int // goroutines that enqueue
	batch   int // tasks that they hand over in one call
	tasks   int // all in all
}

// contender is one queue, used in one way.
type contender struct {
	name   string // of the product
	engine engine
	ours   bool
	way    way
	call   string // what enqueues
	setup  string // how it is configured, for the reader
	load   load
	open   func(ctx context.Context, s *site, tasks int) (queue, error)
}

// title names the contender in one line.
func (c contender) title() string { return fmt.Sprintf("%s on %s, %s", c.name, c.engine, c.way) }

// site is where the queues are measured.
type site struct {
	dir      string // on the disk that is measured
	postgres string // how to connect as a superuser; empty if it does not run
	redis    string // the path of its socket; empty if it does not run
}

// has reports whether the queues of this engine can be opened.
func (s *site) has(e engine) bool {
	return e == onSQLite || e == onPostgres && s.postgres != "" || e == onRedis && s.redis != ""
}

// result is what one round of one contender gave.
type result struct {
	took time.Duration // from the first call of enqueue until all is recorded
	kept int
}

// measure has a contender do its load once, in a queue of its own.
func (c contender) measure(ctx context.Context, s *site) (r result, err error) {
	inside := *s
	if inside.dir, err = os.MkdirTemp(s.dir, "round"); err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(inside.dir) }()
	q, err := c.open(ctx, &inside, c.load.tasks)
	if err != nil {
		return r, fmt.Errorf("open: %w", err)
	}
	defer func() {
		if closing := q.close(ctx); err == nil && closing != nil {
			err = fmt.Errorf("close: %w", closing)
		}
	}()
	if r.took, err = c.load.time(ctx, q); err != nil {
		return r, err
	}
	r.kept, err = q.kept(ctx)
	if err == nil && r.kept != 0 && r.kept != c.load.tasks { // it keeps all of them, or none
		err = fmt.Errorf("%d of %d tasks are recorded as completed", r.kept, c.load.tasks)
	}
	return r, err
}

// time is how long it takes from the first call of enqueue until all is recorded.
func (l load) time(ctx context.Context, q queue) (time.Duration, error) {
	began := time.Now()
	if err := l.enqueue(ctx, q); err != nil {
		return 0, fmt.Errorf("enqueue: %w", err)
	}
	if err := q.await(ctx); err != nil {
		return 0, fmt.Errorf("await: %w", err)
	}
	return time.Since(began), nil
}

// enqueue hands over all tasks of the load.
func (l load) enqueue(ctx context.Context, q queue) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan int, (l.tasks+l.batch-1)/l.batch)
	for left := l.tasks; left > 0; left -= l.batch {
		batches <- min(l.batch, left)
	}
	close(batches)
	var callers sync.WaitGroup
	for range l.callers {
		callers.Go(func() {
			for n := range batches {
				if ctx.Err() != nil {
					return
				}
				if err := q.enqueue(ctx, n); err != nil {
					cancel(err) // the first one counts
				}
			}
		})
	}
	callers.Wait()
	return context.Cause(ctx)
}
