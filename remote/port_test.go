package remote

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// harbour is a real port with two runners: "plain" records nothing, "kept" does. It has a client who is welcome, "good", and whoever attacks
// comes as somebody else.
type harbour struct {
	*Listener
	t       *testing.T
	address string
	log     *logBook
	town    *town
	good    *Client
}

// openHarbour opens it with TLS, and, if clients are given, for them and "good" only.
func openHarbour(t *testing.T, config ListenConfig) *harbour {
	t.Helper()
	h := &harbour{t: t, log: newLogBook(t), town: newTown(t)}
	for name, db := range map[string]store.Store{"plain": nil, "kept": store.NewMemory()} {
		r, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: name, Store: db, Kinds: harbourKinds(), DrainTimeout: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Stop(context.Background()) })
		config.Runners = append(config.Runners, r)
	}
	config.TLS, config.Logger, config.DrainTimeout = h.town.server(), slog.New(h.log), -1
	if config.Clients != nil && config.ClientsFile == "" {
		config.Clients = append(config.Clients, allowed("good", "*"))
	}
	var err error
	if h.Listener, err = Listen(t.Context(), "127.0.0.1:0", config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Stop(context.Background()) })
	h.address = h.Addr().String()
	if h.good, err = Dial(t.Context(), h.address, DialConfig{TLS: h.town.client("good"), Token: "good's"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.good.Close(context.Background()) })
	h.wantResponsive()
	return h
}

// allowed is a client who may run tasks of these kinds and whose token is its name with an s.
func allowed(name string, kinds ...string) AllowedClient {
	return AllowedClient{Name: name, TokenSHA256: []string{sumText(name + "'s")}, Runners: []string{"plain", "kept"}, Kinds: kinds, Run: true}
}

func harbourKinds() actors.Kinds {
	return actors.Kinds{
		actors.Kind("echo", func(_ context.Context, text string) (string, error) { return text, nil }),
		actors.Kind("hang", func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", context.Cause(ctx) }),
	}
}

// wantResponsive wants that the good client has a task run, soon.
func (h *harbour) wantResponsive() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
	defer cancel()
	task, err := Run[string](ctx, h.good.Runner("plain"), "echo", "hello")
	if err != nil {
		h.t.Fatalf("the good client: %v", err)
	}
	if got, err := task.Await(ctx); got != "hello" || err != nil {
		h.t.Fatalf("the good client: %q, %v", got, err)
	}
}

// dial makes a connection for a stranger of that name with that token; empty: none.
func (h *harbour) dial(name, token string, options ...grpc.DialOption) *grpc.ClientConn {
	h.t.Helper()
	creds, err := h.town.client(name).client(quiet())
	if err != nil {
		h.t.Fatal(err)
	}
	options = append(options, grpc.WithTransportCredentials(creds))
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{token, false}))
	}
	conn, err := grpc.NewClient("passthrough:///"+h.address, options...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// dialTLS makes a connection for who speaks HTTP/2 in its own way.
func (h *harbour) dialTLS(name string) net.Conn {
	h.t.Helper()
	own := h.town.client(name)
	pair, err := tls.LoadX509KeyPair(own.Certificate, own.Key)
	if err != nil {
		h.t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", h.address, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, InsecureSkipVerify: true}) //nolint:gosec // the server is on trial
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// talk is a stream on which the test itself says what is said.
type talk struct {
	t      *testing.T
	stream remotepb.Link_ConnectClient
	number uint64
	heard  map[uint64][]*remotepb.Answer
	leave  func() // ends the stream
}

// talk opens a stream and says hello as the client of that UUID.
func (h *harbour) talk(conn *grpc.ClientConn, client string) *talk {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	h.t.Cleanup(cancel)
	stream, err := remotepb.NewLinkClient(conn).Connect(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &talk{t: h.t, stream: stream, heard: map[uint64][]*remotepb.Answer{}, leave: cancel}
	s.say(&remotepb.Request{What: &remotepb.Request_Hello{Hello: &remotepb.Hello{Client: client}}})
	return s
}

// say sends requests in one message, and gives the number of the last.
func (s *talk) say(requests ...*remotepb.Request) uint64 {
	s.t.Helper()
	for _, r := range requests {
		s.number++
		r.Number = s.number
	}
	_ = s.stream.Send(&remotepb.ConnectRequest{Requests: requests}) // why not, hear tells
	return s.number
}

// hear waits for the next answer to a request.
func (s *talk) hear(number uint64) *remotepb.Answer {
	s.t.Helper()
	for len(s.heard[number]) == 0 {
		m, err := s.stream.Recv()
		if err != nil {
			s.t.Fatalf("no answer to %d: %v", number, err)
		}
		for _, a := range m.GetAnswers() {
			s.heard[a.GetNumber()] = append(s.heard[a.GetNumber()], a)
		}
	}
	first := s.heard[number][0]
	s.heard[number] = s.heard[number][1:]
	return first
}

// wantRefused wants that a request is refused for a reason.
func (s *talk) wantRefused(number uint64, code remotepb.Code) {
	s.t.Helper()
	if a := s.hear(number); a.GetRefused().GetCode() != code {
		s.t.Errorf("the answer to %d is %v, want %v", number, a, code)
	}
}

// run is a request for a task.
func run(t *testing.T, runner, id, kind string) *remotepb.Request {
	t.Helper()
	envelope, err := messages.Encode(messages.Run{TaskID: id, Kind: kind, Args: []byte(`"hello"`)})
	if err != nil {
		t.Fatal(err)
	}
	return &remotepb.Request{Runner: runner, What: &remotepb.Request_Run{Run: envelope}}
}

// wantGoroutines waits until there are no more than so many again.
func wantGoroutines(t *testing.T, limit int) {
	t.Helper()
	for try := 0; runtime.NumGoroutine() > limit; try++ {
		if try == 500 {
			stacks := make([]byte, 1<<18)
			t.Fatalf("%d goroutines, want at most %d:\n%s", runtime.NumGoroutine(), limit, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to wait on: it is looked for what nobody knows of
	}
}
