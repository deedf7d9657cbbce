package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// fuzzTown is a listener that nobody has to come to over a port, with a runner that records nothing, "plain", and one that does, "kept". It is
// built anew now and then: then it is looked at what is left of the one before.
type fuzzTown struct {
	listener *Listener
	runners  []*actors.TaskRunner
	inputs   int
}

// fuzzInputs is how many inputs one town lives through.
const fuzzInputs = 500

func newFuzzTown(t testing.TB) *fuzzTown {
	t.Helper()
	town := &fuzzTown{}
	kinds := actors.Kinds{
		actors.Kind("now", func(_ context.Context, n any) (any, error) { return n, nil }),
		actors.Kind("never", func(ctx context.Context, _ any) (any, error) { <-ctx.Done(); return nil, context.Cause(ctx) }),
	}
	for name, db := range map[string]store.Store{"plain": nil, "kept": store.NewMemory()} {
		r, err := actors.StartTaskRunner(context.Background(), actors.TaskRunnerConfig{
			Name: name, Store: db, Kinds: kinds, DrainTimeout: -1, MaxWaiting: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		town.runners = append(town.runners, r)
	}
	l, err := newListener(ListenConfig{Runners: town.runners, Limits: Limits{MaxUnacknowledged: 200}})
	if err != nil {
		t.Fatal(err)
	}
	town.listener = l
	return town
}

func (f *fuzzTown) close(t testing.TB) {
	t.Helper()
	f.listener.finish()
	f.listener.server.Stop()
	for _, r := range f.runners {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// fuzzing gives a town for each input, and looks at what the ones before have left behind. Whoever fuzzes calls it, one input after the other.
type fuzzing struct {
	town       *fuzzTown
	goroutines int
	heap       uint64
}

func (f *fuzzing) next(t *testing.T) *Listener {
	t.Helper()
	if f.town != nil && f.town.inputs >= fuzzInputs {
		f.town.close(t)
		f.town = nil
		f.compare(t)
	}
	if f.town == nil {
		if f.goroutines == 0 {
			f.goroutines = runtime.NumGoroutine()
		}
		f.town = newFuzzTown(t)
	}
	f.town.inputs++
	return f.town.listener
}

// compare wants no more goroutines and memory than behind the first town, but for some that have yet to end.
func (f *fuzzing) compare(t *testing.T) {
	t.Helper()
	for try := 0; runtime.NumGoroutine() > f.goroutines+10; try++ {
		if try == 100 {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, and %d at the beginning:\n%s", runtime.NumGoroutine(), f.goroutines, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to wait on: it is looked for what nobody knows of
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if f.heap == 0 {
		f.heap = m.HeapAlloc
	}
	if m.HeapAlloc > f.heap+64<<20 {
		t.Fatalf("%d bytes of memory, and %d at the beginning", m.HeapAlloc, f.heap)
	}
}

// end closes the last town.
func (f *fuzzing) end(t testing.TB) {
	if f.town != nil {
		f.town.close(t)
	}
}

// fuzzStream is a stream whose messages are all there already. It ends when it has been answered to the last request.
type fuzzStream struct {
	grpc.ServerStream
	ctx      context.Context
	messages []*remotepb.ConnectRequest
	bad      error // behind the messages: what follows is none
	until    uint64
	answered chan struct{}
	answers  map[uint64]int
}

func (s *fuzzStream) Context() context.Context     { return s.ctx }
func (s *fuzzStream) SetHeader(metadata.MD) error  { return nil }
func (s *fuzzStream) SendHeader(metadata.MD) error { return nil }

func (s *fuzzStream) Recv() (*remotepb.ConnectRequest, error) {
	if len(s.messages) > 0 {
		first := s.messages[0]
		s.messages = s.messages[1:]
		return first, nil
	}
	select {
	case <-s.answered:
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	if s.bad != nil {
		return nil, s.bad
	}
	return nil, io.EOF
}

func (s *fuzzStream) Send(m *remotepb.ConnectResponse) error {
	for _, a := range m.GetAnswers() {
		s.answers[a.GetNumber()]++
		if a.GetNumber() == s.until && a.GetRefused() != nil {
			close(s.answered)
		}
	}
	return nil
}

// split takes messages out of bytes: each with its length in two bytes before it. What is no message ends the stream, as it does in gRPC.
func split(data []byte) (all []*remotepb.ConnectRequest, bad error) {
	for len(data) >= 2 {
		length := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		m := new(remotepb.ConnectRequest)
		if err := proto.Unmarshal(data[2:2+length], m); err != nil {
			return all, err
		}
		all, data = append(all, m), data[2+length:]
	}
	return all, nil
}

func join(t testing.TB, all ...*remotepb.ConnectRequest) (data []byte) {
	t.Helper()
	for _, m := range all {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(b))), b...)
	}
	return data
}

const (
	fuzzID    = "018f0000-0000-7000-8000-00000000000"
	fuzzHello = fuzzID + "f"
)

func hello() *remotepb.Request {
	return &remotepb.Request{Number: 1, What: &remotepb.Request_Hello{Hello: &remotepb.Hello{Client: fuzzHello}}}
}

func message(requests ...*remotepb.Request) *remotepb.ConnectRequest {
	return &remotepb.ConnectRequest{Requests: requests}
}

// fuzzRequests has one of each kind, of each runner.
func fuzzRequests(t testing.TB) (all []*remotepb.Request) {
	t.Helper()
	number := uint64(1)
	add := func(runner string, r *remotepb.Request) {
		number++
		r.Number, r.Runner = number, runner
		all = append(all, r)
	}
	for i, runner := range []string{"plain", "kept", "nobody"} {
		id := fuzzID + string(rune('0'+i))
		for j, run := range []messages.Run{
			{TaskID: id, Kind: "now", Args: []byte(`{"a":[1]}`), MaxAttempts: 1, Priority: 3, Timeout: time.Second},
			{TaskID: fuzzID + string(rune('5'+i)), Kind: "never", Args: []byte("1")},
			{TaskID: fuzzID + "a", Kind: "none", Args: []byte("1"), ScheduledAt: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)},
		} {
			envelope, err := messages.Encode(run)
			if err != nil {
				t.Fatal(err)
			}
			envelope.TraceContext = map[string]string{"traceparent": "00"}
			envelope.Deadline = timestamppb.New(time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC))
			add(runner, &remotepb.Request{What: &remotepb.Request_Run{Run: envelope}, WithoutOutcome: j == 1, CancelAtDeadline: j == 0})
		}
		add(runner, &remotepb.Request{What: &remotepb.Request_Await{Await: &remotepb.Await{TaskId: id}}})
		add(runner, &remotepb.Request{What: &remotepb.Request_Monitor{Monitor: &remotepb.Monitor{TaskId: id}}})
		add(runner, &remotepb.Request{What: &remotepb.Request_Monitor{Monitor: &remotepb.Monitor{}}})
		add(runner, &remotepb.Request{What: &remotepb.Request_Cancel{Cancel: &remotepb.Cancel{TaskId: fuzzID + string(rune('5'+i))}}})
		add(runner, &remotepb.Request{What: &remotepb.Request_Arrived{Arrived: &remotepb.Arrived{Numbers: []uint64{2, number}}}})
		add(runner, &remotepb.Request{What: &remotepb.Request_Forget{Forget: &remotepb.Forget{Number: number - 1}}})
		add(runner, &remotepb.Request{})
	}
	return all
}

// FuzzSession has a stranger say anything to a whole session. It ends; nothing panics; what breaks a rule of the stream is counted and ends it with
// an error; what does not is answered; and nothing is left behind.
func FuzzSession(f *testing.F) {
	all := fuzzRequests(f)
	f.Add(join(f, message(hello()), message(all...)))
	for i := range all {
		f.Add(join(f, message(hello()), message(all[i]), message(all[i:min(i+2, len(all))]...)))
	}
	f.Add(join(f, message(all[0])))
	f.Add(join(f, message(hello(), hello())))
	f.Add([]byte{0, 1, 0xff})
	var state fuzzing
	f.Cleanup(func() { state.end(f) })
	f.Fuzz(func(t *testing.T, data []byte) { fuzzSession(t, state.next(t), data) })
}

func fuzzSession(t *testing.T, l *Listener, data []byte) {
	all, bad := split(data)
	refusedBefore := total(l.Refusals())
	wanted, broken := expect(all)
	stream := &fuzzStream{messages: all, bad: bad, answered: make(chan struct{}), answers: map[uint64]int{}}
	if !broken && len(all) > 0 { // so that it is known when all are dealt with
		if stream.until = max(lastOf(all), 1) + 1; stream.until == 0 {
			return
		}
		end := &remotepb.Request{Number: stream.until, Runner: "nobody", What: &remotepb.Request_Await{Await: &remotepb.Await{}}}
		stream.messages = append(stream.messages, message(end))
	} else {
		close(stream.answered)
		stream.until = 0
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), peerKey{}, &peer{name: localName, door: l.door}), 20*time.Second)
	defer cancel()
	stream.ctx = ctx
	err := l.recoverStream(nil, stream, &grpc.StreamServerInfo{FullMethod: "Connect"}, func(any, grpc.ServerStream) error {
		return (&linkServer{listener: l}).Connect(stream)
	})
	if errors.Is(err, errPanicked) || ctx.Err() != nil {
		t.Fatalf("it has ended with %v, %v", err, ctx.Err())
	}
	if len(l.sessions) != 0 {
		t.Fatalf("%d sessions are left", len(l.sessions))
	}
	if broken && (err == nil || total(l.Refusals()) == refusedBefore) {
		t.Fatalf("a rule is broken, and the stream has ended with %v, refusals %v", err, l.Refusals())
	}
	for _, number := range wanted {
		if !broken && stream.answers[number] == 0 {
			t.Fatalf("request %d was not answered", number)
		}
	}
}

