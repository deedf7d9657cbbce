package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// bytesCodec has a client send bytes as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// field appends a field with bytes, and number one with a varint.
func field(data []byte, n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(data, n, protowire.BytesType), value)
}

func number(data []byte, n protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(data, n, protowire.VarintType), value)
}

// foreignFrame is a RemoteMessage of protoactor's remote with one message in its batch: types, targets and the envelope by their fields.
func foreignFrame(typeName, target string, typeID, targetIndex, serializer int32, data []byte) []byte {
	pid := field(field(nil, 1, []byte("127.0.0.1:1")), 2, []byte(target))
	envelope := number(nil, 1, uint64(typeID))
	envelope = field(envelope, 2, data)
	envelope = number(envelope, 3, uint64(targetIndex))
	envelope = number(envelope, 5, uint64(serializer))
	batch := field(nil, 1, []byte(typeName))
	batch = field(batch, 2, pid)
	batch = field(batch, 3, envelope)
	return field(nil, 1, batch)
}

// foreignFrames are those that end or misuse a process with protoactor's remote, and how it begins.
func foreignFrames() map[string][]byte {
	who := field(nil, 1, field(field(nil, 1, []byte("10.0.0.1:80")), 2, []byte("$1")))
	return map[string][]byte{
		"an unknown type":                     foreignFrame("no.Such", "$1", 0, 0, 0, nil),
		"a type id out of range":              foreignFrame("actor.Stop", "$1", 7, 0, 0, nil),
		"a type id below zero":                foreignFrame("actor.Stop", "$1", -1, 0, 0, nil),
		"a target out of range":               foreignFrame("actor.Stop", "$1", 0, 7, 0, nil),
		"a serializer out of range":           foreignFrame("actor.Stop", "$1", 0, 0, 99, nil),
		"an empty Terminated":                 foreignFrame("actor.Terminated", "$1", 0, 0, 0, nil),
		"a message to a guardian":             foreignFrame("actor.PoisonPill", "guardian$1", 0, 0, 0, nil),
		"a Stop by name":                      foreignFrame("actor.Stop", "plain", 0, 0, 0, nil),
		"a Watch without a watcher":           foreignFrame("actor.Watch", "plain", 0, 0, 0, nil),
		"a Watch from elsewhere":              foreignFrame("actor.Watch", "plain", 0, 0, 0, who),
		"an unknown kind for the activator":   foreignFrame("remote.ActorPidRequest", "activator", 0, 0, 0, field(nil, 2, []byte("none"))),
		"a relay to another address":          foreignFrame("actor.Touch", "$1", 0, 0, 0, who),
		"an old PID":                          foreignFrame("actor.PoisonPill", "$3", 0, 0, 0, nil),
		"a batch of many":                     bytes.Repeat(foreignFrame("actor.Touch", "$1", 0, 0, 0, nil), 1000),
		"a handshake of a server":             field(nil, 2, field(nil, 2, field(field(nil, 1, []byte("id")), 2, []byte("127.0.0.1:1")))),
		"a handshake of a client":             field(nil, 2, field(nil, 1, field(nil, 1, []byte("id")))),
		"a ListProcessesRequest":              number(field(nil, 1, []byte(".*")), 2, 2),
		"a disconnect":                        field(nil, 4, nil),
		"nothing":                             nil,
		"bytes that are no message":           {0xff, 0xff, 0xff},
		"a length beyond the end":             {0x0a, 0x7f},
		"a hundred thousand groups in groups": bytes.Repeat([]byte{0x0b}, 100_000),
	}
}

