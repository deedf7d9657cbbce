package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

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
	recounter *recounter
	shared    bool                 // other processes may use the store
	outcomes  announcement         // of recorded outcomes
	arrived   gathering[*run]      // accepted, to be started
	departed  gathering[departure] // their processes are gone
	untold    gathering[any]       // what HandleInfo is to be told

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
	if config.Store != nil {
		for i := range config.Kinds {
			if err := config.Kinds[i].recordable(); err != nil {
				return nil, err
			}
		}
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
	r.keeper, r.follower, r.recounter = newKeeper(r), newFollower(r), newRecounter(r)
	if r.shared = sharedStore(config.Store); r.shared {
		r.admission.queued = func() { poke(r.recounter.wake) }
	}
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
	waiting := waitingIn(counts)
	r.admission.changeStored(0, waiting)
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
