package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// Defaults of TaskRunnerConfig.
const (
	DefaultMaxChildren   = 100
	DefaultMaxWaiting    = 1_000_000
	DefaultMaxUnrecorded = 10_000
	DefaultDrainTimeout  = 10 * time.Second
	DefaultGrace         = 5 * time.Second
)

// TaskRunnerConfig configures a TaskRunner. Only Name is needed.
type TaskRunnerConfig struct {
	// Name registers the runner's process, and says in the store which tasks are its own. A second runner of the same name
	// in the same system, or on the same store, is refused.
	Name string

	// System is where the runner lives. Without one it makes its own, and Stop stops it.
	System *System

	// Store keeps every task and its outcome. Without one, tasks live in memory and are gone with the process. The runner
	// does not close it.
	Store store.Store

	// Kinds are the kinds of task that the runner knows. Recorded tasks of other kinds wait until a runner that knows them
	// is started.
	Kinds Kinds

	// InsertOnly has the runner take tasks, follow and change them, but run none: others of its name do, in other processes on
	// the same Store. Its kinds need no handlers.
	InsertOnly bool

	// HandleInfo is told every outcome (messages.Completed, Failed, Cancelled, Snoozed), after it was recorded, and every
	// message that the runner does not know. It runs in the runner, one message at a time: as long as it takes, nothing is
	// started and nothing else is told. Its panic is logged and touches nothing.
	HandleInfo func(ctx context.Context, message any)

	// MaxChildren is how many tasks run at once; zero is DefaultMaxChildren.
	MaxChildren int
	// MaxWaiting is how many tasks may wait to be run; zero is DefaultMaxWaiting. Beyond it Run gives a *FullError, or
	// waits (WithWait). Tasks that are put off or tried again count, but are never refused.
	MaxWaiting int
	// MaxUnrecorded is how many outcomes may wait for the store before the runner starts no more recorded tasks; zero is
	// DefaultMaxUnrecorded.
	MaxUnrecorded int

	// DrainTimeout is how long a stopping runner lets its tasks go on before it cancels them; zero is
	// DefaultDrainTimeout, a negative one cancels at once.
	DrainTimeout time.Duration
	// Grace is how long a handler that was told to stop (cancelled, timed out, runner stopping) may take before it is
	// abandoned: its task has its outcome then, and what its goroutine still does is only counted. Zero is DefaultGrace.
	Grace time.Duration

	// Retention says for how long recorded tasks are kept after their end.
	Retention Retention

	// Logger gets what goes wrong; nil: nobody does.
	Logger *slog.Logger
}

