package remote

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// cancelled is a run that is cancelled when its deadline passes, in some hundred years.
func cancelled(r *remotepb.Request) *remotepb.Request {
	r.GetRun().Deadline, r.CancelAtDeadline = timestamppb.New(time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)), true
	return r
}

// Whoever may not cancel cannot do so by a deadline.
func TestADeadlineNeedsTheRightToCancel(t *testing.T) {
	t.Parallel()
	may := allowed("may", "*")
	may.Cancel = true
	h := openHarbour(t, ListenConfig{Clients: []AllowedClient{may, allowed("may not", "*")}})
	s := h.talk(h.dial("x", "may not's"), fuzzID+"1")
	for _, runner := range []string{"plain", "kept"} {
		s.wantRefused(s.say(cancelled(run(t, runner, fuzzID+"2", "echo"))), remotepb.Code_CODE_NOT_ALLOWED)
	}
	if n := h.Refusals()[refusedNotAllowed]; n != 2 {
		t.Errorf("%d refusals, want 2", n)
	}
	s = h.talk(h.dial("x", "may's"), fuzzID+"1")
	if a := s.hear(s.say(cancelled(run(t, "kept", fuzzID+"2", "echo")))); a.GetAccepted() == nil {
		t.Errorf("whoever may: %v", a)
	}
}

// A run with the id of somebody else's task, which is of a kind that the client may not see, tells nothing of it and does nothing to it.
func TestTheIDOfAnothersTask(t *testing.T) {
	t.Parallel()
	spy := allowed("spy", "echo")
	spy.Cancel = true
	h := openHarbour(t, ListenConfig{Clients: []AllowedClient{spy}})
	for _, runner := range []string{"plain", "kept"} {
		task, err := Run[string](t.Context(), h.good.Runner(runner), "hang", "secret")
		if err != nil {
			t.Fatal(err)
		}
		s := h.talk(h.dial("x", "spy's"), fuzzID+"1")
		want := map[string]remotepb.Code{"plain": remotepb.Code_CODE_NO_TASK, "kept": remotepb.Code_CODE_NOT_ALLOWED}[runner]
		s.wantRefused(s.say(run(t, runner, task.ID(), "echo")), want)
		s.wantRefused(s.say(cancelled(run(t, runner, task.ID(), "echo"))), want)
		s.wantRefused(s.say(&remotepb.Request{Runner: runner, What: &remotepb.Request_Await{Await: &remotepb.Await{TaskId: task.ID()}}}), want)
		s.wantRefused(s.say(&remotepb.Request{Runner: runner, What: &remotepb.Request_Monitor{Monitor: &remotepb.Monitor{TaskId: task.ID()}}}), want)
		s.wantRefused(s.say(&remotepb.Request{Runner: runner, What: &remotepb.Request_Cancel{Cancel: &remotepb.Cancel{TaskId: task.ID()}}}), want)
		tasks := remotepb.NewTasksClient(h.dial("x", "spy's"))
		if _, err := tasks.Cancel(t.Context(), &remotepb.CancelRequest{Runner: runner, TaskId: task.ID()}); err == nil {
			t.Errorf("%s: another's task was cancelled", runner)
		}
		if _, err := tasks.Await(t.Context(), &remotepb.AwaitRequest{Runner: runner, TaskId: task.ID()}); err == nil {
			t.Errorf("%s: another's task was awaited", runner)
		}
		if n := h.timers.of("spy"); n != 0 {
			t.Errorf("%s: %d deadlines are waited for", runner, n)
		}
		if err := s.stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}
}

