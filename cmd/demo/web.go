package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

// Limits of the web server. A client that is slower holds a connection for no longer than this. Connections are limited
// too, and whoever connects beyond that waits: so those who ask for nothing are turned out soon.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second // for the whole request with its body
	answerTimeout  = 60 * time.Second // from the end of the header to the end of the answer
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 64 << 10
	// defaultConnections is more than front ends and load balancers keep open.
	defaultConnections = 512
)

// webConfig is what the web server is told.
type webConfig struct {
	address     string        // HOST:PORT
	connections int           // how many there may be at once
	token       string        // whoever asks must show it; empty: loopback only
	hosts       []string      // under which it is reached, besides the address
	origins     []string      // of web pages that may ask
	notice      time.Duration // how long /readyz says no before the listener closes
	finish      time.Duration // how long requests under way may take when it stops
}

// web is the HTTP server.
type web struct {
	server *http.Server
	finish time.Duration
	addr   net.Addr
	failed chan error // gets the error if serving ends by itself
	gone   chan struct{}
}

// check finds mistakes before anything is started.
func (c webConfig) check() error {
	_, err := graphql.New(graphql.Config{Tasks: store.NewMemory(), Token: c.token, Hosts: c.hosts, Origins: c.origins})
	if err == nil {
		return nil
	}
	words := strings.NewReplacer("graphql: Config.", "", "Token has", "--token has", "Hosts", "--host", "Origins", "--web-origin", "a Token", "a --token")
	return errors.New(words.Replace(err.Error()))
}

// routes is what the server serves.
func routes(s *service, ready http.Handler, c webConfig, logger *slog.Logger) (http.Handler, error) {
	// Everything behind the door of GraphQL but the two questions of whoever runs the service, which tell nothing.
	api, err := graphql.New(graphql.Config{
		Tasks: s.db, Runners: []*actors.TaskRunner{s.runner}, CheckMoves: s.mover.CheckAll,
		Token: c.token, Hosts: c.hosts, Origins: c.origins, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.Handle("GET /{$}", http.RedirectHandler(graphql.PagePath, http.StatusFound))
	mux.HandleFunc("GET /healthz", alive)
	mux.Handle("GET /readyz", ready)
	return mux, nil
}

// connectionLimit leaves half of the files that the process may have open to the moves and the database: who connects
// needs no token for it. files is 0 where nobody can say how many there may be.
func connectionLimit(wanted int, files uint64) int {
	if files == 0 {
		return wanted
	}
	return int(min(uint64(wanted), max(1, files/2)))
}

// serve starts a server on a listener. Its stop lets requests under way finish for a while.
func serve(listener net.Listener, c webConfig, handler http.Handler, logger *slog.Logger) *web {
	w := &web{finish: c.finish, addr: listener.Addr(), failed: make(chan error, 1), gone: make(chan struct{})}
	w.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// That no connection can be accepted, and panics. What clients do wrong is not told here, or they could fill the log.
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(w.gone)
		if err := w.server.Serve(netutil.LimitListener(listener, c.connections)); !errors.Is(err, http.ErrServerClosed) {
			w.failed <- err
		}
	}()
	return w
}

// url gives the address of a path.
func (w *web) url(path string) string { return "http://" + w.addr.String() + path }

// stop closes the listener, lets requests under way finish for a while, and then breaks them off.
func (w *web) stop(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, w.finish)
	defer cancel()
	err := w.server.Shutdown(patient)
	if err != nil {
		err = w.server.Close()
	}
	<-w.gone
	return err
}

// listen listens on the address, if there is one.
func (c webConfig) listen(ctx context.Context) (net.Listener, error) {
	if c.address == "" {
		return nil, nil
	}
	return listen(ctx, "--listen", c.address)
}

// listen listens on an address that a flag names.
func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, addressError(flag, address, err)
	}
	return listener, nil
}

// addressError says why an address that a flag names cannot be listened on.
func addressError(flag, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return failf(exitAddress, "the address %s is in use by another program: stop that one, or give another address with %s", address, flag)
	}
	return failf(exitAddress, "%s %s cannot be listened on: %w", flag, address, err)
}

// closeListener is for a listener that may have been closed by the server that used it.
func closeListener(listener net.Listener) error {
	if listener == nil {
		return nil
	}
	if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
