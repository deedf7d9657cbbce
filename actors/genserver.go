package actors

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// The callbacks of a GenServer. A server implements those it needs. They run one at a time, in the server's process, so that they
// share its state without a lock. ctx belongs to the process: it says who sends, monitors and links, and is cancelled, with the
// reason as its cause, when the process is to end before its next message. A callback that blocks keeps all others waiting.
type (
	// Initializer runs first; the starter waits for it (GS-01). Its error is the starter's, and the server was never there;
	// ErrIgnore says so without a failure (GS-04). Continue and Timeout are not errors but say what comes next.
	Initializer interface {
		Init(ctx context.Context) error
	}
	// CallHandler answers calls. The reply and the error are the caller's; the server lives on. NoReply as the error says
	// that somebody answers from later (GS-15), a Stop that the server ends, and that the reply comes after Terminate
	// (GS-16); Continue and Timeout say what comes next. They may be joined (errors.Join): with an error for the caller, or, as
	// NoReply and Stop, to end without a reply, so that the caller gets the reason (GS-13).
	CallHandler interface {
		HandleCall(ctx context.Context, request any, from From) (reply any, err error)
	}
	// CastHandler handles casts. Nobody waits for the error, so it ends the server, as its reason, unless it is Continue or
	// Timeout.
	CastHandler interface {
		HandleCast(ctx context.Context, message any) error
	}
	// InfoHandler handles every other message, in the order of the mailbox (GS-18): a messages.Down, Exit, TaskReply or
	// Timeout, a timer, a plain send. Its error is that of a cast. A server without it logs the message and goes on (GS-19);
	// one that has it gets all, and what its type switch does not name is its own affair.
	InfoHandler interface {
		HandleInfo(ctx context.Context, message any) error
	}
	// Continuer goes on with what another callback has asked for by Continue, before any message (GS-22). Its error is that
	// of a cast, and may be another Continue. One that never ends handles no message any more, but an exit signal or a
	// Kill ends it between two turns.
	Continuer interface {
		HandleContinue(ctx context.Context, argument any) error
	}
	// Terminator runs last: when the server was stopped, when a callback failed, ended it or ended its goroutine (GS-26), and,
	// for a server that traps exits, when its parent told it to stop (GS-29). Not when it was killed (GS-34), nor for an exit
	// signal that it does not trap (GS-28), nor after a failed Init (GS-02): what must be done whatever happens is for somebody
	// who monitors it. If it panics, that is the reason of the end (GS-35).
	Terminator interface {
		Terminate(ctx context.Context, reason error)
	}
	// Snapshotter gives Terminate the state from before a callback that panicked (GS-26): Snapshot runs before each
	// callback, and what it returns puts that state back. For a plain struct it is
	//
	//	func (s *server) Snapshot() func() { old := *s; return func() { *s = old } }
	//
	// Without it, Terminate sees what the callback has left. What a callback returns, an error too, it returns knowingly:
	// then nothing is put back. A restore of nil has nothing to put back. A Snapshot that panics ends the server like a
	// callback.
	Snapshotter interface {
		Snapshot() (restore func())
	}
	// StatusFormatter gives what is shown of the server's state in the log of its crash and by System.State; without it the
	// server itself is printed. So it is for secrets, for what other goroutines write, and for states so large that printing
	// them, of which 2 KiB are kept, costs too much. It runs in the server's process, between two messages: while it hangs, so
	// does the server (OTP: format_status).
	StatusFormatter interface {
		FormatStatus() any
	}
)

// ErrIgnore is what an Init returns that does not want its server, without that being a failure (GS-04).
var ErrIgnore = process.ErrIgnore

// ErrNotHandled says that a server got a call or a cast but has no callback for it, which is a mistake in the program, so
// that the server ends (GS-20).
var ErrNotHandled = errors.New("actors: the server has no callback for it")

// GenServerOptions say how a GenServer is started. The zero value works.
type GenServerOptions struct {
	Name     messages.Name // registered before Init runs (GS-06)
	Via      messages.Via  // likewise, in a registry (RG-02)
	TrapExit bool          // exit signals become messages, and Terminate runs when the parent stops
	NoLink   bool          // started by a process, it is not linked to it and does not stop with it (OTP: start, not start_link)
	// Timeout is how long Init may take: then the start fails with ErrInitTimeout, and the server was never there (GS-05).
	// Zero is as long as the context of the start allows, which under a supervisor is for ever.
	Timeout time.Duration
}

