package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// What callers branch on.
var (
	// ErrNotOwner says that somebody else than the one who started the task has asked for its outcome (TK-11).
	ErrNotOwner = errors.New("actors: only who started the task may ask for its outcome")
	// ErrConsumed says that the outcome of the task was given out before: by Await, Yield or Shutdown, or to HandleInfo as
	// messages; or that it was ignored (TK-12).
	ErrConsumed = errors.New("actors: the outcome of the task was given out before")
)

// Starter is under whom tasks run: a *[TaskSupervisor], or [Unsupervised].
type Starter interface {
	startTask(ctx context.Context, t taskStart, link bool) (messages.PID, error)
	taskOptions(given []TaskOption) taskOptions
	taskSystem() *System
}

func (s *TaskSupervisor) startTask(ctx context.Context, t taskStart, link bool) (messages.PID, error) {
	if link {
		before := t.process.Before
		t.process.Before = func(pid messages.PID) {
			s.system.Link(ctx, pid) // to the caller; to the supervisor it is as its child (TS-02)
			before(pid)
		}
	}
	return s.start(ctx, t)
}

func (s *TaskSupervisor) taskOptions(given []TaskOption) taskOptions {
	o := s.options(given)
	o.restart = supervisor.Temporary // TS-08
	return o
}

func (s *TaskSupervisor) taskSystem() *System { return s.system }

// Unsupervised has tasks run under nobody: a linked one belongs to its starter, any other to the system, which stops it
// when it stops. Prefer a TaskSupervisor: it gives them time to stop, and shows them.
func Unsupervised(system *System) Starter { return unsupervised{system} }

type unsupervised struct{ system *System }

func (u unsupervised) startTask(ctx context.Context, t taskStart, link bool) (messages.PID, error) {
	t.process.Link = link
	return process.SpawnFunc(ctx, u.system, t.run, t.process)
}

func (u unsupervised) taskOptions(given []TaskOption) taskOptions {
	o := taskOptions{restart: supervisor.Temporary}
	for _, option := range given {
		option(&o)
	}
	return o
}

func (u unsupervised) taskSystem() *System { return u.system }

// StartTask starts f and tells nobody how it ends (OTP: Task.start). ctx is for the start alone. That it ends for another
// reason than a clean one is logged, once, with its function and its starter (TK-23).
func StartTask(ctx context.Context, under Starter, f func(ctx context.Context) error) (messages.PID, error) {
	return startTask(ctx, under, f, false)
}

// StartTaskLink is StartTask with a link to the process that ctx belongs to (OTP: Task.start_link).
func StartTaskLink(ctx context.Context, under Starter, f func(ctx context.Context) error) (messages.PID, error) {
	return startTask(ctx, under, f, true)
}

func startTask(ctx context.Context, under Starter, f func(ctx context.Context) error, link bool) (messages.PID, error) {
	if f == nil {
		return messages.PID{}, errors.New("actors: StartTask: the func is nil")
	}
	return under.startTask(ctx, taskStart{
		options: under.taskOptions(nil), run: asTask(under.taskSystem(), ctx, f, f),
		process: process.Options{What: f, Before: func(messages.PID) {}},
	}, link)
}

// TaskSpec makes a child spec of a task under a supervisor, which does not wait for it to finish. It is temporary (TK-24).
func TaskSpec(system *System, id string, f func(ctx context.Context) error) supervisor.ChildSpec {
	return supervisor.ChildSpec{ID: id, Restart: supervisor.Temporary, Start: func(ctx context.Context) (messages.PID, error) {
		return StartTaskLink(ctx, Unsupervised(system), f)
	}}
}

// Task is a function that runs in a process of its own, and whose outcome is for the one who started it, its owner: the
// process that the context of the start belongs to, or else everybody outside of all processes. The outcome is given out
// once, by Await, Yield, Shutdown or Ignore; each tells the owner by its context, and gives anybody else ErrNotOwner.
//
// An owner with a mailbox need not ask: its HandleInfo gets a messages.TaskReply with the value and then a messages.Down, both
// with the task's Ref; or, if the task ended without a value, only the Down with the reason (TK-02, TK-03). What Await and
// the others give out does not come as a message any more (TK-07).
type Task[R any] struct {
	task
	value R
}