// The id of a task of another runner on the same store is nothing that a runner knows of.
func TestTheIDOfAnotherRunnersTask(t *testing.T) {
	t.Parallel()
	db, spy := store.NewMemory(), allowed("spy", "*")
	spy.Runners = []string{"open"}
	config := ListenConfig{Clients: []AllowedClient{spy}}
	for _, name := range []string{"open", "secret"} {
		r, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: name, Store: db, Kinds: harbourKinds(), DrainTimeout: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Stop(context.Background()) })
		config.Runners = append(config.Runners, r)
	}
	h := openHarbour(t, config)
	task, err := actors.Run[string](t.Context(), config.Runners[1], "echo", "secret")
	if err != nil {
		t.Fatal(err)
	}
	s := h.talk(h.dial("x", "spy's"), fuzzID+"1")
	s.wantRefused(s.say(run(t, "open", task.ID(), "echo")), remotepb.Code_CODE_NO_TASK)
	s.wantRefused(s.say(run(t, "secret", task.ID(), "echo")), remotepb.Code_CODE_NOT_ALLOWED)
}

// What a deadline costs is over with the task, however late the deadline is.
func TestDeadlinesOfEndedTasksAreForgotten(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxUnacknowledged: 50}})
	for _, runner := range []string{"plain", "kept"} {
		s := h.talk(h.dial("x", ""), fuzzID+"1")
		for i := range 50 {
			r := cancelled(run(t, runner, fmt.Sprintf("018f0000-0000-7000-8000-%012x", i), "echo"))
			r.WithoutOutcome = i%2 == 0
			n := s.say(r)
			if a := s.hear(n); a.GetAccepted() == nil {
				t.Fatalf("%v", a)
			}
			if i%2 == 1 {
				s.hear(n)
			}
		}
		for try := 0; h.timers.of("x") > 0; try++ {
			if try == 500 {
				t.Fatalf("%s: %d deadlines of tasks that have ended are waited for", runner, h.timers.of("x"))
			}
			time.Sleep(10 * time.Millisecond)
		}
		_ = s.stream.CloseSend()
	}
}

func TestDeadlinesAreLimited(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxUnacknowledged: 3}})
	s := h.talk(h.dial("x", ""), fuzzID+"1")
	for i := range 4 {
		r := cancelled(run(t, "kept", fuzzID+string(rune('2'+i)), "hang"))
		r.WithoutOutcome = true
		n := s.say(r)
		if i == 3 {
			s.wantRefused(n, remotepb.Code_CODE_FULL)
		} else if a := s.hear(n); a.GetAccepted() == nil {
			t.Errorf("%v", a)
		}
	}
	h.wantResponsive()
}

