package actors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// counter is a GenServer with all callbacks.
type counter struct {
	n    int
	log  []string
	last actors.From
}

func (c *counter) Init(context.Context) error { c.n = 1; return nil }

func (c *counter) HandleCall(_ context.Context, request any, from actors.From) (any, error) {
	switch request {
	case "get":
		return c.n, nil
	case "fail":
		return nil, errBoom
	case "later":
		c.last = from
		return nil, actors.NoReply
	case "stop":
		return "bye", actors.Stop(messages.Normal)
	}
	panic(fmt.Sprint("unknown request ", request))
}

func (c *counter) HandleCast(_ context.Context, message any) error {
	if err, ok := message.(error); ok {
		return err
	}
	c.n += message.(int)
	return nil
}

func (c *counter) HandleInfo(_ context.Context, message any) error {
	c.log = append(c.log, fmt.Sprint(message))
	if message == "answer" {
		c.last.Reply("answered", nil)
	}
	return nil
}

func (c *counter) Terminate(_ context.Context, reason error) {
	c.log = append(c.log, "terminate "+reason.Error())
}

func withServer(t *testing.T, server any, test func(ctx context.Context, system *actors.System, g *actors.GenServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		system := actors.NewSystem(actors.SystemConfig{})
		g, err := actors.StartGenServer(t.Context(), system, server, actors.GenServerOptions{Name: "server"})
		if err != nil {
			t.Fatal(err)
		}
		test(t.Context(), system, g)
		if err := system.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestGenServer(t *testing.T) {
	c := &counter{}
	withServer(t, c, func(ctx context.Context, system *actors.System, g *actors.GenServer) {
		byName := actors.Server(system, messages.Name("server"))
		byName.Cast(ctx, 41)
		if got, err := byName.Call(ctx, "get"); got != 42 || err != nil {
			t.Errorf("get: %v, %v", got, err)
		}
		if _, err := g.Call(ctx, "fail"); !errors.Is(err, errBoom) {
			t.Errorf("fail: %v", err)
		}
		if g.PID() != byName.PID() || g.PID().IsZero() {
			t.Errorf("PIDs %v and %v", g.PID(), byName.PID())
		}
		go func() {
			time.Sleep(time.Second)
			g.Info(ctx, "answer")
		}()
		if got, err := g.Call(ctx, "later"); got != "answered" || err != nil {
			t.Errorf("later: %v, %v", got, err)
		}
		if got, err := g.Call(ctx, "stop"); got != "bye" || err != nil {
			t.Errorf("stop: %v, %v", got, err)
		}
		if got := fmt.Sprint(c.log); got != "[answer terminate normal]" {
			t.Errorf("log %s", got)
		}
		synctest.Wait() // the last reply comes before the end: until then a call gets the reason of that
		if _, err := byName.Call(ctx, "get"); !errors.Is(err, messages.NoProc) {
			t.Errorf("a dead server: %v", err)
		}
		byName.Cast(ctx, 1)
		if err := byName.Stop(ctx); !errors.Is(err, messages.NoProc) {
			t.Errorf("stopping a dead server: %v", err)
		}
	})
}

func TestAServerThatCrashesTellsItsCaller(t *testing.T) {
	for name, message := range map[string]any{"error": errBoom, "panic": "not a number", "stop": actors.Stop(errBoom)} {
		t.Run(name, func(t *testing.T) {
			c := &counter{}
			withServer(t, c, func(ctx context.Context, system *actors.System, g *actors.GenServer) {
				g.Cast(ctx, message)
				_, err := g.Call(ctx, "get")
				panicked, _ := errors.AsType[*messages.PanicError](err)
				if !errors.Is(err, messages.NoProc) && !errors.Is(err, errBoom) && panicked == nil {
					t.Errorf("got %v", err)
				}
				synctest.Wait()
				if len(c.log) != 1 || system.Alive(g.PID()) {
					t.Errorf("log %v; want one terminate, and a dead server (GS-26)", c.log)
				}
			})
		})
	}
}

type onlyInit struct{ err error }

func (o *onlyInit) Init(context.Context) error { return o.err }

func TestCallbacksAreOptional(t *testing.T) {
	withServer(t, &onlyInit{}, func(ctx context.Context, system *actors.System, g *actors.GenServer) {
		g.Info(ctx, "ignored")
		if err := g.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	withServer(t, &onlyInit{}, func(ctx context.Context, _ *actors.System, g *actors.GenServer) {
		if _, err := g.Call(ctx, "get"); !errors.Is(err, actors.ErrNotHandled) {
			t.Errorf("a call without HandleCall: %v (GS-20)", err)
		}
	})
}

func TestServersThatCannotStart(t *testing.T) {
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(context.Background()) }()
	if _, err := actors.StartGenServer(t.Context(), system, 7, actors.GenServerOptions{}); err == nil {
		t.Error("a server without callbacks was started")
	}
	if _, err := actors.StartGenServer(t.Context(), system, &onlyInit{errBoom}, actors.GenServerOptions{}); !errors.Is(err, errBoom) {
		t.Errorf("got %v", err)
	}
}

// stopsWithNothing ends with a Stop of nil.
type stopsWithNothing struct{}

func (stopsWithNothing) HandleCall(context.Context, any, actors.From) (any, error) {
	return "bye", actors.Stop(nil)
}

func TestStopWithNilIsNormal(t *testing.T) {
	withServer(t, stopsWithNothing{}, func(ctx context.Context, system *actors.System, g *actors.GenServer) {
		if reply, err := g.Call(ctx, "stop"); reply != "bye" || err != nil {
			t.Errorf("%v, %v", reply, err)
		}
		synctest.Wait()
		if system.Alive(g.PID()) {
			t.Error("it lives")
		}
	})
}
