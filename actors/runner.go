package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// What the runner is told.
type (
	startRuns     []*run             // cast: accepted, start them
	cancelWaiting struct{ run *run } // cast: a plain func that has not started
	refill        struct{}           // cast: slots may be free
	recordedRuns  []*run             // info: the store has answered
)

// runner is the TaskRunner's server. It runs no handler and waits for no store. Its mailbox only says what has changed: how
// far each run has come stands in the run itself, so a runner that is restarted goes on with all of them.
type runner struct {
	*TaskRunner
	queue []*run                // plain funcs that wait for a slot, oldest first
	down  map[messages.Ref]*run // whose end is awaited
	turn  bool                  // a free slot goes to recorded tasks and to the queue by turns

	loops    []messages.PID // the writer, the claimer and the reporter
	draining bool
}

func newRunner(r *TaskRunner) *runner {
	return &runner{TaskRunner: r, down: map[messages.Ref]*run{}}
}

// Init starts the loops beside the runner and takes up what an earlier incarnation has left (nothing, at first).
func (s *runner) Init(ctx context.Context) error {
	if s.config.Store != nil {
		for _, loop := range []func(context.Context) error{s.claimer.run, s.reporter.run, s.writer.run} {
			pid, err := s.system.SpawnFunc(ctx, loop, process.Options{Link: true})
			if err != nil {
				return err
			}
			s.loops = append(s.loops, pid)
		}
	}
	for _, r := range s.runs.list() {
		s.step(ctx, r)
	}
	s.fill(ctx)
	poke(s.claimer.wake)
	return nil
}

// step takes a run one stage further, from wherever it is.
func (s *runner) step(ctx context.Context, r *run) {
	r.mu.Lock()
	stage := r.stage
	r.mu.Unlock()
	switch stage {
	case accepted:
		s.accept(ctx, r)
	case started:
		s.await(ctx, r)
	case decided:
		s.record(ctx, r)
	case recorded:
		s.settle(ctx, r)
	}
}

// HandleCast takes Run messages.
func (s *runner) HandleCast(ctx context.Context, message any) error {
	switch m := message.(type) {
	case startRuns:
		for _, r := range m {
			s.accept(ctx, r)
		}
	case refill:
		s.fill(ctx)
	case cancelWaiting:
		s.cancelWaiting(ctx, m.run)
	default:
		s.hook(ctx, message)
	}
	return nil
}

// HandleInfo takes completion messages. What it does not know is the user's.
func (s *runner) HandleInfo(ctx context.Context, message any) error {
	switch m := message.(type) {
	case messages.Down:
		r := s.down[m.Ref]
		if r == nil {
			break
		}
		delete(s.down, m.Ref)
		s.ended(ctx, r, m.Reason)
		s.fill(ctx)
		return nil
	case recordedRuns:
		for _, r := range m {
			s.settle(ctx, r)
		}
		s.wakeClaimer() // it may have waited for MaxUnrecorded
		return nil
	case messages.Exit:
		return m.Reason // one of the loops: a mistake of ours; the supervisor starts all anew
	}
	s.hook(ctx, message)
	return nil
}

// accept starts a run that has a slot, and queues one that has none.
func (s *runner) accept(ctx context.Context, r *run) {
	if r.hasSlot() {
		s.start(ctx, r)
		return
	}
	s.queue = append(s.queue, r)
	s.fill(ctx)
}

// start has the supervisor start a child for the run, and reports whether it took the run's turn. One that was cancelled
// before ends without a child.
func (s *runner) start(ctx context.Context, r *run) bool {
	r.mu.Lock()
	if r.stage != accepted {
		r.mu.Unlock()
		return false // an earlier incarnation of the runner has started it, or it was cancelled
	}
	r.stage, r.slot, r.startedAt = started, true, time.Now()
	err := r.told
	if err == nil {
		err = s.startChild(ctx, r)
	}
	if err != nil && r.ending == nil {
		r.ending = &ending{err: err, cause: r.told, at: time.Now()}
	}
	r.mu.Unlock()
	if err != nil {
		s.ended(ctx, r, err)
	} else {
		s.await(ctx, r)
	}
	return true
}

// startChild is called with the run's lock, so that nobody tells it to stop while its process is not known yet. It waits for
// the answer also if the runner is killed meanwhile: a child that nobody knows of would run beside the next try.
func (s *runner) startChild(ctx context.Context, r *run) (err error) {
	r.pid, err = s.tasks.start(context.WithoutCancel(ctx), r.task.TaskID, func(ctx context.Context) error { return r.work(ctx, s.TaskRunner) })
	if err != nil {
		return fmt.Errorf("%w: %w", messages.Snooze(childPause), err)
	}
	if r.timeout > 0 {
		r.killAfter(s.system, r.timeout+s.config.Grace)
	}
	return nil
}

// childPause is how long a task is put off when the task supervisor could not start it: it is being restarted.
const childPause = time.Second

func (s *runner) await(ctx context.Context, r *run) {
	s.down[s.system.Monitor(ctx, r.pid)] = r
}

