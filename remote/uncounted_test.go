package remote

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"maps"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// What gRPC refuses by itself is counted and told as all else is, once for each.
func TestWhatGRPCRefusesIsCounted(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxMessage: minMessage}})
	conn := h.dial("x", "", grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})))
	for _, test := range []struct {
		method, reason string
		bytes          int
		want           codes.Code
	}{
		{remotepb.Link_Connect_FullMethodName, refusedTooLarge, minMessage + 1, codes.ResourceExhausted},
		{remotepb.Tasks_Run_FullMethodName, refusedTooLarge, minMessage + 1, codes.ResourceExhausted},
		{"/taskrunner.remote.v1.Tasks/Nothing", refusedMethod, 1, codes.Unimplemented},
		{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", refusedMethod, 1, codes.Unimplemented},
	} {
		before := h.Refusals()[test.reason]
		if code := send(t, conn, test.method, make([]byte, test.bytes)); code != test.want {
			t.Errorf("%s: %v, want %v", test.method, code, test.want)
		}
		h.until(test.method+" is counted", func() bool { return h.Refusals()[test.reason] > before })
		if n := h.Refusals()[test.reason]; n != before+1 {
			t.Errorf("%s: %d refusals, want one more than %d", test.method, n, before)
		}
	}
	for _, reason := range []string{refusedTooLarge, refusedMethod} {
		if n := h.log.count("refused", reason); n != 1 {
			t.Errorf("%d lines of %s, want 1 in a minute", n, reason)
		}
	}
	h.wantResponsive()
}

// Whoever speaks something else than HTTP/2 to a port without TLS is counted, and the connection closed.
func TestWhoSpeaksSomethingElse(t *testing.T) {
	t.Parallel()
	log := newLogBook(t)
	runner := startRunner(t, actors.TaskRunnerConfig{Name: "plain", Kinds: harbourKinds(), DrainTimeout: -1})
	l, err := Listen(t.Context(), "127.0.0.1:0", ListenConfig{Runners: []*actors.TaskRunner{runner}, Logger: slog.New(log), DrainTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Stop(t.Context()) })
	for i, speak := range []func(net.Conn){
		func(c net.Conn) { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		func(c net.Conn) {
			_, _ = io.WriteString(c, "\x00\xff\x00\xffgarbage of some length, more than a preface")
		},
		func(c net.Conn) {
			_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}).HandshakeContext(t.Context()) //nolint:gosec // nobody answers
		},
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		speak(conn)
		_, _ = io.Copy(io.Discard, conn) // until the other side closes it
		_ = conn.Close()
		if n := l.Refusals()[refusedNotHTTP2]; n != int64(i+1) {
			t.Errorf("after %d: %v, want %d of %s", i+1, l.Refusals(), i+1, refusedNotHTTP2)
		}
	}
	if n := log.count("refused", refusedNotHTTP2); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
}

// Whatever a known client asks for in vain is counted once, by either service; a runner that is full is no refusal.
func TestWhatIsAskedForInVainIsCounted(t *testing.T) {
	t.Parallel()
	narrow := startRunner(t, actors.TaskRunnerConfig{Name: "narrow", Kinds: harbourKinds(), MaxChildren: 1, MaxWaiting: 1, DrainTimeout: -1})
	h := openHarbour(t, ListenConfig{Limits: Limits{MaxUnacknowledged: 3, MaxSubscribers: 1}, Runners: []*actors.TaskRunner{narrow}})
	tasks := remotepb.NewTasksClient(h.dial("x", ""))
	c, err := Dial(t.Context(), h.address, DialConfig{TLS: h.town.client("x")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	want := map[string]int64{}
	refused := func(reason string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", reason)
		}
		if want[reason]++; reason == "" {
			delete(want, reason)
		}
		if got := h.Refusals(); !maps.Equal(got, want) {
			t.Errorf("%v is counted as %v, want %v", err, got, want)
		}
	}
	run := func(runner, kind string) error {
		_, err := tasks.Run(t.Context(), &remotepb.RunRequest{Runner: runner, Kind: kind})
		return err
	}
	remote := func(runner, kind string) error {
		_, err := Run[string](t.Context(), c.Runner(runner), kind, "")
		return err
	}
	refused(refusedNoRunner, run("nowhere", "echo"))
	refused(refusedNoRunner, remote("nowhere", "echo"))
	for _, runner := range []string{"kept", "plain"} {
		refused(refusedNoKind, run(runner, "no.such"))
		refused(refusedNoKind, remote(runner, "no.such"))
	}
	for range 2 {
		if err := run("narrow", "hang"); err != nil {
			t.Fatal(err)
		}
	}
	refused("", run("narrow", "hang"))
	refused("", remote("narrow", "hang"))
	for range 3 {
		if err := run("plain", "hang"); err != nil {
			t.Fatal(err)
		}
	}
	refused(refusedLimit, run("plain", "hang"))
	refused(refusedLimit, remote("plain", "hang"))
	task, err := Run[string](t.Context(), c.Runner("kept"), "echo", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	subscribe := func(name string) (err error) {
		for _, err = range c.Runner("kept").Subscribe(name, store.FromOldest).Outcomes(t.Context()) {
			break
		}
		return err
	}
	if err := subscribe("one"); err != nil {
		t.Fatal(err)
	}
	refused(refusedLimit, subscribe("two"))
	for _, reason := range []string{refusedNoRunner, refusedNoKind, refusedLimit} {
		if n := h.log.count("refused", reason); n != 1 {
			t.Errorf("%d lines of %s, want 1 in a minute", n, reason)
		}
	}
}
