package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// DefaultAway is how long a call goes on when nobody can be reached.
	DefaultAway = 30 * time.Second
	// DefaultClientUnacknowledged is how many runs a client has on their way that were not answered; more wait.
	DefaultClientUnacknowledged = 8192
	// MaxAddresses is how many listeners one client has a connection to.
	MaxAddresses = 64
	// lookupEvery is how often the addresses of a name are looked up again.
	lookupEvery = 15 * time.Second
)

// DialConfig configures a Client. Its zero value is for a listener on this machine.
type DialConfig struct {
	// TLS shows a certificate and demands one. Without it nothing is encrypted, and only loopback can be reached.
	TLS TLS
	// Token is shown to listeners that have Clients. It needs a TLS, unless on loopback.
	Token string

	// Away is how long a Run, an Await or a Cancel goes on when nobody can be reached; zero is DefaultAway. Then it gives
	// ErrNoConnection. A context that ends earlier ends it earlier.
	Away time.Duration
	// MaxUnacknowledged is how many runs are on their way that were not answered; zero is DefaultClientUnacknowledged. Run waits for its
	// turn when there are more.
	MaxUnacknowledged int
	// TraceContext puts the trace of the context of a Run into its message, as a propagator of OpenTelemetry does: it fills the map. nil: none.
	// On the other side actors.TaskRunnerConfig.TraceContext takes it out.
	TraceContext func(ctx context.Context, carrier map[string]string)

	// Logger gets which connections come and go; nil: nobody does.
	Logger *slog.Logger
}

// Client reaches the runners of one or several listeners. Its methods are safe from any goroutine. It needs no open port of its own.
type Client struct {
	config      DialConfig
	logger      *slog.Logger
	id          string
	credentials credentials.TransportCredentials
	network     network
	window      chan struct{} // one for each run that was not answered

	ctx     context.Context // ends with the client
	cancel  context.CancelCauseFunc
	running sync.WaitGroup

	mu      sync.Mutex
	links   []*link
	waiting []*call     // for a connection or for room, in their order
	looked  []candidate // of the last call that was routed: memory to be used again
	lastSeq uint64
	lost    error    // why the last connection could not be made
	downs   []func() // to be told when the lock is free
	closed  bool     // nobody is told by a goroutine any more
	telling sync.WaitGroup
}

// Dial makes a client for the listeners at target: "host:port", several of them separated by commas, or "dns:///host:port" for all addresses
// of a name, which is looked up again every 15 seconds. It returns at once; the connections are made in the background, and again when
// they are lost. Close closes them.
func Dial(ctx context.Context, target string, config DialConfig) (*Client, error) {
	return dialOver(ctx, network{lookup: net.DefaultResolver.LookupNetIP}, target, config)
}

// network is how others are found and reached: the world, or that of a test.
type network struct {
	lookup lookupFunc
	dial   func(ctx context.Context, address string) (net.Conn, error) // nil: as gRPC does
}

func dialOver(ctx context.Context, over network, target string, config DialConfig) (*Client, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	config.Away = orDefault(config.Away, DefaultAway)
	config.MaxUnacknowledged = orDefault(config.MaxUnacknowledged, DefaultClientUnacknowledged)
	if config.Away < 0 {
		return nil, fmt.Errorf("remote: DialConfig: Away is %s, want a positive duration", config.Away)
	}
	if config.MaxUnacknowledged < 0 {
		return nil, fmt.Errorf("remote: DialConfig: MaxUnacknowledged is %d, want at least 1", config.MaxUnacknowledged)
	}
	if i := strings.IndexFunc(config.Token, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		return nil, fmt.Errorf("remote: DialConfig: Token has the character %q at %d, want printable ASCII characters only", config.Token[i], i)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("remote: make an id for the client: %w", err)
	}
	c := &Client{config: config, logger: config.Logger, network: over, id: id.String(), window: make(chan struct{}, config.MaxUnacknowledged)}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	addresses, name, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	if err := c.secure(ctx, addresses, name); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.running.Go(c.watchTheTime)
	if name != "" {
		c.running.Go(func() { c.follow(name) })
		return c, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, address := range addresses {
		c.open(address, "")
	}
	return c, nil
}

const dnsScheme = "dns:///"

// parseTarget gives the addresses, or the name that is to be looked up.
func parseTarget(target string) (addresses []string, name string, err error) {
	if rest, ok := strings.CutPrefix(target, dnsScheme); ok {
		return nil, rest, targetError(target, validAddress(rest))
	}
	for address := range strings.SplitSeq(target, ",") {
		address = strings.TrimSpace(address)
		if err := validAddress(address); err != nil {
			return nil, "", targetError(target, err)
		}
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	if len(addresses) > MaxAddresses {
		return nil, "", fmt.Errorf("remote: target has %d addresses, want at most %d", len(addresses), MaxAddresses)
	}
	return addresses, "", nil
}

// validAddress checks what can be known of an address without a network.
func validAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return err
	case host == "" || port == "":
		return errors.New("a host or a port is missing")
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("the port is %q, want a number from 1 to 65535", port)
	}
	return nil
}

