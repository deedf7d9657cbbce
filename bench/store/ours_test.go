package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// openStore opens a fresh store of ours. remove is for when it is closed.
type openStore func(ctx context.Context, s *site) (db store.Store, remove func() error, err error)

// oursOnSQLite leaves its file to those who remove the folder.
func oursOnSQLite(ctx context.Context, s *site) (store.Store, func() error, error) {
	db, err := sqlite.Open(ctx, filepath.Join(s.dir, "tasks.db"), sqlite.Config{})
	return db, func() error { return nil }, err
}

func oursOnPostgres(ctx context.Context, s *site) (store.Store, func() error, error) {
	database, drop, err := newDatabase(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	db, err := postgres.Open(ctx, database, postgres.Config{})
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return db, drop, nil
}

const noopKind = "noop"

// ours is a TaskRunner on a store of ours.
type ours struct {
	*tally
	db     store.Store
	remove func() error
	runner *actors.TaskRunner
}

// ourMaxChildren is room for what waits for the completion of others to be written.
const (
	ourMaxChildren = 20_000
	ourSetup       = "MaxChildren 20,000"
)

// openOurs gives what opens a runner on such a store. A completion counts when HandleInfo is told of it, which is after it
// was recorded.
func openOurs(open openStore) func(context.Context, *site, int) (queue, error) {
	return func(ctx context.Context, s *site, tasks int) (queue, error) {
		db, remove, err := open(ctx, s)
		if err != nil {
			return nil, err
		}
		q := &ours{tally: newTally(tasks), db: db, remove: remove}
		q.runner, err = actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
			Name: "bench", Store: db, MaxChildren: ourMaxChildren, HandleInfo: q.handleInfo,
			Kinds: actors.Kinds{actors.Kind(noopKind, func(context.Context, noop) (struct{}, error) { return struct{}{}, nil })},
		})
		if err != nil {
			return nil, errors.Join(err, db.Close(), remove())
		}
		return q, nil
	}
}

func (q *ours) handleInfo(_ context.Context, message any) {
	if _, ok := message.(messages.Completed); ok {
		q.add(1)
	}
}

func (q *ours) enqueue(ctx context.Context, n int) error {
	if n == 1 {
		_, err := actors.Run[struct{}](ctx, q.runner, noopKind, noopArgs(), actors.WithWait())
		return err
	}
	args := make([]noop, n)
	for i := range args {
		args[i] = noopArgs()
	}
	_, err := actors.RunMany[struct{}](ctx, q.runner, noopKind, args, actors.WithWait())
	return err
}

func (q *ours) kept(ctx context.Context) (int, error) {
	counts, err := q.db.Counts(ctx, "")
	for state, n := range counts {
		if err == nil && n != 0 && state != store.Completed {
			err = fmt.Errorf("%d tasks are %s", n, state)
		}
	}
	return int(counts[store.Completed]), err
}

func (q *ours) close(ctx context.Context) error {
	return errors.Join(q.runner.Stop(ctx), q.db.Close(), q.remove())
}