// task is what there is of a Task without its value.
type task struct {
	system *System
	pid    messages.PID
	owner  messages.PID // zero: outside of all processes
	ref    messages.Ref // of the owner's monitor; 0 if it has no mailbox

	mu       sync.Mutex
	returned bool // the function has returned a value
	ended    chan struct{}
	err      error // why it ended without one
	consumed bool
	told     []*func() // who wants to know of the end
}

// Async starts f as a task that is linked to its owner: when one of them ends for another reason than messages.Normal, so
// does the other, an owner that traps exits excepted (TK-05, TK-06). An error that f returns, and a panic, is such a
// reason. Outside of a process there is nobody to link to. ctx is for the start, and says who the owner is. The errors are those
// of StartChild.
func Async[R any](ctx context.Context, under Starter, f func(ctx context.Context) (R, error), options ...TaskOption) (*Task[R], error) {
	return async(ctx, under, f, options, true)
}

// AsyncNoLink starts f as a task that is not linked: however it ends, its owner lives on (TS-03), and however the owner ends,
// the task does (TS-04).
func AsyncNoLink[R any](ctx context.Context, under Starter, f func(ctx context.Context) (R, error), options ...TaskOption) (*Task[R], error) {
	return async(ctx, under, f, options, false)
}

func async[R any](ctx context.Context, under Starter, f func(ctx context.Context) (R, error), options []TaskOption, link bool) (*Task[R], error) {
	if f == nil {
		return nil, errors.New("actors: Async: the func is nil")
	}
	t := &Task[R]{task: task{system: under.taskSystem(), ended: make(chan struct{})}}
	t.owner, _ = process.Self(ctx)
	pid, err := under.startTask(ctx, taskStart{
		options: under.taskOptions(options),
		run:     asTask(t.system, ctx, f, func(ctx context.Context) error { return t.run(ctx, f) }),
		process: process.Options{
			What:   f,
			Before: func(pid messages.PID) { t.pid, t.ref = pid, t.system.Monitor(ctx, pid) },
			After:  t.end,
		},
	}, link)
	if err != nil {
		return nil, err
	}
	t.pid = pid
	return t, nil
}

// run is the life of the task. Its value is kept, and sent, before its process ends, so that it comes before the Down.
func (t *Task[R]) run(ctx context.Context, f func(ctx context.Context) (R, error)) error {
	value, err := f(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.value, t.returned = value, true
	ref := t.ref
	t.mu.Unlock()
	if ref != 0 {
		process.Answer(ctx, t.system, t.owner, ref, value)
	}
	return nil
}

// end is told by the process why it has ended.
func (t *task) end(reason error) {
	t.mu.Lock()
	if !t.returned || !messages.Is(reason, messages.Normal) {
		t.err = reason
	}
	told := t.told
	t.told = nil
	close(t.ended)
	t.mu.Unlock()
	for _, tell := range told {
		(*tell)()
	}
}

// onEnd has tell called when the task has ended, at once if it has, unless that is cancelled before.
func (t *task) onEnd(tell func()) (cancel func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over() {
		tell()
		return func() {}
	}
	entry := &tell
	t.told = append(t.told, entry)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.told = slices.DeleteFunc(t.told, func(other *func()) bool { return other == entry })
	}
}

// PID is the task's process.
func (t *task) PID() messages.PID { return t.pid }

// Ref is what the messages to the owner have in common; 0 if the owner has no mailbox.
func (t *task) Ref() messages.Ref {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ref
}

// Owner is the process for which the outcome is; zero if the task was started outside of all.
func (t *task) Owner() messages.PID { return t.owner }

