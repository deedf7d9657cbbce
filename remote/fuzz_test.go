package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
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
	*Listener
	runners []*actors.TaskRunner
	inputs  int
	log     mistakes
}

// mistakes is a log that keeps the last error: what nobody outside can cause.
type mistakes struct {
	slog.Handler
	last atomic.Pointer[slog.Record]
}

func (m *mistakes) Handle(_ context.Context, r slog.Record) error {
	m.last.Store(&r)
	return nil
}

func (m *mistakes) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (f *fuzzTown) mistake() (text string) {
	if r := f.log.last.Load(); r != nil {
		text = r.Message
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	}
	return text
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
	l, err := newListener(ListenConfig{Runners: town.runners, Logger: slog.New(&town.log), Limits: Limits{MaxUnacknowledged: 200}})
	if err != nil {
		t.Fatal(err)
	}
	town.Listener = l
	return town
}

func (f *fuzzTown) close(t testing.TB) {
	t.Helper()
	f.finish()
	f.server.Stop()
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

func (f *fuzzing) next(t *testing.T) *fuzzTown {
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
	return f.town
}

// compare wants no more goroutines and memory than behind the first town, but for some that have yet to end, and the 100 MiB that the fuzzer takes
// when it begins to change its inputs.
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
	if m.HeapAlloc > f.heap+150<<20 {
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
	messages [][]byte
	until    uint64
	answered chan struct{}
	answers  map[uint64]int
}

func (s *fuzzStream) Context() context.Context                { return s.ctx }
func (s *fuzzStream) Recv() (*remotepb.ConnectRequest, error) { return nil, errors.ErrUnsupported }
func (s *fuzzStream) Send(_ *remotepb.ConnectResponse) error  { return errors.ErrUnsupported }

func (s *fuzzStream) RecvMsg(m any) error {
	if len(s.messages) > 0 {
		data := bytes.Clone(s.messages[0])
		s.messages = s.messages[1:]
		r := m.(*raw)
		r.buffer = mem.NewBuffer(&data, spoiler{})
		r.data = r.buffer.ReadOnlyData()
		return nil
	}
	select {
	case <-s.answered:
		return io.EOF
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *fuzzStream) SendMsg(m any) error {
	answers, err := answerForm.frames(m.(*raw).data, nil)
	if err != nil {
		return err
	}
	for _, a := range answers {
		s.answers[a.number]++
		if a.number == s.until && a.what == isRefused {
			close(s.answered)
		}
	}
	return nil
}

// spoiler spoils the memory of messages that are let go of, as gRPC does by using it again. What is smaller than a kibibyte has none.
type spoiler struct{}

func (spoiler) Get(length int) *[]byte {
	data := make([]byte, length)
	return &data
}

func (spoiler) Put(data *[]byte) {
	for i := range *data {
		(*data)[i] = 0xff
	}
}

// split takes messages out of bytes: each with its length in two bytes before it.
func split(data []byte) (all [][]byte) {
	for len(data) >= 2 {
		length := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		all, data = append(all, data[2:2+length]), data[2+length:]
	}
	return all
}

func join(t testing.TB, all ...*remotepb.ConnectRequest) (data []byte) {
	t.Helper()
	for _, m := range all {
		b := bytesOf(t, m)
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(b))), b...)
	}
	return data
}

func bytesOf(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
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

func fuzzSession(t *testing.T, l *fuzzTown, data []byte) {
	all := split(data)
	before := total(l.Refusals())
	wanted, last, broken := expect(all)
	stream := &fuzzStream{messages: all, answered: make(chan struct{}), answers: map[uint64]int{}}
	if stream.until = last + 1; broken || stream.until == 0 {
		close(stream.answered)
	} else { // with this it is known when all are dealt with
		end := message(&remotepb.Request{Number: stream.until, Runner: "nobody", What: &remotepb.Request_Await{Await: &remotepb.Await{}}})
		stream.messages = append(stream.messages, bytesOf(t, end))
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), peerKey{}, &peer{name: localName, door: l.door}), 20*time.Second)
	stream.ctx = ctx
	err := l.recoverStream(nil, stream, &grpc.StreamServerInfo{FullMethod: "Connect"}, func(any, grpc.ServerStream) error {
		return (&linkServer{listener: l.Listener}).Connect(stream)
	})
	late := ctx.Err()
	cancel()
	l.streams.Wait() // so that there are no answers while they are looked at
	if status.Code(err) == codes.Internal || late != nil || l.mistake() != "" {
		t.Fatalf("it has ended with %v, %v, and what was logged is %q", err, late, l.mistake())
	}
	if len(l.sessions) != 0 {
		t.Fatalf("%d sessions are left", len(l.sessions))
	}
	if broken && (err == nil || total(l.Refusals()) == before) {
		t.Fatalf("a rule is broken, and the stream has ended with %v, refusals %v", err, l.Refusals())
	}
	for _, number := range wanted {
		if !broken && stream.until != 0 && stream.answers[number] == 0 {
			t.Fatalf("request %d was not answered", number)
		}
	}
}

// expect says which requests are to be answered, what the highest number is, and whether a rule of the stream is broken.
func expect(all [][]byte) (wanted []uint64, last uint64, broken bool) {
	if len(all) == 0 {
		return nil, 0, false
	}
	_, last, err := helloIn(all[0])
	if err != nil {
		return nil, 0, true
	}
	for _, data := range all[1:] {
		requests, err := requestForm.frames(data, nil)
		if err == nil {
			last, err = checkRequests(requests, last)
		}
		if err != nil {
			return nil, last, true
		}
		for _, r := range requests {
			if r.what != askAwait && r.what != askMonitor && r.what != askForget && r.what != askArrived {
				wanted = append(wanted, r.number)
			}
		}
	}
	return wanted, last, false
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
			return nil, call(ctx, &tasksServer{listener: l.Listener})
		})
		if err == nil {
			return
		}
		if code := codeIn(err); code == "" || l.mistake() != "" {
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
		r := new(remotepb.UnsubscribeRequest)
		return r, func(ctx context.Context, s *tasksServer) error { _, err := s.Unsubscribe(ctx, r); return err }
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
