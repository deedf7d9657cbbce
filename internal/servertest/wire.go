package servertest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// The kinds of messages of PostgreSQL's protocol 3 that we look at. A kind means one thing from the client and may mean
// another from the server.
const (
	startupKind = 0 // what a client says first has no kind; this is ours

	queryKind    = 'Q'
	parseKind    = 'P'
	bindKind     = 'B'
	executeKind  = 'E'
	syncKind     = 'S'
	functionKind = 'F'

	authenticationKind = 'R'
	errorKind          = 'E'
	copyInKind         = 'G'
	readyKind          = 'Z'
)

// The numbers in the first messages of a client.
const (
	protocolVersion = 3 << 16
	cancelCode      = 80877102
	tlsCode         = 80877103
	gssCode         = 80877104
)

// maxMessage is the longest message that is taken, in bytes. The tests' longest are rows of some kilobytes.
const maxMessage = 64 << 20

// readMessage takes one message: its kind, its length, which counts itself, and its payload.
func readMessage(r *bufio.Reader) (kind byte, payload []byte, err error) {
	if kind, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	payload, err = readBody(r)
	return kind, payload, err
}

// readBody takes what follows the kind, and all there is of a client's first message.
func readBody(r *bufio.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 4 || n > maxMessage {
		return nil, fmt.Errorf("servertest: a message of %d bytes, want 4 to %d: this is not PostgreSQL's protocol", n, maxMessage)
	}
	payload := make([]byte, n-4)
	_, err := io.ReadFull(r, payload)
	return payload, err
}

// encode is the reverse of readMessage.
func encode(kind byte, payload []byte) []byte {
	buf := make([]byte, 0, len(payload)+5)
	if kind != startupKind {
		buf = append(buf, kind)
	}
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(payload)+4))
	return append(buf, payload...)
}

// startupCode gives the number that begins a client's first message, 0 if there is none.
func startupCode(payload []byte) uint32 {
	if len(payload) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(payload)
}

// text takes a string that ends with a zero byte off a payload.
func text(payload []byte) (s string, rest []byte) {
	s, after, _ := strings.Cut(string(payload), "\x00")
	return s, []byte(after)
}

// execSQL runs statements on a connection of its own, as a user whom the server trusts. It saves the tests' helpers a
// driver, and the 20 ms that psql takes.
func execSQL(ctx context.Context, socket, user, database, sql string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	startup := binary.BigEndian.AppendUint32(nil, protocolVersion)
	startup = append(startup, "user\x00"+user+"\x00database\x00"+database+"\x00\x00"...)
	reader := bufio.NewReader(conn)
	for _, request := range [][]byte{
		encode(startupKind, startup),
		encode(queryKind, append([]byte(sql), 0)),
	} {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := awaitReady(reader); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	_, _ = conn.Write(encode('X', nil)) // a farewell, so that the server's log does not wonder
	return nil
}

// awaitReady reads until the server is ready for the next statement, and gives the error that it reported before.
func awaitReady(r *bufio.Reader) error {
	var failed error
	for {
		kind, payload, err := readMessage(r)
		switch {
		case err != nil:
			return errors.Join(failed, err) // a server that refuses says why and hangs up
		case kind == errorKind:
			failed = errors.New("servertest: " + errorText(payload))
		case kind == authenticationKind && startupCode(payload) != 0:
			return errors.New("servertest: the server asks for a password")
		case kind == readyKind:
			return failed
		}
	}
}

// errorText gives the severity, the SQLSTATE and the message of an error.
func errorText(payload []byte) string {
	var parts []string
	for len(payload) > 1 {
		field := payload[0]
		var value string
		value, payload = text(payload[1:])
		if strings.IndexByte("SCM", field) >= 0 {
			parts = append(parts, value)
		}
	}
	return strings.Join(parts, " ")
}
