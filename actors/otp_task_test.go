package actors_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// otpClient is a process that starts trees and tasks, and waits for them: it does what it is told. A task's outcome that comes
// as a message, because nobody waits for it yet, it keeps: in OTP that stays in the mailbox, from which await picks it.
type otpClient struct {
	kept map[messages.Ref]otpKept
}

// otpKept is what a message has said of a task.
type otpKept struct {
	value string
	err   error
}

func (w *otpWorld) startClient(n *otpNode) {
	c := &otpClient{kept: map[messages.Ref]otpKept{}}
	w.clients[n.name] = c
	w.up(n.name, w.serve(c, actors.GenServerOptions{TrapExit: n.options["traps"] != "no"}))
}

// do runs f in the process of a client, or of a server.
func (w *otpWorld) do(name string, f func(ctx context.Context) string) string {
	text, err := actors.Server(w.system, w.pid(name)).Call(w.t.Context(), f)
	if err != nil {
		return "exit " + otpShow(err)
	}
	return text.(string)
}

func (c *otpClient) HandleCall(ctx context.Context, request any, _ actors.From) (any, error) {
	return request.(func(ctx context.Context) string)(ctx), nil
}

func (c *otpClient) HandleCast(_ context.Context, message any) error {
	return actors.Stop(otpReason(message.(otpExitWith).reason))
}

func (c *otpClient) HandleInfo(_ context.Context, message any) error {
	switch m := message.(type) {
	case messages.TaskReply:
		c.kept[m.Ref] = otpKept{value: m.Value.(string)}
	case messages.Down:
		if _, replied := c.kept[m.Ref]; !replied {
			c.kept[m.Ref] = otpKept{err: m.Reason}
		}
	}
	return nil
}

// take gives what was kept of a task.
func (c *otpClient) take(t *actors.Task[string]) (otpKept, bool) {
	k, ok := c.kept[t.Ref()]
	delete(c.kept, t.Ref())
	return k, ok
}

func (w *otpWorld) startTasks(ctx context.Context, n *otpNode) (messages.PID, error) {
	s, err := actors.StartTaskSupervisor(ctx, w.system, actors.TaskSupervisorConfig{
		MaxChildren: n.limit("max_children"),
		MaxRestarts: n.limit("max_restarts"),
	})
	if err != nil {
		return messages.PID{}, err
	}
	return s.Supervisor().PID(), nil
}

// under is where a task is to run.
func (w *otpWorld) under(sup string) actors.Starter {
	if sup == "-" {
		return actors.Unsupervised(w.system)
	}
	return actors.Tasks(w.system, w.pid(sup), actors.TaskSupervisorConfig{})
}

// body is what a task does. With a gate it waits for that first.
func (w *otpWorld) body(name string, words []string, gate <-chan struct{}) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		self, _ := actors.Self(ctx)
		w.event("start", name)
		w.up(name, self)
		if gate != nil {
			<-gate
		}
		return w.runTask(ctx, name, words)
	}
}