// expect says which requests are to be answered, and whether a rule of the stream is broken.
func expect(all []*remotepb.ConnectRequest) (wanted []uint64, broken bool) {
	last := uint64(0)
	for i, m := range all {
		if i == 0 {
			if r := m.GetRequests(); len(r) != 1 || validID("client", r[0].GetHello().GetClient()) != nil {
				return nil, true
			}
			continue
		}
		var err error
		if last, err = checkRequests(m.GetRequests(), last); err != nil {
			return nil, true
		}
		for _, r := range m.GetRequests() {
			switch r.GetWhat().(type) {
			case *remotepb.Request_Run, *remotepb.Request_Cancel, *remotepb.Request_Hello, nil:
				wanted = append(wanted, r.GetNumber())
			}
		}
	}
	return wanted, false
}

func lastOf(all []*remotepb.ConnectRequest) (last uint64) {
	for _, m := range all[1:] {
		for _, r := range m.GetRequests() {
			last = r.GetNumber()
		}
	}
	return last
}

func total(counts map[string]int64) (n int64) {
	for _, count := range counts {
		n += count
	}
	return n
}

// FuzzTasks has a stranger ask the service for other languages for anything: what answers is a status, and nothing panics.
func FuzzTasks(f *testing.F) {
	for method := range fuzzMethods {
		for _, runner := range []string{"plain", "kept", "nobody"} {
			for _, m := range []proto.Message{
				&remotepb.RunRequest{Runner: runner, Kind: "now", Args: "1", TaskId: fuzzID + "1", MaxAttempts: 1, Priority: 1, Timeout: durationpb.New(time.Second), ScheduledAt: timestamppb.Now()},
				&remotepb.RunRequest{Runner: runner, Kind: "never", MaxAttempts: -1, Priority: -1, Timeout: &durationpb.Duration{Seconds: 1 << 62}, ScheduledAt: &timestamppb.Timestamp{Seconds: 1 << 62}},
				&remotepb.AwaitRequest{Runner: runner, TaskId: fuzzID + "1"},
				&remotepb.WatchRequest{Runner: runner, After: -1, Subscriber: "a"},
				&remotepb.AcknowledgeRequest{Runner: runner, Subscriber: "a", Cursor: 1 << 62},
			} {
				data, err := proto.Marshal(m)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(uint8(method), data)
			}
		}
	}
	var state fuzzing
	f.Cleanup(func() { state.end(f) })
	f.Fuzz(func(t *testing.T, method uint8, data []byte) {
		l := state.next(t)
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), peerKey{}, &peer{name: localName, door: l.door}), 2*time.Millisecond)
		defer cancel()
		decode, call := fuzzMethods[int(method)%len(fuzzMethods)]()
		if proto.Unmarshal(data, decode) != nil {
			return
		}
		_, err := l.recoverCall(ctx, nil, &grpc.UnaryServerInfo{}, func(ctx context.Context, _ any) (any, error) {
			return nil, call(ctx, &tasksServer{listener: l})
		})
		if err == nil {
			return
		}
		if code := codeIn(err); code == "" || errors.Is(err, errPanicked) {
			t.Fatalf("the answer is %v, which no client understands", err)
		}
	})
}

