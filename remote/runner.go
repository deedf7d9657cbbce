package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// Runner is a task runner on other machines: one of its name at each listener that the client reaches. Its methods are safe from any
// goroutine.
type Runner struct {
	client *Client
	name   string
	bytes  []byte // of the name
}

// Runner gives the runner of that name. Whether there is one, its first use tells.
func (c *Client) Runner(name string) *Runner { return &Runner{c, name, []byte(name)} }

// Name is the name of the runner.
func (r *Runner) Name() string { return r.name }

// Handle is a task that was accepted. Its methods are safe from any goroutine.
type Handle[R any] struct {
	runner *Runner
	id     string
	call   *call
}

// ID is the task's id, a UUID.
func (h *Handle[R]) ID() string { return h.id }

// Existed says that a task of this id was there already, so that nothing was recorded; or that this very call has recorded it, but the
// answer was lost on its way and it was asked again.
func (h *Handle[R]) Existed() bool { return h.call.existed }

// Run has a runner of this name run a task, and returns when that is certain and not when it is done: when its listener has answered that
// the task is recorded. Without an answer it is sent again, with the same id, and accepted once. Of several listeners the one with the
// most room gets it; if that one is full all the same, or does not know the kind, which may be so while a new version is rolled out,
// another one.
//
// The order in which one goroutine calls Run is the order in which one runner records the tasks. ctx bounds the call; its deadline travels, and
// what arrives later is not accepted. The errors are those of actors.Run, and those of this package: with store.ErrUnavailable the task may
// have been accepted all the same, and to ask again with the same WithID tells.
func Run[R, A any](ctx context.Context, runner *Runner, kind string, args A, given ...Option) (*Handle[R], error) {
	o, err := gather(given, time.Now())
	if err != nil {
		return nil, err
	}
	a, err := runner.newRun(ctx, kind, args, o)
	if err != nil {
		return nil, err
	}
	if err := runner.start(ctx, a); err != nil {
		a.unhooked()
		return nil, err
	}
	if err := runner.accepted(ctx, a); err != nil {
		if args, ok := errors.AsType[*actors.ArgsError](err); ok {
			err = &actors.ArgsError{Kind: kind, Err: args.Err}
		}
		return nil, err
	}
	return &Handle[R]{runner, a.taskID, a}, nil
}

// RunMany is Run for many tasks of one kind, each accepted or refused by itself: where one was refused its handle is nil, and the error
// says why of each, as errors.Join does. WithID is not for it.
func RunMany[R, A any](ctx context.Context, runner *Runner, kind string, args []A, given ...Option) ([]*Handle[R], error) {
	o, err := gather(given, time.Now())
	if err != nil {
		return nil, err
	}
	if o.run.TaskID != "" && len(args) != 1 {
		return nil, fmt.Errorf("%w: RunMany: WithID is for one task, not for %d", ErrInvalid, len(args))
	}
	calls, errs := make([]*call, len(args)), make([]error, len(args))
	var stuck error // nobody takes more
	for i := range args {
		var a *call
		if a, errs[i] = runner.newRun(ctx, kind, args[i], o); errs[i] != nil {
			continue
		}
		if stuck == nil {
			stuck = runner.start(ctx, a)
		}
		if errs[i] = stuck; stuck == nil {
			calls[i] = a
		} else {
			a.unhooked()
		}
	}
	handles := make([]*Handle[R], len(args))
	for i, a := range calls {
		if a != nil {
			if errs[i] = runner.accepted(ctx, a); errs[i] == nil {
				handles[i] = &Handle[R]{runner, a.taskID, a}
			}
		}
		errs[i] = ofArgs(errs[i], kind, i)
	}
	return handles, errors.Join(errs...)
}

// ofArgs has an error say of which arguments it is; the error of arguments that have come over the wire knows neither the kind nor the index.
func ofArgs(err error, kind string, index int) error {
	if err == nil {
		return nil
	}
	if args, ok := errors.AsType[*actors.ArgsError](err); ok {
		return &actors.ArgsError{Kind: kind, Index: index, Err: args.Err}
	}
	return fmt.Errorf("arguments[%d]: %w", index, err)
}

