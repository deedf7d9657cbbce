package actors

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// What the runner is told.
type (
	runsAccepted  struct{}           // cast: see TaskRunner.startRuns
	cancelWaiting struct{ run *run } // cast: a plain func that has not started
	refill        struct{}           // cast: slots may be free
	childrenEnded struct{}           // info: see child.Ended
	recordedRuns  []*run             // info: the store has answered
)

// runner is the TaskRunner's server. It runs no handler and waits for no store. Its mailbox only says what has changed: how
// far each run has come stands in the run itself, so a runner that is restarted goes on with all of them.
type runner struct {
	*TaskRunner
	queue []*run // plain funcs that wait for a slot, oldest first
	turn  bool   // a free slot goes to recorded tasks and to the queue by turns

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
	return &runner{TaskRunner: r}
}

// Init starts the loops beside the runner and takes up what an earlier incarnation has left; the first one, what is in the
// store. By now the runner has its name, so nobody else of this name runs here.
func (s *runner) Init(ctx context.Context) error {
	if err := s.resume(ctx); err != nil {
		return err
	}
	if s.config.Store != nil {
		loops := []func(context.Context) error{s.claimer.run, s.keeper.run, s.follower.run, s.reporter.run, s.writer.run}
		if s.shared {
			loops = append(loops, s.recounter.run)
		}
		for _, loop := range loops {
			pid, err := StartTaskLink(ctx, Unsupervised(s.system), loop)
			if err != nil {
				return err
			}
			s.loops = append(s.loops, pid)
		}
	}
	s.handleEnds(ctx)
	s.arrived.take() // they are among those here
	for _, r := range s.runs.list() {
		s.step(ctx, r)
	}
	s.fill(ctx)
	s.flushHook(ctx)
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
		s.accept(ctx, []*run{r})
	case started: // its child ends, or whoever was about to start it says that it is not
	case decided:
		s.record(ctx, r)
	case recorded:
		s.settle(ctx, r)
	}
}

// HandleCast takes Run messages.
func (s *runner) HandleCast(ctx context.Context, message any) error {
	defer s.flushHook(ctx)
	switch m := message.(type) {
	case runsAccepted:
		s.accept(ctx, s.arrived.take())
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
		s.hook(message)
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
	defer s.flushHook(ctx)
	switch m := message.(type) {
	case childrenEnded:
		s.handleEnds(ctx)
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
	s.hook(message)
	return nil
}

// accept starts the runs that have a slot, and queues those that have none; one that is not due comes back when it is.
func (s *runner) accept(ctx context.Context, runs []*run) {
	starting := make([]*run, 0, len(runs))
	for _, r := range runs {
		if r.hasSlot() {
			starting = append(starting, r)
			continue
		}
		s.enqueue(r)
	}
	s.launch(ctx, starting)
	s.fill(ctx)
}

func (s *runner) enqueue(r *run) {
	if r.wait(time.Now(), func() { s.startRuns(r) }) {
		return
	}
	if r.joinLine() {
		s.admission.lineUp(1)
	}
	s.queue = append(s.queue, r)
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
	r.back = r.durable && !r.fate.state.Final()
	back := r.back
	r.mu.Unlock()
	if back {
		s.admission.comeBack()
	} else {
		s.admission.change(-1, 0)
	}
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
	f, refused, back := r.fate, r.refused, r.back
	r.mu.Unlock()
	waits := r.durable && refused == nil && !f.state.Final()
	if back || waits {
		s.admission.cameBack(back, waits)
	}
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
		s.promises.keep(r, message)
	case r.durable:
		s.runs.remove(r)
		s.claimer.due(whenAgain(f), time.Now())
	default:
		r.again(whenAgain(f))
		s.admission.change(0, 1)
		s.enqueue(r)
	}
	s.hook(message)
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
	for _, r := range s.launch(ctx, s.fromQueue()) {
		_ = r // an earlier incarnation, not quite dead, has taken it in this moment
		s.admission.change(-1, 1)
		s.admission.lineUp(1)
	}
	s.wakeClaimer()
}

// fromQueue takes those from the queue for which there are slots.
func (s *runner) fromQueue() (begun []*run) {
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
		s.dequeue()
		begun = append(begun, r)
	}
	return begun
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