// Everything that ends a process with protoactor's remote is refused here, wherever it is sent.
func TestFramesOfAnotherProtocol(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{})
	conn := h.dial("x", "", grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})))
	foreign := []string{"/remote.Remoting/Receive", "/remote.Remoting/ListProcesses", "/remote.Remoting/GetProcessDiagnostics"}
	tasks := "/" + remotepb.Tasks_ServiceDesc.ServiceName + "/"
	send(t, conn, tasks+"Run", nil)
	goroutines := runtime.NumGoroutine()
	for name, frame := range foreignFrames() {
		for _, method := range foreign {
			if code := send(t, conn, method, frame); code != codes.Unimplemented {
				t.Errorf("%s at %s: %v, want Unimplemented", name, method, code)
			}
		}
		before := h.Refusals()[refusedBadHello]
		if code := send(t, conn, remotepb.Link_Connect_FullMethodName, frame); code != codes.InvalidArgument {
			t.Errorf("%s as a Hello: %v, want InvalidArgument", name, code)
		}
		if h.Refusals()[refusedBadHello] == before {
			t.Errorf("%s as a Hello was not counted", name)
		}
		want := codes.InvalidArgument
		if requests, err := requestForm.frames(frame, nil); len(requests) == 0 && err == nil {
			want = codes.Canceled // to us it is a message that asks for nothing, and then the client ends the stream
		}
		if code := send(t, conn, remotepb.Link_Connect_FullMethodName, bytesOf(t, message(hello())), frame); code != want {
			t.Errorf("%s behind a Hello: %v, want %v", name, code, want)
		}
		for _, method := range remotepb.Tasks_ServiceDesc.Methods {
			switch code := send(t, conn, tasks+method.MethodName, frame); code {
			case codes.InvalidArgument, codes.NotFound, codes.Internal: // Internal is gRPC's own word for what is no message
			default:
				t.Errorf("%s at %s: %v", name, method.MethodName, code)
			}
		}
		send(t, conn, remotepb.Tasks_Watch_FullMethodName, frame)
		h.wantResponsive()
	}
	wantGoroutines(t, goroutines+5)
	if n := h.log.count("a call has panicked", ""); n != 0 {
		t.Errorf("%d calls have panicked", n)
	}
}

// send sends messages to a method, says that there are no more, and gives how the call ends.
func send(t *testing.T, conn *grpc.ClientConn, method string, messages ...[]byte) codes.Code {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return status.Code(err)
	}
	for _, m := range messages {
		_ = stream.SendMsg(m)
	}
	_ = stream.CloseSend()
	for {
		var answer []byte
		if err := stream.RecvMsg(&answer); err != nil {
			if err == io.EOF {
				return codes.OK
			}
			return status.Code(err)
		}
	}
}

// peakHeap gives how much more memory is used at most while f is done.
func peakHeap(f func()) uint64 {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done, peak := make(chan struct{}), uint64(0)
	var watching sync.WaitGroup
	watching.Go(func() {
		for ticker := time.NewTicker(20 * time.Millisecond); ; {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
			select {
			case <-ticker.C:
			case <-done:
				ticker.Stop()
				return
			}
		}
	})
	f()
	close(done)
	watching.Wait()
	return peak - min(peak, before.HeapAlloc)
}

// A message that is small only while it is compressed is refused when it has grown beyond the limit. What unpacks it is here because the test has
// asked for it; without that gRPC refuses all that is compressed.
func TestACompressedBomb(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{})
	conn := h.dial("x", "", grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{}), grpc.UseCompressor(gzip.Name)))
	for _, method := range []string{remotepb.Link_Connect_FullMethodName, remotepb.Tasks_Run_FullMethodName} {
		if code := send(t, conn, method, make([]byte, DefaultMaxMessage+1)); code != codes.ResourceExhausted {
			t.Errorf("%s: %v, want ResourceExhausted", method, code)
		}
	}
	h.wantResponsive()
}

// A message over the limit ends its stream, and nothing else.
func TestMaxMessage(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxMessage: minMessage}})
	conn := h.dial("x", "", grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})))
	for _, method := range []string{remotepb.Link_Connect_FullMethodName, remotepb.Tasks_Run_FullMethodName} {
		if code := send(t, conn, method, make([]byte, minMessage+1)); code != codes.ResourceExhausted {
			t.Errorf("%s: %v, want ResourceExhausted", method, code)
		}
	}
	h.wantResponsive()
}

// Who opens more calls than MaxStreams waits, and only those of the same connection with it.
func TestMaxStreams(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxStreams: 3}})
	task, err := Run[string](t.Context(), h.good.Runner("kept"), "hang", "")
	if err != nil {
		t.Fatal(err)
	}
	tasks := remotepb.NewTasksClient(h.dial("x", ""))
	ctx, cancel := context.WithCancel(t.Context())
	var awaiting sync.WaitGroup
	for range 3 {
		awaiting.Go(func() { _, _ = tasks.Await(ctx, &remotepb.AwaitRequest{Runner: "kept", TaskId: task.ID()}) })
	}
	h.until("three wait", func() bool { return h.streamsOf(t) >= 3 })
	short, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	if _, err := tasks.Run(short, &remotepb.RunRequest{Runner: "plain", Kind: "echo", Args: `""`}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the fourth call of a connection: %v, want that it waits", err)
	}
	if _, err := remotepb.NewTasksClient(h.dial("x", "")).Run(t.Context(), &remotepb.RunRequest{Runner: "plain", Kind: "echo", Args: `""`}); err != nil {
		t.Errorf("over another connection: %v", err)
	}
	cancel()
	awaiting.Wait()
}

