package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// Handle is a task that was accepted. Its methods are safe from any goroutine.
type Handle[R any] struct {
	runner  *TaskRunner
	id      string
	task    store.Task
	existed bool
	promise *promise // of a task that is not recorded
}

// ID is the task's id, a UUID.
func (h *Handle[R]) ID() string { return h.id }

// Task is the task as it was recorded when it was accepted; for a task that is not recorded only its ID, Runner and Kind.
func (h *Handle[R]) Task() store.Task { return h.task }

// Existed says that a task of this id was there already (WithID), so that nothing was recorded; or that this very call has recorded it,
// but the store had to ask again because the answer was lost.
func (h *Handle[R]) Existed() bool { return h.existed }

// Await waits for the task's final outcome: the value, or a *TaskError, which of a recorded task that had ended before
// has only the text of the reason. It fails with ErrStopping if the runner stops first
// (a recorded task then runs when a runner of this name is started again), and with the cause of ctx when that ends; the
// task goes on. Any number of callers may await, also later again. In the task's own handler and in HandleInfo, with their
// contexts, it is ErrCallingSelf.
func (h *Handle[R]) Await(ctx context.Context) (R, error) {
	if h.promise != nil {
		var none R
		if err := h.runner.refuseSelfAwait(ctx, h.id); err != nil {
			return none, err
		}
		if err := h.promise.wait(ctx); err != nil {
			return none, err
		}
		return valueOf[R](h.id, h.promise)
	}
	return Await[R](ctx, h.runner, h.id)
}

// Cancel cancels the task; see TaskRunner.Cancel. That the task has ended already is no error.
func (h *Handle[R]) Cancel(ctx context.Context) error {
	_, err := h.runner.Cancel(ctx, h.id)
	if _, ended := errors.AsType[*store.StateError](err); ended || h.promise != nil && errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// refuseSelfAwait is for those who would wait for themselves: the handler of the task, and the runner's HandleInfo.
func (r *TaskRunner) refuseSelfAwait(ctx context.Context, id string) error {
	if c := taskOf(ctx); r.inServer(ctx) || c != nil && c.run.task.TaskID == id {
		return ErrCallingSelf
	}
	return nil
}

// Await waits for the final outcome of a recorded task, by its id; see Handle.Await. An unknown id is store.ErrNotFound.
func Await[R any](ctx context.Context, runner *TaskRunner, id string) (R, error) {
	var none R
	if runner.config.Store == nil {
		return none, ErrNoStore
	}
	if err := runner.refuseSelfAwait(ctx, id); err != nil {
		return none, err
	}
	promise, err := runner.awaitRecorded(ctx, id)
	if err != nil {
		return none, err
	}
	return valueOf[R](id, promise)
}

// Run has the runner run a task of this kind, and returns when that is certain and not when it is done: with a store, when
// the task is recorded. R is the type of the result that Await will give; it is the handler's, or one that its JSON fits.
//
// The arguments are of the type that the handler takes; a json.RawMessage is decoded into it. The handler's first attempt gets
// them as they are, so whoever keeps a pointer, map or slice in them must not change it any more. What is refused is refused
// before anything is recorded: ErrUnknownKind, an *ArgsError, a *FullError (unless WithWait), ErrStopping, and what the store
// says. Only with store.ErrUnavailable, which is also the answer if ctx ends while the store is being asked, the task may have been
// accepted all the same; to ask again with the same WithID tells.
//
// Options: WithTimeout, WithMaxAttempts, WithPriority, WithID, WithScheduledAt, WithDelay, WithWait.
func Run[R, A any](ctx context.Context, runner *TaskRunner, kind string, args A, given ...Option) (*Handle[R], error) {
	handles, err := RunMany[R](ctx, runner, kind, []A{args}, given...)
	if err != nil {
		return nil, err
	}
	return handles[0], nil
}

// RunMany is Run for many tasks of one kind: all are accepted or none. The handles are in the order of the arguments.
// WithID is not for it.
func RunMany[R, A any](ctx context.Context, runner *TaskRunner, kind string, args []A, given ...Option) ([]*Handle[R], error) {
	o, err := gather(given, ofRun, "Run")
	if err != nil {
		return nil, err
	}
	if o.id != "" && len(args) != 1 {
		return nil, fmt.Errorf("actors: RunMany: WithID is for one task, not for %d", len(args))
	}
	runs, err := newRuns(runner, kind, args, o)
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	inserted, err := runner.accept(ctx, runs, o)
	if err != nil {
		return nil, err
	}
	handles := make([]*Handle[R], len(runs))
	for i, r := range runs {
		in := r.inserted(inserted, i)
		handles[i] = &Handle[R]{runner: runner, id: in.ID, task: in.Task, existed: in.Existed, promise: r.promise}
	}
	return handles, nil
}

// RunFunc has the runner run a plain func. It is never recorded: it is gone with the process. It is tried once unless
// WithMaxAttempts says more.
//
// Options: WithTimeout, WithMaxAttempts, WithBackoff, WithDelay, WithScheduledAt, WithWait.
func RunFunc[R any](ctx context.Context, runner *TaskRunner, f func(ctx context.Context) (R, error), given ...Option) (*Handle[R], error) {
	o, err := gather(given, ofFunc, "RunFunc")
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return nil, errors.New("actors: RunFunc: the func is nil")
	case runner.config.InsertOnly:
		return nil, errors.New("actors: RunFunc: the runner is InsertOnly: it runs nothing")
	}
	r := newRun(runner, "", policy{maxAttempts: max(1, o.maxAttempts), backoff: o.backoff.withDefaults()}, o)
	r.handle = func(ctx context.Context, _ any) (any, error) { return f(ctx) }
	inserted, err := runner.accept(ctx, []*run{r}, o)
	if err != nil {
		return nil, err
	}
	return &Handle[R]{runner: runner, id: r.task.TaskID, task: r.inserted(inserted, 0).Task, promise: r.promise}, nil
}

