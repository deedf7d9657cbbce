package process

import (
	"context"
	"errors"
	"runtime/debug"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/taskrunner-go/taskrunner/messages"
)

// mailbox is the actor of a process.
type mailbox struct {
	proc    *proc
	process Process
	started chan error // what the starter is told, once

	queue       actor.Mailbox            // for those who look how much is in it
	current     atomic.Pointer[delivery] // what is handled now; nil between messages
	suspended   atomic.Bool
	initialized bool         // its Init has returned: the end is Terminate's too
	reason      error        // with which it is about to end
	shown       error        // the same, as it may be shown
	held        []*delivery  // what came while it was suspended, oldest first
	holding     atomic.Int64 // how many those are, for those who look
}

type (
	wake      struct{}               // look at your signals
	stop      struct{ reason error } // end behind what is queued
	signalled struct {               // a Down, an Exit or a TaskReply that is true: anybody can send one that only looks so
		message any
		end     Ending // that a Down or an Exit tells of
		ended   bool   // false for an Exit that somebody has sent, who lives
	}

	// What stands in current when no message is handled.
	initializing struct{}
	observed     struct{}
	terminating  struct{}
	doing        struct { // what the process says itself (Doing)
		callback string
		argument any
	}
)

// errRestarted ends a process whose actor protoactor has restarted: its init would run a second time, under a PID that
// others know.
var errRestarted = errors.New("process: the actor was restarted")

func newMailbox(p *proc, process Process) *mailbox {
	return &mailbox{proc: p, process: process, started: make(chan error, 1), queue: newQueue()}
}

// Receive is the actor. It never panics, so that protoactor never restarts it. A Goexit cannot be held up: protoactor's
// mailbox dies with the goroutine and would never take another message, so the process is ended and its actor forgotten
// right here.
func (m *mailbox) Receive(c actor.Context) {
	returned := false
	defer func() {
		if value := recover(); value != nil {
			m.fail(c, &messages.PanicError{Value: value, Stack: debug.Stack()})
		} else if !returned {
			m.goexit()
		}
	}()
	m.receive(c)
	returned = true
}

func (m *mailbox) receive(c actor.Context) {
	switch message := c.Message().(type) {
	case *delivery:
		m.deliver(c, message)
	case *actor.Started:
		m.start(c)
	case *actor.Stopped:
		m.gone()
	}
}

func (m *mailbox) start(c actor.Context) {
	p := m.proc
	if p.actor.Load() != nil {
		m.fail(c, errRestarted)
		return
	}
	p.actor.Store(c.Self())
	m.current.Store(&delivery{initializing{}})
	err := m.init()
	if err != nil {
		p.unregister() // first, so that the name is free when the starter hears of it (GS-07)
	}
	m.tell(err) // before the end: a starter who sees that first would take the reason for the answer, and Normal for ErrIgnore
	if err != nil {
		m.end(c, initReason(err))
	} else {
		m.initialized = true
		m.afterInit(c)
	}
	m.current.Store(nil)
}

// initReason is why a process ends whose init failed. One that is to be ignored has not failed (GS-04).
func initReason(err error) error {
	if err == ErrIgnore { //nolint:errorlint // init has asked what the error wraps
		return messages.Normal
	}
	return err
}

// tell answers the starter. Whatever comes after the first answer is too late for it.
func (m *mailbox) tell(err error) {
	select {
	case m.started <- err:
	default:
	}
}

func (m *mailbox) init() error {
	p := m.proc
	if err := p.register(); err != nil {
		return err
	}
	if reason := p.over(); reason != nil {
		p.sys.names.release(p.name, p) // it may have registered after its end had released the name
		return reason
	}
	err := guard(func() error { return m.process.Init(p.ctx) })
	switch {
	case err == nil:
		return p.over()
	case messages.Is(err, ErrIgnore):
		return ErrIgnore
	}
	return err
}

// afterInit runs what the process has put off until its starter has its PID (GS-23). It comes before any message.
func (m *mailbox) afterInit(c actor.Context) {
	later, ok := m.process.(AfterInit)
	if !ok {
		return
	}
	if err := guard(func() error { return later.AfterInit(m.proc.ctx) }); err != nil {
		m.endBy(c, err)
	}
}

// deliver takes what comes out of the queue. Signals and orders go before all, then a suspended process keeps what it gets.
func (m *mailbox) deliver(c actor.Context, d *delivery) {
	p := m.proc
	if !p.alive() {
		return
	}
	if reason := p.pendingExit(); reason != nil {
		m.end(c, reason)
		return
	}
	if order, ok := d.message.(order); ok {
		m.obey(c, order)
		return
	}
	if m.suspended.Load() && !m.endsIt(d.message) {
		m.held = append(m.held, d)
		m.holding.Add(1)
		return
	}
	m.current.Store(d)
	m.dispatch(c, d.message)
	m.current.Store(nil)
}

// endsIt reports whether the message is one that a suspended process heeds too: an order to stop, its parent's exit signal.
func (m *mailbox) endsIt(message any) bool {
	switch t := message.(type) {
	case stop:
		return true
	case signalled:
		exit, ok := t.message.(messages.Exit)
		return ok && m.fromParent(exit)
	}
	return false
}

// fromParent reports whether a signal is the order of its parent (GS-29). Whoever starts a process from outside of all is its
// parent too, and nobody there has a PID.
func (m *mailbox) fromParent(exit messages.Exit) bool { return exit.From == m.proc.parentPID() }