// until waits until something is so.
func (h *harbour) until(what string, so func() bool) {
	h.t.Helper()
	for try := 0; !so(); try++ {
		if try == 500 {
			h.t.Fatalf("it is not so that %s", what)
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to wait on
	}
}

// streamsOf is how many goroutines wait in Await.
func (h *harbour) streamsOf(t *testing.T) int {
	t.Helper()
	return bytes.Count(stacks(), []byte("(*tasksServer).await("))
}

// stacks are those of all goroutines.
func stacks() []byte {
	all := make([]byte, 1<<20)
	return all[:runtime.Stack(all, true)]
}

// A peer that does not take its answers is dealt with no further: what is kept for it is limited, and so is what it can still send.
func TestAPeerThatDoesNotTakeItsAnswers(t *testing.T) {
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxUnacknowledged: 200}})
	const limit = 200 + maxGathered
	peak := peakHeap(func() {
		s := h.talk(h.dial("x", ""), fuzzID+"1")
		s.hear(1)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				requests := make([]*remotepb.Request, maxRequests)
				for i := range requests {
					s.number++
					requests[i] = &remotepb.Request{Number: s.number, Runner: "kept", What: &remotepb.Request_Await{Await: &remotepb.Await{TaskId: fuzzID + "2"}}}
				}
				if s.stream.Send(message(requests...)) != nil {
					return
				}
			}
		}()
		of := h.sessionOf("x")
		still, before := 0, 0
		h.until("no more is dealt with", func() bool {
			if n := of.out.len(); n < limit || n != before {
				still, before = 0, n
			}
			still++
			return still > 30
		})
		h.wantResponsive()
		if n := of.out.len(); n > limit+2*maxGathered {
			t.Errorf("%d answers have gathered, want at most %d", n, limit+2*maxGathered)
		}
		next := h.talk(h.dial("x", ""), fuzzID+"1") // ends the one before
		next.hear(1)
		s.leave()
		<-stopped
	})
	if peak > 100<<20 {
		t.Errorf("%d MiB of memory", peak>>20)
	}
}

// sessionOf gives the session of a client that has one.
func (h *harbour) sessionOf(name string) (found *session) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, seat := range h.sessions {
		if seat.session.peer.name == name {
			found = seat.session
		}
	}
	return found
}

// Strangers and clients with too little are refused at a real port, with an error, a number and a line of the log, and others do not notice.
func TestWhoeverMayNot(t *testing.T) {
	t.Parallel()
	reader := allowed("reader", "*")
	reader.Run = false
	elsewhere := allowed("elsewhere", "*")
	elsewhere.Runners = []string{"kept"}
	h := openHarbour(t, ListenConfig{Clients: []AllowedClient{allowed("echoes", "echo"), reader, elsewhere}})
	task, err := Run[string](t.Context(), h.good.Runner("kept"), "hang", "")
	if err != nil {
		t.Fatal(err)
	}
	do := func(ctx context.Context, c *Client) map[string]error {
		_, other := Run[string](ctx, c.Runner("plain"), "hang", "")
		_, await := Await[string](ctx, c.Runner("plain"), task.ID())
		return map[string]error{"run": other, "await": await, "cancel": c.Runner("kept").Cancel(ctx, task.ID())}
	}
	for _, test := range []struct {
		token, what, reason string
		want                error
	}{
		{"echoes's", "run", refusedNotAllowed, ErrNotAllowed},
		{"echoes's", "cancel", refusedNotAllowed, ErrNotAllowed},
		{"reader's", "run", refusedNotAllowed, ErrNotAllowed},
		{"reader's", "cancel", refusedNotAllowed, ErrNotAllowed},
		{"elsewhere's", "run", refusedNotAllowed, ErrNotAllowed}, // it is not even told of it
		{"elsewhere's", "cancel", refusedNotAllowed, ErrNotAllowed},
		{"nobody's", "run", refusedToken, ErrUnauthenticated},
		{"", "run", refusedToken, ErrUnauthenticated},
	} {
		c, err := Dial(t.Context(), h.address, DialConfig{TLS: h.town.client("x"), Token: test.token, Away: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		before := h.Refusals()[test.reason]
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := do(ctx, c)[test.what]; !errors.Is(err, test.want) {
			t.Errorf("%q may not %s: %v, want %v", test.token, test.what, err, test.want)
		}
		cancel()
		if test.reason != "" && h.Refusals()[test.reason] == before {
			t.Errorf("%q may not %s: it was not counted: %v", test.token, test.what, h.Refusals())
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		h.wantResponsive()
	}
	for _, who := range []string{"echoes", "reader", "elsewhere", "127.0.0.1"} {
		if n := h.log.count("refused", who); n != 1 {
			t.Errorf("%d lines of %s, want 1", n, who)
		}
	}
}

// What a client has on its way and what is owed to it is limited: with a store the rest is accepted and can be asked for, without one it is refused.
func TestMaxUnacknowledged(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxUnacknowledged: 3}})
	for _, runner := range []string{"plain", "kept"} {
		s := h.talk(h.dial(runner, ""), fuzzID+"1")
		for i := range 4 {
			a := s.hear(s.say(run(t, runner, fuzzID+string(rune('2'+i)), "hang")))
			switch {
			case i < 3 && (a.GetAccepted() == nil || a.GetAccepted().GetUnwatched()),
				i == 3 && runner == "kept" && !a.GetAccepted().GetUnwatched(),
				i == 3 && runner == "plain" && a.GetRefused().GetLimit() != "MaxUnacknowledged":
				t.Errorf("%s: run %d: %v", runner, i+1, a)
			}
		}
		for name, what := range map[string]*remotepb.Request{
			"await":   {Runner: runner, What: &remotepb.Request_Await{Await: &remotepb.Await{TaskId: fuzzID + "2"}}},
			"monitor": {Runner: runner, What: &remotepb.Request_Monitor{Monitor: &remotepb.Monitor{}}},
		} {
			if a := s.hear(s.say(what)); a.GetRefused().GetLimit() != "MaxUnacknowledged" || a.GetRefused().GetMax() != 3 {
				t.Errorf("%s: %s: %v", runner, name, a)
			}
		}
		s.leave()
	}
	h.wantResponsive()
}

