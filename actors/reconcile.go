package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// reconciler compares the runner and its store now and then. It belongs to one goroutine.
type reconciler struct {
	runner    *TaskRunner
	strays    map[store.RunID]int64 // recorded as running here, and unknown: since which claim
	uncounted int                   // how many times in a row the count was left as it is
}

// reconcile compares what runs here with what the store says runs here, in both directions.
//
// A run that the store does not know as running here any more was taken, because this process was thought dead: it is cancelled
// with the cause ErrTaken, and whatever comes of it, the store refuses.
//
// A run that is recorded here and that nobody here knows comes of an answer that was lost: it is given back, without using an
// attempt. It may also be on its way here, so it must have been so once before, and a claim under way then must have come to its
// end since.
func (c *reconciler) reconcile(ctx context.Context) error {
	r := c.runner
	here := r.runs.underWay()
	claims, claiming := r.claimer.claims()
	recorded, err := r.config.Store.Running(ctx, r.config.Name, r.system.Node())
	if err != nil {
		return fmt.Errorf("actors: which tasks run here: %w", err)
	}
	there := make(map[store.RunID]bool, len(recorded))
	for _, id := range recorded {
		there[id] = true
	}
	for id, run := range here {
		if !there[id] && run.isUnderWay() {
			r.config.Logger.Warn("a task was taken from this process", "runner", r.config.Name, "task", id.TaskID, "run", id.Run)
			run.tell(ErrTaken)
		}
	}
	lost := c.lost(recorded, claims, claiming)
	if len(lost) > 0 {
		if err := c.giveBack(ctx, lost); err != nil {
			return err
		}
	}
	return c.count(ctx)
}

// lost are the strays that cannot be on their way any more. claims is how many claims had been answered before the store was
// asked, and claiming whether one was under way.
func (c *reconciler) lost(recorded []store.RunID, claims int64, claiming bool) (lost []store.RunID) {
	if claiming {
		claims++
	}
	strays := map[store.RunID]int64{}
	for _, id := range recorded {
		if c.runner.runs.knows(id) {
			continue
		}
		since, before := c.strays[id]
		switch answered, _ := c.runner.claimer.claims(); {
		case !before:
			strays[id] = claims
		case answered >= since:
			lost = append(lost, id)
		default:
			strays[id] = since
		}
	}
	c.strays = strays
	return lost
}

func (c *reconciler) giveBack(ctx context.Context, lost []store.RunID) error {
	c.runner.config.Logger.Warn("tasks were recorded as running here and did not: they are given back", "runner", c.runner.config.Name, "tasks", len(lost))
	outcomes := make([]store.Outcome, len(lost))
	for i, id := range lost {
		outcomes[i] = store.Outcome{TaskID: id.TaskID, Run: id.Run, To: store.Available, FinishedAt: time.Now()}
	}
	refused, err := c.runner.config.Store.Finish(ctx, outcomes)
	for _, why := range refused {
		if why == nil { // else it has found its way meanwhile
			c.runner.admission.changeStored(0, 1)
		}
	}
	return err
}

// countPatience is how many times in a row the count of waiting tasks is left as it is because this process is busy.
const countPatience = 6

// count corrects how many tasks wait by what the store says, since other processes put tasks there and take them, or transactions of
// the caller's. While this process itself does so, the two cannot be compared: where no other process is, it is left for the next time,
// but not for ever.
func (c *reconciler) count(ctx context.Context) error {
	c.uncounted++
	_, corrected, err := c.runner.countWaiting(ctx, c.runner.shared || c.uncounted > countPatience)
	if corrected {
		c.uncounted = 0
	}
	return err
}
