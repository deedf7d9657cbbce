package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// RunTx is Run in a transaction of the caller's: the task exists exactly if that commits. tx comes from the package of the
// runner's store. The task starts as available, or at its time, and the runners hear of it within 100 ms of the commit. Before
// that nobody knows it: not Await, and not the runner.
//
// It is refused as Run is, and with a *FullError when the runner is full by now; WithWait is not for it, since a transaction
// that waits keeps others waiting.
func RunTx[R, A any](ctx context.Context, runner *TaskRunner, tx store.Tx, kind string, args A, given ...Option) (*Handle[R], error) {
	handles, err := RunManyTx[R](ctx, runner, tx, kind, []A{args}, given...)
	if err != nil {
		return nil, err
	}
	return handles[0], nil
}

// RunManyTx is RunTx for many tasks of one kind.
func RunManyTx[R, A any](ctx context.Context, runner *TaskRunner, tx store.Tx, kind string, args []A, given ...Option) ([]*Handle[R], error) {
	o, err := gather(given, ofTx, "RunTx")
	switch {
	case err != nil:
		return nil, err
	case tx == nil:
		return nil, errors.New("actors: RunTx: tx is nil, want one of the runner's store")
	case runner.config.Store == nil:
		return nil, ErrNoStore
	case o.id != "" && len(args) != 1:
		return nil, fmt.Errorf("actors: RunManyTx: WithID is for one task, not for %d", len(args))
	}
	runs, err := newRuns(runner, kind, args, o)
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	inserted, err := runner.insertTx(ctx, tx, runs, o)
	if err != nil {
		return nil, err
	}
	handles := make([]*Handle[R], len(runs))
	for i := range runs {
		handles[i] = &Handle[R]{runner: runner, id: inserted[i].ID, task: inserted[i].Task, existed: inserted[i].Existed}
	}
	return handles, nil
}

// insertTx takes no room: whether the tasks will exist, only the caller's commit tells. They are counted when the store is.
func (r *TaskRunner) insertTx(ctx context.Context, tx store.Tx, runs []*run, o options) (inserted []store.Inserted, err error) {
	defer recovered(&err)
	if err := nameRuns(runs); err != nil {
		return nil, err
	}
	if err := r.mayWait(ctx, len(runs)); err != nil {
		return nil, err
	}
	now := time.Now()
	at := o.startAt(now)
	tasks := make([]store.NewTask, len(runs))
	for i, run := range runs {
		tasks[i] = run.newTask(at)
	}
	inserted, err = tx.Insert(ctx, now, tasks)
	if err == nil && len(inserted) != len(tasks) {
		err = fmt.Errorf("actors: the store answered Insert of %d tasks with %d", len(tasks), len(inserted))
	}
	return inserted, err
}

// CompleteTx records, in a transaction of the handler's own, that the task whose handler has this context is completed with this
// result: the outcome and what the handler writes in the transaction are committed together. The handler then commits and returns
// the same result. If it returns without an error although the transaction was not committed, the attempt has failed and is made
// again, like any other. Outside of a handler of a recorded task it is an error.
func CompleteTx(ctx context.Context, tx store.Tx, result any) (err error) {
	defer recovered(&err)
	c := taskOf(ctx)
	switch {
	case c == nil || !c.run.durable:
		return errors.New("actors: CompleteTx: the context is not that of the handler of a recorded task")
	case tx == nil:
		return errors.New("actors: CompleteTx: tx is nil, want one of the runner's store")
	}
	e := encodeResult(result)
	if e.err != nil {
		return e.err
	}
	err = tx.Complete(ctx, store.Outcome{
		TaskID: c.run.task.TaskID, Run: c.run.task.Run, To: store.Completed, Result: e.result, FinishedAt: time.Now(),
	})
	if err == nil {
		c.run.inTx.Store(true)
	}
	return err
}

// errNotCommitted is why a task runs again whose handler returned as if its transaction had been committed.
var errNotCommitted = errors.New("actors: the transaction that completed the task was not committed")

// checkTx finds out whether the transaction in which the handler has completed its task was committed, and waits for a store that
// does not answer. Who has no time for that gets the error: if the transaction was committed all the same, the store will refuse
// what is made of it.
func (c *taskContext) checkTx() error {
	if !c.run.inTx.Load() {
		return nil
	}
	for failures := 1; ; failures++ {
		task, err := c.runner.config.Store.Get(context.WithoutCancel(c), c.run.task.TaskID)
		switch {
		case err == nil && task.State == store.Running && task.Run == c.run.task.Run:
			return errNotCommitted
		case err == nil, errors.Is(err, store.ErrNotFound):
			return nil
		case errors.Is(err, store.ErrClosed), !pause(c, storePause(failures)):
			return fmt.Errorf("%w, as far as is known: %w", errNotCommitted, err)
		}
	}
}
