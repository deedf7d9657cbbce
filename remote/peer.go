package remote

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/taskrunner-go/taskrunner/store"
)

var (
	// ErrUnauthenticated says that a listener does not know who is calling: there is no token, or not the right one, or it does
	// not belong to the certificate. Which of these it is, only the listener's log tells.
	ErrUnauthenticated = errors.New("remote: not known here")
	// ErrNotAllowed says that a client is known and may not do what it has asked for.
	ErrNotAllowed = errors.New("remote: not allowed")
)

// errOtherPermit ends what was begun with another permit.
var errOtherPermit = status.Error(codes.Unavailable, "remote: what this client may do has changed; ask again")

// localName is the name of whoever calls where nobody has to prove anything, which is on loopback only.
const localName = "localhost"

// healthService is how the methods of gRPC's own health service begin. Those who only want to know whether somebody is
// there, such as balancers, have a certificate and no token.
const healthService = "/grpc.health.v1.Health/"

// refusal is an error with the code that it has at the wire.
type refusal struct {
	kind error // ErrUnauthenticated or ErrNotAllowed
	code codes.Code
	text string // for the one who is refused
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

// GRPCStatus is for gRPC.
func (r *refusal) GRPCStatus() *status.Status { return withReason(r.code, r) }

func unauthenticated() error {
	return &refusal{ErrUnauthenticated, codes.Unauthenticated, ErrUnauthenticated.Error()}
}

func notAllowed(name string, a action, runner, kind string) error {
	text := fmt.Sprintf("%v: client %q may not %s at runner %.100q", ErrNotAllowed, name, a, runner)
	if kind != "" {
		text = fmt.Sprintf("%v: client %q may not %s tasks of kind %.100q at runner %.100q", ErrNotAllowed, name, a, kind, runner)
	}
	return &refusal{ErrNotAllowed, codes.PermissionDenied, text}
}

// peer is who is calling. Any goroutine may use it, for as long as the call lasts.
type peer struct {
	name    string
	address string // without the port
	door    *door
	token   tokenSum
	leaf    *x509.Certificate // nil without TLS
	permit  *permit           // as it was when the call came
}

// stays reports why a call or a stream that waits must end: the client is not known any more, or may do something else than when it
// came. What it still wants it can ask for again, and is then looked at anew.
func (p *peer) stays(now time.Time) error {
	if p.door.clients == nil {
		return nil
	}
	permit, reason := p.door.permitFor(now, p.token, p.leaf)
	switch {
	case permit == nil:
		return p.door.turnAway(now, reason, p.name)
	case !permit.same(p.permit):
		return errOtherPermit
	}
	return nil
}

// may says whether the peer may do something now, as permit.may does. It looks at what is configured at this moment, so a
// long stream does not outlive its permit. A refusal has been counted and told.
func (p *peer) may(a action, runner, kind string) error {
	if p.door.clients == nil { // whoever has come in may do everything
		return nil
	}
	now := time.Now()
	permit, reason := p.door.permitFor(now, p.token, p.leaf)
	if permit != nil && permit.name != p.name { // the token is another client's now
		permit, reason = nil, refusedToken
	}
	if permit == nil {
		return p.door.turnAway(now, reason, p.name)
	}
	err := permit.may(a, runner, kind)
	if err != nil {
		p.door.refusals.add(now, refusedNotAllowed, p.name, err)
	}
	return err
}

// identify says who is calling. The error is a status, and tells a stranger nothing.
func (d *door) identify(ctx context.Context, now time.Time) (*peer, error) {
	address, leaf := whence(ctx)
	if d.config.secure() && leaf == nil {
		return nil, d.turnAway(now, refusedNoCertificate, address)
	}
	token := sumOf(bearerToken(ctx))
	permit, reason := d.permitFor(now, token, leaf)
	if permit == nil {
		return nil, d.turnAway(now, reason, address)
	}
	return &peer{name: permit.name, address: address, door: d, token: token, leaf: leaf, permit: permit}, nil
}

// permitFor gives what is allowed to who has a token and a certificate, or the reason why there is nobody like that.
func (d *door) permitFor(now time.Time, token tokenSum, leaf *x509.Certificate) (*permit, string) {
	if d.clients == nil {
		name, err := nameOf(leaf)
		if err != nil {
			return nil, refusedCertificate
		}
		return anything(name), ""
	}
	permit := d.clients(now)[token]
	switch {
	case permit == nil:
		return nil, refusedToken
	case permit.certificate != "" && !hasName(leaf, permit.certificate):
		return nil, refusedForeignToken
	}
	return permit, ""
}

func (d *door) turnAway(now time.Time, reason, who string) error {
	err := unauthenticated()
	d.refusals.add(now, reason, who, err)
	return err
}

// whence gives where a call comes from, and the certificate that was verified there; nil without TLS.
func whence(ctx context.Context) (address string, leaf *x509.Certificate) {
	from, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return "unknown", nil
	}
	return hostOf(from.Addr), leafOf(from.AuthInfo)
}

func leafOf(info credentials.AuthInfo) *x509.Certificate {
	shown, _ := info.(credentials.TLSInfo)
	if len(shown.State.VerifiedChains) == 0 {
		return nil
	}
	return shown.State.VerifiedChains[0][0]
}

// nameOf gives the name of a certificate: its first DNS name, else its first URI, else its common name.
func nameOf(leaf *x509.Certificate) (string, error) {
	name := localName
	if leaf != nil {
		name = namesOf(leaf)[0]
	}
	return name, store.ValidName("the certificate's name", name)
}

// namesOf gives all names of a certificate; there is always one, which may be empty.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	return append(names, leaf.Subject.CommonName)
}

func hasName(leaf *x509.Certificate, name string) bool {
	return leaf != nil && slices.Contains(namesOf(leaf), name)
}

// bearerToken gives the token of a call that has exactly one, else the empty one, which no client can have.
func bearerToken(ctx context.Context) string {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return token
}

// peerKey is the key of the peer in a call's context.
type peerKey struct{}

// peerFrom gives who is calling. It is nil in the health service only.
func peerFrom(ctx context.Context) *peer {
	p, _ := ctx.Value(peerKey{}).(*peer)
	return p
}

// admit puts who is calling into the context of a call, or refuses it.
func (d *door) admit(ctx context.Context, method string) (context.Context, error) {
	if strings.HasPrefix(method, healthService) {
		return ctx, nil
	}
	p, err := d.identify(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, peerKey{}, p), nil
}

func (d *door) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := d.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

func (d *door) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := d.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handle(server, &knownStream{stream, ctx})
}

// knownStream is a stream of a peer who is known.
type knownStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context is for gRPC.
func (s *knownStream) Context() context.Context { return s.ctx }