// ErrInitTimeout says that an Init took longer than GenServerOptions.Timeout.
var ErrInitTimeout = fmt.Errorf("actors: Init did not return in time: %w", context.DeadlineExceeded)

// GenServer addresses a running server: a process with a state, which answers calls and takes messages one at a time. The package's
// comment says what it gets in which order, and what happens on which end. It may be copied; its methods are safe from any goroutine.
type GenServer struct {
	system *System
	target messages.Target
}

// StartGenServer starts a server and returns when its Init has. Within a process (ctx belongs to it) the server is linked
// to that process and stops with it. The server is any value with at least one of the callbacks.
//
// The error is that of Init, a *messages.PanicError if that panicked (GS-03), a *NameTakenError (RG-01), ErrInitTimeout, or
// the cause of ctx when that ended first (GS-05). In each case there is no server and its name is free (GS-07). It is never
// an exit signal to the caller (GS-02).
func StartGenServer(ctx context.Context, system *System, server any, options GenServerOptions) (*GenServer, error) {
	g := newGenServer(system, server)
	if !g.any() {
		return nil, fmt.Errorf("actors: server is a %T, want one with a callback of GenServer", server)
	}
	if options.Timeout < 0 {
		return nil, fmt.Errorf("actors: GenServerOptions: Timeout is %s, want a positive duration, or zero for none", options.Timeout)
	}
	if options.Timeout > 0 {
		bounded, cancel := context.WithTimeoutCause(ctx, options.Timeout, ErrInitTimeout)
		defer cancel()
		ctx = bounded
	}
	pid, err := process.Spawn(ctx, system, g, process.Options{
		Name: options.Name, Via: options.Via, Link: !options.NoLink, TrapExit: options.TrapExit, What: server, After: g.endTimer,
	})
	if err != nil {
		return nil, err
	}
	return &GenServer{system: system, target: pid}, nil
}

// GenServerSpec makes a child spec of a server. newServer gives a new value at each start, so that a server which is started
// again has a fresh state (SV-07); it is called by the start alone, so that what it does wrong is a failed start. The ID is the
// name or, without one, the type S, as OTP takes the module; of two of one type without a name, one needs another.
func GenServerSpec[S any](system *System, newServer func() S, options GenServerOptions) supervisor.ChildSpec {
	id := string(options.Name)
	if id == "" {
		id = reflect.TypeFor[S]().String()
	}
	return supervisor.ChildSpec{ID: id, Start: func(ctx context.Context) (messages.PID, error) {
		if newServer == nil {
			return messages.PID{}, errors.New("actors: GenServerSpec: newServer is nil, want a func that gives a server")
		}
		server, err := StartGenServer(ctx, system, newServer(), options)
		if err != nil {
			return messages.PID{}, err
		}
		return server.PID(), nil
	}}
}

// Server addresses the server with this PID, name or Via; a name means whoever holds it at each use.
func Server(system *System, target messages.Target) *GenServer {
	return &GenServer{system: system, target: target}
}

// PID is the server's process; the zero PID if a name is addressed that nobody holds.
func (g *GenServer) PID() messages.PID {
	if pid, ok := g.target.(messages.PID); ok {
		return pid
	}
	return process.PIDOf(g.system, g.target)
}

// Call sends a request and waits for the reply. It fails at once with messages.NoProc if there is no server, with the
// server's reason if that ends first (GS-13), with ErrCallingSelf from within the server (GS-14), and with the cause of ctx
// when that ends: the server handles the request all the same (GS-10), and its reply goes nowhere (GS-11). There is no
// timeout but that of ctx.
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

// Stop ends the server behind the messages that are queued (GS-37) and waits until it is gone; Terminate runs, whether or
// not it traps exits (GS-36). The error is the reason it ended with, if that is another one than messages.Normal;
// messages.NoProc; ErrCallingSelf; or the cause of ctx, and then it still ends (GS-38).
func (g *GenServer) Stop(ctx context.Context) error { return g.StopWith(ctx, messages.Normal) }

// StopWith is Stop with a reason of the caller's.
func (g *GenServer) StopWith(ctx context.Context, reason error) error {
	return process.Stop(ctx, g.system, g.target, reason)
}

// Call is GenServer.Call for a reply of a known type. One of another type is an error that names both.
func Call[R any](ctx context.Context, server *GenServer, request any) (R, error) {
	reply, err := server.Call(ctx, request)
	typed, ok := reply.(R)
	if err == nil && !ok && reply != nil {
		err = fmt.Errorf("actors: Call: the reply is a %T, want a %s", reply, reflect.TypeFor[R]())
	}
	return typed, err
}
