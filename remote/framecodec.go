package remote

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// raw is a message of a stream in its bytes.
type raw struct {
	data   []byte
	buffer mem.Buffer // of a received one: whose bytes they are
}

// frameCodec lets the bytes of the stream through, which frames make and read, and leaves all else to the codec that gRPC has.
type frameCodec struct{ encoding.CodecV2 }

func newFrameCodec() frameCodec { return frameCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal takes over the bytes of a raw, for newMessage to use again when they are sent.
func (c frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*raw); ok {
		return mem.BufferSlice{mem.NewBuffer(&m.data, mem.DefaultBufferPool())}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal gives a raw the bytes in one piece. They go back when its buffer is freed; until then nobody else uses them.
func (c frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*raw)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	m.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	m.data = m.buffer.ReadOnlyData()
	return nil
}

// newMessage gives memory for a message of about this size.
func newMessage(size int) []byte { return (*mem.DefaultBufferPool().Get(size))[:0] }

// sender and receiver are what both ends of a stream have.
type (
	sender   interface{ SendMsg(m any) error }
	receiver interface{ RecvMsg(m any) error }
)

// sendFrames sends a message, whose bytes are gRPC's from then on.
func sendFrames(to sender, data []byte) error { return to.SendMsg(&raw{data: data}) }

// receive gives the next message. Whoever has dealt with it may free its buffer.
func receive(from receiver) (m raw, err error) {
	err = from.RecvMsg(&m)
	return m, err
}
