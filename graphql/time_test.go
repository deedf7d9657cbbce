package graphql_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

// pipes is a listener without a network, whose connections a bubble can wait for.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
}

// local1 says that a pipe comes from this machine.
type local1 struct{ net.Conn }

func (local1) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialled:
		return local1{conn}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial gives the client's end of a new connection.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.dialled <- server
	return client
}

// inBubble runs the test with a server of the handler, in fake time.
func inBubble(t *testing.T, config graphql.Config, test func(t *testing.T, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: newHandler(t, config), ReadHeaderTimeout: time.Minute}
		served := make(chan error)
		go func() { served <- server.Serve(listener) }()
		test(t, listener.dial)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		time.Sleep(time.Second) // net/http stays for half a second on a connection that it gives up
	})
}

func post(length int, body string) string {
	return fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body)
}

// readReply reads one answer off a connection.
func readReply(t *testing.T, reader *bufio.Reader) reply {
	t.Helper()
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return parseReply(t, response.StatusCode, response.Header, body)
}

const small = `{"query":"{__typename}"}`

func TestABodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	inBubble(t, graphql.Config{Tasks: store.NewMemory()}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		began := time.Now()
		send(t, conn, post(1000, `{"query":`))
		r := readReply(t, bufio.NewReader(conn))
		wantRefusal(t, r, graphql.LimitExceeded, "RequestTimeout")
		wantLimit(t, r, "RequestTimeout")
		wantNoData(t, r)
		if took := time.Since(began); r.status != http.StatusRequestTimeout || took != 30*time.Second {
			t.Errorf("status %d after %s, want 408 after 30s", r.status, took)
		}
	})
}

// Who is refused at the door need not send a body, and has no time to waste either.
func TestARefusalDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	inBubble(t, graphql.Config{Tasks: store.NewMemory(), Token: token}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		began := time.Now()
		send(t, conn, post(1000, `{"query":`))
		r := readReply(t, bufio.NewReader(conn))
		wantRefusal(t, r, graphql.Unauthenticated)
		if took := time.Since(began); took != 0 {
			t.Errorf("the refusal took %s", took)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("the connection gives %d bytes, %v, want its end", n, err)
		}
	})
}

func TestABodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	inBubble(t, graphql.Config{Tasks: store.NewMemory()}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		send(t, conn, post(1000, `{"query":`))
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait() // nothing is left of it, or the bubble would say so
	})
}

// Room is held for what has come of a body. What was only announced keeps nobody out.
func TestBodiesThatDoNotComeKeepNobodyOut(t *testing.T) {
	t.Parallel()
	chunked := "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, test := range map[string]struct {
		head        string
		connections int
	}{
		"of unknown length":  {chunked, 10},
		"of great length":    {post(2<<20, `{"query":`), 10},
		"of one byte":        {post(1, ""), 300},
		"of unknown and one": {chunked + "1\r\n{\r\n", 300},
	} {
		t.Run(name, func(t *testing.T) {
			config := graphql.Config{Tasks: store.NewMemory(), Limits: graphql.Limits{MaxBody: 2 << 20, MaxLoad: 2 << 20}}
			inBubble(t, config, func(t *testing.T, dial func() net.Conn) {
				for range test.connections {
					conn := dial()
					defer conn.Close()
					send(t, conn, test.head)
				}
				synctest.Wait()
				wantService(t, dial)
			})
		})
	}
}

// wantService expects a new connection to be served.
func wantService(t *testing.T, dial func() net.Conn) {
	t.Helper()
	conn := dial()
	defer conn.Close()
	send(t, conn, post(len(small), small))
	if r := readReply(t, bufio.NewReader(conn)); len(r.Errors) > 0 {
		t.Errorf("got %s", r.body)
	}
}

// wantOverloaded expects a new connection to be turned away.
func wantOverloaded(t *testing.T, dial func() net.Conn) {
	t.Helper()
	conn := dial()
	defer conn.Close()
	send(t, conn, post(len(small), small))
	r := readReply(t, bufio.NewReader(conn))
	wantRefusal(t, r, graphql.Unavailable, "MaxLoad")
	wantLimit(t, r, "MaxLoad")
	wantNoData(t, r)
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") != "1" {
		t.Errorf("status %d, header %v, want 503 and Retry-After", r.status, r.header)
	}
}

