package servertest

import (
	"context"
	"net"
	"sync"
	"testing"
)

// ProxyServer stands between clients and a server and carries bytes both ways, until it is told not to. It listens on a
// loopback port. Its methods may be called from any goroutine.
type ProxyServer struct {
	network, target string
	listener        net.Listener
	carrier         func() carry // for each connection; they may keep a state between the two ways

	mu       sync.Mutex
	refusing bool
	stalled  chan struct{} // nil unless stalled; closed when that is over
	closed   bool
	links    map[*link]struct{}

	wg sync.WaitGroup // all goroutines
}

// carry brings what one side says to the other, until either ends, and passes the gate before each piece.
type carry func(l *link, fromClient bool) error

// link is one connection of a client, with that to the server.
type link struct {
	ctx    context.Context // ends when the link is cut; for a call that takes long
	cancel context.CancelFunc
	gate   func() // waits while the proxy is stalled
	client net.Conn

	mu     sync.Mutex
	server net.Conn // nil before it is called
}

// chunk is how many bytes are carried at once, at most.
const chunk = 32 << 10

// Proxy starts a proxy in front of the server that listens on address of network, "tcp" or "unix". That need not be
// there yet: it is called anew for each client. The proxy ends with the test, and its connections with it.
func Proxy(t testing.TB, network, address string) *ProxyServer {
	t.Helper()
	return startProxy(t, network, address, func() carry { return carryBytes })
}

func startProxy(t testing.TB, network, address string, carrier func() carry) *ProxyServer {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("servertest: listening for a proxy: %v", err)
	}
	p := &ProxyServer{
		network: network, target: address, listener: listener, carrier: carrier, links: map[*link]struct{}{},
	}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Address gives the host and port on which the proxy listens.
func (p *ProxyServer) Address() string { return p.listener.Addr().String() }

// Cut closes all connections, on both sides, and returns when that is done. New ones are taken as before.
func (p *ProxyServer) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Refuse makes the proxy close each new connection before a byte is carried, as a server does that has no room.
// Those that stand go on.
func (p *ProxyServer) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = true
}

// Stall makes the proxy carry nothing more, neither way, and close nothing: what a network does that drops all packets.
// New connections succeed, and hear nothing.
func (p *ProxyServer) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Pass ends Refuse and Stall. What came in meanwhile is carried now, and nothing of it is missing.
func (p *ProxyServer) Pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = false
	p.endStall()
}

func (p *ProxyServer) endStall() {
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// close ends the proxy and waits for its goroutines.
func (p *ProxyServer) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.endStall()
	p.mu.Unlock()
	p.Cut()
	p.wg.Wait()
}

func (p *ProxyServer) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.admit(client)
	}
}

// admit begins to serve a client, unless it is refused.
func (p *ProxyServer) admit(client net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusing || p.closed {
		_ = client.Close()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &link{ctx: ctx, cancel: cancel, gate: p.gate, client: client}
	p.links[l] = struct{}{}
	p.wg.Go(func() {
		p.serve(l)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	})
}

// serve calls the server and carries until one side ends, which ends the other.
func (p *ProxyServer) serve(l *link) {
	defer l.close()
	p.gate()
	if l.call(p.network, p.target) != nil {
		return
	}
	carry := p.carrier()
	var ways sync.WaitGroup
	for _, fromClient := range []bool{true, false} {
		ways.Go(func() {
			defer l.close()
			_ = carry(l, fromClient) // that it ended is all there is to know
		})
	}
	ways.Wait()
}

// gate waits while the proxy is stalled. Who is cut meanwhile learns it from its connections.
func (p *ProxyServer) gate() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// call connects to the server.
func (l *link) call(network, target string) error {
	server, err := (&net.Dialer{}).DialContext(l.ctx, network, target)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	if err := l.ctx.Err(); err != nil { // cut while the server answered
		_ = server.Close()
		return err
	}
	return nil
}

// close closes both sides. What was written before still arrives.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

// ends gives the side that speaks and the one that listens.
func (l *link) ends(fromClient bool) (from, to net.Conn) {
	if fromClient {
		return l.client, l.server
	}
	return l.server, l.client
}

// carryBytes knows nothing of what it carries.
func carryBytes(l *link, fromClient bool) error {
	from, to := l.ends(fromClient)
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return err
		}
		l.gate()
		if _, err := to.Write(buf[:n]); err != nil {
			return err
		}
	}
}
