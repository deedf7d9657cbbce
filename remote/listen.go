package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// DefaultDrainTimeout is how long a listener that is stopped goes on telling the outcomes that it owes.
const DefaultDrainTimeout = 10 * time.Second

// ListenConfig says what a listener serves, and whom. Only Runners is needed.
type ListenConfig struct {
	// Runners are reachable under their names. The listener does not stop them; stop it before them.
	Runners []*actors.TaskRunner

	// TLS has the listener demand a certificate of everybody. Without it, it listens on loopback only.
	TLS TLS
	// Clients are those who may come in, each with a token. With neither Clients nor ClientsFile, whoever has a certificate may do everything.
	Clients []AllowedClient
	// ClientsFile is a file of Clients, as ReadClients reads it, in place of Clients. It is read again when it changes.
	ClientsFile string

	// Limits bounds what clients can take, and Connections what strangers can.
	Limits      Limits
	Connections ConnectionLimits
	// DrainTimeout is how long Stop goes on telling the outcomes that are owed; zero is DefaultDrainTimeout, a negative one not at all.
	DrainTimeout time.Duration
	// Reflection lets those who come in ask which services there are. grpcurl then needs no .proto file.
	Reflection bool

	// Logger gets who is refused and what goes wrong; nil: nobody does.
	Logger *slog.Logger
}

// Listener makes runners reachable from other machines. Its methods are safe from any goroutine.
type Listener struct {
	config  ListenConfig
	limits  Limits
	logger  *slog.Logger
	node    string
	runners map[string]*served
	door    *door
	port    net.Listener
	server  *grpc.Server
	health  *health.Server

	monitors *monitors
	timers   *timers
	leaving  chan struct{} // closed when no more runs are taken
	ending   chan struct{} // closed when nothing more is told
	done     chan struct{} // closed when the server has ended

	awaiting atomic.Int64   // outcomes that others than Go clients wait for
	streams  sync.WaitGroup // what sessions have begun
	mu       sync.Mutex
	sessions map[string]*seat // by key
	rates    map[string]*rate.Limiter
	stopOnce sync.Once
}

// Listen opens a port, such as ":7070" or "127.0.0.1:0", on which the runners can be reached. It returns when that is so; ctx is for the
// start alone.
func Listen(ctx context.Context, address string, config ListenConfig) (*Listener, error) {
	l, err := newListener(config)
	if err != nil {
		return nil, err
	}
	port, err := l.door.listen(ctx, address)
	if err != nil {
		return nil, err
	}
	l.open(port)
	return l, nil
}

// open serves those who come in at the port, which the door guards.
func (l *Listener) open(port net.Listener) {
	l.port = port
	go func() {
		defer close(l.done)
		if err := l.server.Serve(port); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			l.logger.Error("remote: the listener has ended", "error", err)
		}
	}()
}

func newListener(config ListenConfig) (*Listener, error) {
	l := &Listener{
		config: config, limits: config.Limits.withDefaults(), logger: config.Logger, runners: map[string]*served{},
		leaving: make(chan struct{}), ending: make(chan struct{}), done: make(chan struct{}), sessions: map[string]*seat{}, rates: map[string]*rate.Limiter{},
		monitors: newMonitors(), timers: newTimers(),
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	if err := l.limits.validate(); err != nil {
		return nil, err
	}
	if err := l.serve(config.Runners); err != nil {
		return nil, err
	}
	var err error
	l.door, err = newDoor(doorConfig{
		tls: config.TLS, clients: config.Clients, clientsFile: config.ClientsFile, limits: config.Connections, logger: config.Logger,
	})
	if err != nil {
		return nil, err
	}
	l.server = grpc.NewServer(l.options()...)
	l.register()
	return l, nil
}

// serve enters the runners.
func (l *Listener) serve(runners []*actors.TaskRunner) error {
	if len(runners) == 0 {
		return errors.New("remote: ListenConfig: Runners is empty, want at least one")
	}
	for i, r := range runners {
		if r == nil {
			return fmt.Errorf("remote: ListenConfig: Runners[%d] is nil", i)
		}
		if l.runners[r.Name()] != nil {
			return fmt.Errorf("remote: ListenConfig: Runners[%d]: %q is there twice", i, r.Name())
		}
		if _, stopped := r.Free(); stopped {
			l.logger.Warn("remote: a runner has stopped before anybody can reach it", "runner", r.Name())
		}
		l.runners[r.Name()] = newServed(r, l.limits)
	}
	l.node = runners[0].System().Node()
	return nil
}

// A connection on which nothing comes is asked whether anybody is there, and is given up when nobody answers. Those who ask too often
// are turned away.
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
	keepaliveMin     = 5 * time.Second
)