// fuzzMethods gives for each method a request to be filled, and the call.
var fuzzMethods = []func() (proto.Message, func(ctx context.Context, s *tasksServer) error){
	func() (proto.Message, func(ctx context.Context, s *tasksServer) error) {
		r := new(remotepb.RunRequest)
		return r, func(ctx context.Context, s *tasksServer) error { _, err := s.Run(ctx, r); return err }
	},
	func() (proto.Message, func(ctx context.Context, s *tasksServer) error) {
		r := new(remotepb.AwaitRequest)
		return r, func(ctx context.Context, s *tasksServer) error { _, err := s.Await(ctx, r); return err }
	},
	func() (proto.Message, func(ctx context.Context, s *tasksServer) error) {
		r := new(remotepb.WatchRequest)
		return r, func(ctx context.Context, s *tasksServer) error { return s.Watch(r, &fuzzWatch{ctx: ctx}) }
	},
	func() (proto.Message, func(ctx context.Context, s *tasksServer) error) {
		r := new(remotepb.AcknowledgeRequest)
		return r, func(ctx context.Context, s *tasksServer) error { _, err := s.Acknowledge(ctx, r); return err }
	},
	func() (proto.Message, func(ctx context.Context, s *tasksServer) error) {
		r := new(remotepb.CancelRequest)
		return r, func(ctx context.Context, s *tasksServer) error { _, err := s.Cancel(ctx, r); return err }
	},
}

// fuzzWatch takes what is told.
type fuzzWatch struct {
	grpc.ServerStream
	ctx context.Context
}

func (w *fuzzWatch) Context() context.Context             { return w.ctx }
func (w *fuzzWatch) Send(o *remotepb.WatchResponse) error { return nil }

// codeIn is the status of an error by its name; empty: it is none, or one that says that something of ours has gone wrong.
func codeIn(err error) string {
	s, ok := status.FromError(err)
	switch {
	case !ok, s.Code() == codes.Internal, s.Code() == codes.Unknown:
		return ""
	}
	return s.Code().String()
}
