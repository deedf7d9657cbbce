package actors_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// genServer is a GenServer made of functions. What is nil does nothing, but that a call or a cast of a function runs it, in
// the server.
type genServer struct {
	init      func(ctx context.Context) error
	call      func(ctx context.Context, request any, from actors.From) (any, error)
	cast      func(ctx context.Context, message any) error
	info      func(ctx context.Context, message any) error
	goOn      func(ctx context.Context, argument any) error
	terminate func(ctx context.Context, reason error)
}

type (
	callFunc = func(ctx context.Context, from actors.From) (any, error)
	castFunc = func(ctx context.Context) error
)

func (s *genServer) Init(ctx context.Context) error {
	if s.init == nil {
		return nil
	}
	return s.init(ctx)
}

func (s *genServer) HandleCall(ctx context.Context, request any, from actors.From) (any, error) {
	if f, ok := request.(callFunc); ok {
		return f(ctx, from)
	}
	if s.call == nil {
		return request, nil
	}
	return s.call(ctx, request, from)
}

func (s *genServer) HandleCast(ctx context.Context, message any) error {
	if f, ok := message.(castFunc); ok {
		return f(ctx)
	}
	if s.cast == nil {
		return nil
	}
	return s.cast(ctx, message)
}

func (s *genServer) HandleInfo(ctx context.Context, message any) error {
	if s.info == nil {
		return nil
	}
	return s.info(ctx, message)
}

func (s *genServer) HandleContinue(ctx context.Context, argument any) error {
	if s.goOn == nil {
		return nil
	}
	return s.goOn(ctx, argument)
}

func (s *genServer) Terminate(ctx context.Context, reason error) {
	if s.terminate != nil {
		s.terminate(ctx, reason)
	}
}

// journal keeps what happened, in its order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, values ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, values...))
}

// String waits until nothing happens any more.
func (j *journal) String() string {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, ", ")
}

func (j *journal) want(t *testing.T, want string) {
	t.Helper()
	if got := j.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// world is a system in a bubble, with what it has logged.
type world struct {
	*actors.System
	log *bytes.Buffer
}

func (w world) logged() string {
	synctest.Wait()
	return w.log.String()
}

// inWorld runs the test in a bubble. At the end the system is stopped, and nothing may be left.
func inWorld(t *testing.T, test func(t *testing.T, ctx context.Context, w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := world{log: &bytes.Buffer{}}
		w.System = actors.NewSystem(actors.SystemConfig{Logger: slog.New(slog.NewTextHandler(w.log, nil))})
		test(t, t.Context(), w)
		ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
		defer cancel()
		if err := w.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		synctest.Wait()
		if n, abandoned := w.Len(), w.Abandoned(); n != 0 || abandoned != 0 {
			t.Errorf("%d processes live after Stop, %d goroutines are abandoned", n, abandoned)
		}
	})
}

// serve starts a server.
func (w world) serve(t *testing.T, ctx context.Context, server any, options actors.GenServerOptions) *actors.GenServer {
	t.Helper()
	g, err := actors.StartGenServer(ctx, w.System, server, options)
	if err != nil {
		t.Fatalf("StartGenServer: %v", err)
	}
	return g
}

// within runs f in a server, as a call.
func within(t *testing.T, ctx context.Context, g *actors.GenServer, f func(ctx context.Context)) {
	t.Helper()
	if _, err := g.Call(ctx, func(ctx context.Context, _ actors.From) (any, error) { f(ctx); return nil, nil }); err != nil {
		t.Fatalf("within a server: %v", err)
	}
}

// end gives a func that tells why the target has ended, by a Down.
func (w world) end(t *testing.T, ctx context.Context, target messages.Target) func() error {
	t.Helper()
	downs := make(chan messages.Down, 10)
	w.serve(t, ctx, &genServer{
		init: func(ctx context.Context) error { w.Monitor(ctx, target); return nil },
		info: func(_ context.Context, message any) error { downs <- message.(messages.Down); return nil },
	}, actors.GenServerOptions{})
	return func() error {
		t.Helper()
		synctest.Wait()
		if len(downs) != 1 {
			t.Fatalf("%d Downs of %s, want one", len(downs), target)
		}
		return (<-downs).Reason
	}
}

// pending makes a call, and gives a func that waits for its answer.
func pending(ctx context.Context, g *actors.GenServer, request any) func() (any, error) {
	type answer struct {
		value any
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := g.Call(ctx, request)
		answers <- answer{value, err}
	}()
	synctest.Wait()
	return func() (any, error) { a := <-answers; return a.value, a.err }
}

