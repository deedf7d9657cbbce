package remote

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// names gives how many are inside under each name.
func (g *gate) names() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.byName)
}

// state gives how many wait and how many are inside.
func (g *gate) state() (waiting, inside int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting.Len(), g.inside
}

func (h *hall) wantState(waiting, inside int) {
	h.t.Helper()
	if w, i := h.gate.state(); w != waiting || i != inside {
		h.t.Errorf("%d connections wait and %d are inside, want %d and %d", w, i, waiting, inside)
	}
	if names := h.gate.names(); inside == 0 && len(names) != 0 {
		h.t.Errorf("nobody is inside, and remembered are %v", names)
	}
}

// knock opens a connection that says nothing.
func (h *hall) knock() net.Conn {
	h.t.Helper()
	conn, err := h.dialer(h.t.Context(), h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// wantClosed waits until the other side has closed a connection.
func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A thousand connections that say nothing are there, and more come in all the time: who is welcome does not notice.
func TestHalfOpenConnectionsDoNotUseThePortUp(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"TLS": true, "without TLS": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, c, own := newTown(t), doorConfig{}, TLS{}
			if secure {
				c.tls, own = o.server(), o.client("good")
			}
			h := openHall(t, c)
			before := h.dial(own, "")
			if _, err := ask(t, before, "Who", ""); err != nil {
				t.Fatal(err)
			}
			for i := range 1000 {
				h.knock()
				if i%250 == 249 {
					if _, err := ask(t, h.dial(own, ""), "Who", ""); err != nil {
						t.Errorf("after %d connections that say nothing: %v", i+1, err)
					}
				}
			}
			if _, err := ask(t, before, "Who", ""); err != nil {
				t.Errorf("a connection that was there before: %v", err)
			}
			if waiting, inside := h.gate.state(); waiting > 100 || inside != 5 {
				t.Errorf("%d connections wait and %d are inside, want at most 100 and 5", waiting, inside)
			}
			h.log.wait("refused", refusedHandshakes)
		})
	}
}

func TestTheOldestMakesRoomForANewcomer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHallInBubble(t, doorConfig{tls: newTown(t).server(), limits: ConnectionLimits{MaxHandshakes: 2}})
		first, second := h.knock(), h.knock()
		synctest.Wait()
		h.wantState(2, 0)
		third := h.knock()
		wantClosed(t, first)
		synctest.Wait()
		h.wantState(2, 0)
		if n := h.door.refusals.snapshot(); n[refusedHandshakes] != 1 || len(n) != 1 {
			t.Errorf("refusals %v, want one, by a newcomer", n)
		}
		_ = second.Close()
		_ = third.Close()
		synctest.Wait()
		h.wantState(0, 0)
	})
}

// Slow is who says nothing, who says its first word and no more, and who sends a byte a second; with and without TLS.
func TestSlowConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // the beginning of one of TLS
	const preface = "PRI * HTTP/2.0\r\n"
	for _, test := range []struct {
		name, says string
		secure     bool
		trickle    bool
	}{
		{"silent with TLS", "", true, false},
		{"half a hello", hello, true, false},
		{"a byte a second with TLS", hello, true, true},
		{"silent without TLS", "", false, false},
		{"half a preface", preface, false, false},
		{"a byte a second without TLS", preface, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := doorConfig{}
				if test.secure {
					c.tls = newTown(t).server()
				}
				h := openHallInBubble(t, c)
				start, conn := time.Now(), h.knock()
				var saying sync.WaitGroup
				saying.Go(func() { say(conn, test.says, test.trickle) })
				wantClosed(t, conn)
				if took := time.Since(start); took != 5*time.Second {
					t.Errorf("closed after %v, want 5 s", took)
				}
				_ = conn.Close()
				saying.Wait()
				h.wantState(0, 0)
				if n := h.door.refusals.snapshot(); n[refusedSlow] != 1 || len(n) != 1 {
					t.Errorf("refusals %v, want one, because it was slow", n)
				}
			})
		})
	}
}

// say ends when everything is said or nobody listens any more.
func say(conn net.Conn, text string, trickle bool) {
	for i := range len(text) {
		if trickle {
			time.Sleep(time.Second)
		}
		if _, err := conn.Write([]byte{text[i]}); err != nil {
			return
		}
	}
}

func TestAFullPort(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server(), limits: ConnectionLimits{MaxConnections: 2}})
	a, b, c := h.dial(o.client("a"), ""), h.dial(o.client("b"), ""), o.client("c")
	h.wantName(a, "a")
	h.wantName(b, "b")
	wantClosed(t, h.knock())
	h.wantCode(h.dial(c, ""), codes.Unavailable, refusedConnections)
	h.wantName(a, "a")
	_ = b.Close()
	conn := h.dial(c, "")
	for name := ""; name != "c" && t.Context().Err() == nil; { // until the server has seen b go
		name, _ = ask(t, conn, "Who", "")
		conn.ResetConnectBackoff()
	}
}

// Those who are about to come in when the last place is taken find no place.
func TestPlacesAreNotGivenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHallInBubble(t, doorConfig{limits: ConnectionLimits{MaxConnections: 1}})
		start, first, second := time.Now(), h.knock(), h.knock()
		synctest.Wait()
		h.wantState(2, 0)
		say(first, http2.ClientPreface, false)
		synctest.Wait()
		h.wantState(1, 1)
		say(second, http2.ClientPreface, false)
		wantClosed(t, second)
		wantClosed(t, h.knock()) // before it has said anything
		h.wantState(0, 1)
		if took := time.Since(start); took != 0 {
			t.Errorf("they were closed after %v, want at once", took)
		}
		_ = first.Close()
		synctest.Wait()
		h.wantState(0, 0)
		if n := h.door.refusals.snapshot(); n[refusedConnections] != 2 || len(n) != 1 {
			t.Errorf("refusals %v, want two, because the port is full", n)
		}
	})
}

