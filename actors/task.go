package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// What callers branch on.
var (
	// ErrNotOwner says that somebody else than the one who started the task has asked for its outcome (TK-11).
	ErrNotOwner = errors.New("actors: only who started the task may ask for its outcome")
	// ErrConsumed says that the outcome of the task was given out before: by Await, Yield or Shutdown, or to HandleInfo as
	// messages; or that it was ignored, or its monitor ended (TK-12).
	ErrConsumed = errors.New("actors: the outcome of the task was given out before")
)

// Task is a function that runs in a process of its own, and whose outcome is for the one who started it, its owner: the
// process that the context of the start belongs to, or else everybody outside of all processes. The outcome is given out
// once, by Await, Yield, Shutdown or Ignore; each tells the owner by its context, and gives anybody else ErrNotOwner.
//
// An owner with a mailbox, a GenServer, need not ask, and should not: while it waits it handles nothing else. Its HandleInfo
// gets, both with the task's Ref and in this order,
//
//   - a messages.TaskReply with the value, and then a messages.Down with the reason messages.Normal, if the function has
//     returned a value (TK-02);
//   - the messages.Down alone, if it has not: with the error that it returned, a *messages.PanicError, messages.ErrGoexit,
//     messages.Shutdown if it stopped as it was told to, or messages.Killed (TK-03, TK-04).
//
// To be done with a task at its TaskReply, or before, end its monitor with System.Demonitor and its Ref: nothing more comes then
// (TS-14, TS-15). What Await and the others give out does not come as a message any more (TK-07). If the task is linked, an
// owner that traps exits gets a messages.Exit too, before the Down, however the task ends.
//
// A task is for one outcome. For what goes on, holds state or answers, use a GenServer; for work that must survive the program,
// a TaskRunner.
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
	quiet    bool  // the owner has ended the monitor, and may ask for the outcome all the same
	consumed bool
	told     []*func() // who wants to know of the end
}

// Async starts f as a task that is linked to its owner: when one of them ends for another reason than messages.Normal, so
// does the other, an owner that traps exits excepted (TK-05, TK-06). An error that f returns, and a panic, is such a
// reason; the task hears of its owner's end by its context. An owner that ends with messages.Normal leaves the task running.
// Outside of a process there is nobody to link to. To go on when a task fails, use AsyncNoLink.
//
// ctx is for the start, and says who the owner is. The errors are those of StartChild; with an error, no task was started.
func Async[R any](ctx context.Context, under Starter, f func(ctx context.Context) (R, error), options ...TaskOption) (*Task[R], error) {
	return async(ctx, under, f, f, options, true)
}

// AsyncNoLink starts f as a task that is not linked: however it ends, its owner lives on (TS-03), and however the owner ends,
// the task does (TS-04).
func AsyncNoLink[R any](ctx context.Context, under Starter, f func(ctx context.Context) (R, error), options ...TaskOption) (*Task[R], error) {
	return async(ctx, under, f, f, options, false)
}

// async starts f; what is the function as its user knows it.
func async[R any](ctx context.Context, under Starter, what any, f func(ctx context.Context) (R, error), options []TaskOption, link bool) (*Task[R], error) {
	o, err := asyncOptions(under, f == nil, options)
	if err != nil {
		return nil, err
	}
	if err := process.Local(ctx, under.taskSystem()); err != nil {
		return nil, err
	}
	t := &Task[R]{task: task{system: under.taskSystem(), ended: make(chan struct{})}}
	t.owner, _ = process.Self(ctx)
	_, err = under.startTask(ctx, taskStart{
		options: o,
		run:     asTask(ctx, t.system, what, func(ctx context.Context) error { return t.run(ctx, f) }),
		process: process.Options{
			What:   what,
			Before: func(pid messages.PID) { t.pid, t.ref = pid, t.system.Monitor(ctx, pid) },
			After:  t.end,
		},
	}, link)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// asyncOptions checks what an asynchronous task is started with. It cannot be restarted: whose would the outcome be (TS-08)?
func asyncOptions(under Starter, noFunc bool, given []TaskOption) (taskOptions, error) {
	switch {
	case under == nil:
		return taskOptions{}, errNoStarter
	case noFunc:
		return taskOptions{}, errors.New("actors: Async: the func is nil")
	}
	o, err := under.taskOptions(given)
	if err == nil && o.restart != supervisor.Temporary {
		err = fmt.Errorf("actors: Async: WithRestart is %s, want none: an asynchronous task is always temporary", o.restart)
	}
	return o, err
}

// run is the life of the task. Its value is kept, and sent, before its process ends, so that it comes before the Down.
func (t *Task[R]) run(ctx context.Context, f func(ctx context.Context) (R, error)) error {
	value, err := f(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.value, t.returned = value, true // to no effect, if the task was declared dead and its end is known
	t.mu.Unlock()
	if t.ref != 0 {
		process.Answer(ctx, t.system, t.owner, t.ref, value)
	}
	return nil
}

// end is told by the process why it has ended. A task that has returned a value has done what it was for, also if it was
// killed right then (TK-16).
func (t *task) end(reason error) {
	t.mu.Lock()
	if !t.returned {
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
	if entry := t.enter(tell); entry != nil {
		return func() { t.cross(entry) }
	}
	tell()
	return func() {}
}

// enter gives nil if the task has ended.
func (t *task) enter(tell func()) *func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hasEnded() {
		return nil
	}
	t.told = append(t.told, &tell)
	return &tell
}

func (t *task) cross(entry *func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = slices.DeleteFunc(t.told, func(other *func()) bool { return other == entry })
}

// PID is the task's process.
func (t *task) PID() messages.PID { return t.pid }

// Ref is what the messages to the owner have in common; 0 if the owner has no mailbox.
func (t *task) Ref() messages.Ref { return t.ref }

// Owner is the process for which the outcome is; zero if the task was started outside of all.
func (t *task) Owner() messages.PID { return t.owner }

func (t *task) hasEnded() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// over reports whether the process has ended. Others may hear of that a moment before end does, which it waits for.
func (t *task) over() bool {
	if !t.hasEnded() && t.system.Alive(t.pid) {
		return false
	}
	<-t.ended
	return true
}
