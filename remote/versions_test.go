package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// older is a listener that a newer client has reached.
func older(t *testing.T) (*Listener, *Runner) {
	t.Helper()
	runner, err := actors.StartTaskRunner(t.Context(), actors.TaskRunnerConfig{Name: "numbers", Kinds: actors.Kinds{
		actors.Kind("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen(t.Context(), "127.0.0.1:0", ListenConfig{Runners: []*actors.TaskRunner{runner}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := Dial(t.Context(), listener.Addr().String(), DialConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, stop := range []func(context.Context) error{client.Close, listener.Stop, runner.Stop} {
			if err := stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	return listener, client.Runner("numbers")
}

// TestAnOlderListenerSaysWhatItDoesNotKnow, to whoever has sent it; the stream and what else is on it go on.
func TestAnOlderListenerSaysWhatItDoesNotKnow(t *testing.T) {
	listener, r := older(t)
	const id = "018f0000-0000-7000-8000-000000000000"
	envelope := func(change func(*messages.Envelope)) []byte {
		e, err := messages.Encode(messages.Run{TaskID: id, Kind: "double", Args: []byte("1")})
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		return payloadOf(e)
	}
	downs := make(chan messages.Down, 1)
	monitor := r.Monitor(func(down messages.Down) { downs <- down })
	defer monitor.Stop()
	for name, test := range map[string]struct {
		what    protowire.Number
		payload []byte
		is      error
		says    string
		reason  string
	}{
		"a request":        {77, nil, ErrUnknownRequest, "field 77", refusedUnknown},
		"a kind":           {askRun, envelope(func(e *messages.Envelope) { e.Kind = "resume" }), messages.ErrUnknownKind, `"resume"`, refusedBadRun},
		"a schema version": {askRun, envelope(func(e *messages.Envelope) { e.SchemaVersion = 9 }), messages.ErrSchemaVersion, "version 9, want 1", refusedBadRun},
	} {
		before := listener.Refusals()[test.reason]
		a := r.newCall(id, test.what, test.payload, false)
		r.client.submit(a)
		<-a.answered
		if !errors.Is(a.err, test.is) || !strings.Contains(a.err.Error(), test.says) {
			t.Errorf("%s: %v, want %v with %s", name, a.err, test.is, test.says)
		}
		if n := listener.Refusals()[test.reason] - before; n != 1 {
			t.Errorf("%s: %d refusals for %s, want 1", name, n, test.reason)
		}
		task, err := Run[int](t.Context(), r, "double", 21)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := task.Await(t.Context()); got != 42 || err != nil {
			t.Errorf("behind %s: %d, %v", name, got, err)
		}
	}
	select {
	case down := <-downs:
		t.Errorf("the stream has ended: %v", down)
	default:
	}
}

// TestWhatANewerListenerSaysIsAnError: codes, states and methods that this client does not know are no success.
func TestWhatANewerListenerSaysIsAnError(t *testing.T) {
	newer := &remotepb.Refused{Code: 9999, Text: "paused until noon"}
	detailed := func(code codes.Code) error {
		s, err := status.New(code, "paused until noon").WithDetails(newer)
		if err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	for name, test := range map[string]struct {
		err  error
		is   error // nil: any
		says string
	}{
		"a code":                     {reason(newer, "r", ""), nil, "paused until noon"},
		"a code without a text":      {reason(&remotepb.Refused{Code: 9999}, "r", ""), nil, "9999"},
		"a code not set":             {reason(&remotepb.Refused{}, "r", ""), nil, "CODE_UNSPECIFIED"},
		"a code in a status":         {ofStatus(detailed(codes.Aborted), "r", ""), nil, "paused until noon"},
		"one to be tried again":      {ofStatus(detailed(codes.Unavailable), "r", ""), ErrNoConnection, "paused until noon"},
		"a method that is not there": {ofStatus(status.Error(codes.Unimplemented, "unknown method Pause"), "r", ""), ErrUnknownRequest, "Pause"},
	} {
		if test.err == nil || test.is != nil && !errors.Is(test.err, test.is) || !strings.Contains(test.err.Error(), test.says) {
			t.Errorf("%s: %v, want %v with %s", name, test.err, test.is, test.says)
		}
	}
	task := taskOf(&remotepb.Outcome{TaskId: "1", State: 9, Result: "1", Error: "paused", Cursor: 7})
	if task.State != "9" || task.Result != nil || task.Pos != 7 || task.History[0].Error != "paused" {
		t.Errorf("a state: %+v", task)
	}
	if task := taskOf(&remotepb.Outcome{}); task.State == store.Completed || task.State == "" {
		t.Errorf("no state: %+v", task)
	}
}

// TestAKindThatANodeLacksProvesNothing if another node of the same database may have accepted the run: it goes nowhere else, and whoever
// asks learns both.
func TestAKindThatANodeLacksProvesNothing(t *testing.T) {
	c := &Client{config: DialConfig{Away: time.Second}, logger: slog.New(slog.DiscardHandler), ctx: t.Context(), window: make(chan struct{}, 1)}
	for i, database := range []string{"one", "one", "other"} {
		l := newLink(c, fmt.Sprint("address-", i), "")
		c.links = append(c.links, l)
		c.up(l, &remotepb.Welcome{Node: fmt.Sprint("node-", i), MaxUnacknowledged: 9, Rooms: []*remotepb.Room{{Runner: "numbers", Free: int64(9 - i), Database: database}}})
	}
	a := c.Runner("numbers").newCall("id", askRun, nil, true)
	c.submit(a)
	c.take(c.links[0])
	c.down(c.links[0], ErrNoConnection)
	if a.link != c.links[1] {
		t.Fatal("it goes on to who has the same database")
	}
	c.take(c.links[1])
	c.answers(c.links[1], []frame{{number: a.number, what: isRefused, payload: payloadOf(refused(actors.ErrUnknownKind))}})
	if a.link != nil || isClosed(a.answered) {
		t.Fatalf("it is with %v (%v), want that it waits", a.link, a.err)
	}
	c.giveUp(a.since.Add(time.Minute))
	if !errors.Is(a.err, store.ErrUnavailable) || !errors.Is(a.err, actors.ErrUnknownKind) {
		t.Errorf("%v, want that it may be accepted, and that somebody does not know its kind", a.err)
	}
}
