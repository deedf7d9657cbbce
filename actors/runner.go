package actors

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/supervisor"
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

// ProcessTitle says what it is, for those who look at the process.
func (s *runner) ProcessTitle() string { return "task runner" }

// FormatStatus is what is shown of its state: not what its tasks carry.
func (s *runner) FormatStatus() any {
	running, waiting := s.admission.counts()
	return fmt.Sprintf("running %d, waiting %d, queued here %d", running, waiting, len(s.queue))
}

func newRunner(r *TaskRunner) *runner {
	return &runner{TaskRunner: r, down: map[messages.Ref]*run{}}
}

// Init starts the loops beside the runner and takes up what an earlier incarnation has left; the first one, what is in the
// store. By now the runner has its name, so nobody else of this name runs here.
func (s *runner) Init(ctx context.Context) error {
	if err := s.resume(ctx); err != nil {
		return err
	}
	if s.config.Store != nil {
		for _, loop := range []func(context.Context) error{s.claimer.run, s.keeper.run, s.follower.run, s.reporter.run, s.writer.run} {
			pid, err := StartTaskLink(ctx, Unsupervised(s.system), loop)
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
	case entering: // its caller casts it when it is recorded
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
	case messages.Run:
		return s.runMessage(ctx, m)
	case *messages.Run:
		if m != nil {
			return s.runMessage(ctx, *m)
		}
	default:
		s.hook(ctx, message)
	}
	return nil
}

// HandleCall refuses: a runner is asked by its methods. Without it a call would end the runner.
func (s *runner) HandleCall(_ context.Context, request any, _ From) (any, error) {
	return nil, fmt.Errorf("%w: runner %q, %T", ErrNotHandled, s.config.Name, request)
}

// runMessage takes a Run that was cast by somebody who has no Go types for it. Nobody waits for an answer, so the hook is
// told of a refusal. It is recorded in a process of its own: the runner never waits for the store.
func (s *runner) runMessage(ctx context.Context, m messages.Run) error {
	_, err := StartTask(ctx, Unsupervised(s.system), func(ctx context.Context) error {
		if err := s.runByMessage(ctx, m); err != nil {
			s.config.Logger.Warn("a Run message was refused", "runner", s.config.Name, "kind", m.Kind, "task", m.TaskID, "error", err)
			ref := messages.TaskRef{TaskID: m.TaskID, Kind: m.Kind, Runner: s.config.Name, MaxAttempts: m.MaxAttempts}
			s.server().Info(ctx, messages.Failed{TaskRef: ref, Reason: err, FinishedAt: time.Now()})
		}
		return nil
	})
	return err
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
		if slices.Contains(s.loops, m.From) {
			return m.Reason // a mistake of ours; the supervisor starts all anew
		}
	}
	s.hook(ctx, message)
	return nil
}

