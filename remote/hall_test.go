package remote

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// hall is what lies behind a door in these tests: a server on a port of loopback, with the service of the visitors' book.
type hall struct {
	t       *testing.T
	door    *door
	gate    *gate
	address string
	dialer  func(ctx context.Context, address string) (net.Conn, error)
	log     *logBook
	stop    func() // stops the server; it may be called again
}

// openHall opens a real port.
func openHall(t *testing.T, c doorConfig) *hall {
	t.Helper()
	return openHallOn(t, c, func(d *door) (net.Listener, error) { return d.listen(t.Context(), "localhost:0") })
}

// openHallInBubble opens a port without a network, so that time can be a bubble's.
func openHallInBubble(t *testing.T, c doorConfig) *hall {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	h := openHallOn(t, c, func(d *door) (net.Listener, error) { return d.guard(listener), nil })
	h.dialer = func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	return h
}

func openHallOn(t *testing.T, c doorConfig, listen func(d *door) (net.Listener, error)) *hall {
	t.Helper()
	log := newLogBook(t)
	c.logger = slog.New(log)
	d, err := newDoor(c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := listen(d)
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{t: t, door: d, gate: listener.(*gate), address: listener.Addr().String(), log: log}
	h.dialer = func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	server := grpc.NewServer(d.options()...)
	server.RegisterService(&visitorsBook, h)
	healthpb.RegisterHealthServer(server, health.NewServer())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	h.stop = func() {
		server.Stop()
		serving.Wait()
	}
	t.Cleanup(h.stop)
	return h
}

// visitorsBook tells who calls (Who), what they may do with the kind they name at the runner assets (Run), and keeps a stream
// open in which they ask the same (Stay).
var visitorsBook = grpc.ServiceDesc{
	ServiceName: "test.VisitorsBook",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Who", Handler: visit(func(p *peer, _ string) (string, error) { return p.name, nil })},
		{MethodName: "Run", Handler: visit(func(p *peer, kind string) (string, error) { return "", p.may(actionRun, "assets", kind) })},
	},
	Streams: []grpc.StreamDesc{{StreamName: "Stay", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		for {
			var kind wrapperspb.StringValue
			if err := stream.RecvMsg(&kind); err != nil {
				return err
			}
			if err := peerFrom(stream.Context()).may(actionRun, "assets", kind.Value); err != nil {
				return err
			}
			if err := stream.SendMsg(&wrapperspb.StringValue{}); err != nil {
				return err
			}
		}
	}}},
}

func visit(answer func(p *peer, text string) (string, error)) grpc.MethodHandler {
	return func(server any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		request := new(wrapperspb.StringValue)
		if err := decode(request); err != nil {
			return nil, err
		}
		return intercept(ctx, request, &grpc.UnaryServerInfo{Server: server, FullMethod: "/test.VisitorsBook/any"}, func(ctx context.Context, _ any) (any, error) {
			text, err := answer(peerFrom(ctx), request.Value)
			return wrapperspb.String(text), err
		})
	}
}

// dial makes a client with a token, if it is not empty, and TLS, if that is not zero.
func (h *hall) dial(own TLS, token string) *grpc.ClientConn {
	h.t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if !own.isZero() {
		creds, err := own.client(slog.New(slog.DiscardHandler))
		if err != nil {
			h.t.Fatal(err)
		}
		options = []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	}
	options = append(options, grpc.WithContextDialer(h.dialer))
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{token, own.isZero()}))
	}
	conn, err := grpc.NewClient("passthrough:///"+h.address, options...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func ask(t *testing.T, conn *grpc.ClientConn, method, text string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	answer := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, "/test.VisitorsBook/"+method, wrapperspb.String(text), answer)
	return answer.Value, err
}

func (h *hall) wantName(conn *grpc.ClientConn, want string) {
	h.t.Helper()
	if name, err := ask(h.t, conn, "Who", ""); err != nil || name != want {
		h.t.Errorf("the caller is %q (%v), want %q", name, err, want)
	}
}

