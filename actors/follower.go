package actors

import (
	"context"
	"slices"
	"time"
)

// followPause is how long the follower waits at least before it looks again: an outcome that was recorded elsewhere is told so
// much later at most, and the store is asked so seldom.
const followPause = 20 * time.Millisecond

// followShare is how many times as long as the last look took the follower waits, so that many who wait do not keep the store
// busy.
const followShare = 10

// follower tells those who await tasks that do not run in this process.
type follower struct {
	runner *TaskRunner
	wake   chan struct{}
}

func newFollower(runner *TaskRunner) *follower {
	return &follower{runner: runner, wake: make(chan struct{}, 1)}
}

// run is the follower's process. It ends when ctx does.
func (f *follower) run(ctx context.Context) error {
	for failures := 0; sleepUntilWoken(ctx, f.wake); {
		began := time.Now()
		rest := followPause
		if err := f.look(ctx); err != nil && ctx.Err() == nil {
			failures++
			f.runner.config.Logger.Warn("awaited tasks cannot be looked up", "runner", f.runner.config.Name, "failures", failures, "error", err)
			rest = storePause(failures)
			poke(f.wake)
		} else {
			failures = 0
		}
		if !pause(ctx, max(rest, followShare*time.Since(began))) {
			break
		}
	}
	return nil
}

// look asks the store for the tasks that are awaited and do not run here.
func (f *follower) look(ctx context.Context) error {
	awaited := f.runner.promises.awaited(func(id string) bool { return f.runner.runs.get(id) == nil })
	ids := make([]string, 0, len(awaited))
	for id := range awaited {
		ids = append(ids, id)
	}
	for some := range slices.Chunk(ids, MaxClaimBatch) {
		ended, err := f.runner.config.Store.Ended(ctx, some)
		if err != nil {
			return err
		}
		for _, t := range ended {
			f.runner.promises.keepRecorded(awaited[t.ID], t)
		}
	}
	return nil
}
