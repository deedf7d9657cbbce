package remote

import (
	"fmt"
	"net"
)

// greeter is a connection that has yet to say that it speaks HTTP/2. When it has, it is let in at the gate. It listens to what gRPC reads
// and reads nothing itself, because gRPC greets first, and some clients may wait for that.
type greeter struct {
	net.Conn
	gated *gatedConn
	name  string // under which it is let in
	left  string // what it has yet to say. Only the goroutine that reads uses it.
}

// Read gives nothing of what cannot be HTTP/2.
func (g *greeter) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.left == "" {
		return n, err
	}
	if refused := g.hear(b[:n], err); refused != nil {
		return 0, refused
	}
	return n, err
}

// hear takes what has come, or why there is no more, and gives why the connection is not let in.
func (g *greeter) hear(said []byte, end error) error {
	part := said[:min(len(said), len(g.left))]
	if string(part) != g.left[:len(part)] {
		err := fmt.Errorf("remote: it says %.16q, want what HTTP/2 begins with", said)
		g.gated.refuse(refusedNotHTTP2, err)
		return err
	}
	if g.left = g.left[len(part):]; g.left == "" {
		return g.gated.enter(g.name)
	}
	if end != nil {
		g.gated.refuse(handshakeReason(end), end)
	}
	return end
}
