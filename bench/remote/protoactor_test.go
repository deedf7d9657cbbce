package remote

import (
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestProtoactorDialsBack is the experiment that decided against protoactor's remote: no guard at the receiver's port changes that the answer
// goes over a connection which the receiver opens to the sender. A sender whose port cannot be reached gets none.
func TestProtoactorDialsBack(t *testing.T) {
	receiver := protoactor(t, "")
	echo := actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*wrapperspb.BytesValue); ok {
			c.Respond(m)
		}
	})
	pid, err := receiver.Root.SpawnNamed(echo, "echo")
	if err != nil {
		t.Fatal(err)
	}
	for name, sender := range map[string]struct {
		advertised string
		answered   bool
	}{
		"a port that can be reached":    {"", true},
		"a port that cannot be reached": {closedPort(t), false},
	} {
		system := protoactor(t, sender.advertised)
		_, err := system.Root.RequestFuture(actor.NewPID(pid.Address, pid.Id), wrapperspb.Bytes(payload()), 2*time.Second).Result()
		if (err == nil) != sender.answered {
			t.Errorf("%s: %v, want an answer: %t", name, err, sender.answered)
		}
	}
}

// protoactor starts a system with protoactor's remote, which says that it is to be reached at that address; empty: where it is.
func protoactor(t *testing.T, advertised string) *actor.ActorSystem {
	t.Helper()
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}))
	var options []remote.ConfigOption
	if advertised != "" {
		options = append(options, remote.WithAdvertisedHost(advertised))
	}
	r := remote.NewRemote(system, remote.Configure("127.0.0.1", 0, options...))
	r.Start()
	t.Cleanup(func() { r.Shutdown(false) })
	return system
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
