package actors_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// otpServer is a child of a scenario: it does what its options say, and notes its start and its Terminate.
type otpServer struct {
	w    *otpWorld
	node *otpNode
	from actors.From // who waits for a later answer
}

type (
	otpExitWith struct{ reason string }
	otpNote     struct{ text string }
	otpBusy     struct{ d time.Duration }
	otpLinkTo   struct{ pid messages.PID }
	otpWatch    struct{ pid messages.PID }
)

func (w *otpWorld) startServer(ctx context.Context, n *otpNode) (messages.PID, error) {
	options := actors.GenServerOptions{TrapExit: n.options["traps"] != "no"}
	return otpPIDOf(actors.StartGenServer(ctx, w.system, &otpServer{w: w, node: n}, options))
}

func (s *otpServer) Init(ctx context.Context) error {
	n := s.w.count(s.node.name)
	refusals := s.node.number("refuse")
	switch {
	case refusals > 0 && n >= refusals && !s.w.isHealed(s.node.name):
		if n == refusals {
			s.note("start_failed")
		}
		time.Sleep(5 * time.Millisecond)
		return errBoom
	case s.node.has("fail", n):
		s.note("start_failed")
		return errBoom
	case s.node.has("raise", n):
		s.note("start_failed")
		panic("boom")
	case s.node.has("ignore", n):
		s.note("start_ignored")
		return supervisor.ErrIgnore
	}
	s.note("start")
	self, _ := actors.Self(ctx)
	s.w.up(s.node.name, self)
	if s.node.options["continue"] == "yes" {
		return actors.Continue("first")
	}
	return nil
}

func (s *otpServer) HandleContinue(_ context.Context, argument any) error {
	s.note("continue", argument.(string))
	if argument == "first" {
		return actors.Continue("second")
	}
	return nil
}

// note writes down something of this server.
func (s *otpServer) note(verb string, words ...string) {
	s.w.event(append([]string{verb, s.node.name}, words...)...)
}

func (s *otpServer) HandleCast(ctx context.Context, message any) error {
	switch m := message.(type) {
	case otpExitWith:
		if m.reason == "raise" {
			panic("boom")
		}
		return actors.Stop(otpReason(m.reason))
	case otpNote:
		s.note("note", m.text)
	case otpBusy:
		otpSleep(ctx, m.d)
	}
	return nil
}

func (s *otpServer) HandleCall(ctx context.Context, request any, from actors.From) (any, error) {
	self, _ := actors.Self(ctx)
	switch m := request.(type) {
	case otpLinkTo:
		s.w.system.Link(ctx, m.pid)
		return "ok", nil
	case func(ctx context.Context) string:
		return m(ctx), nil
	case otpWatch:
		s.w.system.Monitor(ctx, m.pid)
		return "ok", nil
	}
	switch request {
	case "ping":
		return "pong", nil
	case "boom":
		return nil, errors.Join(actors.NoReply, actors.Stop(errBoom))
	case "raise":
		panic("boom")
	case "stop":
		return "bye", actors.Stop(messages.Normal)
	case "stop_silently":
		return nil, errors.Join(actors.NoReply, actors.Stop(messages.Shutdown))
	case "later":
		s.from = from
		s.w.system.Send(ctx, self, otpAnswer{})
		return nil, actors.NoReply
	case "self":
		_, err := actors.Server(s.w.system, self).Call(ctx, "ping")
		return nil, err
	case "continue":
		return "soon", actors.Continue("second")
	case "timeout":
		return "armed", actors.Timeout(2 * time.Second)
	case "unlink":
		info, _ := s.w.system.Info(self)
		s.w.system.Unlink(ctx, info.Parent)
		return "unlinked", nil
	}
	return nil, errors.New("unknown request")
}

type otpAnswer struct{} // what a server sends to itself

func (s *otpServer) HandleInfo(_ context.Context, message any) error {
	switch m := message.(type) {
	case otpAnswer:
		s.from.Reply("later", nil)
	case messages.Exit:
		s.note("info", "exit", otpShow(m.Reason))
	case messages.Timeout:
		s.note("info", "timeout")
	case messages.TaskReply:
		s.note("info", "reply", fmt.Sprint(m.Value))
	case messages.Down:
		s.note("info", "down", otpShow(m.Reason))
	default:
		s.note("info", fmt.Sprint(m))
	}
	return nil
}

func (s *otpServer) Terminate(ctx context.Context, reason error) {
	s.note("terminate", otpShow(reason))
	if s.node.options["stubborn"] == "yes" {
		<-s.w.over
	}
	if ms := s.node.number("slow"); ms > 0 && otpSleep(ctx, time.Duration(ms)*time.Millisecond) {
		s.note("terminated")
	}
	if s.node.options["terminate"] == "raise" {
		panic("in terminate")
	}
}

// otpSleep reports whether nobody has ended it: code that is killed goes on in Go, and has to ask.
func otpSleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
