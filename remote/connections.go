package remote

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ConnectionLimits are what keeps a port open to those who are welcome. The zero value of each is its default; none can be
// switched off. A port has at most MaxConnections and MaxHandshakes connections together.
type ConnectionLimits struct {
	// MaxConnections is how many connections can have been let in at a time; by default 1,000. What comes after them is
	// closed at once.
	MaxConnections int
	// MaxHandshakes is how many connections can be about to prove who they are and that they speak HTTP/2; by default 100. For
	// the next one, the oldest is closed: one that is slow on purpose has been there longer than one that is welcome, which needs a few
	// milliseconds.
	MaxHandshakes int
	// HandshakeTimeout is how long a connection may take to prove who it is and to say that it speaks HTTP/2; by default 5 s.
	HandshakeTimeout time.Duration
	// MaxConnectionsPerClient is how many connections can have been let in with certificates of the same name; by default 16,
	// where one is enough for a process. Without TLS nobody has a name then, and it limits nothing.
	MaxConnectionsPerClient int
}

func (l ConnectionLimits) withDefaults() (ConnectionLimits, error) {
	for _, limit := range []struct {
		name     string
		value    int64
		negative any
	}{
		{"MaxConnections", int64(l.MaxConnections), l.MaxConnections},
		{"MaxHandshakes", int64(l.MaxHandshakes), l.MaxHandshakes},
		{"HandshakeTimeout", int64(l.HandshakeTimeout), l.HandshakeTimeout},
		{"MaxConnectionsPerClient", int64(l.MaxConnectionsPerClient), l.MaxConnectionsPerClient},
	} {
		if limit.value < 0 {
			return l, fmt.Errorf("remote: ConnectionLimits.%s is %v, want a positive value, or zero for the default", limit.name, limit.negative)
		}
	}
	return ConnectionLimits{
		MaxConnections:          cmp.Or(l.MaxConnections, 1000),
		MaxHandshakes:           cmp.Or(l.MaxHandshakes, 100),
		HandshakeTimeout:        cmp.Or(l.HandshakeTimeout, 5*time.Second),
		MaxConnectionsPerClient: cmp.Or(l.MaxConnectionsPerClient, 16),
	}, nil
}

var (
	errFull       = errors.New("remote: MaxConnections have been let in")
	errClientFull = errors.New("remote: MaxConnectionsPerClient have been let in with this name")
	errCrowded    = errors.New("remote: it was the oldest of MaxHandshakes")
	errLeft       = errors.New("remote: closed before it was let in")
)

// gate is a listener whose connections wait until they have proved who they are and have begun as HTTP/2 does, and then are
// inside. Strangers can only ever be among those that wait, so they compete with newcomers and never with who is inside.
type gate struct {
	net.Listener
	limits   ConnectionLimits
	refusals *refusals

	mu      sync.Mutex
	closed  bool
	waiting list.List // of *gatedConn, the oldest first
	inside  int
	byName  map[string]int // of those inside
}

// Accept gives the next connection that there is room for. It goes on accepting where there is none, so that nobody waits
// unseen in the kernel's queue until it is too late for them.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := g.take(conn); c != nil {
			return c, nil
		}
	}
}

// take puts a newcomer with those that wait, or closes it and gives nil.
func (g *gate) take(conn net.Conn) net.Conn {
	c := &gatedConn{Conn: conn, gate: g}
	oldest, err := g.queue(c)
	if err != nil {
		c.refuse(refusedConnections, err)
		return nil
	}
	if oldest != nil {
		g.refusals.add(time.Now(), refusedHandshakes, hostOf(oldest.RemoteAddr()), errCrowded)
		_ = oldest.Close()
	}
	return c
}

// queue also gives who has to go for the newcomer. It waits no longer then, so that it cannot get inside meanwhile.
func (g *gate) queue(c *gatedConn) (oldest *gatedConn, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		c.judged = true // nobody is to blame
		return nil, net.ErrClosed
	case g.inside >= g.limits.MaxConnections:
		return nil, errFull
	}
	if g.waiting.Len() >= g.limits.MaxHandshakes {
		oldest = g.waiting.Remove(g.waiting.Front()).(*gatedConn)
		oldest.place, oldest.judged = nil, true
	}
	c.place = g.waiting.PushBack(c)
	return oldest, nil
}

// Close closes the port, and the connections that wait; gRPC would wait for them. Those inside are the server's.
func (g *gate) Close() error {
	err := g.Listener.Close()
	for _, c := range g.shut() {
		_ = c.Close()
	}
	return err
}

func (g *gate) shut() []*gatedConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	var waiting []*gatedConn
	for e := g.waiting.Front(); e != nil; e = e.Next() {
		c := e.Value.(*gatedConn)
		c.judged = true // nobody is to blame
		waiting = append(waiting, c)
	}
	return waiting
}

// gatedConn is a connection that the gate knows until it is closed.
type gatedConn struct {
	net.Conn
	gate *gate

	// Of the gate's mutex. It waits, then it is inside, then neither; or never inside.
	place  *list.Element // not nil: it waits
	in     bool
	name   string // under which it is counted inside; may be empty
	judged bool   // it was let in, or a reason why not was found
}

// enter counts a connection as one of those inside, or closes it.
func (c *gatedConn) enter(name string) error {
	reason, err := c.tryEnter(name)
	if err != nil {
		c.refuse(reason, err)
	}
	return err
}

func (c *gatedConn) tryEnter(name string) (reason string, err error) {
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case c.place == nil:
		return refusedHandshake, errLeft
	case g.inside >= g.limits.MaxConnections:
		return refusedConnections, errFull
	case name != "" && g.byName[name] >= g.limits.MaxConnectionsPerClient:
		return refusedClientConnections, errClientFull
	}
	g.waiting.Remove(c.place)
	c.place, c.in, c.name, c.judged = nil, true, name, true
	g.inside++
	if name != "" {
		g.byName[name]++
	}
	return "", nil
}

// refuse closes a connection that was not let in. The first reason counts: what fails because of it is none.
func (c *gatedConn) refuse(reason string, why error) {
	if c.judge() {
		c.gate.refusals.add(time.Now(), reason, hostOf(c.RemoteAddr()), why)
	}
	_ = c.Close()
}

// judge reports whether nobody has judged the connection before.
func (c *gatedConn) judge() bool {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	first := !c.judged
	c.judged = true
	return first
}

// Close gives the connection's place free.
func (c *gatedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

func (c *gatedConn) leave() {
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case c.place != nil:
		g.waiting.Remove(c.place)
		c.place = nil
	case c.in:
		c.in = false
		g.inside--
		if g.byName[c.name]--; g.byName[c.name] <= 0 {
			delete(g.byName, c.name)
		}
	}
}