// slowStore takes no tasks until it is told to.
type slowStore struct {
	store.Store
	open chan struct{}
}

func (s *slowStore) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	select {
	case <-s.open:
		return s.Store.Insert(ctx, now, tasks)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// A client has no more runs on their way than it has said, however many are offered, while the listener is slow to answer.
func TestTheWindowOfAClient(t *testing.T) {
	t.Parallel()
	db := &slowStore{Store: store.NewMemory(), open: make(chan struct{})}
	slow, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: "slow", Store: db, Kinds: harbourKinds(), DrainTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slow.Stop(context.Background()) })
	h := openHarbour(t, ListenConfig{Runners: []*actors.TaskRunner{slow}})
	c, err := Dial(t.Context(), h.address, DialConfig{TLS: h.town.client("x"), MaxUnacknowledged: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var offering sync.WaitGroup
	for range 100 {
		offering.Go(func() {
			if _, err := Run[string](t.Context(), c.Runner("slow"), "echo", ""); err != nil {
				t.Error(err)
			}
		})
	}
	onTheirWay := func() int {
		s := h.sessionOf("x")
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.owed) + s.in.len()
	}
	h.until("five are on their way", func() bool { return onTheirWay() == 5 })
	h.wantResponsive()
	if n := onTheirWay(); n != 5 || len(c.window) != 5 {
		t.Errorf("%d have arrived and %d are on their way, want 5", n, len(c.window))
	}
	close(db.open)
	offering.Wait()
}

// Headers are read before anybody knows who is calling, so they are small.
func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{})
	tasks := remotepb.NewTasksClient(h.dial("x", ""))
	for size, fits := range map[int]bool{maxHeaders / 2: true, maxHeaders: false} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", size))
		_, err := tasks.Run(ctx, &remotepb.RunRequest{Runner: "plain", Kind: "echo", Args: `""`})
		if (err == nil) != fits {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// A priority that no task can have is the client's mistake, and told as such.
func TestAPriorityThatIsNone(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{})
	envelope, err := messages.Encode(messages.Run{TaskID: fuzzID + "2", Kind: "echo", Args: []byte(`""`), Priority: store.MaxPriority + 1})
	if err != nil {
		t.Fatal(err)
	}
	s, tasks := h.talk(h.dial("x", ""), fuzzID+"1"), remotepb.NewTasksClient(h.dial("x", ""))
	for _, runner := range []string{"plain", "kept"} {
		s.wantRefused(s.say(&remotepb.Request{Runner: runner, What: &remotepb.Request_Run{Run: envelope}}), remotepb.Code_CODE_INVALID)
		_, err := tasks.Run(t.Context(), &remotepb.RunRequest{Runner: runner, Kind: "echo", Args: `""`, Priority: store.MaxPriority + 1})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", runner, err)
		}
	}
	if n := h.Refusals()[refusedBadRun]; n != 4 {
		t.Errorf("%d refusals, want 4", n)
	}
}
