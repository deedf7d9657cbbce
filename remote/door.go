package remote

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
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
	runners  nameSet // that there are; nil until serving has said it
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
	d := &door{config: c, refusals: newRefusals(c.logger), creds: &serverCredentials{insecure.NewCredentials()}}
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
		file, err := loadRoll(c.clientsFile, c.secure(), c.logger, d.warnOfRunners)
		if err != nil {
			return err
		}
		d.clients = file.at
	case len(c.clients) > 0:
		fixed, err := newRoll(c.clients, inConfig, c.secure())
		if err != nil {
			return err
		}
		d.clients = func(time.Time) roll { return fixed }
	}
	return nil
}

// serving says which runners there are, before anybody comes in.
func (d *door) serving(runners map[string]*served) {
	d.runners = newNameSet(slices.Collect(maps.Keys(runners)))
	if d.clients != nil {
		d.warnOfRunners(d.clients(time.Now()))
	}
}

// warnOfRunners tells of runners that clients may reach and that are not here. It is no error, because one file may serve several
// listeners.
func (d *door) warnOfRunners(clients roll) {
	if d.runners == nil {
		return
	}
	missing := clients.runnersWithout(d.runners)
	for _, runner := range slices.Sorted(maps.Keys(missing)) {
		d.config.logger.Warn("remote: clients may reach a runner that this listener does not have", "runner", runner, "clients", missing[runner])
	}
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
	return &gate{Listener: listener, limits: d.config.limits, refusals: d.refusals, byName: make(map[string]int)}
}

// options are those that a gRPC server needs, so that nobody comes in past the door, and nothing is refused without being counted. More
// interceptors can be chained behind them.
func (d *door) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(d.creds),
		grpc.ConnectionTimeout(d.config.limits.HandshakeTimeout),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.StatsHandler(callRefusals{d}),
		grpc.ChainUnaryInterceptor(d.unary),
		grpc.ChainStreamInterceptor(d.stream, d.hear),
		grpc.UnknownServiceHandler(d.unknownMethod),
	}
}