func targetError(target string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(`remote: target is %q (%w), want "host:port", several separated by commas, or "dns:///host:port"`, target, err)
}

// secure has the connections encrypted. Without a TLS they may go to this machine only: nobody else could be trusted with a token or a task.
func (c *Client) secure(ctx context.Context, addresses []string, name string) (err error) {
	if !c.config.TLS.isZero() {
		c.credentials, err = c.config.TLS.client(c.logger)
		return err
	}
	c.credentials = insecure.NewCredentials()
	if name != "" {
		addresses = []string{name}
	}
	for _, address := range addresses {
		host, _, _ := net.SplitHostPort(address)
		if _, err := loopbackOf(ctx, c.network.lookup, host); err != nil {
			return fmt.Errorf("remote: target is %q: that needs DialConfig.TLS: without it only this machine can be reached, and %w", address, err)
		}
	}
	return nil
}

// follow keeps connections to all addresses of a name.
func (c *Client) follow(name string) {
	host, port, _ := net.SplitHostPort(name)
	for {
		found, err := c.network.lookup(c.ctx, "ip", host)
		switch {
		case err != nil && c.ctx.Err() == nil:
			c.logger.Warn("remote: the name cannot be looked up", "name", host, "error", err)
			c.noteLoss(err)
		case err == nil:
			c.retarget(found, host, port)
		}
		if !pause(c.ctx, lookupEvery) {
			return
		}
	}
}

// retarget opens what is new, and lets go what is gone.
func (c *Client) retarget(found []netip.Addr, host, port string) {
	slices.SortFunc(found, netip.Addr.Compare)
	if len(found) > MaxAddresses {
		c.logger.Warn("remote: the name has more addresses than a client uses", "name", host, "addresses", len(found), "used", MaxAddresses)
		found = found[:MaxAddresses]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := map[string]bool{}
	for _, ip := range found {
		address := net.JoinHostPort(ip.Unmap().String(), port)
		wanted[address] = true
		if !slices.ContainsFunc(c.links, func(l *link) bool { return l.address == address }) {
			c.open(address, host)
		}
	}
	for _, l := range c.links {
		l.unwanted = !wanted[l.address]
	}
}

// open is called with the lock. authority is the name that the certificate must have; empty: that of the address.
func (c *Client) open(address, authority string) {
	l := newLink(c, address, authority)
	c.links = append(c.links, l)
	c.running.Go(l.run)
}

// Close closes the connections. What is under way is answered with ErrClosed: runs that were accepted go on. It waits for those who are told of a
// Down at this moment, and ctx bounds how long it waits.
func (c *Client) Close(ctx context.Context) error {
	c.cancel(ErrClosed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.running.Wait()
		c.mu.Lock()
		c.closed = true
		c.unlock()
		c.telling.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Node is one of the programs that a client reaches.
type Node struct {
	Address string
	Name    string // of this start of the program; while there is no connection, of the last one; empty: there was none yet
	Up      bool   // there is a connection
	Leaving bool   // it is about to stop
	Err     error  // why there is no connection
}

// Nodes says whom the client reaches.
func (c *Client) Nodes() []Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := make([]Node, len(c.links))
	for i, l := range c.links {
		nodes[i] = Node{Address: l.address, Name: l.node, Up: l.up, Leaving: l.leaving, Err: l.err}
	}
	return nodes
}

// Ready waits until there is a connection. It gives why there is none when ctx ends, and at once when nobody is known by this token or
// certificate wherever the client comes.
func (c *Client) Ready(ctx context.Context) error {
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	for {
		nodes := c.Nodes()
		if slices.ContainsFunc(nodes, func(n Node) bool { return n.Up }) {
			return nil
		}
		if unknownEverywhere(nodes) {
			return c.noConnection()
		}
		select {
		case <-ticker.C:
		case <-c.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return errors.Join(c.noConnection(), context.Cause(ctx))
		}
	}
}

// unknownEverywhere is whether each listener was reached, and none knows this client: to wait would change nothing.
func unknownEverywhere(nodes []Node) bool {
	return len(nodes) > 0 && !slices.ContainsFunc(nodes, func(n Node) bool { return n.Up || !errors.Is(n.Err, ErrUnauthenticated) })
}

const readyEvery = 5 * time.Millisecond

// noConnection is ErrNoConnection with the reason of the last loss.
func (c *Client) noConnection() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noConnectionLocked()
}

func (c *Client) noConnectionLocked() error {
	switch {
	case c.lost == nil:
		return ErrNoConnection
	case c.config.TLS.isZero() && strings.Contains(c.lost.Error(), "server preface"): // what gRPC says when somebody hangs up at once
		return fmt.Errorf("%w: %w; this client has no TLS, which the listener may demand", ErrNoConnection, c.lost)
	}
	return fmt.Errorf("%w: %w", ErrNoConnection, c.lost)
}

func (c *Client) noteLoss(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = err
}

// pause waits for d and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