func (m *mailbox) dispatch(c actor.Context, message any) {
	switch t := message.(type) {
	case wake:
	case stop:
		m.terminate(c, t.reason, message)
	case signalled:
		m.signalled(c, t)
	case messages.Down:
		m.unlessTrue(c, t.Ref, t)
	case messages.TaskReply:
		m.unlessTrue(c, t.Ref, t)
	default:
		m.handle(c, message)
	}
}

// unlessTrue handles what only looks like a signal, unless the true one is still to come: then it is a lie.
func (m *mailbox) unlessTrue(c actor.Context, ref messages.Ref, message any) {
	if !m.proc.watches(ref) {
		m.handle(c, message)
	}
}

func (m *mailbox) signalled(c actor.Context, s signalled) {
	switch t := s.message.(type) {
	case messages.Down:
		if _, wanted := m.proc.takeWatching(t.Ref); !wanted {
			return // demonitored after it was sent (TS-15)
		}
		m.ended(c, t.PID, s)
	case messages.TaskReply:
		if m.proc.takeReply(t.Ref) { // else likewise
			m.handle(c, t)
		}
	case messages.Exit:
		if m.fromParent(t) {
			m.terminate(c, t.Reason, t)
		} else {
			m.ended(c, t.From, s)
		}
	}
}

// ended tells of an end, in the form that the process wants.
func (m *mailbox) ended(c actor.Context, pid messages.PID, s signalled) {
	handler, ok := m.process.(EndHandler)
	if !ok || !s.ended {
		m.handle(c, s.message)
		return
	}
	m.proc.trace(TraceEvent{What: Received, Message: s.message})
	if err := guard(func() error { return handler.HandleEnd(m.proc.ctx, pid, s.end) }); err != nil {
		m.endBy(c, err)
	}
}

func (m *mailbox) handle(c actor.Context, message any) {
	m.proc.trace(TraceEvent{What: Received, Message: message})
	if err := guard(func() error { return m.process.Handle(m.proc.ctx, message) }); err != nil {
		m.endBy(c, err)
	}
}

// endBy ends the process for what a callback returned. If a signal had told it to end, that is the reason, and there is no
// Terminate: in OTP the callback would not have come this far (GS-28). A panic is told all the same.
func (m *mailbox) endBy(c actor.Context, err error) {
	last := m.current.Load().message
	exit := m.proc.pendingExit()
	switch {
	case exit == nil:
		m.terminate(c, err, last)
	case !isPanic(err):
		m.end(c, exit)
	default:
		m.report(err, last)
		m.end(c, err)
	}
}

func isPanic(err error) bool {
	_, ok := err.(*messages.PanicError) //nolint:errorlint // one that guard has made, and not one that somebody returned wrapped
	return ok
}

// terminate ends the process with its Terminate callback.
func (m *mailbox) terminate(c actor.Context, reason error, last any) {
	reason = m.lastCallback(reason)
	if !messages.IsClean(m.settle(reason)) {
		m.report(reason, last)
	}
	m.end(c, reason)
}

// lastCallback runs Terminate. If that panics, this is the reason of the end (GS-35).
func (m *mailbox) lastCallback(reason error) error {
	m.current.Store(&delivery{terminating{}})
	failed := guard(func() error {
		m.process.Terminate(m.proc.ctx, reason)
		return nil
	})
	if failed != nil {
		return failed
	}
	return reason
}

// fail ends the process for what is no callback's fault.
func (m *mailbox) fail(c actor.Context, reason error) {
	defer m.tell(reason)
	m.report(reason, nil)
	m.end(c, reason)
}

// end ends the process and its actor. What is still queued is not handled; protoactor drops it.
func (m *mailbox) end(c actor.Context, reason error) {
	m.proc.finish(reason, m.settle(reason))
	m.held = nil
	c.Stop(c.Self())
}

// settle asks the methods of the reason with which the process ends, once (Settle).
func (m *mailbox) settle(reason error) error {
	if m.shown == nil {
		m.reason = reason
		m.shown = Settle(reason)
	}
	return m.shown
}

// gone runs when the actor is no more: only now is a killed process's goroutine known to be free.
func (m *mailbox) gone() { m.proc.sys.abandoned.remove(m.proc) }

func (m *mailbox) goexit() {
	p := m.proc
	reason, shown := messages.ErrGoexit, messages.ErrGoexit
	if m.reason != nil { // it was in settle
		reason, shown, m.shown = m.reason, unsettled, unsettled
	}
	defer func() { // also when Terminate, or a method of an error, ends the goroutine once more
		if !p.finish(reason, shown) {
			m.gone()
		}
		p.sys.actors.ProcessRegistry.Remove(p.actor.Load())
		m.tell(reason)
	}()
	last := m.current.Load()
	if last == nil {
		last = &delivery{}
	}
	if m.initialized && last.message != (terminating{}) && p.over() == nil {
		reason = m.lastCallback(reason) // GS-26: it has ended by itself, as if it had returned the error
		shown = unsettled
		shown = m.settle(reason)
	}
	m.report(reason, last.message)
}

// report logs an end that nobody wanted, with what OTP gives: name, last message, state and reason (GS-40).
func (m *mailbox) report(reason error, last any) {
	p := m.proc
	if !p.alive() || !p.sys.log.Enabled(context.Background(), levelReport) {
		return
	}
	_, last = m.describe(last)
	fields := []any{
		"pid", p.pid.String(), "name", p.title(), "process", WhatIs(p.what),
		"reason", m.settle(reason), "last_message", Render(last), "state", m.state(),
	}
	if panicked, ok := reason.(*messages.PanicError); ok { //nolint:errorlint // an error that wraps itself has no end
		fields = append(fields, "stack", string(panicked.Stack))
	}
	Report(p.sys, "process ended", fields...)
}
