package actors

import (
	"context"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// ProgressInterval is how often the progress of running tasks is recorded.
const ProgressInterval = 500 * time.Millisecond

// reporter records progress. Of each run only the last report counts, so its queue is bounded by the number of runs.
type reporter struct {
	runner *TaskRunner
	wake   chan struct{}

	mu    sync.Mutex
	dirty map[*run]struct{}
}

func newReporter(runner *TaskRunner) *reporter {
	return &reporter{runner: runner, wake: make(chan struct{}, 1), dirty: map[*run]struct{}{}}
}

func (p *reporter) note(r *run) {
	p.mu.Lock()
	p.dirty[r] = struct{}{}
	p.mu.Unlock()
	poke(p.wake)
}

// run is the reporter's process. Progress that cannot be recorded is dropped: the next report says more.
func (p *reporter) run(ctx context.Context) error {
	for sleepUntilWoken(ctx, p.wake) {
		if reports := p.take(); len(reports) > 0 {
			err := p.runner.config.Store.Report(ctx, reports)
			if err != nil && ctx.Err() == nil {
				p.runner.config.Logger.Warn("progress is not recorded", "runner", p.runner.config.Name, "error", err)
			}
		}
		if !pause(ctx, ProgressInterval) {
			return nil
		}
	}
	return nil
}

func (p *reporter) take() []store.Progress {
	p.mu.Lock()
	dirty := p.dirty
	p.dirty = map[*run]struct{}{}
	p.mu.Unlock()
	reports := make([]store.Progress, 0, len(dirty))
	for r := range dirty {
		if !r.isUnderWay() {
			continue // of thousands that took some milliseconds, each would be looked for in the store
		}
		reports = append(reports, store.Progress{TaskID: r.task.TaskID, Run: r.task.Run, Fraction: r.lastProgress()})
	}
	return reports
}
