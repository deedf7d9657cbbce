package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that time can be faked.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
	failure atomic.Pointer[error] // which the next Accept gives, once
}

func newPipes() *pipes {
	return &pipes{waiting: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	if failure := p.failure.Swap(nil); failure != nil {
		return nil, *failure
	}
	select {
	case conn := <-p.waiting:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial waits until it is accepted.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.waiting <- theirs
	return ours
}

// askAlive asks /healthz, keeps the connection, and gives the status.
func askAlive(t *testing.T, conn net.Conn) int {
	t.Helper()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// inBubble serves /healthz for at most two connections, and stops it.
func inBubble(t *testing.T, logger *slog.Logger, test func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		w := serve(p, webConfig{connections: 2, finish: time.Second}, http.HandlerFunc(alive), logger)
		test(t, p)
		if err := w.stop(context.Background()); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// Strangers who say nothing have no more connections than they may, and keep them for no longer than it takes to say it.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	inBubble(t, slog.New(slog.DiscardHandler), func(t *testing.T, p *pipes) {
		began := time.Now()
		idle := []net.Conn{p.dial(), p.dial()}
		third := p.dial()
		if waited := time.Since(began); waited != headerTimeout {
			t.Errorf("the third of two connections was accepted after %s, want %s", waited, headerTimeout)
		}
		if status := askAlive(t, third); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		for _, conn := range append(idle, third) {
			_ = conn.Close()
		}
	})
}

// Who has asked once and keeps the connection is no better than who has not asked yet.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, slog.New(slog.DiscardHandler), func(t *testing.T, p *pipes) {
		conn := p.dial()
		askAlive(t, conn)
		began := time.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) != 30*time.Second {
			t.Errorf("an idle connection is closed after %s (%v)", time.Since(began), err)
		}
	})
}

// That nobody can connect any more is what the operator must know.
func TestAcceptErrorsAreLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	inBubble(t, newLogger(&log, slog.LevelWarn), func(t *testing.T, p *pipes) {
		failure := error(&net.OpError{Op: "accept", Err: syscall.EMFILE})
		p.failure.Store(&failure)
		_ = p.dial().Close() // the Accept that is waiting takes it, and the next one fails
		time.Sleep(time.Minute)
		conn := p.dial()
		if status := askAlive(t, conn); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		_ = conn.Close()
		synctest.Wait()
	})
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "too many open files") {
		t.Errorf("the log is %q", log.String())
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		wanted int
		files  uint64
		want   int
	}{
		{512, 20_000, 512}, {512, 1024, 512}, {512, 1023, 511}, {512, 64, 32}, {512, 1, 1}, {512, 0, 512}, {1, 1024, 1},
		{512, 1<<64 - 1, 512},
	} {
		if got := connectionLimit(test.wanted, test.files); got != test.want {
			t.Errorf("%d connections with %d files: %d, want %d", test.wanted, test.files, got, test.want)
		}
	}
}
