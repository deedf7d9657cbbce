package actors

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// MaxClaimBatch is how many tasks are claimed at once.
const MaxClaimBatch = 1000

// claimEvery is how far apart claims are while more than half of the slots are taken: the next takes what has become free by then. Each
// is a commit, and small tasks would need one each. (Oban waits 5 ms between fetches, River 100.)
const claimEvery = 5 * time.Millisecond

// claimer gets recorded tasks that are due out of the store as slots become free. It sleeps while there is nothing due, and
// wakes by itself when the next task is.
type claimer struct {
	runner *TaskRunner
	wake   chan struct{}

	mu   sync.Mutex
	next time.Time // when the next task is due, as far as known; zero: none
	last time.Time // when the last claim was made

	looking         atomic.Bool  // somebody may have put tasks there
	begun, answered atomic.Int64 // claims
	probe           atomic.Int64 // how many to ask for at least
}

func newClaimer(runner *TaskRunner) *claimer {
	return &claimer{runner: runner, wake: make(chan struct{}, 1)}
}

// claims says how many claims were answered, and whether one is under way.
func (c *claimer) claims() (answered int64, claiming bool) {
	answered = c.answered.Load()
	return answered, c.begun.Load() > answered
}

// look has the claimer look for tasks that somebody else has put there.
func (c *claimer) look() {
	c.looking.Store(true)
	poke(c.wake)
}

// due says that a task is due at that time; a time that is not after now wakes the claimer at once.
func (c *claimer) due(at, now time.Time) {
	earlier := c.expect(at)
	if !at.After(now) {
		c.runner.admission.setBacklog(true)
	}
	if earlier || !at.After(now) {
		poke(c.wake)
	}
}

// expect notes when a task is due, and reports whether that is earlier than what was known.
func (c *claimer) expect(at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at = at.Round(0) // by the wall clock: if that is set forward, the task is due earlier
	if !c.next.IsZero() && !at.Before(c.next) {
		return false
	}
	c.next = at
	return true
}

// run is the claimer's process. It ends when ctx does.
func (c *claimer) run(ctx context.Context) error {
	failures := 0
	for c.sleep(ctx) {
		err := c.claimAll(ctx)
		if err == nil {
			failures = 0
			continue
		}
		failures++
		c.runner.config.Logger.Warn("tasks cannot be claimed", "runner", c.runner.config.Name, "failures", failures, "error", err)
		if !pause(ctx, storePause(failures)) {
			break
		}
	}
	return nil
}

// sleep waits until it is woken or the next task is due; without a free slot only until it is woken: whoever frees one
// wakes it if there is a backlog.
func (c *claimer) sleep(ctx context.Context) bool {
	c.mu.Lock()
	next := c.next
	c.mu.Unlock()
	if next.IsZero() || c.runner.admission.hasBacklog() {
		return sleepUntilWoken(ctx, c.wake)
	}
	timer := time.NewTimer(min(time.Until(next), maxSleep))
	defer timer.Stop()
	select {
	case <-c.wake:
	case <-timer.C:
		if !time.Now().Before(next) {
			c.runner.admission.setBacklog(true)
		}
	case <-ctx.Done():
		return false
	}
	return true
}

// maxSleep is how long the claimer sleeps at most. Timers do not see that the clock was set, or the machine suspended.
const maxSleep = time.Minute

// claimAll claims until there are no slots or nothing is due.
func (c *claimer) claimAll(ctx context.Context) error {
	for c.gather(ctx) {
		slots := c.runner.admission.hold(MaxClaimBatch, max(1, int(c.probe.Load())))
		if slots == 0 {
			if c.looking.Load() {
				c.runner.admission.setBacklog(true) // woken again when a slot is free
			}
			return nil
		}
		if c.runner.writer.full() {
			c.runner.admission.setBacklog(true) // woken again when outcomes were recorded
			c.giveBack(slots)
			return nil
		}
		more, err := c.claim(ctx, slots)
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// gather waits until enough slots are free or the time has come. It reports false if ctx ended.
func (c *claimer) gather(ctx context.Context) bool {
	for ctx.Err() == nil {
		c.mu.Lock()
		wait := time.Until(c.last.Add(claimEvery))
		c.mu.Unlock()
		if wait <= 0 || !c.runner.admission.mostlyTaken() {
			return true
		}
		pauseUntilWoken(ctx, c.wake, wait)
	}
	return false
}

// claim claims up to so many tasks and hands them to the runner. It reports whether more are due. The claim itself is not
// broken off when the runner stops: a task that was claimed and not heard of would stay so until the next start.
func (c *claimer) claim(ctx context.Context, slots int) (more bool, err error) {
	now := time.Now()
	c.mu.Lock()
	c.last = now
	c.next = time.Time{} // before the claim: what is recorded meanwhile sets it again
	c.mu.Unlock()
	c.looking.Store(false)
	c.begun.Add(1)
	claimed, err := c.runner.config.Store.Claim(context.WithoutCancel(ctx), now, store.Claim{
		Runner: c.runner.config.Name, Node: c.runner.system.Node(), Kinds: c.runner.kindNames, Limit: slots,
	})
	c.answered.Add(1)
	if err != nil {
		c.giveBack(slots)
		c.due(now, now) // try again
		return false, err
	}
	c.runner.admission.claimed(slots, len(claimed.Tasks))
	c.accept(claimed.Tasks)
	more = !claimed.Next.IsZero() && !claimed.Next.After(now)
	c.probe.Store(nextProbe(c.probe.Load(), more))
	c.runner.admission.setBacklog(more)
	if !claimed.Next.IsZero() && !more {
		c.expect(claimed.Next)
	}
	if len(claimed.Tasks) < slots {
		c.offer()
	}
	return more, nil
}

// nextProbe is how many tasks to ask for at least next time. How many wait is known only of those that this process has put
// there; so it asks for more and more as long as there are more.
func nextProbe(probe int64, more bool) int64 {
	if !more {
		return 1
	}
	return min(4*max(1, probe), MaxClaimBatch)
}

// giveBack gives back slots that were held for nothing.
func (c *claimer) giveBack(slots int) {
	c.runner.admission.claimed(slots, 0)
	c.offer()
}

// offer has the runner give free slots to plain funcs, if any wait for one.
func (c *claimer) offer() {
	if c.runner.admission.hasLine() {
		c.runner.server().Cast(context.Background(), refill{})
	}
}

func (c *claimer) accept(tasks []store.Task) {
	if len(tasks) == 0 {
		return
	}
	runs := make([]*run, len(tasks))
	for i := range tasks {
		runs[i] = c.runner.recordedRun(&tasks[i])
	}
	c.runner.runs.add(runs...)
	c.runner.startRuns(runs...)
}

// recordedRun makes the run of a task that is running here according to the store.
func (r *TaskRunner) recordedRun(t *store.Task) *run {
	kind := r.kinds[t.Kind]
	p := kind.policy
	p.maxAttempts = t.MaxAttempts
	recorded := &run{
		runner: r,
		task:   refOf(*t), kind: kind, encoded: t.Args, last: t.Result, handle: kind.handle, policy: p, timeout: t.Timeout,
		durable: true, slot: true, stage: accepted,
	}
	if t.CancelRequested {
		recorded.told = ErrTaskCancelled
	}
	return recorded
}
