package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// The callbacks of a GenServer. A server implements those it needs. They run one at a time, in the server's process; ctx
// belongs to it and is cancelled when it is told to exit.
type (
	// Initializer runs first; the starter waits for it (GS-01). Its error is the starter's, and the server was never there.
	Initializer interface {
		Init(ctx context.Context) error
	}
	// CallHandler answers calls. The reply and the error are the caller's; the server lives on. NoReply as the error says
	// that somebody answers from later (GS-15), a Stop that the server ends after the reply (GS-16).
	CallHandler interface {
		HandleCall(ctx context.Context, request any, from From) (reply any, err error)
	}
	// CastHandler handles casts. Nobody waits for the error, so it ends the server, as its reason.
	CastHandler interface {
		HandleCast(ctx context.Context, message any) error
	}
	// InfoHandler handles every other message: a Down, an Exit, a timer, a plain send. Its error ends the server.
	InfoHandler interface {
		HandleInfo(ctx context.Context, message any) error
	}
	// Terminator runs last: when the server was stopped, when a callback failed, and, for a server that traps exits, when
	// its parent told it to stop. Not when it was killed (GS-34).
	Terminator interface {
		Terminate(ctx context.Context, reason error)
	}
)

// From is who waits for the reply to a call. Reply answers it, once, from anywhere.
type From = process.From

// NoReply is what HandleCall returns as error when the call is answered later.
var NoReply = errors.New("actors: the reply comes later") //nolint:revive,staticcheck // it steers, as OTP's :noreply does, and is no failure

type stopError struct{ reason error }

func (s *stopError) Error() string { return "actors: stop: " + s.reason.Error() }
func (s *stopError) Unwrap() error { return s.reason }

// Stop is what a callback returns as error to end its server with the reason; nil is messages.Normal. The reply of a HandleCall is sent after
// Terminate.
func Stop(reason error) error {
	if reason == nil {
		reason = messages.Normal
	}
	return &stopError{reason}
}

// ErrNotHandled says that a server got a call or a cast but has no callback for it, which is a mistake in the program, so
// that the server ends (GS-20).
var ErrNotHandled = errors.New("actors: the server has no callback for it")

// GenServerOptions say how a GenServer is started. The zero value works.
type GenServerOptions struct {
	Name     messages.Name // registered before Init runs
	TrapExit bool          // exit signals become messages, and Terminate runs when the parent stops
}

// GenServer addresses a running server. It may be copied; its methods are safe from any goroutine.
type GenServer struct {
	system *System
	target messages.Target
}

// StartGenServer starts a server and returns when its Init has. Within a process (ctx belongs to it) the server is linked
// to that process and stops with it. The server is any value with at least one of the callbacks.
func StartGenServer(ctx context.Context, system *System, server any, options GenServerOptions) (*GenServer, error) {
	g := newGenServer(server)
	if !g.any() {
		return nil, fmt.Errorf("actors: server is a %T, want one with a callback of GenServer", server)
	}
	pid, err := process.Spawn(ctx, system, g, process.Options{Name: options.Name, Link: true, TrapExit: options.TrapExit})
	if err != nil {
		return nil, err
	}
	return &GenServer{system: system, target: pid}, nil
}

// Server addresses the server with this PID or name; a name means whoever holds it at each use.
func Server(system *System, target messages.Target) *GenServer {
	return &GenServer{system: system, target: target}
}

// PID is the server's process; the zero PID if a name is addressed that nobody holds.
func (g *GenServer) PID() messages.PID {
	if pid, ok := g.target.(messages.PID); ok {
		return pid
	}
	pid, _ := g.system.Whereis(messages.Name(g.target.String()))
	return pid
}

// Call sends a request and waits for the reply. It fails at once with messages.NoProc if there is no server, with the
// server's reason if that ends first (GS-13), and with the cause of ctx when that ends: the server handles the request
// all the same (GS-10).
func (g *GenServer) Call(ctx context.Context, request any) (any, error) {
	return process.Call(ctx, g.system, g.target, request)
}

// Cast sends a message for HandleCast. It never blocks and never fails; if there is no server the message is lost (GS-17).
func (g *GenServer) Cast(ctx context.Context, message any) {
	g.system.Send(ctx, g.target, cast{message})
}

// Info sends a message for HandleInfo.
func (g *GenServer) Info(ctx context.Context, message any) {
	g.system.Send(ctx, g.target, message)
}

// Stop ends the server behind the messages that are queued (GS-37) and waits until it is gone. The error is the reason it
// ended with, if that is another one than messages.Normal; messages.NoProc; or the cause of ctx, and then it still ends.
func (g *GenServer) Stop(ctx context.Context) error {
	return process.Stop(ctx, g.system, g.target, messages.Normal)
}

type cast struct{ message any }

// genServer is the process. The callbacks are looked up once.
type genServer struct {
	init      Initializer
	call      CallHandler
	cast      CastHandler
	info      InfoHandler
	terminate Terminator
	lastReply func() // the reply of the call that stopped the server
}

func newGenServer(server any) *genServer {
	g := &genServer{}
	g.init, _ = server.(Initializer)
	g.call, _ = server.(CallHandler)
	g.cast, _ = server.(CastHandler)
	g.info, _ = server.(InfoHandler)
	g.terminate, _ = server.(Terminator)
	return g
}

func (g *genServer) any() bool {
	return g.init != nil || g.call != nil || g.cast != nil || g.info != nil || g.terminate != nil
}

func (g *genServer) Init(ctx context.Context) error {
	if g.init == nil {
		return nil
	}
	return g.init.Init(ctx)
}

func (g *genServer) Handle(ctx context.Context, message any) error {
	switch m := message.(type) {
	case *process.Request:
		return g.handleCall(ctx, m)
	case cast:
		if g.cast == nil {
			return fmt.Errorf("%w: HandleCast for %T", ErrNotHandled, m.message)
		}
		return reasonOf(g.cast.HandleCast(ctx, m.message))
	default:
		if g.info == nil {
			return nil // GS-19
		}
		return reasonOf(g.info.HandleInfo(ctx, message))
	}
}

// reasonOf unpacks a Stop, which says nothing in HandleCast and HandleInfo that a plain error does not.
func reasonOf(err error) error {
	if stop, ok := errors.AsType[*stopError](err); ok {
		return stop.reason
	}
	return err
}

func (g *genServer) handleCall(ctx context.Context, r *process.Request) error {
	if g.call == nil {
		return fmt.Errorf("%w: HandleCall for %T", ErrNotHandled, r.Message)
	}
	reply, err := g.call.HandleCall(ctx, r.Message, r.From)
	if stop, ok := errors.AsType[*stopError](err); ok {
		g.lastReply = func() { r.From.Reply(reply, nil) }
		return stop.reason
	}
	if !errors.Is(err, NoReply) {
		r.From.Reply(reply, err)
	}
	return nil
}

// Terminate sends the last reply after the callback (GS-16).
func (g *genServer) Terminate(ctx context.Context, reason error) {
	if g.terminate != nil {
		g.terminate.Terminate(ctx, reason)
	}
	if g.lastReply != nil {
		g.lastReply()
	}
}
