package actors

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

type (
	cast    struct{ message any }
	timeout struct{ generation uint64 } // to itself: nothing has come for as long as the server had asked for
)

// genServer is the process of a GenServer. The callbacks are looked up once.
type genServer struct {
	system    *System
	server    any
	init      Initializer
	call      CallHandler
	cast      CastHandler
	info      InfoHandler
	goOn      Continuer
	terminate Terminator
	snapshot  Snapshotter

	first      control                     // what Init has asked for
	lastReply  func()                      // the reply of the call that stopped the server
	generation uint64                      // rises with each message, so that a timeout of an earlier wait is known
	stopTimer  atomic.Pointer[func() bool] // of the wait; who ends the process takes it from another goroutine
}

func newGenServer(system *System, server any) *genServer {
	g := &genServer{system: system, server: server}
	g.init, _ = server.(Initializer)
	g.call, _ = server.(CallHandler)
	g.cast, _ = server.(CastHandler)
	g.info, _ = server.(InfoHandler)
	g.goOn, _ = server.(Continuer)
	g.terminate, _ = server.(Terminator)
	g.snapshot, _ = server.(Snapshotter)
	return g
}

func (g *genServer) any() bool {
	return g.init != nil || g.call != nil || g.cast != nil || g.info != nil || g.goOn != nil || g.terminate != nil
}

func (g *genServer) Init(ctx context.Context) error {
	if g.init == nil {
		return nil
	}
	next, err := nextOf(g.init.Init(ctx))
	if err == nil {
		err = next.stop
	}
	g.first = next
	return err
}

// AfterInit does what Init has asked for, when its starter does not wait any more (GS-23).
func (g *genServer) AfterInit(ctx context.Context) error { return g.proceed(ctx, g.first) }

func (g *genServer) Handle(ctx context.Context, message any) error {
	if t, ok := message.(timeout); ok {
		if t.generation != g.generation {
			return nil // something has come before it (GS-24, GS-25)
		}
		message = messages.Timeout{}
	}
	g.disarm()
	next, err := g.dispatch(ctx, message)
	if err != nil {
		return err
	}
	return g.proceed(ctx, next)
}

func (g *genServer) dispatch(ctx context.Context, message any) (control, error) {
	switch m := message.(type) {
	case *process.Request:
		return g.handleCall(ctx, m)
	case cast:
		if g.cast == nil {
			return control{}, fmt.Errorf("%w: HandleCast for %T", ErrNotHandled, m.message)
		}
		return g.run(func() error { return g.cast.HandleCast(ctx, m.message) })
	default:
		if g.info == nil {
			g.reportUnhandled(ctx, message)
			return control{}, nil
		}
		return g.run(func() error { return g.info.HandleInfo(ctx, message) })
	}
}

func (g *genServer) handleCall(ctx context.Context, r *process.Request) (control, error) {
	if g.call == nil {
		return control{}, fmt.Errorf("%w: HandleCall for %T", ErrNotHandled, r.Message)
	}
	var reply any
	next, err := g.run(func() (err error) {
		reply, err = g.call.HandleCall(ctx, r.Message, r.From)
		return err
	})
	over := ctx.Err() != nil // an exit signal has ended the server: the caller gets its reason, and not what came after (GS-28)
	switch {
	case next.noReply || over:
	case next.stop != nil:
		g.lastReply = func() { r.From.Reply(reply, err) } // after Terminate (GS-16)
	default:
		r.From.Reply(reply, err)
	}
	return next, nil //nolint:nilerr // the error is the caller's answer, and no end
}

// run runs a callback. The state of one that panics is put back, if the server knows how (GS-26).
func (g *genServer) run(callback func() error) (control, error) {
	if g.snapshot == nil {
		return nextOf(callback())
	}
	restore := g.snapshot.Snapshot()
	returned := false
	defer func() {
		if !returned && restore != nil {
			restore()
		}
	}()
	err := callback()
	returned = true
	return nextOf(err)
}

// proceed does what a callback has asked for. It loops here, so that nothing that is queued comes in between (GS-22): but a
// server that was told to end, or is declared dead, goes on no more (GS-28). Its end waits in the mailbox.
func (g *genServer) proceed(ctx context.Context, next control) error {
	for next.stop == nil && next.continues && ctx.Err() == nil {
		if g.goOn == nil {
			return fmt.Errorf("%w: HandleContinue for %T", ErrNotHandled, next.argument)
		}
		argument := next.argument
		process.Doing(ctx, "HandleContinue", argument)
		var err error
		if next, err = g.run(func() error { return g.goOn.HandleContinue(ctx, argument) }); err != nil {
			return err
		}
	}
	if next.stop == nil && next.timed {
		g.arm(ctx, next.timeout)
	}
	return next.stop
}

// arm has the server told when nothing comes for d. A timeout of zero goes behind what is queued by now, and is worth
// nothing if that is anything.
func (g *genServer) arm(ctx context.Context, d time.Duration) {
	self, _ := process.Self(ctx)
	if d == 0 {
		g.system.Send(process.Outside(ctx), self, timeout{g.generation}) // who traces the server sees what it sends itself, and no more
		return
	}
	stop := g.system.SendAfter(d, self, timeout{g.generation})
	g.stopTimer.Store(&stop)
	if !g.system.Alive(self) {
		g.endTimer(nil) // it was killed meanwhile, and its end may have come before the timer
	}
}

func (g *genServer) disarm() {
	g.generation++
	g.endTimer(nil)
}

// endTimer stops the timer. The end of the process calls it too, whatever that was: Terminate does not run on each, and a
// timer of a day would keep its memory, and the system, for a day.
func (g *genServer) endTimer(error) {
	if stop := g.stopTimer.Swap(nil); stop != nil {
		(*stop)()
	}
}

// Terminate sends the last reply after the callback (GS-16), also if that panics.
func (g *genServer) Terminate(ctx context.Context, reason error) {
	g.disarm()
	if g.lastReply != nil {
		defer g.lastReply()
	}
	if g.terminate != nil {
		g.terminate.Terminate(ctx, reason)
	}
}

// State is what is shown of the server.
func (g *genServer) State() any {
	if f, ok := g.server.(StatusFormatter); ok {
		return f.FormatStatus()
	}
	return g.server
}

// Describe names the callback for a message.
func (g *genServer) Describe(message any) (callback string, sent any) {
	switch m := message.(type) {
	case *process.Request:
		return "HandleCall", m.Message
	case cast:
		return "HandleCast", m.message
	case timeout:
		return "HandleInfo", messages.Timeout{}
	default:
		return "HandleInfo", message
	}
}

// reportUnhandled logs a message that the server has no callback for (GS-19).
func (g *genServer) reportUnhandled(ctx context.Context, message any) {
	self, _ := process.Self(ctx)
	process.Report(g.system, "message not handled", "pid", self.String(), "process", fmt.Sprintf("%T", g.server), "message", process.Render(message))
}
