package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// goBetween stands between a client and a listener and changes each message on its way, so that each side takes the other for a newer
// one. It gives its address.
func goBetween(t *testing.T, listener string, change func(proto.Message)) string {
	t.Helper()
	to, err := grpc.NewClient(listener, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		return passOn(stream, to, change)
	}))
	port, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan error)
	go func() { ended <- server.Serve(port) }()
	t.Cleanup(func() {
		server.Stop()
		must(t, <-ended)
		must(t, to.Close())
	})
	return port.Addr().String()
}

func passOn(from grpc.ServerStream, to *grpc.ClientConn, change func(proto.Message)) error {
	name, _ := grpc.MethodFromServerStream(from)
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(name[1:], "/", ".")))
	if err != nil {
		return err
	}
	method := found.(protoreflect.MethodDescriptor)
	stream, err := to.NewStream(from.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, name)
	if err != nil {
		return err
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_ = pump(from, stream, method.Input(), change) // how it has ended, the answers say
		_ = stream.CloseSend()
	}()
	err = pump(stream, from, method.Output(), change)
	if !method.IsStreamingClient() {
		<-asked
	}
	return err
}

type end interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// pump carries messages until there are no more, or one side has gone.
func pump(from, to end, form protoreflect.MessageDescriptor, change func(proto.Message)) error {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(form.FullName())
	if err != nil {
		return err
	}
	for {
		m := kind.New().Interface()
		if err := from.RecvMsg(m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		change(m)
		if err := to.SendMsg(m); err != nil {
			return err
		}
	}
}

// newer adds to a message, and to all in it, what a newer program may add: fields of each type, and answers of another kind.
func newer(m proto.Message) {
	if response, ok := m.(*remotepb.ConnectResponse); ok {
		for _, a := range response.GetAnswers() {
			response.Answers = append(response.Answers, &remotepb.Answer{Number: a.GetNumber()})
		}
	}
	addFields(m.ProtoReflect())
}

func addFields(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() || f.Message() == nil || f.Message().ParentFile().Package() == "google.protobuf":
		case f.IsList():
			for i := range v.List().Len() {
				addFields(v.List().Get(i).Message())
			}
		default:
			addFields(v.Message())
		}
		return true
	})
	more := protowire.AppendVarint(protowire.AppendTag(m.GetUnknown(), 900, protowire.VarintType), 7)
	more = protowire.AppendBytes(protowire.AppendTag(more, 901, protowire.BytesType), []byte("new"))
	more = protowire.AppendFixed64(protowire.AppendTag(more, 902, protowire.Fixed64Type), 7)
	m.SetUnknown(more)
	if e, ok := m.Interface().(*messages.Envelope); ok {
		e.Body = append(e.Body, more...)
	}
}

// TestANewerAndAnOlderProgram: what one of the two does not know is passed by, whichever it is.
func TestANewerAndAnOlderProgram(t *testing.T) {
	both(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()}, func(t *testing.T, ctx context.Context, _ *remote.Runner, w *world) {
		client, err := remote.Dial(ctx, goBetween(t, w.listener.Addr().String(), newer), remote.DialConfig{})
		must(t, err)
		defer func() { must(t, client.Close(context.Background())) }()
		r := client.Runner("numbers")
		task, err := remote.Run[int](ctx, r, "double", 21)
		must(t, err)
		if got, err := task.Await(ctx); got != 42 || err != nil {
			t.Errorf("a run: %d, %v", got, err)
		}
		hang, err := remote.Run[string](ctx, r, "hang", "")
		must(t, err)
		downs := make(chan messages.Down, 1)
		r.MonitorTask(hang.ID(), func(down messages.Down) { downs <- down })
		must(t, hang.Cancel(ctx))
		_, err = hang.Await(ctx)
		if ended, ok := errors.AsType[*actors.TaskError](err); !ok || ended.State != store.Cancelled {
			t.Errorf("a cancel: %v", err)
		}
		if down := <-downs; down.Reason == nil {
			t.Errorf("a monitor: %v", down)
		}
		if err := runErr(ctx, r, "none", 1); !errors.Is(err, actors.ErrUnknownKind) {
			t.Errorf("a refusal: %v", err)
		}
		if w.runner.Store() == nil {
			return
		}
		mailer := r.Subscribe("mailer", store.FromOldest)
		for outcome, err := range mailer.Outcomes(ctx) {
			must(t, err)
			if outcome.ID != task.ID() || outcome.State != store.Completed || string(outcome.Result) != "42" {
				t.Errorf("an outcome: %+v", outcome)
			}
			must(t, mailer.Acknowledge(ctx, outcome.Pos))
			break
		}
	})
}

// TestAnOutcomeThatOnlyANewerProgramKnows is an error that names it, and no success.
func TestAnOutcomeThatOnlyANewerProgramKnows(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*messages.Envelope)
		want   error
		says   string
	}{
		"kind":    {func(e *messages.Envelope) { e.Kind = "postponed" }, messages.ErrUnknownKind, "postponed"},
		"version": {func(e *messages.Envelope) { e.SchemaVersion = 2 }, messages.ErrSchemaVersion, "version 2"},
	} {
		w := start(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()})
		address := goBetween(t, w.listener.Addr().String(), func(m proto.Message) {
			if response, ok := m.(*remotepb.ConnectResponse); ok {
				for _, a := range response.GetAnswers() {
					if e := a.GetOutcome(); e != nil {
						test.change(e)
					}
				}
			}
		})
		client, err := remote.Dial(t.Context(), address, remote.DialConfig{})
		must(t, err)
		task, err := remote.Run[int](t.Context(), client.Runner("numbers"), "double", 21)
		must(t, err)
		if got, err := task.Await(t.Context()); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("a new %s: %d, %v, want %v with %q", name, got, err, test.want, test.says)
		}
		must(t, client.Close(t.Context()))
	}
}

// A rolling deploy: of several listeners, one after the other learns of a new kind.
func TestARunGoesWhereItsKindIsKnown(t *testing.T) {
	old, fresh := start(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()}), start(t, actors.TaskRunnerConfig{Name: "numbers", MaxChildren: 1, Kinds: append(kinds(),
		actors.Kind("treble", func(_ context.Context, n int) (int, error) { return 3 * n, nil }))})
	addresses := old.listener.Addr().String() + "," + fresh.listener.Addr().String() // the first has more room
	client, err := remote.Dial(t.Context(), addresses, remote.DialConfig{})
	must(t, err)
	defer func() { must(t, client.Close(t.Context())) }()
	for ticker := time.NewTicker(time.Millisecond); !client.Nodes()[0].Up || !client.Nodes()[1].Up; {
		<-ticker.C
	}
	r := client.Runner("numbers")
	for i := range 100 {
		task, err := remote.Run[int](t.Context(), r, "treble", i)
		must(t, err)
		if got, err := task.Await(t.Context()); got != 3*i || err != nil {
			t.Fatalf("got %d, %v", got, err)
		}
	}
	if err := runErr(t.Context(), r, "none", 1); !errors.Is(err, actors.ErrUnknownKind) {
		t.Errorf("a kind that nobody knows: %v", err)
	}
	must(t, fresh.listener.Stop(t.Context()))
	if err := runErr(t.Context(), r, "treble", 1); !errors.Is(err, actors.ErrUnknownKind) {
		t.Errorf("who knew it is gone: %v", err)
	}
}
