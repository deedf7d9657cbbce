package remote

import (
	"context"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The yardsticks: what gRPC and TCP take for a payload there and back, with nothing behind it.

const (
	unaryMethod  = "/bench.Echo/Unary"
	streamMethod = "/bench.Echo/Stream"
)

// echo is a service by hand, so that no generated code is needed.
var echo = grpc.ServiceDesc{
	ServiceName: "bench.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Unary",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			payload := new(wrapperspb.BytesValue)
			return payload, decode(payload)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Stream", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			for {
				payload := new(wrapperspb.BytesValue)
				if err := stream.RecvMsg(payload); err != nil {
					return nil
				}
				if err := stream.SendMsg(payload); err != nil {
					return err
				}
			}
		},
	}},
}

// serveEcho serves both until the listener is closed.
func serveEcho(listener net.Listener) error {
	server := grpc.NewServer()
	server.RegisterService(&echo, struct{}{})
	return server.Serve(listener)
}

// serveTCP sends back what comes.
func serveTCP(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// dialUnary gives a plain call of gRPC.
func dialUnary(_ context.Context, address string) (call func(ctx context.Context) error, closed func() error, err error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) error {
		return conn.Invoke(ctx, unaryMethod, wrapperspb.Bytes(payload()), new(wrapperspb.BytesValue))
	}, conn.Close, nil
}

// dialTCP gives a ping-pong, for one caller.
func dialTCP(ctx context.Context, address string) (call func(ctx context.Context) error, closed func() error, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	there, back := payload(), make([]byte, payloadBytes)
	return func(context.Context) error {
		if _, err := conn.Write(there); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, back)
		return err
	}, conn.Close, nil
}

const payloadBytes = 100

func payload() []byte { return make([]byte, payloadBytes) }