func (c TaskRunnerConfig) withDefaults() TaskRunnerConfig {
	setDefault(&c.MaxChildren, DefaultMaxChildren)
	setDefault(&c.MaxWaiting, DefaultMaxWaiting)
	setDefault(&c.MaxUnrecorded, DefaultMaxUnrecorded)
	setDefault(&c.DrainTimeout, DefaultDrainTimeout)
	setDefault(&c.Grace, DefaultGrace)
	c.Retention = c.Retention.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Store != nil {
		c.Store = guarded{c.Store}
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// slots is how many tasks may run here.
func (c TaskRunnerConfig) slots() int {
	if c.InsertOnly {
		return 0
	}
	return c.MaxChildren
}

func (c TaskRunnerConfig) validate() error {
	if c.InsertOnly && c.Store == nil {
		return errors.New("actors: TaskRunnerConfig: InsertOnly needs a Store, where other processes find the tasks")
	}
	if err := store.ValidName("Name", c.Name); err != nil {
		return fmt.Errorf("actors: TaskRunnerConfig: %w", err)
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"MaxChildren", int64(c.MaxChildren)}, {"MaxWaiting", int64(c.MaxWaiting)},
		{"MaxUnrecorded", int64(c.MaxUnrecorded)}, {"Grace", int64(c.Grace)},
	} {
		if limit.value < 0 {
			return fmt.Errorf("actors: TaskRunnerConfig: %s is %d, want a positive value", limit.name, limit.value)
		}
	}
	return c.Retention.validate()
}

// TaskRunner runs tasks. Its methods are safe from any goroutine.
//
// It is a supervisor of two in a [System], rest for one: a [TaskSupervisor], under which each run of a task is a child, and a
// GenServer, which takes Run messages, starts the children and is told of their ends. If the server dies it is started again
// and takes up the tasks that are still running; if the task supervisor dies, both are.
type TaskRunner struct {
	config    TaskRunnerConfig
	system    *System
	ownSystem bool
	kinds     map[string]*KindSpec
	kindNames []string

	tasks atomic.Pointer[TaskSupervisor] // the one that lives, or was the last to
	tree  *supervisor.Supervisor         // of the task supervisor and the server

	admission *admission
	runs      *runTable
	promises  *promises
	writer    *writer
	claimer   *claimer
	keeper    *keeper
	follower  *follower
	reporter  *reporter
	outcomes  announcement // of recorded outcomes
	departed  departures
	untold    untold

	release  func()          // of the runner's name on the store
	resumed  atomic.Bool     // what was in the store at the start is taken up
	stopping atomic.Bool     // somebody has called Stop
	drained  atomic.Bool     // the server has come to its end in order
	hurried  context.Context // ends when somebody who called Stop has no more time
	hurry    context.CancelCauseFunc
	watched  chan struct{} // closed when nothing of the runner is alive

	stopOnce sync.Once
	stopped  chan struct{}
	stopErr  error
}

// StartTaskRunner starts a runner, which goes on with the tasks that its store has for it: those that wait, and those that
// were running when their process died. It returns when the runner takes tasks. ctx is for the start alone.
func StartTaskRunner(ctx context.Context, config TaskRunnerConfig) (*TaskRunner, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	kinds, err := config.Kinds.index(config.InsertOnly)
	if err != nil {
		return nil, err
	}
	r := newTaskRunner(config, kinds)
	if err := r.start(process.Outside(ctx)); err != nil { // not linked to the caller: ctx is for the start alone
		r.hurry(err)
		if stopErr := r.stop(); !errors.Is(stopErr, err) {
			err = errors.Join(err, stopErr)
		}
		return nil, err
	}
	return r, nil
}

func newTaskRunner(config TaskRunnerConfig, kinds map[string]*KindSpec) *TaskRunner {
	r := &TaskRunner{
		config: config, system: config.System, kinds: kinds, stopped: make(chan struct{}), watched: make(chan struct{}),
		admission: newAdmission(config.Name, config.slots(), config.MaxWaiting),
		runs:      newRunTable(), promises: newPromises(),
	}
	for _, k := range config.Kinds {
		r.kindNames = append(r.kindNames, k.name)
	}
	r.writer, r.claimer, r.reporter = newWriter(r), newClaimer(r), newReporter(r)
	r.keeper, r.follower = newKeeper(r), newFollower(r)
	r.hurried, r.hurry = context.WithCancelCause(context.Background())
	if r.system == nil {
		r.system, r.ownSystem = NewSystem(SystemConfig{Logger: config.Logger}), true
	}
	return r
}

// start starts the task supervisor before the server, so that whoever stops (newest first) stops the server while its tasks
// still run; and rest for one, because without its task supervisor the server knows nothing that holds any more (SH-10).
func (r *TaskRunner) start(ctx context.Context) (err error) {
	if r.config.Store != nil {
		holder := store.Holder{Runner: r.config.Name, Node: r.system.Node(), Notify: r.notified}
		if r.release, err = r.config.Store.Hold(holder); err != nil {
			return fmt.Errorf("actors: TaskRunnerConfig: Name: %w", err)
		}
	}
	r.tree, err = supervisor.Start(ctx, r.system, supervisor.Config{
		Strategy: supervisor.RestForOne,
		Children: []supervisor.ChildSpec{r.taskSupervisorSpec(), r.serverSpec()},
	})
	if err != nil {
		if start, ok := errors.AsType[*supervisor.StartError](err); ok {
			return start.Err
		}
		return err
	}
	go r.watch()
	return nil
}

// notified passes on what the store says.
func (r *TaskRunner) notified(s store.Signal) {
	if s&store.SignalWork != 0 {
		r.claimer.look()
	}
	if s&(store.SignalCancels|store.SignalTaken) != 0 {
		r.keeper.ask(s)
	}
	if s&store.SignalOutcomes != 0 {
		poke(r.follower.wake)
		r.outcomes.announce()
	}
}

func (r *TaskRunner) taskSupervisorSpec() supervisor.ChildSpec {
	return supervisor.ChildSpec{
		ID: r.config.Name + ".tasks", Type: supervisor.TypeSupervisor,
		Start: func(ctx context.Context) (messages.PID, error) {
			tasks, err := StartTaskSupervisor(ctx, r.system, TaskSupervisorConfig{})
			if err != nil {
				return messages.PID{}, err
			}
			r.tasks.Store(tasks)
			return tasks.Supervisor().PID(), nil
		},
	}
}

// serverSpec gives the server all the time it needs to stop: it knows itself how long, from DrainTimeout, Grace and the context
// of Stop.
func (r *TaskRunner) serverSpec() supervisor.ChildSpec {
	spec := GenServerSpec(r.system, func() any { return newRunner(r) }, GenServerOptions{Name: messages.Name(r.config.Name), TrapExit: true})
	spec.Shutdown = supervisor.Infinity
	return spec
}

// watch waits for the end of the runner, whoever brings it about, and tells those who wait for its tasks. If it did not
// end in order, a part of it has crashed too often or somebody killed its supervisor: what is left goes too, since a runner
// that takes tasks and runs none would be worse than none. Recorded tasks run when a runner of its name is started again.
func (r *TaskRunner) watch() {
	defer close(r.watched)
	<-r.system.Done(r.tree.PID())
	r.admission.close()
	if !r.drained.Load() {
		if !r.stopping.Load() {
			r.config.Logger.Error("the runner is dead: it takes no more tasks", "runner", r.config.Name)
		}
		r.system.Kill(r.server().PID())
		r.system.Kill(r.tasks.Load().Supervisor().PID())
	}
	r.promises.fail(ErrStopping)
	r.letGo()
}

// letGo gives the runner's name on the store to whoever is started next.
func (r *TaskRunner) letGo() {
	if r.release != nil {
		r.release()
	}
}

// resume takes back what died with another process, and counts what waits. What the store believes to run here was cut
// short by an earlier runner of this name.
func (r *TaskRunner) resume(ctx context.Context) error {
	if r.config.Store == nil || r.resumed.Load() {
		return nil
	}
	now := time.Now()
	orphans, err := r.config.Store.Recover(ctx, now, r.config.Name)
	if err != nil {
		return fmt.Errorf("actors: take back orphaned tasks: %w", err)
	}
	if orphans > 0 {
		r.config.Logger.Warn("tasks of a process that died are taken back", "runner", r.config.Name, "tasks", orphans)
	}
	counts, err := r.config.Store.Counts(ctx, r.config.Name)
	if err != nil {
		return fmt.Errorf("actors: count waiting tasks: %w", err)
	}
	waiting := counts[store.Scheduled] + counts[store.Available] + counts[store.Retryable]
	r.admission.changeStored(0, int(waiting))
	if waiting > 0 {
		r.claimer.due(now, now)
	}
	r.resumed.Store(true)
	return nil
}

// server addresses the runner's GenServer, whichever incarnation lives.
func (r *TaskRunner) server() *GenServer { return Server(r.system, messages.Name(r.config.Name)) }

// Name is the name of the runner.
func (r *TaskRunner) Name() string { return r.config.Name }

// Server is the runner as a GenServer. A messages.Run that is cast to it is accepted as by Run; what it does not know of what it
// is sent goes to HandleInfo; a call is refused with ErrNotHandled.
func (r *TaskRunner) Server() *GenServer { return r.server() }

// Stop stops the runner in order. It refuses new tasks, lets the running ones go on for DrainTimeout, cancels those that
// still run with the cause ErrStopping, and after Grace abandons those that do not heed it. What did not finish goes back to
// the store, without using an attempt, and runs when a runner of this name is started again. When ctx ends, it hurries
// through all of this, and the answer is the cause of ctx.
//
// Stop is idempotent: every caller waits for the same stop, and each may hurry it. From HandleInfo, with its context, it is
// ErrCallingSelf.
func (r *TaskRunner) Stop(ctx context.Context) error {
	if r.inServer(ctx) {
		return ErrCallingSelf
	}
	unhook := context.AfterFunc(ctx, func() { r.hurry(context.Cause(ctx)) })
	defer unhook()
	r.stopOnce.Do(func() {
		go func() {
			defer close(r.stopped)
			r.stopErr = r.stop()
		}()
	})
	<-r.stopped
	return r.stopErr
}

// inServer reports whether ctx belongs to the runner's own server, for which to wait for the runner would be for ever.
func (r *TaskRunner) inServer(ctx context.Context) bool {
	self, ok := process.Self(ctx)
	return ok && self == r.server().PID()
}

// stopMargin is how long past a caller's context a stop may take to put back what it has cut short.
const stopMargin = 2 * time.Second

func (r *TaskRunner) stop() error {
	r.stopping.Store(true)
	patient, cancel := withMargin(r.hurried, stopMargin)
	defer cancel()
	r.admission.close()
	var errs []error
	if r.tree != nil {
		if err := r.tree.Stop(patient); err != nil && !errors.Is(err, messages.NoProc) {
			errs = append(errs, err)
			r.system.Kill(r.tree.PID())
		}
	}
	if r.ownSystem {
		errs = append(errs, r.system.Stop(patient))
	}
	if r.tree != nil {
		<-r.watched
	} else {
		r.letGo()
	}
	return errors.Join(onlyNew(errs, context.Cause(r.hurried))...)
}

// onlyNew puts the cause before errors and drops those that say nothing else.
func onlyNew(errs []error, cause error) []error {
	kept := []error{cause}
	for _, err := range errs {
		if cause == nil || !errors.Is(err, cause) {
			kept = append(kept, err)
		}
	}
	return kept
}

// withMargin gives a context that ends that much later than ctx.
func withMargin(ctx context.Context, margin time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if pause(late, margin) {
			cancel(context.Cause(ctx))
		}
	})
	return late, func() { stop(); cancel(nil) }
}