// ended decides what becomes of a run whose process is gone, and frees its slot.
func (s *runner) ended(ctx context.Context, r *run, reason error) {
	now := time.Now()
	r.mu.Lock()
	if r.stage != started {
		r.mu.Unlock()
		return
	}
	if r.ending == nil {
		r.ending = r.abandoned(now, reason)
	}
	r.stopKiller()
	r.fate = s.decide(r, now)
	r.stage = decided
	r.mu.Unlock()
	s.admission.change(-1, 0)
	s.record(ctx, r)
}

// decide is decideFate with time and chance. It asks the user's code (WithDecide, and the Is and As of the error), which
// may panic; then the task is tried again as if it had said nothing.
func (s *runner) decide(r *run, now time.Time) (f fate) {
	defer func() {
		if value := recover(); value != nil {
			err := fmt.Errorf("actors: the decision on the error panicked: %v", value)
			f = decideVerb(messages.Decision{Verb: messages.VerbRetry, Err: err}, r.task.Attempt, r.policy, now, rand.Float64())
		}
		if s.draining && !r.durable && !f.state.Final() {
			f = fate{state: store.Cancelled, err: ErrStopping} // nobody is there to run it again
		}
	}()
	return decideFate(*r.ending, r.task.Attempt, r.policy, now, rand.Float64())
}

// record hands the fate to the store; without one, it counts at once.
func (s *runner) record(ctx context.Context, r *run) {
	if r.durable {
		s.writer.put(r)
		return
	}
	s.settle(ctx, r)
}

// settle tells everybody what has become of the run: the user's hook, and whoever waits for the task if that is final.
func (s *runner) settle(ctx context.Context, r *run) {
	r.mu.Lock()
	if r.stage == settled || r.stage < decided {
		r.mu.Unlock()
		return
	}
	r.stage = settled
	f, refused := r.fate, r.refused
	r.mu.Unlock()
	if refused != nil {
		s.runs.remove(r)
		s.config.Logger.Error("the store refused an outcome", "runner", s.config.Name, "task", r.task.TaskID,
			"run", r.task.Run, "state", string(f.state), "error", refused)
		return
	}
	message := r.message()
	switch {
	case f.state.Final():
		s.runs.remove(r)
		s.promises.keep(r)
	case r.durable:
		s.runs.remove(r)
		s.admission.change(0, 1)
		s.claimer.due(whenAgain(f), time.Now())
	default:
		s.againLater(r, f)
	}
	s.hook(ctx, message) // last: it may end the runner's goroutine
}

// cancelWaiting ends a plain func that has not started, without waiting for a slot.
func (s *runner) cancelWaiting(ctx context.Context, r *run) {
	r.mu.Lock()
	waiting := r.stage == accepted && !r.slot
	if waiting {
		r.putBack(fate{state: store.Cancelled, err: ErrTaskCancelled})
	}
	r.mu.Unlock()
	if waiting {
		s.admission.change(0, -1)
		s.settle(ctx, r)
	}
}

// whenAgain is when a task runs again; one that was given back could at once, but its runner is about to stop.
func whenAgain(f fate) time.Time {
	if f.at.IsZero() {
		return time.Now()
	}
	return f.at
}

// againLater has a plain func run again when its time has come.
func (s *runner) againLater(r *run, f fate) {
	r.again()
	s.admission.change(0, 1)
	server := s.server()
	time.AfterFunc(time.Until(whenAgain(f)), func() { server.Cast(context.Background(), startRuns{r}) })
}

// fill gives free slots to what waits: to the queue and, by turns if both have something, to recorded tasks.
func (s *runner) fill(ctx context.Context) {
	for len(s.queue) > 0 {
		if s.turn = !s.turn; s.turn && s.admission.hasBacklog() {
			break
		}
		if !s.admission.begin() {
			break
		}
		r := s.queue[0]
		s.queue[0] = nil
		if s.queue = s.queue[1:]; !s.start(ctx, r) {
			s.admission.change(-1, 1) // whoever took it has counted it
		}
	}
	s.wakeClaimer()
}

func (s *runner) wakeClaimer() {
	if s.config.Store != nil && s.admission.hasBacklog() {
		poke(s.claimer.wake)
	}
}

// hook runs the user's HandleInfo. It is an observer: its panic is logged, and the runner goes on. A Goexit ends the
// runner's goroutine; the supervisor starts it anew, and nothing is lost.
func (s *runner) hook(ctx context.Context, message any) {
	if s.config.HandleInfo == nil || message == nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			s.config.Logger.Error("HandleInfo panicked", "runner", s.config.Name, "panic", value, "stack", string(debug.Stack()))
		}
	}()
	s.config.HandleInfo(ctx, message)
}

// message is what the hook is told of a run; nil for one that was given back, which had no outcome.
func (r *run) message() any {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.fate.state {
	case store.Completed:
		return messages.Completed{TaskRef: r.task, Result: r.ending.result, Value: r.ending.value, StartedAt: r.startedAt, FinishedAt: r.ending.at}
	case store.Retryable, store.Discarded:
		return messages.Failed{TaskRef: r.task, Reason: r.fate.err, RetryAt: r.fate.at, StartedAt: r.startedAt, FinishedAt: r.ending.at}
	case store.Cancelled:
		return messages.Cancelled{TaskRef: r.task, Reason: r.fate.err, FinishedAt: r.ending.at}
	case store.Scheduled:
		return messages.Snoozed{TaskRef: r.task, Until: r.fate.at}
	}
	return nil
}