// Two clients whose names and subscribers' names are the same when they are put together have two subscribers.
func TestSubscribersOfClientsWithSlashes(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Clients: []AllowedClient{allowed("a", "*"), allowed("a/b", "*")}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, text := range []string{"1", "2"} {
		task, err := Run[string](ctx, h.good.Runner("kept"), "echo", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := task.Await(ctx); err != nil {
			t.Fatal(err)
		}
	}
	victim, thief := remotepb.NewTasksClient(h.dial("x", "a/b's")), remotepb.NewTasksClient(h.dial("x", "a's"))
	next := func() string {
		inner, stop := context.WithCancel(ctx)
		defer stop()
		stream, err := victim.Watch(inner, &remotepb.WatchRequest{Runner: "kept", Subscriber: "c"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m.GetOutcome().GetResult()
	}
	first := next()
	_, err := thief.Acknowledge(ctx, &remotepb.AcknowledgeRequest{Runner: "kept", Subscriber: "b/c", Cursor: 1})
	if status.Code(err) != codes.NotFound {
		t.Errorf("it was acknowledged for another client: %v", err)
	}
	for _, request := range []*remotepb.UnsubscribeRequest{{Runner: "kept", Subscriber: "b/c"}, {Runner: "kept", Subscriber: "c"}} {
		if _, err := thief.Unsubscribe(ctx, request); err != nil {
			t.Errorf("what is not there is forgotten: %v", err)
		}
	}
	if again := next(); again != first {
		t.Errorf("the next outcome is %q, want %q again, since its subscriber has not acknowledged it", again, first)
	}
}

func TestSubscribersAreLimited(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxSubscribers: 2}, Clients: []AllowedClient{allowed("greedy", "*"), allowed("modest", "*")}})
	subscribe := func(client, name string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := remotepb.NewTasksClient(h.dial("x", client+"'s")).Watch(ctx, &remotepb.WatchRequest{Runner: "kept", Subscriber: name})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	task, err := Run[string](t.Context(), h.good.Runner("kept"), "echo", "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1", "2", "1"} {
		if err := subscribe("greedy", name); err != nil {
			t.Errorf("subscriber %s: %v", name, err)
		}
	}
	var full *actors.FullError
	if err := ofStatus(subscribe("greedy", "3"), "kept", ""); !errors.As(err, &full) || full.Limit != "MaxSubscribers" || full.Max != 2 {
		t.Errorf("one too many: %v", err)
	}
	if err := subscribe("modest", "1"); err != nil {
		t.Errorf("another client: %v", err)
	}
	greedy, err := Dial(t.Context(), h.address, DialConfig{TLS: h.town.client("x"), Token: "greedy's"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = greedy.Close(context.Background()) })
	for range 2 { // the second time there is nothing to forget
		if err := greedy.Runner("kept").Subscribe("1", store.FromNow).Unsubscribe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := subscribe("greedy", "3"); err != nil {
		t.Errorf("in the place of one that was forgotten: %v", err)
	}
	if err := subscribe("greedy", "1"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many again: %v", err)
	}
	if err := h.good.Runner("plain").Subscribe("1", store.FromNow).Unsubscribe(t.Context()); !errors.Is(err, actors.ErrNoStore) {
		t.Errorf("where nothing is recorded: %v", err)
	}
}

// TestNamesOfSubscribersThatCannotBe have errors that say so, on either side.
func TestNamesOfSubscribersThatCannotBe(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{})
	for _, name := range []string{"", "\xff", strings.Repeat("n", store.MaxName+1)} {
		s := h.good.Runner("kept").Subscribe(name, store.FromNow)
		next, stop := iter.Pull2(s.Outcomes(t.Context()))
		_, watched, _ := next()
		stop()
		for what, err := range map[string]error{"Outcomes": watched, "Acknowledge": s.Acknowledge(t.Context(), 0), "Unsubscribe": s.Unsubscribe(t.Context())} {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "name") {
				t.Errorf("%s of %.5q: %v", what, name, err)
			}
		}
	}
	if err := h.good.Runner("\xff").Subscribe("a", 0).Unsubscribe(t.Context()); !errors.Is(err, ErrUnknownRunner) {
		t.Errorf("a runner that cannot be: %v", err)
	}
	tasks := remotepb.NewTasksClient(h.dial("good", ""))
	if _, err := tasks.Unsubscribe(t.Context(), &remotepb.UnsubscribeRequest{Runner: "kept"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a client in another language: %v", err)
	}
}

// One client cannot have all places that there are for clients.
func TestAClientCannotHaveAllStreams(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxClients: 4, MaxClientsPerName: 2}})
	conn := h.dial("greedy", "")
	for i := range 4 {
		s := h.talk(conn, fuzzID+string(rune('1'+i)))
		if i < 2 {
			s.hear(1)
			continue
		}
		_, err := s.stream.Recv()
		var full *actors.FullError
		if !errors.As(ofStatus(err, "", ""), &full) || full.Limit != "MaxClientsPerName" || full.Max != 2 {
			t.Errorf("stream %d: %v", i+1, err)
		}
	}
	h.talk(h.dial("modest", ""), fuzzID+"1").hear(1)
	_, err := h.talk(h.dial("late", ""), fuzzID+"1").stream.Recv()
	var full *actors.FullError
	if !errors.As(ofStatus(err, "", ""), &full) || full.Limit != "MaxClients" || full.Max != 4 {
		t.Errorf("one more than MaxClients: %v", err)
	}
	if n := h.Refusals()[refusedClients]; n != 3 {
		t.Errorf("%d refusals, want 3", n)
	}
	h.wantResponsive()
}

// The stream that a client has lost does not hold up its next one, although the listener has not noticed yet.
func TestTheNextStreamNeedNotWait(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{})
	old := h.talk(h.dial("x", ""), fuzzID+"1")
	old.hear(1)
	began := time.Now()
	next := h.talk(h.dial("x", ""), fuzzID+"1")
	next.hear(1)
	if took := time.Since(began); took > keepaliveTimeout {
		t.Errorf("it has waited for %s", took)
	}
	if _, err := old.stream.Recv(); err == nil {
		t.Error("the one before goes on")
	}
}

