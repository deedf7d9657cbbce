package actors

import (
	"context"
	"runtime/debug"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// maxCallers is how long the chain of callers grows: a task that starts itself anew for ever must not grow for ever.
const maxCallers = 32

// calledContext is the context of a task that a process has started.
type calledContext struct {
	context.Context
	callers []messages.PID
}

type callersKey struct{}

func (c *calledContext) Value(key any) any {
	if key == (callersKey{}) {
		return c.callers
	}
	return c.Context.Value(key)
}

// Self gives the process that ctx belongs to; false outside of all.
func Self(ctx context.Context) (messages.PID, bool) { return process.Self(ctx) }

// Callers gives who has started the task that ctx belongs to, and who has started that one, if it is a task, and so on, at most
// 32 (OTP: $callers). It says on whose behalf code runs, where [Ancestors] says under whom (TK-25).
func Callers(ctx context.Context) []messages.PID {
	callers, _ := ctx.Value(callersKey{}).([]messages.PID)
	return callers
}

// Ancestors gives the parent of the process that ctx belongs to, its supervisor if it has one, the parent of that, and so
// on (OTP: $ancestors).
func Ancestors(ctx context.Context) []messages.PID { return process.Ancestors(ctx) }

// callersOf is the chain for what is started with ctx; nil outside of all processes.
func callersOf(ctx context.Context) []messages.PID {
	before := Callers(ctx)
	self, ok := process.Self(ctx)
	if !ok {
		return before
	}
	return append([]messages.PID{self}, before[:min(len(before), maxCallers-1)]...)
}

// asTask is run with what every task has: the chain of its callers, and a line in the log if it fails (TK-23). what is the
// function as its user knows it.
func asTask(starter context.Context, system *System, what any, run func(ctx context.Context) error) func(ctx context.Context) error {
	callers := callersOf(starter)
	return func(ctx context.Context) (err error) {
		if callers != nil {
			ctx = &calledContext{Context: ctx, callers: callers}
		}
		err = messages.ErrGoexit // unless run returns or panics
		defer func() {
			if value := recover(); value != nil {
				err = &messages.PanicError{Value: value, Stack: debug.Stack()}
			}
			reportTask(ctx, system, what, callers, err)
		}()
		return run(ctx)
	}
}

// reportTask logs a failure: an end that is not clean, and is not what the task was told to end for. The methods of the error
// are asked here, in the task's own process, and the logger gets only what they gave.
func reportTask(ctx context.Context, system *System, what any, callers []messages.PID, err error) {
	told := ctx.Err() != nil && (messages.Is(err, context.Canceled) || messages.Is(err, context.Cause(ctx)))
	if err == nil || told || messages.IsClean(err) {
		return
	}
	self, _ := process.Self(ctx)
	starter := messages.PID{}
	if len(callers) > 0 {
		starter = callers[0]
	}
	process.Report(system, "task failed", "pid", self.String(), "function", process.WhatIs(what), "starter", starter.String(), "reason", process.Settle(err))
}
