package remote

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestWithoutClientsACertificateIsEnough(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server()})
	h.wantName(h.dial(o.client("billing"), ""), "billing")
	h.wantName(h.dial(o.issue(paper{name: "other", dns: "other.example.com", client: true}), "any token"), "other.example.com")
	if _, err := ask(t, h.dial(o.client("billing"), ""), "Run", "asset.move"); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestWithoutAnythingWhoeverIsHereComesIn(t *testing.T) {
	t.Parallel()
	h := openHall(t, doorConfig{})
	h.wantName(h.dial(TLS{}, ""), "localhost")
}

func TestStrangersStayOutside(t *testing.T) {
	t.Parallel()
	o, elsewhere := newTown(t), newTown(t)
	server, good := o.server(), o.client("good")
	foreign := elsewhere.client("client")
	foreign.CA = good.CA // it believes the server
	for _, test := range []struct {
		name   string
		tls    TLS
		reason string
	}{
		{"of another authority", foreign, refusedAuthority},
		{"expired", o.issue(paper{name: "old", from: -2 * time.Hour, to: -time.Hour, client: true}), refusedExpired},
		{"not valid yet", o.issue(paper{name: "early", from: time.Hour, to: 2 * time.Hour, client: true}), refusedNotYetValid},
		{"for servers only", o.issue(paper{name: "usage", server: true}), refusedCertificate},
		{"without a name", o.issue(paper{name: "", client: true}), refusedCertificateName},
		{"with a name that logs cannot show", o.issue(paper{name: "a\nb", client: true}), refusedCertificateName},
		{"no TLS at all", TLS{}, refusedHandshake},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := openHall(t, doorConfig{tls: server})
			h.wantCode(h.dial(test.tls, ""), codes.Unavailable, test.reason)
			h.wantName(h.dial(good, ""), "good")
		})
	}
}

func TestAClientBelievesOnlyTheHostItHasDialled(t *testing.T) {
	t.Parallel()
	o, elsewhere := newTown(t), newTown(t)
	good := o.client("good")
	distrustful := good
	distrustful.CA = elsewhere.client("x").CA
	for _, test := range []struct {
		name        string
		server      TLS
		own         TLS
		want        string
		logsAtLeast string
	}{
		{"another host name", o.issue(paper{name: "elsewhere", dns: "elsewhere.example.com", server: true}), good, "127.0.0.1", refusedHandshake},
		{"a client's certificate", o.issue(paper{name: "client", addresses: loopback(), client: true}), good, "key usage", refusedHandshake},
		{"expired", o.issue(paper{name: "old", addresses: loopback(), from: -2 * time.Hour, to: -time.Hour, server: true}), good, "expired", refusedHandshake},
		{"another authority", o.server(), distrustful, "unknown authority", refusedHandshake},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := openHall(t, doorConfig{tls: test.server})
			_, err := ask(t, h.dial(test.own, ""), "Who", "")
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// threeClients: billing has a certificate of its own, reader may only look, and two share the certificate.
func threeClients() []AllowedClient {
	return []AllowedClient{
		{Name: "billing", TokenSHA256: []string{sumText("billing's"), sumText("billing's next")}, Certificate: "billing-cert", Runners: []string{"assets"}, Kinds: []string{"asset.move"}, Run: true},
		{Name: "reader", TokenSHA256: []string{sumText("reader's")}, Runners: []string{"*"}, Kinds: []string{"*"}},
		{Name: "elsewhere", TokenSHA256: []string{sumText("elsewhere's")}, Runners: []string{"mail"}, Kinds: []string{"*"}, Run: true, Cancel: true},
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server(), clients: threeClients()})
	billing, other := o.client("billing-cert"), o.client("other-cert")
	h.wantName(h.dial(billing, "billing's"), "billing")
	h.wantName(h.dial(billing, "billing's next"), "billing")
	h.wantName(h.dial(billing, "reader's"), "reader")
	h.wantCode(h.dial(billing, ""), codes.Unauthenticated, refusedToken)
	h.wantCode(h.dial(billing, "wrong"), codes.Unauthenticated, refusedToken)
	h.wantCode(h.dial(other, "billing's"), codes.Unauthenticated, refusedForeignToken)
}

// A stranger must not be able to tell a token that somebody has from one that nobody has.
func TestARefusalTellsAStrangerNothing(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server(), clients: threeClients()})
	other := o.client("other-cert")
	_, none := ask(t, h.dial(other, ""), "Who", "")
	_, wrong := ask(t, h.dial(other, "wrong"), "Who", "")
	_, foreign := ask(t, h.dial(other, "billing's"), "Who", "")
	if none == nil || none.Error() != wrong.Error() || none.Error() != foreign.Error() {
		t.Errorf("the errors are\n%v\n%v\n%v\nwant three that are equal", none, wrong, foreign)
	}
}