// wantCode asks who the caller is, and wants a refusal for a reason.
func (h *hall) wantCode(conn *grpc.ClientConn, want codes.Code, reason string) {
	h.t.Helper()
	name, err := ask(h.t, conn, "Who", "")
	if status.Code(err) != want {
		h.t.Errorf("the caller is %q, error %v, want %v", name, err, want)
	}
	h.log.wait("refused", reason)
	if n := h.door.refusals.snapshot()[reason]; n == 0 {
		h.t.Errorf("refusals are %v, want some of %s", h.door.refusals.snapshot(), reason)
	}
}

// logBook is a log for which a test can wait.
type logBook struct {
	t     *testing.T
	mu    sync.Mutex
	lines []slog.Record
	added chan struct{}
}

func newLogBook(t *testing.T) *logBook { return &logBook{t: t, added: make(chan struct{}, 1)} }

func (l *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logBook) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logBook) WithGroup(string) slog.Handler            { return l }

func (l *logBook) Handle(_ context.Context, line slog.Record) error {
	l.mu.Lock()
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	select {
	case l.added <- struct{}{}:
	default:
	}
	return nil
}

// count gives how many lines have the message and, in one of their attributes, the value.
func (l *logBook) count(message, value string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		found := value == ""
		line.Attrs(func(a slog.Attr) bool {
			found = found || a.Value.String() == value
			return !found
		})
		if found && line.Message == "remote: "+message {
			n++
		}
	}
	return n
}

func (l *logBook) wait(message, value string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	for l.count(message, value) == 0 {
		select {
		case <-l.added:
		case <-ctx.Done():
			l.t.Fatalf("nobody has logged %q with %q, but %v", message, value, l.lines)
		}
	}
}

// town is an authority and where its certificates are.
type town struct {
	t         *testing.T
	dir       string
	authority *authority
}

func newTown(t *testing.T) *town {
	t.Helper()
	authority, ca, err := makeAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	town := &town{t, t.TempDir(), authority}
	town.write("ca.pem", ca)
	return town
}

func (o *town) write(name string, content []byte) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), content, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// paper is what is asked of the authority.
type paper struct {
	name, dns      string
	from, to       time.Duration // from now; zero is an hour ago, and in an hour
	addresses      []net.IP
	server, client bool
}

// issue writes name.pem and name-key.pem, and gives a TLS of them.
func (o *town) issue(p paper) TLS {
	o.t.Helper()
	certificate, key := o.make(p)
	o.write(p.name+".pem", certificate)
	o.write(p.name+"-key.pem", key)
	return TLS{
		Certificate: filepath.Join(o.dir, p.name+".pem"),
		Key:         filepath.Join(o.dir, p.name+"-key.pem"),
		CA:          filepath.Join(o.dir, "ca.pem"),
	}
}

func (o *town) make(p paper) (certificate, key []byte) {
	o.t.Helper()
	now := time.Now()
	request := template(now, 1, p.name)
	if p.from != 0 || p.to != 0 {
		request.NotBefore, request.NotAfter = now.Add(p.from), now.Add(p.to)
	}
	if p.dns != "" {
		request.DNSNames = []string{p.dns}
	}
	request.IPAddresses = p.addresses
	if p.server {
		request.ExtKeyUsage = append(request.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if p.client {
		request.ExtKeyUsage = append(request.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	certificate, key, err := o.authority.sign(request)
	if err != nil {
		o.t.Fatal(err)
	}
	return certificate, key
}

// loopback are the addresses under which the tests reach a server.
func loopback() []net.IP { return []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback} }

func (o *town) server() TLS {
	o.t.Helper()
	return o.issue(paper{name: "server", addresses: loopback(), server: true})
}

func (o *town) client(name string) TLS {
	o.t.Helper()
	return o.issue(paper{name: name, client: true})
}

// sumText is the sum of a token as a configuration has it.
func sumText(token string) string {
	sum := sumOf(token)
	return hex.EncodeToString(sum[:])
}
