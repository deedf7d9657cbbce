package actors

import (
	"context"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Intervals of the keeper.
const (
	// ReconcileInterval is how often a runner compares what runs with what is recorded as running.
	ReconcileInterval = 5 * time.Second
	// PruneInterval is how often outcomes that are older than the runner's Retention are deleted.
	PruneInterval = time.Minute
)

// keeper keeps a runner and its store together: it cancels what somebody elsewhere wants cancelled, or has taken from this
// process, gives back what was recorded as running here and does not, and deletes what is too old.
type keeper struct {
	runner *TaskRunner
	wake   chan struct{}

	mu    sync.Mutex
	asked store.Signal
}

func newKeeper(runner *TaskRunner) *keeper {
	return &keeper{runner: runner, wake: make(chan struct{}, 1)}
}

// ask has the keeper see to what the signal says, soon.
func (k *keeper) ask(s store.Signal) {
	k.mu.Lock()
	k.asked |= s
	k.mu.Unlock()
	poke(k.wake)
}

// run is the keeper's process. It ends when ctx does. What fails is tried again at the next turn.
func (k *keeper) run(ctx context.Context) error {
	both := &reconciler{runner: k.runner}
	reconcile, prune := time.NewTicker(ReconcileInterval), time.NewTicker(PruneInterval)
	defer reconcile.Stop()
	defer prune.Stop()
	for {
		var err error
		select {
		case <-k.wake:
			err = k.answer(ctx, both)
		case <-reconcile.C:
			err = both.reconcile(ctx)
		case <-prune.C:
			err = k.prune(ctx)
		case <-ctx.Done():
			return nil
		}
		if err != nil && ctx.Err() == nil {
			k.runner.config.Logger.Warn("the store does not answer", "runner", k.runner.config.Name, "error", err)
			if !pause(ctx, storePause(1)) {
				return nil
			}
		}
	}
}

// answer sees to what was asked for. What fails is asked for again.
func (k *keeper) answer(ctx context.Context, both *reconciler) (err error) {
	k.mu.Lock()
	asked := k.asked
	k.asked = 0
	k.mu.Unlock()
	if asked&store.SignalCancels != 0 {
		err = k.cancel(ctx)
	}
	if err == nil && asked&store.SignalTaken != 0 {
		err = both.reconcile(ctx)
	}
	if err != nil && ctx.Err() == nil {
		k.ask(asked)
	}
	return err
}

// cancel tells the runs whose cancel was requested.
func (k *keeper) cancel(ctx context.Context) error {
	ids, err := k.runner.config.Store.CancelRequests(ctx, k.runner.config.Name, k.runner.system.Node())
	for _, id := range ids {
		if run := k.runner.runs.get(id); run != nil {
			run.tell(ErrTaskCancelled)
		}
	}
	return err
}

// prune deletes a page at a time, so that others can write in between.
func (k *keeper) prune(ctx context.Context) error {
	if k.runner.config.Retention.keepsAll() {
		return nil
	}
	expiry := k.runner.config.Retention.expiry(k.runner.config.Name, time.Now())
	for {
		deleted, err := k.runner.config.Store.Prune(ctx, expiry)
		if err != nil || deleted < expiry.Size() {
			return err
		}
	}
}
