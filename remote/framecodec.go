package remote

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// raw is a message of a stream in its bytes.
type raw struct{ data []byte }

// frameCodec lets the bytes of the stream through, which frames make and read, and leaves all else to the codec that gRPC has.
type frameCodec struct{ encoding.CodecV2 }

func newFrameCodec() frameCodec { return frameCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal takes over the bytes of a raw.
func (c frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*raw); ok {
		return mem.BufferSlice{mem.SliceBuffer(m.data)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal gives a raw bytes of its own: gRPC uses those of data again.
func (c frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*raw)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	m.data = data.Materialize()
	return nil
}

// sender and receiver are what both ends of a stream have.
type (
	sender   interface{ SendMsg(m any) error }
	receiver interface{ RecvMsg(m any) error }
)

// sendFrames sends a message, whose bytes are gRPC's from then on.
func sendFrames(to sender, data []byte) error { return to.SendMsg(&raw{data}) }

// receive gives the bytes of the next message.
func receive(from receiver) ([]byte, error) {
	var m raw
	err := from.RecvMsg(&m)
	return m.data, err
}