func TestATokenAllowsWhatItsClientMay(t *testing.T) {
	t.Parallel()
	h := openHall(t, doorConfig{clients: threeClients()[1:]})
	for token, kind := range map[string]string{"reader's": "asset.move", "elsewhere's": "mail.send"} {
		_, err := ask(t, h.dial(TLS{}, token), "Run", kind)
		if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), kind) {
			t.Errorf("token %s: %v, want that it may not", token, err)
		}
	}
	h.log.wait("refused", "reader")
	h.log.wait("refused", "elsewhere")
	if n := h.door.refusals.snapshot()[refusedNotAllowed]; n != 2 {
		t.Errorf("%d refusals, want 2", n)
	}
}

// Health is for balancers, which have a certificate and no token.
func TestHealthNeedsNoToken(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	h := openHall(t, doorConfig{tls: o.server(), clients: threeClients()})
	conn := h.dial(o.client("balancer"), "")
	answer, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("Check = %v, %v, want SERVING", answer, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := watch.Recv(); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("Watch = %v, %v, want SERVING", answer, err)
	}
}

// stay opens a stream and gives what asks in it.
func stay(t *testing.T, conn *grpc.ClientConn) func(kind string) error {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &visitorsBook.Streams[0], "/test.VisitorsBook/Stay")
	if err != nil {
		t.Fatal(err)
	}
	return func(kind string) error {
		if err := stream.SendMsg(wrapperspb.String(kind)); err != nil {
			t.Logf("SendMsg: %v", err) // why, RecvMsg says
		}
		return stream.RecvMsg(new(wrapperspb.StringValue))
	}
}

func TestStreamsAreForClientsToo(t *testing.T) {
	t.Parallel()
	h := openHall(t, doorConfig{clients: []AllowedClient{
		{Name: "billing", TokenSHA256: []string{sumText("billing's")}, Runners: []string{"assets"}, Kinds: []string{"asset.move"}, Run: true},
	}})
	known := stay(t, h.dial(TLS{}, "billing's"))
	if err := known("asset.move"); err != nil {
		t.Errorf("a kind that is allowed: %v", err)
	}
	if err := known("mail.send"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a kind that is not: %v, want PermissionDenied", err)
	}
	if err := stay(t, h.dial(TLS{}, ""))("asset.move"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v, want Unauthenticated", err)
	}
}

// With TLS nobody is known without a certificate, whatever the handshake has let through.
func TestNobodyIsKnownWithoutACertificate(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	for _, clients := range [][]AllowedClient{nil, {{Name: "one", TokenSHA256: []string{sumText("one's")}}}} {
		d, err := newDoor(doorConfig{tls: o.server(), clients: clients})
		if err != nil {
			t.Fatal(err)
		}
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer one's"))
		for _, from := range []*grpcpeer.Peer{{}, {AuthInfo: credentials.TLSInfo{}}} {
			if p, err := d.identify(grpcpeer.NewContext(ctx, from), time.Now()); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("identify = %v, %v, want %v", p, err, ErrUnauthenticated)
			}
		}
		if p, err := d.identify(ctx, time.Now()); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("identify = %v, %v, want %v", p, err, ErrUnauthenticated)
		}
		if n := d.refusals.snapshot()[refusedNoCertificate]; n != 3 {
			t.Errorf("%d refusals, want 3", n)
		}
	}
}

func TestBearerToken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		headers []string
		want    string
	}{
		{nil, ""},
		{[]string{"Bearer secret"}, "secret"},
		{[]string{"bearer secret"}, "secret"},
		{[]string{"Bearer "}, ""},
		{[]string{"Bearer"}, ""},
		{[]string{"secret"}, ""},
		{[]string{"Basic secret"}, ""},
		{[]string{"Bearer a b"}, "a b"},
		{[]string{"Bearer one", "Bearer two"}, ""},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": test.headers})
		if got := bearerToken(ctx); got != test.want {
			t.Errorf("bearerToken(%q) = %q, want %q", test.headers, got, test.want)
		}
	}
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	err := notAllowed("billing", actionCancel, "assets", "asset.move")
	if !errors.Is(err, ErrNotAllowed) || status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v has the code %v", err, status.Code(err))
	}
	if err := unauthenticated(); !errors.Is(err, ErrUnauthenticated) || status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v has the code %v", err, status.Code(err))
	}
}

// A token over an open network would be everybody's.
func TestATokenIsNotSentInTheClear(t *testing.T) {
	t.Parallel()
	h := openHall(t, doorConfig{})
	conn := h.dial(TLS{}, "")
	err := conn.Invoke(t.Context(), "/test.VisitorsBook/Who", wrapperspb.String(""), new(wrapperspb.StringValue), grpc.PerRPCCredentials(bearer{"secret", false}))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("error %v, want that gRPC refuses to send it", err)
	}
}