// newRun makes the request of a task.
func (r *Runner) newRun(ctx context.Context, kind string, args any, o options) (*call, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	run := o.run
	run.Kind = kind
	var err error
	if run.Args, err = marshalSafely(args); err != nil {
		return nil, &actors.ArgsError{Kind: kind, Err: err}
	}
	if run.TaskID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("remote: make a task id: %w", err)
		}
		run.TaskID = id.String()
	}
	if inject := r.client.config.TraceContext; inject != nil {
		run.TraceContext = map[string]string{}
		inject(ctx, run.TraceContext)
	}
	until, _ := ctx.Deadline()
	envelope, err := messages.AppendRun(nil, run, until)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	a := r.newCall(run.TaskID, askRun, envelope, true)
	a.frame.cancelAtDeadline, a.waits = o.cancel, o.wait
	if o.cancel {
		a.unhook = context.AfterFunc(ctx, func() { r.cancelLater(a.taskID) })
	}
	return a, nil
}

func (r *Runner) newCall(taskID string, what protowire.Number, payload []byte, outcome bool) *call {
	return &call{
		runner: r.name, taskID: taskID, frame: frame{runner: r.bytes, what: what, payload: payload}, wanted: outcome, answered: make(chan struct{}),
	}
}

// start has the task on its way.
func (r *Runner) start(ctx context.Context, a *call) error {
	if err := r.client.enter(ctx); err != nil {
		return err
	}
	a.inWindow = true
	r.client.submit(a)
	return nil
}

// accepted waits for the answer to a run.
func (r *Runner) accepted(ctx context.Context, a *call) error {
	select {
	case <-a.answered:
		return a.err
	case <-ctx.Done():
		return r.client.giveUpOn(ctx, a)
	}
}

// giveUpOn leaves a call whose caller does not wait any longer, and says what that may mean.
func (c *Client) giveUpOn(ctx context.Context, a *call) error {
	c.leave(a)
	c.mu.Lock()
	defer c.unlock()
	if isClosed(a.answered) {
		return a.err // in the same moment
	}
	if !a.sent {
		return context.Cause(ctx)
	}
	return &mayBeError{fmt.Errorf("remote: no answer yet: %w", context.Cause(ctx))}
}

// cancelLater cancels a task whose caller does not want it any more.
func (r *Runner) cancelLater(id string) {
	ctx, stop := context.WithTimeout(r.client.ctx, r.client.config.Away)
	defer stop()
	if err := r.Cancel(ctx, id); err != nil {
		r.client.logger.Debug("remote: a task was not cancelled", "task", id, "error", err)
	}
}

// Await waits for the task's final outcome: the value, or a *actors.TaskError with the reason, of which travels what messages.Decode says. It
// gives ErrLost if the program that had the task has ended and its runner recorded nothing, ErrNoConnection if nobody could be reached for
// DialConfig.Away, and the cause of ctx when that ends; in the last two cases the task may go on, and may be awaited again.
func (h *Handle[R]) Await(ctx context.Context) (R, error) {
	if !h.call.wanted { // its outcome was not promised
		return Await[R](ctx, h.runner, h.id)
	}
	already, err := h.runner.client.wait(ctx, h.call)
	if err != nil {
		var none R
		return none, err
	}
	if already && errors.Is(h.call.endErr, ErrNoConnection) { // that was then
		return Await[R](ctx, h.runner, h.id)
	}
	return valueOf[R](h.id, h.call)
}

// Cancel cancels the task; see Runner.Cancel. That the task has ended already is no error.
func (h *Handle[R]) Cancel(ctx context.Context) error {
	err := h.runner.Cancel(ctx, h.id)
	if _, ended := errors.AsType[*store.StateError](err); ended || errors.Is(err, store.ErrNotFound) { // it was accepted, and is not known any more
		return nil
	}
	return err
}

