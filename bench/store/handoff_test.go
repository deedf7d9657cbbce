package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// handOffEvery is how far apart the calls of Run are that are handed off: 1,000 in a second.
const handOffEvery = time.Millisecond

// timed is the arguments of a task that says when it was due. As JSON, it has argsBytes.
type timed struct {
	Due     int64  `json:"due"` // in nanoseconds since the beginning of the round, filled up to 12 digits
	Payload string `json:"payload"`
}

const timedDigits = 12

func newTimed(due time.Duration) timed {
	const first = 100_000_000_000 // the smallest number of 12 digits
	return timed{Due: first + due.Nanoseconds(), Payload: strings.Repeat("x", argsBytes-timedDigits-len(`{"due":,"payload":""}`))}
}

// since is how long ago the task was due.
func (t timed) since(began time.Time) time.Duration {
	return time.Since(began) - time.Duration(t.Due-newTimed(0).Due)
}

// handOff times how long it takes from the moment at which Run was due, on a replica without room, until the handler starts on another. A
// call that comes late, because the machine has other things to do, counts from when it should have come.
func handOff(ctx context.Context, s *site, calls int) (took []time.Duration, err error) {
	database, drop, err := newDatabase(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	const warm = 100
	started := make(chan time.Duration, warm+calls)
	began := time.Now()
	kind := actors.Kind("timed", func(_ context.Context, t timed) (struct{}, error) {
		started <- t.since(began)
		return struct{}{}, nil
	})
	full, stopFull, err := fullReplica(ctx, database, kind)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopFull()) }()
	_, stop, err := replica(ctx, database, actors.TaskRunnerConfig{MaxChildren: ourMaxChildren, Kinds: actors.Kinds{kind}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := runEvery(ctx, full, began, warm+calls); err != nil {
		return nil, err
	}
	for i := range warm + calls {
		select {
		case t := <-started:
			if i >= warm {
				took = append(took, t)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return took, nil
}

// runEvery calls Run so many times, and does not wait for one call to return before the next one is due.
func runEvery(ctx context.Context, r *actors.TaskRunner, began time.Time, calls int) error {
	first := time.Since(began)
	errs := make(chan error, calls)
	var under sync.WaitGroup
	for i := range calls {
		due := first + time.Duration(i)*handOffEvery
		time.Sleep(due - time.Since(began))
		under.Go(func() {
			_, err := actors.Run[struct{}](ctx, r, "timed", newTimed(due))
			errs <- err
		})
	}
	under.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// fullReplica has one place, in which a task stands that no other replica knows.
func fullReplica(ctx context.Context, database string, kind actors.KindSpec) (r *actors.TaskRunner, stop func() error, err error) {
	standing, end := make(chan struct{}), make(chan struct{})
	hold := actors.Kind("hold", func(context.Context, struct{}) (struct{}, error) {
		close(standing)
		<-end
		return struct{}{}, nil
	})
	r, stopReplica, err := replica(ctx, database, actors.TaskRunnerConfig{MaxChildren: 1, Kinds: actors.Kinds{kind, hold}})
	if err != nil {
		return nil, nil, err
	}
	stop = func() error { close(end); return stopReplica() }
	if _, err := actors.Run[struct{}](ctx, r, "hold", struct{}{}); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	<-standing
	return r, stop, nil
}

// replica is a runner with a store of its own, as in a process of its own.
func replica(ctx context.Context, database string, cfg actors.TaskRunnerConfig) (*actors.TaskRunner, func() error, error) {
	db, err := postgres.Open(ctx, database, postgres.Config{})
	if err != nil {
		return nil, nil, err
	}
	cfg.Name, cfg.Store = "bench", store.Store(db)
	r, err := actors.StartTaskRunner(ctx, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return r, func() error { return errors.Join(r.Stop(context.WithoutCancel(ctx)), db.Close()) }, nil
}