// Stats says how a runner is doing.
type Stats struct {
	Name        string
	MaxChildren int
	MaxWaiting  int
	Running     int                   // children, and tasks that are about to be one
	Waiting     int                   // accepted and not running
	Unrecorded  int                   // outcomes that the store does not have yet
	Abandoned   int                   // goroutines of handlers that did not stop when told to, of the whole system
	States      map[store.State]int64 // recorded tasks by state; nil without a store
}

// Stats gives a snapshot. The error is the store's.
func (r *TaskRunner) Stats(ctx context.Context) (Stats, error) {
	s := Stats{
		Name: r.config.Name, MaxChildren: r.config.slots(), MaxWaiting: r.config.MaxWaiting,
		Unrecorded: r.writer.pending(), Abandoned: r.system.Abandoned(),
	}
	s.Running, s.Waiting = r.admission.counts()
	if r.config.Store == nil {
		return s, nil
	}
	var err error
	s.States, err = r.config.Store.Counts(ctx, r.config.Name)
	return s, err
}

// Cancel ends a task that nobody wants any more. One that waits is cancelled at once. One that runs is told: its context is
// cancelled with the cause ErrTaskCancelled, and its outcome follows when its handler returns, at the latest after Grace. A
// handler that returns a value all the same has completed. The answer is the task as it stands; for a runner without a store
// only its id and state. A task that is cancelled already is left so; one that is completed or discarded is a
// *store.StateError, an unknown one store.ErrNotFound.
func (r *TaskRunner) Cancel(ctx context.Context, id string) (store.Task, error) {
	if run := r.runs.get(id); run != nil && !run.durable {
		return r.cancelPlain(run), nil
	}
	if r.config.Store == nil {
		return store.Task{}, store.ErrNotFound
	}
	if _, err := r.own(ctx, id); err != nil {
		return store.Task{}, err
	}
	for patience := time.Now().Add(cancelPatience); ; {
		task, settled, err := r.cancelRecorded(ctx, id)
		if settled || err != nil || time.Now().After(patience) {
			return task, err
		}
		if !pause(ctx, cancelPause) {
			return task, context.Cause(ctx)
		}
	}
}