// What has come counts, and for no longer than the request has to arrive. Who sends on when there is no room is told so at
// once, and need not send the rest.
func TestWhatHasComeOfABodyCounts(t *testing.T) {
	t.Parallel()
	config := graphql.Config{Tasks: store.NewMemory(), Limits: graphql.Limits{MaxBody: 2 << 20, MaxLoad: 2 << 20}}
	inBubble(t, config, func(t *testing.T, dial func() net.Conn) {
		half := dial()
		defer half.Close()
		send(t, half, post(2<<20, strings.Repeat(" ", 3<<19)))
		synctest.Wait()
		wantOverloaded(t, dial)

		second := dial()
		defer second.Close()
		send(t, second, post(1200, strings.Repeat(" ", 600)))
		began := time.Now()
		r := readReply(t, bufio.NewReader(second))
		wantRefusal(t, r, graphql.Unavailable, "MaxLoad")
		if took := time.Since(began); took != 0 {
			t.Errorf("the refusal took %s", took)
		}
		if n, err := second.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("the connection gives %d bytes, %v, want its end", n, err)
		}

		wantLimit(t, readReply(t, bufio.NewReader(half)), "RequestTimeout")
		wantService(t, dial)
	})
}

// A body may come slowly as long as it comes in time, and what the connection is used for afterwards is not hurried.
func TestASlowBodyAndALongPause(t *testing.T) {
	t.Parallel()
	inBubble(t, graphql.Config{Tasks: store.NewMemory()}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		reader := bufio.NewReader(conn)
		send(t, conn, post(len(small), ""))
		for i := range small {
			time.Sleep(time.Second)
			send(t, conn, small[i:i+1])
		}
		if r := readReply(t, reader); len(r.Errors) > 0 {
			t.Errorf("a slow body: %s", r.body)
		}
		time.Sleep(time.Hour)
		send(t, conn, post(len(small), small))
		if r := readReply(t, reader); len(r.Errors) > 0 {
			t.Errorf("an hour later: %s", r.body)
		}
	})
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	absent := faulty{Reader: store.NewMemory(), get: func(ctx context.Context, _ string) (store.Task, error) {
		<-ctx.Done()
		return store.Task{}, fmt.Errorf("store: %w", ctx.Err())
	}}
	config := graphql.Config{Tasks: absent, Limits: graphql.Limits{RequestTimeout: 7 * time.Second}}
	inBubble(t, config, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		began := time.Now()
		body := fmt.Sprintf(`{"query":%q}`, askTask)
		send(t, conn, post(len(body), body))
		r := readReply(t, bufio.NewReader(conn))
		wantRefusal(t, r, graphql.Unavailable, "RequestTimeout")
		wantLimit(t, r, "RequestTimeout")
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("the answer took %s, want 7s", took)
		}
	})
}

// The time to arrive and the time to be worked on are two: a slow body leaves the store as much as a quick one.
func TestASlowBodyAndASlowStore(t *testing.T) {
	t.Parallel()
	slow := faulty{Reader: store.NewMemory(), get: func(ctx context.Context, _ string) (store.Task, error) {
		select {
		case <-time.After(29 * time.Second):
			return store.Task{}, store.ErrNotFound
		case <-ctx.Done():
			return store.Task{}, ctx.Err()
		}
	}}
	inBubble(t, graphql.Config{Tasks: slow}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		body := fmt.Sprintf(`{"query":%q}`, askTask)
		send(t, conn, post(len(body), body[:5]))
		time.Sleep(29 * time.Second)
		send(t, conn, body[5:])
		if r := readReply(t, bufio.NewReader(conn)); len(r.Errors) > 0 {
			t.Errorf("got %s", r.body)
		}
	})
}

