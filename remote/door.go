package remote

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// maxHeaders is how large all headers of a call may be, in bytes. gRPC's own limit is 16 MiB, before anybody has looked
// at the token.
const maxHeaders = 16 << 10

// doorConfig says who may come in. Its zero value lets in everybody on this machine.
type doorConfig struct {
	tls         TLS             // zero: none, and so loopback only
	clients     []AllowedClient // nobody else may come in; none, here and in clientsFile: whoever has a certificate may do everything
	clientsFile string          // as ReadClients reads it, read again when it changes; in place of clients
	limits      ConnectionLimits
	logger      *slog.Logger // nil: nobody is told
}

func (c doorConfig) secure() bool { return !c.tls.isZero() }

// door decides who may come in: to the port, by connections.go, and with a call, by peer.go. Any goroutine may use it.
type door struct {
	config   doorConfig
	refusals *refusals
	clients  func(now time.Time) roll // nil: none are configured
	creds    credentials.TransportCredentials
}

func newDoor(c doorConfig) (*door, error) {
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	limits, err := c.limits.withDefaults()
	if err != nil {
		return nil, err
	}
	c.limits = limits
	d := &door{config: c, refusals: newRefusals(c.logger)}
	if c.secure() {
		config, err := c.tls.server(c.logger)
		if err != nil {
			return nil, err
		}
		d.creds = &serverCredentials{credentials.NewTLS(config)}
	}
	return d, d.readClients()
}

func (d *door) readClients() error {
	c := d.config
	switch {
	case c.clientsFile != "" && len(c.clients) > 0:
		return fmt.Errorf("remote: ClientsFile is %q, want it empty, because there are Clients", c.clientsFile)
	case c.clientsFile != "":
		file, err := loadRoll(c.clientsFile, c.secure(), c.logger)
		if err != nil {
			return err
		}
		d.clients = file.at
	case len(c.clients) > 0:
		fixed, err := newRoll(c.clients, func(i int) string { return fmt.Sprintf("Clients[%d]", i) }, c.secure())
		if err != nil {
			return err
		}
		d.clients = func(time.Time) roll { return fixed }
	}
	return nil
}

// listen opens the port. The listener is for one gRPC server that was made with options.
func (d *door) listen(ctx context.Context, address string) (net.Listener, error) {
	bind, err := bindAddress(ctx, net.DefaultResolver.LookupNetIP, address, d.config.secure())
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", bind)
	if err != nil {
		return nil, fmt.Errorf("remote: %w", err)
	}
	return d.guard(listener), nil
}

// guard holds a listener to the limits.
func (d *door) guard(listener net.Listener) net.Listener {
	return &gate{
		Listener: listener, limits: d.config.limits, secure: d.config.secure(),
		refusals: d.refusals, byName: make(map[string]int),
	}
}

// options are those that a gRPC server needs, so that nobody comes in past the door. More interceptors can be chained
// behind them.
func (d *door) options() []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.ConnectionTimeout(d.config.limits.HandshakeTimeout),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ChainUnaryInterceptor(d.unary),
		grpc.ChainStreamInterceptor(d.stream),
	}
	if d.creds != nil {
		options = append(options, grpc.Creds(d.creds))
	}
	return options
}