// A task may be between two places: claimed in the store and not yet entered here, or ended and not yet recorded. Cancel
// looks again after cancelPause, for up to cancelPatience: then the store is slow. That the cancel is requested is recorded
// by then, and a task that was to run again is cancelled when its time comes.
const (
	cancelPause    = 2 * time.Millisecond
	cancelPatience = 100 * time.Millisecond
)

// cancelRecorded reports false if it has to be tried again.
func (r *TaskRunner) cancelRecorded(ctx context.Context, id string) (task store.Task, settled bool, err error) {
	moved, err := r.config.Store.Cancel(ctx, time.Now(), id)
	switch {
	case err != nil:
		return store.Task{}, false, err
	case moved.State == store.Running && moved.Node == r.system.Node():
		run := r.runs.get(id)
		return moved.Task, run != nil && run.tell(ErrTaskCancelled), nil
	case moved.From.Waiting():
		r.admission.changeStored(0, -1)
		r.tellCancelled(moved.Task)
	}
	return moved.Task, true, nil
}

// tellCancelled has everybody told of a task that came to its end without a run.
func (r *TaskRunner) tellCancelled(t store.Task) {
	notice := &run{
		runner: r,
		task:   refOf(t), durable: true, notice: true, stage: recorded, fate: failed(store.Cancelled, ErrTaskCancelled),
		ending: &ending{err: ErrTaskCancelled, at: t.FinishedAt},
	}
	r.runs.addNotice(notice)
	r.server().Info(context.Background(), recordedRuns{notice})
}