// What is limited here must not be limited for the other handlers of the server, which share the connection.
func TestTheNextRequestIsNotHurried(t *testing.T) {
	t.Parallel()
	inBubble(t, graphql.Config{Tasks: store.NewMemory()}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		reader := bufio.NewReader(conn)
		send(t, conn, post(len(small), small))
		readReply(t, reader)
		time.Sleep(time.Hour)
		send(t, conn, "GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("status %d, want 404", response.StatusCode)
		}
	})
}

// What nobody waits for any more is not done to its end.
func TestACallerWhoGoesAway(t *testing.T) {
	t.Parallel()
	cancelled := make(chan error, 1)
	waits := faulty{Reader: store.NewMemory(), get: func(ctx context.Context, _ string) (store.Task, error) {
		<-ctx.Done()
		cancelled <- ctx.Err()
		return store.Task{}, ctx.Err()
	}}
	inBubble(t, graphql.Config{Tasks: waits}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		body := fmt.Sprintf(`{"query":%q}`, askTask)
		send(t, conn, post(len(body), body))
		synctest.Wait()
		began := time.Now()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		select {
		case err := <-cancelled:
			if !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
				t.Errorf("%v after %s, want context.Canceled at once", err, time.Since(began))
			}
		default:
			t.Error("the store still works for somebody who has gone")
		}
	})
}

// A reader who does not read holds its request no longer than the limit.
func TestAnAnswerThatNobodyReads(t *testing.T) {
	t.Parallel()
	large := faulty{Reader: store.NewMemory(), get: func(context.Context, string) (store.Task, error) {
		return store.Task{Kind: strings.Repeat("k", 100_000)}, nil
	}}
	inBubble(t, graphql.Config{Tasks: large}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		body := `{"query":"{task(id:\"` + anID + `\"){kind}}"}`
		send(t, conn, post(len(body), body))
		time.Sleep(30*time.Second + time.Millisecond)
		answer, err := io.ReadAll(conn)
		if err != nil || len(answer) > 10_000 {
			t.Errorf("after 30 s there were still %d bytes to read, %v", len(answer), err)
		}
	})
}

// An answer counts until it is written, and nothing else of its request does: the buffer of 1.3 MB that counted twice while it
// grew counts once.
func TestAnAnswerThatNobodyReadsCounts(t *testing.T) {
	t.Parallel()
	large := faulty{Reader: store.NewMemory(), get: func(context.Context, string) (store.Task, error) {
		return store.Task{Kind: strings.Repeat("k", 1_300_000)}, nil
	}}
	config := graphql.Config{Tasks: large, Limits: graphql.Limits{MaxBody: 2 << 20, MaxLoad: 4 << 20}}
	inBubble(t, config, func(t *testing.T, dial func() net.Conn) {
		ask := func() *bufio.Reader {
			conn := dial()
			t.Cleanup(func() { _ = conn.Close() })
			body := `{"query":"{task(id:\"` + anID + `\"){kind}}"}`
			send(t, conn, post(len(body), body))
			synctest.Wait()
			return bufio.NewReader(conn)
		}
		first, second := ask(), ask()
		wantLimit(t, readReply(t, ask()), "MaxLoad")
		read := func(reader *bufio.Reader) {
			if r := readReply(t, reader); len(r.Errors) > 0 {
				t.Errorf("got %.300s", r.body)
			}
			synctest.Wait()
		}
		read(first)
		read(ask())
		read(second)
	})
}

// The fields of a query share its time.
func TestSeveralFieldsHaveOneTimeout(t *testing.T) {
	t.Parallel()
	listed := faulty{Reader: store.NewMemory(), list: func(ctx context.Context, _ store.Query) ([]store.Task, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	inBubble(t, graphql.Config{Tasks: listed}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		began := time.Now()
		body := `{"query":"{a:tasks{edges{cursor}} b:tasks{edges{cursor}} c:__typename}"}`
		send(t, conn, post(len(body), body))
		r := readReply(t, bufio.NewReader(conn))
		wantRefusal(t, r, graphql.Unavailable, "RequestTimeout")
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("the answer took %s, want 30s", took)
		}
	})
}
