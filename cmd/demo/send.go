package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/taskrunner-go/taskrunner/remote"
)

// cancelWithin is how long a worker may take to hear that a task is no longer wanted.
const cancelWithin = 5 * time.Second

// sendConfig is what the flags say.
type sendConfig struct {
	peer    peerConfig
	kind    string // empty: the task is there already
	args    json.RawMessage
	id      string
	noWait  bool
	timeout time.Duration // 0: none
	cancel  bool
	logger  *slog.Logger
}

// outcome is what a task is awaited with.
type outcome func(ctx context.Context) (json.RawMessage, error)

// runSend has a worker run a task, or finds one that was sent before, and shows its result.
func runSend(ctx context.Context, c sendConfig, screen *screen) error {
	if c.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, c.timeout, failf(exitLate, "not done within %s", c.timeout))
		defer stop()
	}
	client, hangUp, err := c.peer.dial(ctx, c.logger, screen)
	if err != nil {
		return err
	}
	defer hangUp()
	runner := client.Runner(c.peer.runner)
	await, err := c.outcome(ctx, runner, screen)
	if err != nil {
		return err
	}
	if c.noWait {
		screen.printf("%s\n", c.id)
		return nil
	}
	result, err := await(ctx)
	switch {
	case err == nil:
		screen.printf("%s\n", orNull(result))
		return nil
	case ctx.Err() != nil:
		c.leave(ctx, runner, screen)
	}
	return peerError(err)
}

// outcome sends the task, unless that was done before.
func (c sendConfig) outcome(ctx context.Context, runner *remote.Runner, screen *screen) (outcome, error) {
	if c.kind == "" {
		return func(ctx context.Context) (json.RawMessage, error) {
			return remote.Await[json.RawMessage](ctx, runner, c.id)
		}, nil
	}
	task, err := remote.Run[json.RawMessage](ctx, runner, c.kind, c.args, c.options()...)
	switch {
	case err == nil:
		return task.Await, nil
	case mayBeThere(err) && c.cancel && ctx.Err() != nil:
		c.leave(ctx, runner, screen)
	case mayBeThere(err):
		screen.notef("whether the task is accepted is not known: with --id %s it is sent again, and accepted once\n", c.id)
	}
	return nil, peerError(err)
}

// options has the worker itself cancel the task at the deadline: this process may be gone by then.
func (c sendConfig) options() []remote.Option {
	options := []remote.Option{remote.WithID(c.id)}
	if c.cancel {
		options = append(options, remote.WithCancel())
	}
	return options
}

// leave says what becomes of a task that is not waited for any more.
func (c sendConfig) leave(ctx context.Context, runner *remote.Runner, screen *screen) {
	if !c.cancel {
		screen.notef("the task goes on; its outcome: demo send%s --await %s\n", c.peer.again, c.id)
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelWithin)
	defer stop()
	if err := runner.Cancel(ctx, c.id); err != nil {
		screen.notef("the task %s was not cancelled: %s\n", c.id, oneLine(harmless(err.Error())))
		return
	}
	screen.notef("the task %s is cancelled\n", c.id)
}

// orNull is the result of a task that gives none.
func orNull(result json.RawMessage) json.RawMessage {
	if len(result) == 0 {
		return json.RawMessage("null")
	}
	return result
}