// newSilentSession is a session of a stream on which nothing comes but what is given.
func newSilentSession(t *testing.T, l *Listener, all ...*remotepb.Request) (*session, *fuzzStream, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), peerKey{}, &peer{name: localName, door: l.door}))
	stream := &fuzzStream{ctx: ctx, answered: make(chan struct{}), answers: map[uint64]int{}}
	for _, r := range all {
		stream.messages = append(stream.messages, bytesOf(t, message(r)))
	}
	return newSession(l, stream), stream, cancel
}

func TestAStreamWithoutAHelloEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		town := newFuzzTown(t)
		defer town.close(t)
		s, _, cancel := newSilentSession(t, town.Listener)
		began := time.Now()
		err := s.run()
		cancel()
		if status.Code(err) != codes.InvalidArgument || time.Since(began) != helloTimeout || town.Refusals()[refusedBadHello] != 1 {
			t.Errorf("it has ended with %v after %s, refusals %v", err, time.Since(began), town.Refusals())
		}
	})
}

// What panics in a session ends that session.
func TestAPanicInASession(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(s *session, f *fuzzStream){
		"while it writes": func(_ *session, f *fuzzStream) { f.answers = nil },
		"while it deals":  func(s *session, _ *fuzzStream) { s.owed = nil },
		"while it reads":  func(s *session, _ *fuzzStream) { s.rate = nil },
	} {
		t.Run(name, func(t *testing.T) {
			town := newFuzzTown(t)
			defer town.close(t)
			s, stream, cancel := newSilentSession(t, town.Listener, hello(), &remotepb.Request{Number: 2, Runner: "plain", What: &remotepb.Request_Monitor{Monitor: &remotepb.Monitor{}}})
			broken(s, stream)
			err := s.run()
			cancel()
			if err == nil || town.mistake() == "" || len(town.sessions) != 0 {
				t.Errorf("it has ended with %v, logged is %q, %d sessions are left", err, town.mistake(), len(town.sessions))
			}
		})
	}
}

// The service for other languages has no way around MaxRate.
func TestMaxRateIsForCallsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		town := newFuzzTown(t)
		defer town.close(t)
		town.limits.MaxRate = 10 // with a burst of one message, 4,096
		ctx := context.WithValue(t.Context(), peerKey{}, &peer{name: localName, door: town.door})
		s, began := &tasksServer{listener: town.Listener}, time.Now()
		for range maxRequests + 20 {
			if _, err := s.Cancel(ctx, &remotepb.CancelRequest{Runner: "nobody"}); status.Code(err) != codes.NotFound {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("20 beyond the burst took %s, want 2 s", took)
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err := s.Cancel(short, &remotepb.CancelRequest{Runner: "nobody"})
		if code := status.Code(err); code != codes.ResourceExhausted {
			t.Errorf("whose turn comes too late: %v", err)
		}
	})
}

// What gathers while the database is slow is limited in bytes too.
func TestWhatGathersIsLimitedInBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		town := newFuzzTown(t)
		defer town.close(t)
		s, stream, cancel := newSilentSession(t, town.Listener)
		const count, size = 64, 1 << 20
		for i := range count {
			r := &remotepb.Request{Number: uint64(i) + 1, What: &remotepb.Request_Run{Run: &messages.Envelope{Body: make([]byte, size)}}}
			stream.messages = append(stream.messages, bytesOf(t, message(r)))
		}
		s.ctx = stream.ctx
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.read()
		}()
		synctest.Wait() // nobody takes anything
		if read, want := count-len(stream.messages), maxGatheredBytes/size+1; read > want {
			t.Errorf("%d messages were read, want at most %d", read, want)
		}
		s.in.take(nil)
		synctest.Wait()
		if read := count - len(stream.messages); read <= maxGatheredBytes/size+1 {
			t.Errorf("%d messages were read, want more when there is room", read)
		}
		cancel()
		<-done
	})
}