// accept starts a run that has a slot, and queues one that has none; it comes back when it is due.
func (s *runner) accept(ctx context.Context, r *run) {
	if r.hasSlot() {
		s.start(ctx, r)
		return
	}
	server := s.server()
	if r.wait(time.Now(), func() { server.Cast(context.Background(), startRuns{r}) }) {
		return
	}
	if r.joinLine() {
		s.admission.lineUp(1)
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
		if err = s.startChild(ctx, r); err != nil && ctx.Err() != nil {
			r.stage = accepted // the server was killed in this moment: the next incarnation starts it
			r.mu.Unlock()
			return true
		}
	}
	if err != nil && r.ending == nil {
		r.ending = &ending{err: err, told: r.told, at: time.Now()}
		r.fate = decideFate(*r.ending, r.task.Attempt, policy{}, time.Now(), 0)
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
	r.pid, err = s.tasks.Load().start(context.WithoutCancel(ctx), taskStart{
		id: r.task.TaskID, options: taskOptions{restart: supervisor.Temporary, shutdown: s.config.Grace},
		run: func(ctx context.Context) error { return r.work(ctx, s.TaskRunner) }, process: process.Options{What: r},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", messages.Snooze(childPause), err)
	}
	if r.timeout > 0 {
		r.killAfter(s.system, longer(r.timeout, s.config.Grace))
	}
	return nil
}

// childPause is how long a task is put off when the task supervisor could not start it: the system is stopping.
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
		p := policy{maxAttempts: r.policy.maxAttempts, backoff: r.policy.backoff} // without code of the user's
		r.fate = decideFate(*r.ending, r.task.Attempt, p, now, rand.Float64())
	}
	r.stopKiller()
	if s.draining && !r.durable && !r.fate.state.Final() {
		r.fate = failed(store.Cancelled, ErrStopping) // nobody is there to run it again
	}
	r.stage = decided
	r.mu.Unlock()
	s.admission.change(-1, 0)
	s.record(ctx, r)
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
		s.promises.lookAgain(r.task.TaskID)
		s.config.Logger.Log(ctx, refusedLevel(r), "the store refused an outcome", "runner", s.config.Name, "task", r.task.TaskID,
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
		s.admission.changeStored(0, 1)
		s.claimer.due(whenAgain(f), time.Now())
	default:
		r.again(whenAgain(f))
		s.admission.change(0, 1)
		s.accept(ctx, r)
	}
	s.hook(ctx, message)
}

// refusedLevel is how loud it is that an outcome was refused: that a run which was taken away is refused is as it should be.
func refusedLevel(r *run) slog.Level {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == ErrTaken { //nolint:errorlint // it is ours, unwrapped
		return slog.LevelInfo
	}
	return slog.LevelError
}

// cancelWaiting ends a plain func that has not started, without waiting for a slot.
func (s *runner) cancelWaiting(ctx context.Context, r *run) {
	r.mu.Lock()
	waiting, inLine := r.stage == accepted && !r.slot, r.inLine
	if waiting {
		r.putBack(failed(store.Cancelled, ErrTaskCancelled))
		r.inLine = false
	}
	r.mu.Unlock()
	if !waiting {
		return
	}
	s.admission.change(0, -1)
	if inLine {
		s.admission.lineUp(-1)
	}
	s.settle(ctx, r)
}

// whenAgain is when a task runs again; one that was given back could at once, but its runner is about to stop.
func whenAgain(f fate) time.Time {
	if f.at.IsZero() {
		return time.Now()
	}
	return f.at
}

// fill gives free slots to what waits: to the queue and, if recorded tasks wait too, the last one by turns.
func (s *runner) fill(ctx context.Context) {
	for len(s.queue) > 0 {
		r := s.queue[0]
		if !r.inQueue() {
			s.dequeue() // it was cancelled
			continue
		}
		if s.admission.lastForBoth() {
			if s.turn = !s.turn; s.turn {
				break
			}
		}
		if !s.admission.begin() {
			break
		}
		if s.dequeue(); !s.start(ctx, r) {
			s.admission.change(-1, 1) // an earlier incarnation, not quite dead, has taken it in this moment
			s.admission.lineUp(1)
		}
	}
	s.wakeClaimer()
}

func (s *runner) dequeue() {
	s.queue[0] = nil
	s.queue = s.queue[1:]
}

func (s *runner) wakeClaimer() {
	if s.config.Store != nil && s.admission.hasBacklog() {
		poke(s.claimer.wake)
	}
}

// hook runs the user's HandleInfo and waits for it. It is an observer: its panic is logged, and the runner goes on. It has
// a goroutine of its own, because a Goexit could not be held up in the runner's.
func (s *runner) hook(ctx context.Context, message any) {
	if s.config.HandleInfo == nil || message == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if value := recover(); value != nil {
				s.config.Logger.Error("HandleInfo panicked", "runner", s.config.Name, "panic", value, "stack", string(debug.Stack()))
			}
		}()
		s.config.HandleInfo(ctx, message)
	}()
	<-done
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
