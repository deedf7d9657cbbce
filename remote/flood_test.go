package remote

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// rawHTTP2 is a client that says what it likes.
type rawHTTP2 struct {
	*http2.Framer
	t    *testing.T
	conn net.Conn
	pack *hpack.Encoder
	buf  bytes.Buffer
}

func newHTTP2(t *testing.T, conn net.Conn) *rawHTTP2 {
	t.Helper()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &rawHTTP2{t: t, conn: conn, Framer: http2.NewFramer(conn, nil)}
	f.pack = hpack.NewEncoder(&f.buf)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second)) // a server that reads no more is as good as one that is gone
	go func() { _, _ = io.Copy(io.Discard, conn) }()           // ends with the connection
	return f
}

// block is the headers of a call.
func (f *rawHTTP2) block(method string, more ...hpack.HeaderField) []byte {
	f.buf.Reset()
	fields := append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: method}, {Name: ":authority", Value: "x"},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}, more...)
	for _, h := range fields {
		_ = f.pack.WriteField(h)
	}
	return bytes.Clone(f.buf.Bytes())
}

func (f *rawHTTP2) headers(stream uint32, method string) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.block(method), EndHeaders: true})
}

// grpcMessage sends as much of a message as the window for it allows.
func (f *rawHTTP2) grpcMessage(stream uint32, data []byte) {
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(data)))
	_ = f.WriteData(stream, false, head)
	for sent := 0; len(data) > 0 && sent < 65_000; {
		n := min(len(data), 16_000)
		if f.WriteData(stream, false, data[:n]) != nil {
			return
		}
		data, sent = data[n:], sent+n
	}
}

// What HTTP/2 allows a client to flood a server with costs that client its connection, or nothing.
func TestFloodsOfHTTP2(t *testing.T) {
	h := openHarbour(t, ListenConfig{})
	goroutines := runtime.NumGoroutine()
	value := func(n int) string { return string(bytes.Repeat([]byte{'x'}, n)) }
	for name, flood := range map[string]func(f *rawHTTP2, i uint32) error{
		"rapid reset": func(f *rawHTTP2, i uint32) error {
			if err := f.headers(2*i+1, remotepb.Link_Connect_FullMethodName); err != nil {
				return err
			}
			return f.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
		},
		"pings": func(f *rawHTTP2, _ uint32) error { return f.WritePing(false, [8]byte{1}) },
		"settings": func(f *rawHTTP2, i uint32) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: i})
		},
		"priority": func(f *rawHTTP2, i uint32) error {
			return f.WritePriority(2*i+1, http2.PriorityParam{StreamDep: 2*i + 3})
		},
		"empty data": func(f *rawHTTP2, i uint32) error {
			if i == 0 {
				return f.headers(1, remotepb.Link_Connect_FullMethodName)
			}
			return f.WriteData(1, false, nil)
		},
		"window updates": func(f *rawHTTP2, _ uint32) error { return f.WriteWindowUpdate(0, 1) },
		"huge headers": func(f *rawHTTP2, i uint32) error {
			block := f.block(remotepb.Link_Connect_FullMethodName, hpack.HeaderField{Name: "x", Value: value(20 << 10), Sensitive: true})
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block[:16000]}); err != nil {
				return err
			}
			return f.WriteContinuation(2*i+1, true, block[16000:])
		},
		"headers without an end": func(f *rawHTTP2, i uint32) error {
			block := f.block(remotepb.Link_Connect_FullMethodName, hpack.HeaderField{Name: fmt.Sprint("x-", i), Value: value(1000), Sensitive: true})
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			}
			return f.WriteContinuation(1, false, block)
		},
		"calls that say no more": func(f *rawHTTP2, i uint32) error { return f.headers(2*i+1, remotepb.Tasks_Run_FullMethodName) },
		"half messages": func(f *rawHTTP2, i uint32) error {
			err := f.headers(2*i+1, remotepb.Tasks_Run_FullMethodName)
			f.grpcMessage(2*i+1, make([]byte, 8<<10))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			peak := peakHeap(func() {
				conn := h.dialTLS("flood")
				f := newHTTP2(t, conn)
				for i := range uint32(5_000) {
					if flood(f, i) != nil {
						break
					}
				}
				h.t = t
				h.wantResponsive()
				_ = conn.Close()
			})
			if peak > 100<<20 {
				t.Errorf("%d MiB of memory", peak>>20)
			}
			wantGoroutines(t, goroutines+5)
		})
	}
}
