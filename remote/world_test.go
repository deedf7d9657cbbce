package remote

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/test/bufconn"

	"github.com/taskrunner-go/taskrunner/actors"
)

// wire is a network without sockets, so that time can be a bubble's. Its connections can fall silent: then nothing arrives any more, and nobody
// is told. Make it in the bubble.
type wire struct {
	t *testing.T

	mu    sync.Mutex
	ports map[string]*bufconn.Listener
	names map[string][]netip.Addr
	conns map[string][]*quietConn
}

func newWire(t *testing.T) *wire {
	return &wire{t: t, ports: map[string]*bufconn.Listener{}, names: map[string][]netip.Addr{}, conns: map[string][]*quietConn{}}
}

// listen has runners reached at an address of the wire, and stops the listener with the test.
func (w *wire) listen(address string, config ListenConfig) *Listener {
	w.t.Helper()
	l, err := newListener(config)
	if err != nil {
		w.t.Fatal(err)
	}
	port := bufconn.Listen(1 << 16)
	w.mu.Lock()
	w.ports[address] = port
	w.mu.Unlock()
	l.open(l.door.guard(port))
	w.t.Cleanup(func() {
		if err := l.Stop(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
	return l
}

// dial makes a client on the wire, and closes it with the test.
func (w *wire) dial(target string) *Client {
	w.t.Helper()
	c, err := dialOver(w.t.Context(), network{lookup: w.lookup, dial: w.connect}, target, DialConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
	return c
}

func (w *wire) connect(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	port := w.ports[address]
	w.mu.Unlock()
	if port == nil {
		return nil, fmt.Errorf("nobody listens on %s", address)
	}
	conn, err := port.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	quiet := &quietConn{Conn: conn, silent: make(chan struct{}), deaf: make(chan struct{}), closed: make(chan struct{})}
	w.mu.Lock()
	w.conns[address] = append(w.conns[address], quiet)
	w.mu.Unlock()
	return quiet, nil
}

// name gives a host its addresses from now on.
func (w *wire) name(host string, addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[host] = nil
	for _, address := range addresses {
		w.names[host] = append(w.names[host], netip.MustParseAddr(address))
	}
}

func (w *wire) lookup(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found := w.names[host]; len(found) > 0 {
		return slices.Clone(found), nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	return nil, fmt.Errorf("no such host: %s", host)
}

// silence has nothing come or go over the connections to an address any more, as when a cable is cut.
func (w *wire) silence(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ports, address)
	for _, conn := range w.conns[address] {
		close(conn.silent)
	}
	delete(w.conns, address)
}

// deafen has nothing come over the connections to an address any more: what is asked arrives, and no answer does.
func (w *wire) deafen(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns[address] {
		close(conn.deaf)
	}
}

// cut closes the connections to the first address.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns[first] {
		_ = conn.Close()
	}
	delete(w.conns, first)
}

// quietConn is the client's end of a connection.
type quietConn struct {
	net.Conn
	silent chan struct{}
	deaf   chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Read gives what has come before the silence, at most.
func (c *quietConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if isClosed(c.silent) || isClosed(c.deaf) {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

// Write takes what will not arrive.
func (c *quietConn) Write(b []byte) (int, error) {
	if isClosed(c.silent) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *quietConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// startRunner starts a runner, and stops it with the test.
func startRunner(t *testing.T, config actors.TaskRunnerConfig) *actors.TaskRunner {
	t.Helper()
	r, err := actors.StartTaskRunner(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}