func refOf(t store.Task) messages.TaskRef {
	return messages.TaskRef{TaskID: t.ID, Kind: t.Kind, Runner: t.Runner, Run: t.Run, Attempt: t.Attempt, MaxAttempts: t.MaxAttempts}
}

func (r *TaskRunner) cancelPlain(run *run) store.Task {
	run.tell(ErrTaskCancelled)
	r.server().Cast(context.Background(), cancelWaiting{run})
	run.mu.Lock()
	defer run.mu.Unlock()
	task := store.Task{ID: run.task.TaskID, Runner: r.config.Name, Kind: run.task.Kind, State: store.Available, CancelRequested: true}
	if run.stage != accepted {
		task.State = store.Running
	}
	return task
}

// Retry has a task run again now: one that is completed, cancelled or discarded for a new outcome (its history stays, and
// if no attempt is left it gets one more), one that waits for its time without waiting. One that has ended needs room among
// the waiting, or the answer is a *FullError. A running task is a *store.StateError, an unknown one store.ErrNotFound.
func (r *TaskRunner) Retry(ctx context.Context, id string) (store.Task, error) {
	if r.config.Store == nil {
		return store.Task{}, ErrNoStore
	}
	task, err := r.own(ctx, id)
	if err != nil {
		return store.Task{}, err
	}
	room := waitingAfter(task.State)
	if room > 0 {
		if _, err := r.admission.admit(ctx, &ticket{tasks: room, later: true}); err != nil {
			return store.Task{}, err
		}
		defer r.admission.leave()
	}
	now := time.Now()
	moved, err := r.config.Store.Retry(ctx, now, id)
	if err != nil {
		r.admission.changeStored(0, -room)
		return store.Task{}, err
	}
	r.admission.changeStored(0, waitingAfter(moved.From)-room) // somebody else may have been faster
	r.claimer.due(now, now)
	return moved.Task, nil
}

// waitingAfter is how many more tasks wait when one in this state is retried.
func waitingAfter(from store.State) int {
	if from.Final() {
		return 1
	}
	return 0
}
