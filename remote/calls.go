package remote

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// What gRPC refuses by itself, no handler hears of. Here it is counted: what ends a call before its handler is asked, by how the call
// has ended; and what ends a stream, by what its handler is given, since gRPC then ends the stream's context as well, and which
// of the two ends the handler is a matter of chance.

// callRefusals hears of the ends of calls.
type callRefusals struct{ door *door }

// TagRPC is for gRPC, as are those below.
func (callRefusals) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (callRefusals) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (callRefusals) HandleConn(context.Context, stats.ConnStats)                       {}

// HandleRPC hears of every message too, and leaves those at once.
func (c callRefusals) HandleRPC(ctx context.Context, what stats.RPCStats) {
	if end, ok := what.(*stats.End); ok && end.Error != nil {
		c.door.countEnd(ctx, end.Error)
	}
}

// hearing is a stream whose messages are refused by gRPC alone.
type hearing struct {
	grpc.ServerStream
	door    *door
	counted atomic.Bool
}

// RecvMsg is for the handler.
func (h *hearing) RecvMsg(m any) error {
	err := h.ServerStream.RecvMsg(m)
	if err != nil && h.door.countEnd(h.Context(), err) {
		h.counted.Store(true)
	}
	return err
}

// errCounted ends a stream that gRPC has ended already, so that nobody sees it but who counts.
var errCounted = status.Error(codes.Canceled, "remote: a message was refused")

func (d *door) hear(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	h := &hearing{ServerStream: stream, door: d}
	err := handle(server, h)
	if h.counted.Load() {
		return errCounted
	}
	return err
}

// countEnd counts an error if it is a refusal of gRPC's, and reports whether it is.
func (d *door) countEnd(ctx context.Context, err error) bool {
	end, _ := status.FromError(err)
	reason := reasonOfGRPC(end.Code())
	if reason == "" || len(end.Details()) > 0 { // our own errors with these codes have a Refused there
		return false
	}
	d.refusals.add(time.Now(), reason, d.caller(ctx), err)
	return true
}

// reasonOfGRPC says what gRPC means by a code; empty: no refusal.
func reasonOfGRPC(code codes.Code) string {
	switch code {
	case codes.ResourceExhausted:
		return refusedTooLarge
	case codes.Unimplemented: // methods that are unknown are ours
		return refusedCompression
	case codes.Internal:
		return refusedBadMessage
	default:
		return ""
	}
}

// unknownMethod answers those who have come in and ask for what there is not.
func (d *door) unknownMethod(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	err := fmt.Errorf("%w: method %.100q", ErrUnknownRequest, method)
	d.refusals.add(time.Now(), refusedMethod, d.caller(stream.Context()), err)
	return statusOf(err)
}

// caller is who is calling, as it is told of: the name if it is known, else the address. Nobody is let in by it.
func (d *door) caller(ctx context.Context) string {
	if p := peerFrom(ctx); p != nil {
		return p.name
	}
	address, leaf := whence(ctx)
	if permit, _ := d.permitFor(time.Now(), sumOf(bearerToken(ctx)), leaf); permit != nil {
		return permit.name
	}
	return address
}