func TestAClientCannotHaveAllConnections(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server(), limits: ConnectionLimits{MaxConnectionsPerClient: 2}})
	greedy := o.client("greedy")
	h.wantName(h.dial(greedy, ""), "greedy")
	second := h.dial(greedy, "")
	h.wantName(second, "greedy")
	third := h.dial(greedy, "")
	h.wantCode(third, codes.Unavailable, refusedClientConnections)
	h.wantName(h.dial(o.client("modest"), ""), "modest")
	_ = second.Close()
	for name := ""; name != "greedy" && t.Context().Err() == nil; { // until the server has seen it go
		name, _ = ask(t, third, "Who", "")
		third.ResetConnectBackoff()
	}
	h.wantCode(h.dial(greedy, ""), codes.Unavailable, refusedClientConnections)
	if n, want := h.gate.names(), map[string]int{"greedy": 2, "modest": 1}; !maps.Equal(n, want) {
		t.Errorf("inside are %v, want %v", n, want)
	}
}

// Stop does not wait for those who are not inside yet, and blames nobody.
func TestStoppingClosesThoseThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHallInBubble(t, doorConfig{tls: newTown(t).server()})
		conn, start := h.knock(), time.Now()
		synctest.Wait()
		h.stop()
		wantClosed(t, conn)
		synctest.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("closed after %v, want at once", took)
		}
		h.wantState(0, 0)
		if n := h.door.refusals.snapshot(); len(n) != 0 {
			t.Errorf("refusals %v, want none", n)
		}
	})
}

// newcomer gives a connection at a gate, and its other side.
func newcomer(t *testing.T, g *gate) (gated *gatedConn, outside net.Conn) {
	t.Helper()
	outside, conn := net.Pipe()
	t.Cleanup(func() { _ = outside.Close() })
	gated, _ = g.take(conn).(*gatedConn)
	return gated, outside
}

// What happens at the same moment as something else: who was closed meanwhile does not get in, one reason is enough, and
// who comes while the port closes is not told that it is full.
func TestTheGateAtTheWrongMoment(t *testing.T) {
	t.Parallel()
	d, err := newDoor(doorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	g := d.guard(bufconn.Listen(1)).(*gate)
	h := &hall{t: t, gate: g}
	closed, _ := newcomer(t, g)
	_ = closed.Close()
	if err := closed.enter("late"); !errors.Is(err, errLeft) {
		t.Errorf("enter after Close: %v, want %v", err, errLeft)
	}
	h.wantState(0, 0)
	refused, _ := newcomer(t, g)
	for range 2 {
		refused.refuse(refusedCertificate, errNotGated)
	}
	h.wantState(0, 0)
	_ = g.Close()
	late, outside := newcomer(t, g)
	wantClosed(t, outside)
	h.wantState(0, 0)
	want := map[string]int64{refusedCertificate: 1, refusedHandshake: 1}
	if n := d.refusals.snapshot(); late != nil || !maps.Equal(n, want) {
		t.Errorf("refusals %v, want %v", n, want)
	}
}

// A server that serves another listener than the door's would not be limited.
func TestConnectionsPastTheGateAreRefused(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	d, err := newDoor(doorConfig{tls: o.server()})
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	if _, _, err := d.creds.Clone().ServerHandshake(there); !errors.Is(err, errNotGated) {
		t.Errorf("ServerHandshake: %v, want %v", err, errNotGated)
	}
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	own := ConnectionLimits{MaxConnections: 1, MaxHandshakes: 2, HandshakeTimeout: 3, MaxConnectionsPerClient: 4}
	usual := ConnectionLimits{MaxConnections: 1000, MaxHandshakes: 100, HandshakeTimeout: 5 * time.Second, MaxConnectionsPerClient: 16}
	for given, want := range map[ConnectionLimits]ConnectionLimits{{}: usual, own: own} {
		if got, err := given.withDefaults(); err != nil || got != want {
			t.Errorf("withDefaults of %+v = %+v, %v, want %+v", given, got, err, want)
		}
	}
	for field, limits := range map[string]ConnectionLimits{
		"MaxConnections is -1":          {MaxConnections: -1},
		"MaxHandshakes is -2":           {MaxHandshakes: -2},
		"HandshakeTimeout is -3s":       {HandshakeTimeout: -3 * time.Second},
		"MaxConnectionsPerClient is -4": {MaxConnectionsPerClient: -4},
	} {
		_, err := newDoor(doorConfig{limits: limits})
		if err == nil || !strings.HasPrefix(err.Error(), "remote: ConnectionLimits."+field+", want ") {
			t.Errorf("error %v, want one of %s", err, field)
		}
	}
}

// Whoever has a certificate and no token that counts keeps the port responsive to others.
func TestAClientThatIsRefusedDisturbsNobody(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server(), clients: threeClients()})
	bad, good := h.dial(o.client("other"), "wrong"), h.dial(o.client("billing-cert"), "billing's")
	for range 100 {
		if _, err := ask(t, bad, "Who", ""); status.Code(err) != codes.Unauthenticated {
			t.Fatalf("error %v, want Unauthenticated", err)
		}
		h.wantName(good, "billing")
	}
	if n, lines := h.door.refusals.snapshot()[refusedToken], h.log.count("refused", refusedToken); n != 100 || lines != 1 {
		t.Errorf("%d refusals and %d lines in the log, want 100 and 1", n, lines)
	}
}