func (l *Listener) options() []grpc.ServerOption {
	return append(l.door.options(),
		grpc.ChainUnaryInterceptor(l.recoverCall),
		grpc.ChainStreamInterceptor(l.recoverStream),
		grpc.ForceServerCodecV2(newFrameCodec()),
		grpc.MaxRecvMsgSize(l.limits.MaxMessage),
		grpc.MaxConcurrentStreams(uint32(l.limits.MaxStreams)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMin, PermitWithoutStream: true}),
	)
}

func (l *Listener) register() {
	l.door.serving(l.runners)
	remotepb.RegisterLinkServer(l.server, &linkServer{listener: l})
	remotepb.RegisterTasksServer(l.server, &tasksServer{listener: l})
	l.health = health.NewServer()
	grpc_health_v1.RegisterHealthServer(l.server, l.health)
	if l.config.Reflection {
		reflection.Register(l.server)
	}
}

// Addr is the address on which it listens.
func (l *Listener) Addr() net.Addr { return l.port.Addr() }

// Refusals says how often somebody or something was refused since the start, by reason. What has not happened is not in it.
func (l *Listener) Refusals() map[string]int64 { return l.door.refusals.snapshot() }

// Stop takes no more runs, tells the clients so, goes on for DrainTimeout to tell the outcomes that are owed, says up to where the requests were
// dealt with, and closes the port and all connections; for a client that does not read it waits a second longer. When ctx ends it does not wait
// any longer, and answers with its cause. It is idempotent.
func (l *Listener) Stop(ctx context.Context) error {
	l.stopOnce.Do(func() {
		l.health.Shutdown()
		close(l.leaving)
		go func() {
			l.drain()
			l.end()
		}()
	})
	select {
	case <-l.done:
	case <-ctx.Done():
		l.server.Stop()
		<-l.done
		l.finish()
		return context.Cause(ctx)
	}
	l.finish()
	return nil
}

func (l *Listener) finish() {
	l.streams.Wait()
	l.timers.stop()
	l.monitors.stop()
}

// drainEvery is how often it is looked whether everything is told.
const drainEvery = 20 * time.Millisecond

// drain waits until nothing is owed, or the time is over.
func (l *Listener) drain() {
	limit := orDefault(l.config.DrainTimeout, DefaultDrainTimeout)
	until := time.Now().Add(limit)
	ticker := time.NewTicker(drainEvery)
	defer ticker.Stop()
	for l.owes() && time.Now().Before(until) {
		select {
		case <-ticker.C:
		case <-l.done:
			return
		}
	}
}

// endTimeout is how long the streams may take to end when nothing more is told. One takes longer whose client does not read.
const endTimeout = time.Second

// end ends the streams, and closes the port and the connections.
func (l *Listener) end() {
	close(l.ending)
	late := time.AfterFunc(endTimeout, l.server.Stop)
	defer late.Stop()
	l.server.GracefulStop()
}

func (l *Listener) owes() bool {
	if l.awaiting.Load() > 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.sessions {
		if p.session.owes() > 0 || p.session.out.len() > 0 {
			return true
		}
	}
	return false
}

// served gives a runner by its name. Who may not use a runner of that name is told so, whether there is one or not.
func (l *Listener) served(p *peer, name []byte) (*served, error) {
	if s := l.runners[string(name)]; s != nil {
		return s, nil
	}
	if err := p.may(actionRead, string(name), ""); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownRunner, cut(string(name), 64))
}

// records reports whether the runner has a store. There a repeated id is known for longer than until its outcome has arrived.
func (l *Listener) records(runner []byte) bool {
	s := l.runners[string(runner)]
	return s != nil && s.inbox == nil
}

// refuse counts that something was refused to a client, and gives its error.
func (l *Listener) refuse(p *peer, reason string, err error) error {
	l.door.refusals.add(time.Now(), reason, p.name, err)
	return err
}

// note counts an error that a client is answered with, if that is a refusal which has not been counted where it arose.
func (l *Listener) note(p *peer, err error) {
	if reason := reasonOfError(err); reason != "" {
		l.door.refusals.add(time.Now(), reason, p.name, err)
	}
}

// recoverCall and recoverStream turn a panic into an error of the call: it is a mistake of ours, and others have nothing to do with it.
func (l *Listener) recoverCall(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	err = l.contain(info.FullMethod, func() (err error) {
		answer, err = handle(ctx, request)
		return err
	})
	return answer, err
}

func (l *Listener) recoverStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return l.contain(info.FullMethod, func() error { return handle(server, stream) })
}

// contain gives a panic as an error.
func (l *Listener) contain(method string, f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = l.panicked(method, value)
		}
	}()
	return f()
}

func (l *Listener) panicked(method string, value any) error {
	l.logger.Error("remote: a call has panicked", "method", method, "panic", value, "stack", string(debug.Stack()))
	return errPanicked
}