// newRuns checks the arguments and makes the runs; nothing is taken or recorded yet.
func newRuns[A any](runner *TaskRunner, kind string, args []A, o options) ([]*run, error) {
	k := runner.kinds[kind]
	if k == nil {
		return nil, fmt.Errorf("%w: runner %q knows no %q", ErrUnknownKind, runner.config.Name, kind)
	}
	runs := make([]*run, len(args))
	for i, a := range args {
		r, err := newKindRun(runner, k, a, o)
		if err != nil {
			return nil, &ArgsError{Kind: kind, Index: i, Err: err}
		}
		runs[i] = r
	}
	return runs, nil
}

// newKindRun runs code of the user's: its checks, its keys, its MarshalJSON.
func newKindRun(runner *TaskRunner, k *KindSpec, args any, o options) (r *run, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &messages.PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	accepted, err := k.accept(args)
	if err != nil {
		return nil, err
	}
	p := k.policy
	if o.maxAttempts > 0 {
		p.maxAttempts = o.maxAttempts
	}
	if o.timeout == 0 {
		o.timeout = k.options.timeout
	}
	if !o.prioritized {
		o.priority = k.options.priority
	}
	r = newRun(runner, k.name, p, o)
	r.kind, r.handle, r.args = k, k.handle, accepted
	if runner.config.Store != nil {
		r.durable = true
		r.encoded, err = k.encode(accepted)
	}
	return r, err
}

func newRun(runner *TaskRunner, kind string, p policy, o options) *run {
	return &run{
		runner: runner,
		task: messages.TaskRef{
			TaskID: o.id, Kind: kind, Runner: runner.config.Name, Run: 1, Attempt: 1, MaxAttempts: p.maxAttempts,
		},
		policy: p, timeout: o.timeout, priority: o.priority, trace: o.trace,
	}
}

// accept takes new runs in, all or none: room, id, record, and a message to the runner, in this order. It gives what was recorded.
func (r *TaskRunner) accept(ctx context.Context, runs []*run, o options) ([]store.Inserted, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	durable := runs[0].durable
	if o.id != "" && !durable {
		return nil, fmt.Errorf("%w: WithID needs one", ErrNoStore)
	}
	if err := nameRuns(runs); err != nil {
		return nil, err
	}
	now := time.Now()
	at := o.startAt(now)
	later := at.After(now)
	start, err := r.admit(ctx, ticket{tasks: len(runs), later: later, plain: !durable, waits: o.wait})
	if err != nil {
		return nil, err
	}
	for i, run := range runs {
		run.slot = i < start
		run.inLine = !durable && !later && !run.slot
	}
	if !durable {
		defer r.admission.leave()
		r.acceptPlain(runs, at)
		return nil, nil
	}
	return r.acceptRecorded(ctx, runs, start, at, now)
}

// acceptMargin is how long past a caller's context the store may take for its answer. It needs some milliseconds; what is cut short
// may be recorded nevertheless, and then nobody here knows of it.
const acceptMargin = time.Second

