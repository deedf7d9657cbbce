package servertest

import (
	"bufio"
	"errors"
	neturl "net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// PostgresProxyServer is a proxy that understands PostgreSQL's protocol, and so can cut a connection at a chosen moment
// of the conversation. It has no TLS, and tells clients so that ask for it.
type PostgresProxyServer struct {
	*ProxyServer
	t testing.TB

	judging sync.Mutex // guards what follows, and all sessions
	clients int        // how many have come so far
	hook    func(Frame) Verdict
	losses  []*loss // that have not happened yet
}

// Frame is one message of PostgreSQL's protocol 3, on its way through a proxy.
type Frame struct {
	Conn       int    // the number of the connection, from 1
	FromClient bool   // from the client to the server, or back
	Kind       byte   // as in the protocol: 'Q' for a simple query, 'C' for a command that is complete; 0 for a client's first
	Payload    []byte // what follows the length; it must not be changed
	SQL        string // of a client's Query, Parse, Bind or Execute: the statement that it is about
}

// Verdict says what becomes of a Frame.
type Verdict int

// What may become of a frame.
const (
	Forward Verdict = iota // it goes on its way
	Drop                   // it does not, but all else does
	Cut                    // it does not, and the connection is closed; what came before it still arrives
)

// loss is a cut that waits for its statement.
type loss struct {
	match    func(Frame) bool
	answer   bool // what gets lost is the answer, and not the request
	happened chan struct{}
}

// PostgresProxy starts such a proxy in front of the PostgreSQL or PgBouncer that listens on socket. It ends with the
// test.
func PostgresProxy(t testing.TB, socket string) *PostgresProxyServer {
	t.Helper()
	p := &PostgresProxyServer{t: t}
	p.ProxyServer = startProxy(t, "unix", socket, p.newSession)
	return p
}

// Via gives the URL of a database, as NewDatabase gave it, by which it is reached through the proxy.
func (p *PostgresProxyServer) Via(databaseURL string) (url string) {
	p.t.Helper()
	return rerouted(p.t, databaseURL, func(u *neturl.URL, query neturl.Values) {
		u.Host = p.Address()
		query.Del("host")
		query.Del("port")
		query.Set("sslmode", "disable")
	})
}

// OnFrame has hook decide about every frame from now on; nil forwards all. It is called for one frame at a time, over
// all connections, so it needs no lock of its own; it must not wait, nor call the proxy.
func (p *PostgresProxyServer) OnFrame(hook func(Frame) Verdict) {
	p.judging.Lock()
	defer p.judging.Unlock()
	p.hook = hook
}

// LoseRequest cuts the connection of the next frame from a client that match accepts, before the server sees it: a
// commit that never was. The channel is closed at the cut. Several may wait; each frame is for the first that accepts
// it. See [Runs].
func (p *PostgresProxyServer) LoseRequest(match func(Frame) bool) (happened <-chan struct{}) {
	return p.lose(match, false)
}

// LoseAnswer lets the next frame from a client that match accepts reach the server, and cuts its connection when the
// server has done what was asked and is ready for more, before any of its answer reaches the client: a commit of which
// its client does not know. The channel is closed at the cut.
func (p *PostgresProxyServer) LoseAnswer(match func(Frame) bool) (happened <-chan struct{}) {
	return p.lose(match, true)
}

func (p *PostgresProxyServer) lose(match func(Frame) bool, answer bool) <-chan struct{} {
	p.judging.Lock()
	defer p.judging.Unlock()
	l := &loss{match: match, answer: answer, happened: make(chan struct{})}
	p.losses = append(p.losses, l)
	return l.happened
}

// Runs accepts the frames by which a client has the server run a statement, simple or prepared, that has text in it, in
// upper or lower case.
func Runs(text string) func(Frame) bool {
	text = strings.ToLower(text)
	return func(f Frame) bool {
		return f.FromClient && (f.Kind == queryKind || f.Kind == executeKind) && strings.Contains(strings.ToLower(f.SQL), text)
	}
}

// session is what the proxy knows of one connection. The proxy's judging guards it.
type session struct {
	proxy      *PostgresProxyServer
	conn       int
	statements map[string]string // prepared, by name
	portals    map[string]string // bound, by name

	// The server says that it is ready once after the startup, each simple query and each sync. So counting tells which
	// answer belongs to which request, also where a client does not wait for answers.
	owed, ready int
	lost        *loss // not nil: the answer that comes when ready is lostAt gets lost
	lostAt      int
}

func (p *PostgresProxyServer) newSession() carry {
	p.judging.Lock()
	defer p.judging.Unlock()
	p.clients++
	return (&session{proxy: p, conn: p.clients, statements: map[string]string{}, portals: map[string]string{}}).carry
}

// carry carries message by message. What is decided is written when nothing more is there to decide about: a syscall a
// row would make a slow server of any.
func (s *session) carry(l *link, fromClient bool) error {
	from, to := l.ends(fromClient)
	reader, writer := bufio.NewReaderSize(from, chunk), bufio.NewWriterSize(to, chunk)
	if fromClient {
		if err := s.carryStartup(l, reader, writer); err != nil {
			return errors.Join(err, writer.Flush())
		}
	}
	for {
		kind, payload, err := readMessage(reader)
		if err == nil {
			err = s.pass(l, writer, Frame{FromClient: fromClient, Kind: kind, Payload: payload})
		}
		if err != nil {
			return errors.Join(err, writer.Flush())
		}
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
}

// errCut ends a connection.
var errCut = errors.New("servertest: the proxy cuts the connection")

// pass writes a frame, or does not.
func (s *session) pass(l *link, to *bufio.Writer, f Frame) error {
	l.gate()
	switch s.judge(f) {
	case Cut:
		return errCut
	case Drop:
		return nil
	default:
		_, err := to.Write(encode(f.Kind, f.Payload))
		return err
	}
}

// carryStartup carries a client's first message. Before it a client may ask whether there is encryption.
func (s *session) carryStartup(l *link, from *bufio.Reader, to *bufio.Writer) error {
	for {
		payload, err := readBody(from)
		if err != nil {
			return err
		}
		if code := startupCode(payload); code != tlsCode && code != gssCode {
			return errors.Join(s.pass(l, to, Frame{FromClient: true, Kind: startupKind, Payload: payload}), to.Flush())
		}
		if _, err := l.client.Write([]byte("N")); err != nil { // no
			return err
		}
	}
}

// judge decides about a frame.
func (s *session) judge(f Frame) Verdict {
	s.proxy.judging.Lock()
	defer s.proxy.judging.Unlock()
	f.Conn = s.conn
	var verdict Verdict
	if f.FromClient {
		f.SQL = s.statement(f)
		verdict = s.judgeRequest(f)
	} else {
		verdict = s.judgeAnswer(f)
	}
	if verdict == Forward && s.proxy.hook != nil {
		verdict = s.proxy.hook(f)
	}
	return verdict
}

// statement gives the SQL that a client's frame is about, and notes by which names it will speak of it.
func (s *session) statement(f Frame) string {
	first, rest := text(f.Payload)
	second, _ := text(rest)
	switch f.Kind {
	case queryKind:
		return first
	case parseKind: // statement, SQL
		s.statements[first] = second
		return second
	case bindKind: // portal, statement
		s.portals[first] = s.statements[second]
		return s.portals[first]
	case executeKind: // portal
		return s.portals[first]
	default:
		return ""
	}
}

// judgeRequest looks whether a client's frame is one that somebody waits for.
func (s *session) judgeRequest(f Frame) Verdict {
	losses := s.proxy.losses
	i := slices.IndexFunc(losses, func(l *loss) bool { return l.match(f) })
	switch {
	case i < 0 || s.lost != nil:
	case losses[i].answer:
		s.lost, s.lostAt = losses[i], s.owed
		s.proxy.losses = slices.Delete(losses, i, i+1)
	default:
		close(losses[i].happened)
		s.proxy.losses = slices.Delete(losses, i, i+1)
		return Cut
	}
	if slices.Contains([]byte{startupKind, queryKind, syncKind, functionKind}, f.Kind) {
		s.owed++
	}
	return Forward
}

// judgeAnswer drops what belongs to a lost answer, and cuts at its end. The server's wish to be sent the rows of a COPY
// is no answer yet: without it the client would not go on.
func (s *session) judgeAnswer(f Frame) Verdict {
	losing := s.lost != nil && s.ready >= s.lostAt
	if f.Kind == readyKind {
		s.ready++
	}
	switch {
	case !losing || f.Kind == copyInKind:
		return Forward
	case f.Kind == readyKind:
		close(s.lost.happened)
		s.lost = nil
		return Cut
	default:
		return Drop
	}
}