// busy has a server sleep, as a cast: what is sent to it meanwhile queues.
func busy(ctx context.Context, g *actors.GenServer, d time.Duration) {
	g.Cast(ctx, func(context.Context) error { time.Sleep(d); return nil })
	synctest.Wait()
}

func isPanic(err error) bool {
	panicked, ok := errors.AsType[*messages.PanicError](err)
	return ok && len(panicked.Stack) > 0
}

func TestAServerNeedsACallback(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		if _, err := actors.StartGenServer(ctx, w.System, 7, actors.GenServerOptions{}); err == nil || !strings.Contains(err.Error(), "int") {
			t.Errorf("a server without callbacks: %v", err)
		}
	})
}

func TestATypedCall(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		g := w.serve(t, ctx, &genServer{}, actors.GenServerOptions{})
		if got, err := actors.Call[int](ctx, g, 7); got != 7 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		if _, err := actors.Call[int](ctx, g, "seven"); err == nil || !strings.Contains(err.Error(), "string") || !strings.Contains(err.Error(), "int") {
			t.Errorf("a reply of another type: %v", err)
		}
		if got, err := actors.Call[*int](ctx, g, nil); got != nil || err != nil {
			t.Errorf("no reply: %v, %v", got, err)
		}
		failed := func(context.Context, actors.From) (any, error) { return "half", errBoom }
		if _, err := actors.Call[int](ctx, g, failed); err != errBoom {
			t.Errorf("an error: %v", err)
		}
	})
}

func TestANameMeansWhoeverHasItNow(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w world) {
		byName := actors.Server(w.System, messages.Name("x"))
		if pid := byName.PID(); !pid.IsZero() {
			t.Errorf("nobody has it: %v", pid)
		}
		for i := range 3 {
			g := w.serve(t, ctx, &genServer{call: func(context.Context, any, actors.From) (any, error) { return i, nil }}, actors.GenServerOptions{Name: "x"})
			if got, err := byName.Call(ctx, "who?"); got != i || err != nil || byName.PID() != g.PID() {
				t.Errorf("%v, %v, %v, want %d", got, err, byName.PID(), i)
			}
			if err := byName.Stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

// failure is an error of a type of its own, that holds others.
type failure struct{ parts []error }

func (f *failure) Error() string   { return fmt.Sprintf("failure of %d parts", len(f.parts)) }
func (f *failure) Unwrap() []error { return f.parts }

// unwrapPanics is an error that cannot be looked into.
type unwrapPanics struct{}

func (unwrapPanics) Error() string { return "cannot be unwrapped" }
func (unwrapPanics) Unwrap() error { panic("Unwrap") }

// wrapsItself is one without an end.
type wrapsItself struct{}

func (wrapsItself) Error() string   { return "wraps itself" }
func (wrapsItself) Unwrap() []error { return []error{wrapsItself{}, wrapsItself{}} }

func TestTheErrorOfACallReachesTheCallerAsItIs(t *testing.T) {
	typed := &failure{[]error{errBoom, nil, errors.New("another")}}
	wrapped := fmt.Errorf("reading: %w, then %w", errBoom, typed)
	for name, c := range map[string]struct{ returned, want error }{
		"plain":                  {errBoom, errBoom},
		"typed, of many":         {typed, typed},
		"with a text of its own": {wrapped, wrapped},
		"cannot be unwrapped":    {unwrapPanics{}, unwrapPanics{}},
		"wraps itself":           {wrapsItself{}, wrapsItself{}},
		"beside a Timeout":       {errors.Join(actors.Timeout(time.Hour), errBoom), errBoom},
		"beside a Continue":      {errors.Join(typed, actors.Continue(1)), typed},
		"beside both":            {errors.Join(typed, errors.Join(actors.Continue(1), nil, actors.Timeout(1))), typed},
		"only what steers":       {fmt.Errorf("wrapped: %w", actors.Timeout(time.Hour)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w world) {
				g := w.serve(t, ctx, &genServer{call: func(context.Context, any, actors.From) (any, error) { return nil, c.returned }}, actors.GenServerOptions{})
				if _, err := g.Call(ctx, "fail"); err != c.want {
					t.Errorf("the caller got %#v, want %#v", err, c.want)
				}
				synctest.Wait()
				if !w.Alive(g.PID()) {
					t.Error("the server died of an error that is its caller's")
				}
			})
		})
	}
}

func checkLog(t *testing.T, log string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(log, part) {
			t.Errorf("the log has no %s:\n%s", part, log)
		}
	}
}
