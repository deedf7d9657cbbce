package actors

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// MaxWriteBatch is how many outcomes are handed to the store at once. Tasks that are handed over in thousands must not be accepted
// faster than their outcomes are recorded.
const MaxWriteBatch = 2000

// writeEvery is how far apart the store is handed outcomes that nobody waits for. Each time takes the store a sync of its disk, in
// which whoever hands tasks over has to wait: with one caller, Run took twice as long when each outcome was written at once. Of
// 7,447 small files, moved 64 at a time, the outcomes take 150 to 180 commits with 10 ms, and 390 to 510 with 2.
const writeEvery = 10 * time.Millisecond

// writer hands the fates of runs to the store, in batches: while one is written, the next gathers. So a slow store, or
// one that is away, never blocks the runner. What it could not write it tries again for as long as the runner lives; its
// queue has a limit in MaxUnrecorded, beyond which the runner starts nothing more.
type writer struct {
	runner *TaskRunner
	wake   chan struct{}

	mu      sync.Mutex
	queue   []*run
	urgent  bool // somebody waits for one of the queue
	busy    int  // taken from the queue and not answered yet
	closed  bool
	drained chan struct{}
}

func newWriter(runner *TaskRunner) *writer {
	return &writer{runner: runner, wake: make(chan struct{}, 1)}
}

// put queues a run whose fate is decided; once, though a restarted runner may ask again.
func (w *writer) put(r *run) {
	r.mu.Lock()
	queued := r.queued
	r.queued = true
	r.mu.Unlock()
	if queued {
		return
	}
	awaited := w.runner.promises.has(r.task.TaskID)
	w.mu.Lock()
	if !w.closed {
		w.queue = append(w.queue, r)
		w.urgent = w.urgent || awaited
	}
	first, due := len(w.queue) == 1, w.due()
	w.mu.Unlock()
	w.runner.admission.setStalled(w.full())
	if first || due {
		poke(w.wake)
	}
}

// hurry has the queue written at once, because somebody waits for one of it.
func (w *writer) hurry() {
	w.mu.Lock()
	w.urgent = len(w.queue) > 0
	urgent := w.urgent
	w.mu.Unlock()
	if urgent {
		poke(w.wake)
	}
}

// due is whether the queue need not wait for more. It is called with the lock.
func (w *writer) due() bool { return w.urgent || w.drained != nil || len(w.queue) >= MaxWriteBatch }

// full reports whether so much is unrecorded that no recorded task may start.
func (w *writer) full() bool { return w.pending() > w.runner.config.MaxUnrecorded }

func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// pending says how many fates are not recorded yet.
func (w *writer) pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) + w.busy
}

// flushed is closed when nothing is pending.
func (w *writer) flushed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained == nil {
		w.drained = make(chan struct{})
	}
	done := w.drained
	w.announce()
	poke(w.wake)
	return done
}

// announce is called with the lock.
func (w *writer) announce() {
	if w.drained != nil && len(w.queue)+w.busy == 0 {
		close(w.drained)
		w.drained = nil
	}
}

// run is the writer's process. It ends when ctx does.
func (w *writer) run(ctx context.Context) error {
	var last time.Time // when a batch was taken
	for failures := 0; ; {
		if !w.gather(ctx, last.Add(writeEvery)) {
			return nil
		}
		last = time.Now()
		batch := w.take()
		err := w.write(ctx, batch)
		w.runner.admission.setStalled(w.full())
		if err == nil {
			// Told when they no longer count as unrecorded: the runner then wakes the claimer, who looks.
			w.runner.server().Info(context.Background(), recordedRuns(batch))
			failures = 0
			continue
		}
		if errors.Is(err, store.ErrClosed) {
			w.giveUp(err)
			return nil
		}
		failures++
		w.runner.config.Logger.Warn("outcomes are not recorded yet", "runner", w.runner.config.Name,
			"outcomes", w.pending(), "failures", failures, "error", err)
		if !pause(ctx, storePause(failures)) {
			return nil
		}
	}
}

// giveUp drops what cannot be recorded any more: somebody has closed the store under the runner. The tasks are still
// running for the store, and run again when a runner is started on it anew.
func (w *writer) giveUp(err error) {
	w.mu.Lock()
	lost := len(w.queue)
	w.queue, w.closed = nil, true
	w.announce()
	w.mu.Unlock()
	w.runner.config.Logger.Error("outcomes were not recorded; their tasks run again", "runner", w.runner.config.Name,
		"outcomes", lost, "error", err)
}

// gather waits until there is something to write, and then until that is due or the time has come. It reports false if ctx ended.
func (w *writer) gather(ctx context.Context, until time.Time) bool {
	for {
		w.mu.Lock()
		some, due := len(w.queue) > 0, w.due()
		w.mu.Unlock()
		switch wait := time.Until(until); {
		case some && (due || wait <= 0):
			return true
		case some:
			if !pauseUntilWoken(ctx, w.wake, wait) {
				return false
			}
		case !sleepUntilWoken(ctx, w.wake):
			return false
		}
	}
}

func (w *writer) take() []*run {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.queue), MaxWriteBatch)
	batch := append([]*run(nil), w.queue[:n]...)
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue, w.urgent = nil, false // let go of what was written
	}
	w.busy += n
	return batch
}

// write records one batch. If that fails as a whole, the batch goes back to the head of the queue.
func (w *writer) write(ctx context.Context, batch []*run) (err error) {
	written := false
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy -= len(batch)
		if !written {
			w.queue = append(batch, w.queue...)
		}
		w.announce()
	}()
	outcomes := make([]store.Outcome, len(batch))
	for i, r := range batch {
		outcomes[i] = r.outcome()
	}
	refused, err := w.runner.config.Store.Finish(ctx, outcomes)
	if err != nil {
		return err
	}
	written = true
	for i, r := range batch {
		r.answered(refused[i])
	}
	return nil
}

// answered keeps what the store said of the run's outcome.
func (r *run) answered(refused error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stage, r.refused = recorded, refused
	if errors.Is(refused, store.ErrCancelled) {
		r.fate, r.refused = failed(store.Cancelled, ErrTaskCancelled), nil
	}
}

// outcome is the fate of a run as the store takes it.
func (r *run) outcome() store.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := store.Outcome{
		TaskID: r.task.TaskID, Run: r.task.Run, To: r.fate.state,
		ScheduledAt: r.fate.at, FinishedAt: r.ending.at,
	}
	if r.fate.state == store.Completed {
		o.Result = r.ending.result
	}
	o.Error, o.Stack = r.fate.text, r.fate.stack
	return o
}

// storePause is how long to leave a store alone that failed so many times in a row: 50 ms, doubling, up to 5 s, each
// less up to half of it by chance.
func storePause(failures int) time.Duration {
	return Backoff{Base: 50 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.5}.wait(failures, rand.Float64())
}

// pause waits for d and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func sleepUntilWoken(ctx context.Context, wake <-chan struct{}) bool {
	select {
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}

// pauseUntilWoken waits for d at most, and reports false if ctx ended first.
func pauseUntilWoken(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
		return true
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