// check is the right to ask.
func (t *task) check(ctx context.Context) error {
	if self, _ := process.Self(ctx); self != t.owner {
		return fmt.Errorf("%w: it is %s of %s, not of %s", ErrNotOwner, t.pid, t.owner, self)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.consumed || t.ref != 0 && !process.Monitors(ctx, t.ref) {
		return ErrConsumed
	}
	return nil
}

// consume gives the outcome out, once, and has the messages about it dropped.
func (t *Task[R]) consume(ctx context.Context) (R, error) {
	var none R
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.consumed {
		return none, ErrConsumed
	}
	t.consumed = true
	t.system.Demonitor(ctx, t.ref)
	if t.err != nil {
		return none, t.err
	}
	return t.value, nil
}

func (t *task) over() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// Await waits for the task's value. The error is the one that f returned; a *messages.PanicError; messages.ErrGoexit (TK-04);
// messages.Shutdown if f stopped as it was told to; messages.Killed if it did not and was declared dead; or the cause of
// ctx. In the last case the task goes on and may be awaited again, but no message about it comes to its owner any more
// (TK-09). There is no timeout but that of ctx (TK-08).
func (t *Task[R]) Await(ctx context.Context) (R, error) {
	var none R
	if err := t.check(ctx); err != nil {
		return none, err
	}
	select {
	case <-t.ended:
	case <-ctx.Done():
		t.unsubscribe(ctx)
		return none, context.Cause(ctx)
	}
	return t.consume(ctx)
}

// unsubscribe has no messages come any more, and lets Await go on all the same.
func (t *task) unsubscribe(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.system.Demonitor(ctx, t.ref)
	t.ref = 0
}

// Yield waits for the task for at most timeout. It reports whether the task has ended; if so, value and error are those of
// Await, and if not, Yield may be called again (TK-15). The error of a task that has not ended is the cause of ctx,
// ErrNotOwner or ErrConsumed.
func (t *Task[R]) Yield(ctx context.Context, timeout time.Duration) (value R, ended bool, err error) {
	if err := t.check(ctx); err != nil {
		return value, false, err
	}
	if !t.over() && timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-t.ended:
		case <-timer.C:
		case <-ctx.Done():
			return value, false, context.Cause(ctx)
		}
	}
	if !t.over() {
		return value, false, nil
	}
	value, err = t.consume(ctx)
	return value, true, err
}

// Shutdown ends the task: it is unlinked from its owner, told to stop, and declared dead if it has not ended when the time is
// over. Zero is supervisor.DefaultShutdown; supervisor.BrutalKill does not ask; supervisor.Infinity waits.
//
// It reports whether the task had an outcome of its own: a value that it returned all the same is not lost (TK-20), and one
// that had to be declared dead gives messages.Killed, unless that was asked for (TK-21). One that has ended because it was told
// to has none (TK-19). One whose outcome was given out before gives messages.NoProc. When ctx ends first, the answer is its
// cause, and the task is stopped all the same.
func (t *Task[R]) Shutdown(ctx context.Context, timeout time.Duration) (value R, ended bool, err error) {
	switch err := t.check(ctx); {
	case errors.Is(err, ErrConsumed):
		return value, true, messages.NoProc
	case err != nil:
		return value, false, err
	}
	if err := t.stop(ctx, timeout); err != nil {
		return value, false, err
	}
	value, err = t.consume(ctx)
	if messages.Is(err, messages.Shutdown) || timeout == supervisor.BrutalKill && messages.Is(err, messages.Killed) {
		return value, false, nil
	}
	return value, true, err
}

// stop tells the task to stop and waits until it has ended.
func (t *task) stop(ctx context.Context, timeout time.Duration) error {
	t.system.Unlink(ctx, t.pid)
	if timeout == 0 {
		timeout = supervisor.DefaultShutdown
	}
	if timeout == supervisor.BrutalKill {
		t.system.Kill(t.pid)
	} else {
		t.system.Exit(ctx, t.pid, messages.Shutdown)
	}
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { t.system.Kill(t.pid) })
		t.onEnd(func() { timer.Stop() })
	}
	select {
	case <-t.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ignore gives the outcome if there is one by now. If not, the task runs on, unlinked, and its outcome is dropped; the report
// is false then (TK-22).
func (t *Task[R]) Ignore(ctx context.Context) (value R, ended bool, err error) {
	if err := t.check(ctx); err != nil {
		return value, false, err
	}
	if t.over() {
		value, err = t.consume(ctx)
		return value, true, err
	}
	t.system.Unlink(ctx, t.pid)
	_, err = t.consume(ctx)
	return value, false, err
}