func (w *otpWorld) runTask(ctx context.Context, name string, words []string) (string, error) {
	switch words[0] {
	case "value":
		return words[1], nil
	case "raise":
		panic("boom")
	case "exit":
		return "", otpReason(words[1])
	case "block":
		<-ctx.Done()
		return "", context.Cause(ctx)
	case "trap_block":
		<-ctx.Done()
		return words[1], nil
	case "stubborn":
		<-w.over
		return "", nil
	case "hold":
		select {
		case <-w.release(name):
			return w.runTask(ctx, name, words[1:])
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	panic("scenarios.txt: a task cannot " + words[0])
}

// release gives the channel that is closed when a task is released.
func (w *otpWorld) release(name string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.releases[name] == nil {
		w.releases[name] = make(chan struct{})
	}
	return w.releases[name]
}

func (w *otpWorld) taskStep(verb string, args []string) string {
	switch verb {
	case "async", "async_nolink":
		return w.async(verb, args[0], args[1], args[2], args[3:])
	case "start_task":
		return w.startTask(args[0], args[1], args[2], args[3:])
	case "stream":
		return w.stream(args[0], args[1], args[2], args[3:])
	case "release":
		time.AfterFunc(otpMilliseconds(args[1]), func() { close(w.release(args[0])) })
		return ""
	case "await_many", "yield_many":
		return w.many(verb, args[0], args[1], args[2:])
	}
	t := w.tasks[args[0]]
	return w.do(args[1], func(ctx context.Context) string { return w.clients[args[1]].outcome(ctx, t, verb, append(args, "")[2]) })
}

// async starts a task in the process of its owner. The task goes on only when that has answered: one that fails at once could
// take its owner along before.
func (w *otpWorld) async(verb, name, owner, sup string, words []string) string {
	gate := make(chan struct{})
	defer close(gate)
	start := actors.AsyncNoLink[string]
	if verb == "async" {
		start = actors.Async[string]
	}
	return w.do(owner, func(ctx context.Context) string {
		t, err := start(ctx, w.under(sup), w.body(name, words, gate))
		w.tasks[name] = t
		return otpAnswerOf(err)
	})
}

func (w *otpWorld) startTask(name, sup, restart string, words []string) string {
	s := actors.Tasks(w.system, w.pid(sup), actors.TaskSupervisorConfig{})
	return otpStarted(s.StartChild(w.t.Context(), func(ctx context.Context) error {
		_, err := w.body(name, words, nil)(ctx)
		return err
	}, actors.WithRestart(otpRestarts()[restart])))
}

// outcome waits for a task, and says what there is of it.
func (c *otpClient) outcome(ctx context.Context, t *actors.Task[string], verb, limit string) string {
	if k, ok := c.take(t); ok {
		return otpTold(k.value, true, k.err)
	}
	switch verb {
	case "await":
		ctx, cancel := context.WithTimeout(ctx, otpMilliseconds(limit))
		defer cancel()
		value, err := t.Await(ctx)
		return otpTold(value, true, err)
	case "yield":
		return otpTold(t.Yield(ctx, otpMilliseconds(limit)))
	case "shutdown":
		return otpTold(t.Shutdown(ctx, otpPatience(limit)))
	case "ignore":
		return otpTold(t.Ignore(ctx))
	}
	panic("scenarios.txt: there is no step " + verb)
}

func otpTold(value string, ended bool, err error) string {
	switch {
	case err != nil:
		return "exit " + otpShow(err)
	case !ended:
		return "nil"
	default:
		return "value " + value
	}
}

func (w *otpWorld) many(verb, owner, limit string, names []string) string {
	tasks := make([]*actors.Task[string], len(names))
	for i, name := range names {
		tasks[i] = w.tasks[name]
	}
	return w.do(owner, func(ctx context.Context) string {
		if verb == "await_many" {
			return otpAwaitMany(ctx, limit, tasks)
		}
		return w.clients[owner].yieldMany(ctx, limit, tasks)
	})
}

// otpAwaitMany waits for tasks of which nothing was kept.
func otpAwaitMany(ctx context.Context, limit string, tasks []*actors.Task[string]) string {
	ctx, cancel := context.WithTimeout(ctx, otpMilliseconds(limit))
	defer cancel()
	values, err := actors.AwaitMany(ctx, tasks...)
	if err != nil {
		return otpTold("", true, err)
	}
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = otpTold(value, true, nil)
	}
	return strings.Join(words, " ")
}

// yieldMany fills in what was kept.
func (c *otpClient) yieldMany(ctx context.Context, limit string, tasks []*actors.Task[string]) string {
	words := make([]string, len(tasks))
	var rest []*actors.Task[string]
	for i, t := range tasks {
		if k, ok := c.take(t); ok {
			words[i] = otpTold(k.value, true, k.err)
		} else {
			rest = append(rest, t)
		}
	}
	yielded, err := actors.YieldMany(ctx, actors.YieldOptions{Timeout: otpMilliseconds(limit)}, rest...)
	if err != nil {
		return otpTold("", true, err)
	}
	for _, y := range yielded {
		words[slices.Index(tasks, y.Task)] = otpTold(y.Value, y.Ended, y.Err)
	}
	return strings.Join(words, " ")
}
