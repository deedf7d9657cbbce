package remote

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

const (
	// minReconnect and maxReconnect are how long a client waits before it tries again to reach somebody: doubling, less up to half by chance.
	minReconnect = 50 * time.Millisecond
	maxReconnect = 2 * time.Second
	// helloTimeout is how long a listener may take for its welcome.
	helloTimeout = 10 * time.Second
	// arrivedEvery is how late a listener learns that outcomes have arrived, if nothing else is sent; or so many of them at once.
	arrivedEvery = 50 * time.Millisecond
	arrivedBatch = 512
)

// link is the connection of a client to one address. What is in the second part is guarded by the lock of the client.
type link struct {
	client    *Client
	address   string
	authority string
	wake      chan struct{}

	conn      *grpc.ClientConn
	up        bool
	node      string // of whom it reaches or has reached last
	leaving   bool
	unwanted  bool // its name no longer has the address
	err       error
	rooms     map[string]*room
	max       int // runs that may be unanswered
	maxBytes  int
	open      int // runs that are
	last      uint64
	calls     map[uint64]*call
	queue     []*call // to be sent
	arrived   []uint64
	forgotten []uint64
	watchers  map[*call]struct{} // who monitors the node
}

// room is how much room a runner has at the other end of a link.
type room struct {
	*remotepb.Room
	given int64 // to it since it was told
	full  bool  // it has refused a task since
}

func newLink(c *Client, address, authority string) *link {
	return &link{
		client: c, address: address, authority: authority, wake: make(chan struct{}, 1),
		rooms: map[string]*room{}, calls: map[uint64]*call{}, watchers: map[*call]struct{}{},
	}
}

// run keeps the connection, until the client is closed or the address is no longer wanted.
func (l *link) run() {
	conn, err := l.dial()
	if err != nil {
		l.client.noteLoss(err)
		l.client.logger.Error("remote: a connection cannot be made", "address", l.address, "error", err)
		return
	}
	l.client.mu.Lock()
	l.conn = conn
	l.client.mu.Unlock()
	defer func() { _ = conn.Close() }()
	for failures := 0; ; failures++ {
		began := time.Now()
		err := l.connect()
		l.client.down(l, err)
		if l.client.ctx.Err() != nil || l.client.drop(l) {
			return
		}
		if time.Since(began) > maxReconnect {
			failures = 0
		}
		if !pause(l.client.ctx, reconnectPause(failures, rand.Float64())) {
			return
		}
		conn.ResetConnectBackoff()
	}
}

// reconnectPause is how long to wait after so many failures in a row.
func reconnectPause(failures int, chance float64) time.Duration {
	d := min(maxReconnect, minReconnect<<min(failures, 10))
	return d - time.Duration(chance*float64(d)/2)
}

func (l *link) dial() (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(l.client.credentials),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(DefaultMaxMessage), grpc.ForceCodecV2(newFrameCodec())),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minReconnect, Multiplier: 2, Jitter: 0.5, MaxDelay: maxReconnect},
			MinConnectTimeout: helloTimeout,
		}),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
	}
	if token := l.client.config.Token; token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{token: token, clear: l.client.config.TLS.isZero()}))
	}
	if l.authority != "" {
		options = append(options, grpc.WithAuthority(l.authority))
	}
	if dial := l.client.network.dial; dial != nil {
		options = append(options, grpc.WithContextDialer(dial))
	}
	return grpc.NewClient("passthrough:///"+l.address, options...)
}

// connect opens a stream and uses it until it ends.
func (l *link) connect() error {
	ctx, cancel := context.WithCancelCause(l.client.ctx)
	defer cancel(nil)
	late := time.AfterFunc(helloTimeout, func() { cancel(errors.New("remote: no welcome in time")) })
	defer late.Stop()
	stream, err := remotepb.NewLinkClient(l.conn).Connect(ctx)
	if err != nil {
		return causeOr(ctx, err)
	}
	hello := &frame{number: 1, what: askHello, payload: payloadOf(&remotepb.Hello{Client: l.client.id})}
	if err := sendFrames(stream, requestForm.append(nil, hello)); err != nil {
		_, err = receive(stream) // the reason is there
		return causeOr(ctx, err)
	}
	first, err := receive(stream)
	if err != nil {
		return causeOr(ctx, err)
	}
	if !late.Stop() {
		return context.Cause(ctx)
	}
	answers, err := answerForm.frames(first.data, nil)
	if err != nil {
		return err
	}
	welcome := &remotepb.Welcome{}
	if len(answers) == 0 || answers[0].what != isWelcome || answers[0].decode(welcome) != nil {
		return fmt.Errorf("%w: the first answer is no welcome", ErrInvalid)
	}
	l.client.up(l, welcome)
	return l.use(ctx, cancel, stream, answers[1:])
}

// use sends and receives until one of the two fails.
func (l *link) use(ctx context.Context, cancel context.CancelCauseFunc, stream remotepb.Link_ConnectClient, early []frame) error {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := l.send(ctx, stream); err != nil && !errors.Is(err, context.Canceled) {
			cancel(err)
		}
	}()
	l.client.answers(l, early)
	var answers []frame
	var err error
	for err == nil {
		var message raw
		if message, err = receive(stream); err != nil {
			break
		}
		if answers, err = answerForm.frames(message.data, answers[:0]); err == nil {
			l.client.answers(l, answers)
		}
		message.buffer.Free()
	}
	cancel(err)
	<-sent
	return err
}

// send sends what gathers. While one message is being sent, the next gathers.
func (l *link) send(ctx context.Context, stream remotepb.Link_ConnectClient) error {
	ticker := time.NewTicker(arrivedEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.wake:
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		yieldWhile(func() int { return l.client.queued(l) })
		for {
			message := l.client.take(l)
			if message == nil {
				break
			}
			if err := sendFrames(stream, message); err != nil {
				return err // the reason comes to whoever receives
			}
		}
	}
}