// Await waits for the final outcome of a task, by its id, also after a restart; see Handle.Await. An unknown id is store.ErrNotFound.
func Await[R any](ctx context.Context, runner *Runner, id string) (R, error) {
	var none R
	if err := validID("id", id); err != nil {
		return none, err
	}
	a := runner.newCall(id, askAwait, payloadOf(&remotepb.Await{TaskId: id}), true)
	runner.client.submit(a)
	if _, err := runner.client.wait(ctx, a); err != nil {
		runner.client.leave(a)
		return none, err
	}
	return valueOf[R](id, a)
}

// Cancel ends a task that nobody wants any more: at once if it waits, by its context if it runs, as actors.TaskRunner.Cancel does. A task that
// is completed or discarded is a *store.StateError, an unknown one store.ErrNotFound.
func (r *Runner) Cancel(ctx context.Context, id string) error {
	if err := validID("id", id); err != nil {
		return err
	}
	a := r.newCall(id, askCancel, payloadOf(&remotepb.Cancel{TaskId: id}), false)
	r.client.submit(a)
	select {
	case <-a.answered:
		return a.err
	case <-ctx.Done():
		r.client.leave(a)
		return context.Cause(ctx)
	}
}

// valueOf gives the outcome as the caller of Await wants it.
func valueOf[R any](id string, a *call) (R, error) {
	var result R
	if a.endErr != nil {
		return result, a.endErr
	}
	parcel, err := messages.ParseParcel(a.outcome)
	if data, ok := parcel.Result(); err == nil && ok {
		return decoded[R](id, data)
	}
	var message any
	if err == nil {
		message, err = parcel.Message()
	}
	if err != nil {
		return result, fmt.Errorf("remote: the outcome of task %s: %w", id, err)
	}
	switch m := message.(type) {
	case messages.Failed:
		return result, &actors.TaskError{TaskID: id, State: store.Discarded, Err: m.Reason}
	case messages.Cancelled:
		return result, &actors.TaskError{TaskID: id, State: store.Cancelled, Err: m.Reason}
	}
	return result, fmt.Errorf("remote: task %s ended with a %T", id, message)
}

// decoded is the value that a task has returned.
func decoded[R any](id string, data []byte) (result R, err error) {
	if data == nil {
		return result, nil
	}
	if err := json.Unmarshal(data, &result); err != nil {
		return result, fmt.Errorf("remote: task %s: decode the result: %w", id, err)
	}
	return result, nil
}

// Monitor is a watch on a task, a runner or a node.
type Monitor struct {
	client *Client
	call   *call
}

// Ref tells the Downs of several monitors apart.
func (m *Monitor) Ref() messages.Ref { return messages.Ref(m.call.seq) }

// Stop ends the monitor. A Down may come in the same moment.
func (m *Monitor) Stop() {
	m.client.mu.Lock()
	m.call.told = nil
	m.client.unlock()
	m.client.leave(m.call)
}

// Monitor has told called once when the runner's process ends, on the machine with the most room: with its reason, with messages.NoConnection when the
// connection is lost (at once if it was closed, within 15 seconds if the other side is silent), or messages.NoProc if there is no
// such runner. told is called by a goroutine of its own, which may call the client and wait, but for Close; a panic of it is logged.
//
//	runner.Monitor(func(down messages.Down) { system.Send(ctx, self, down) }) // for a GenServer, whose HandleInfo gets it
func (r *Runner) Monitor(told func(messages.Down)) *Monitor { return r.monitor("", told) }

// MonitorTask has told called once when the task has come to its final outcome: with messages.Normal if it completed, else with the reason.
// See Monitor.
func (r *Runner) MonitorTask(id string, told func(messages.Down)) *Monitor {
	return r.monitor(id, told)
}

func (r *Runner) monitor(taskID string, told func(messages.Down)) *Monitor {
	a := r.newCall(taskID, askMonitor, payloadOf(&remotepb.Monitor{TaskId: taskID}), false)
	a.closes = true
	a.told = func(down messages.Down) {
		if errors.Is(down.Reason, ErrUnknownRunner) || errors.Is(down.Reason, store.ErrNotFound) {
			down.Reason = messages.NoProc
		}
		if errors.Is(down.Reason, ErrNoConnection) {
			down.Reason = messages.NoConnection
		}
		told(down)
	}
	r.client.submit(a)
	return &Monitor{r.client, a}
}