// acceptRecorded has the tasks recorded, and returns when ctx ends, although the store may need longer: what it has begun it may
// record although its caller does not wait for the answer, and then somebody must run it. So it gets some time more, and a stopping
// runner waits for it. What is recorded although the store answers with an error, or not at all, the keeper finds.
func (r *TaskRunner) acceptRecorded(ctx context.Context, runs []*run, start int, at, now time.Time) ([]store.Inserted, error) {
	type answer struct {
		inserted []store.Inserted
		err      error
	}
	answers := make(chan answer, 1)
	patient, cancel := context.WithCancel(context.WithoutCancel(process.Outside(ctx)))
	go func() {
		defer r.admission.leave()
		defer cancel()
		inserted, err := r.insert(patient, runs, start, at, now)
		if err != nil {
			r.admission.changeStored(-start, start-len(runs))
		}
		answers <- answer{inserted, err}
	}()
	select {
	case a := <-answers:
		return a.inserted, a.err
	case <-ctx.Done():
		time.AfterFunc(acceptMargin, cancel)
		return nil, fmt.Errorf("actors: %w yet, and the tasks may be recorded all the same: %w", store.ErrUnavailable, context.Cause(ctx))
	}
}

// nameRuns gives ids to those that have none: UUIDv7, which sort by time.
func nameRuns(runs []*run) error {
	for _, run := range runs {
		if run.task.TaskID != "" {
			if err := store.ValidID("WithID", run.task.TaskID); err != nil {
				return fmt.Errorf("actors: %w", err)
			}
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("actors: make a task id: %w", err)
		}
		run.task.TaskID, run.fresh = id.String(), true
	}
	return nil
}

// acceptPlain takes in tasks that are not recorded.
func (r *TaskRunner) acceptPlain(runs []*run, at time.Time) {
	for _, run := range runs {
		run.promise, run.due, run.stage = r.promises.forPlain(), at, accepted
	}
	r.runs.add(runs...)
	r.startRuns(runs...)
}

// inserted is what was recorded of the run with this place among those that were accepted; of one that is not recorded, what is known.
func (r *run) inserted(all []store.Inserted, place int) store.Inserted {
	if r.durable {
		return all[place]
	}
	return store.Inserted{Task: store.Task{ID: r.task.TaskID, Runner: r.task.Runner, Kind: r.task.Kind, MaxAttempts: r.policy.maxAttempts}}
}

// insert records tasks: those that have a slot as already running here. These are entered before they are recorded, so that
// whoever sees them in the store can cancel them.
func (r *TaskRunner) insert(ctx context.Context, runs []*run, start int, at, now time.Time) ([]store.Inserted, error) {
	tasks := make([]store.NewTask, len(runs))
	for i, run := range runs {
		tasks[i] = run.newTask(at)
		if run.slot {
			tasks[i].Node = r.system.Node()
		}
	}
	starting := runs[:start]
	r.runs.reserve(starting...)
	inserted, err := r.config.Store.Insert(ctx, now, tasks)
	r.admission.arrived(len(runs) - start)
	if err != nil {
		for _, run := range starting {
			r.runs.remove(run)
		}
		return nil, err
	}
	if starting = r.forgetExisting(runs, inserted, start); len(starting) > 0 {
		for _, run := range starting {
			run.enter()
		}
		r.runs.add(starting...) // a caller with the same id may have the place, and fail
		r.startRuns(starting...)
	}
	if start < len(runs) {
		due := at
		if !at.After(now) {
			due = now
		}
		r.claimer.due(due, now)
	}
	return inserted, nil
}

// runByMessage is Run for arguments that are encoded.
func (r *TaskRunner) runByMessage(ctx context.Context, m messages.Run) error {
	if r.config.Store == nil || m.TaskID == "" { // without a store nobody could know it again
		named, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("actors: make a task id: %w", err)
		}
		m.TaskID = named.String()
	}
	return r.Submit(ctx, []messages.Run{m})[0].Err
}

// forgetExisting gives back what was taken for tasks that were there already, and gives those that are to be started.
func (r *TaskRunner) forgetExisting(runs []*run, inserted []store.Inserted, start int) []*run {
	starting := make([]*run, 0, start)
	for i, run := range runs {
		switch {
		case !inserted[i].Existed && run.slot:
			starting = append(starting, run)
		case inserted[i].Existed && run.slot:
			r.runs.remove(run)
			r.admission.changeStored(-1, 0)
		case inserted[i].Existed:
			r.admission.changeStored(0, -1)
		}
	}
	return starting
}

func (r *run) newTask(at time.Time) store.NewTask {
	return store.NewTask{
		ID: r.task.TaskID, Runner: r.task.Runner, Kind: r.task.Kind, Key: r.kind.key(r.args), Args: r.encoded,
		MaxAttempts: r.policy.maxAttempts, Timeout: r.timeout, Priority: r.priority, ScheduledAt: at, Fresh: r.fresh,
	}
}
