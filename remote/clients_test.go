package remote

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMay(t *testing.T) {
	t.Parallel()
	sums := []string{sumText("a token")}
	some := AllowedClient{Name: "some", TokenSHA256: sums, Runners: []string{"assets", "mail"}, Kinds: []string{"asset.move"}, Run: true}
	all := AllowedClient{Name: "all", TokenSHA256: sums, Runners: []string{"*"}, Kinds: []string{"*"}, Run: true, Cancel: true}
	reader := AllowedClient{Name: "reader", TokenSHA256: sums, Runners: []string{"*"}, Kinds: []string{"*"}}
	canceller := AllowedClient{Name: "canceller", TokenSHA256: sums, Runners: []string{"assets"}, Kinds: []string{"*"}, Cancel: true}
	noKinds := AllowedClient{Name: "no kinds", TokenSHA256: sums, Runners: []string{"assets"}, Run: true, Cancel: true}
	nobody := AllowedClient{Name: "nobody", TokenSHA256: sums, Run: true, Cancel: true}
	for _, test := range []struct {
		client       AllowedClient
		a            action
		runner, kind string
		want         bool
	}{
		{some, actionRun, "assets", "asset.move", true},
		{some, actionRun, "mail", "asset.move", true},
		{some, actionRead, "assets", "asset.move", true},
		{some, actionRead, "assets", "", true},
		{some, actionCancel, "assets", "asset.move", false},
		{some, actionRun, "assets", "asset.delete", false},
		{some, actionRead, "assets", "asset.delete", false},
		{some, actionRun, "other", "asset.move", false},
		{some, actionRun, "asset", "asset.move", false},
		{some, actionRun, "Assets", "asset.move", false},
		{some, actionRun, "*", "asset.move", false},
		{some, actionRead, "", "", false},
		{some, action("stop"), "assets", "asset.move", false},
		{all, actionRun, "other", "any", true},
		{all, actionCancel, "other", "any", true},
		{all, action("stop"), "assets", "asset.move", false},
		{reader, actionRead, "assets", "asset.move", true},
		{reader, actionRun, "assets", "asset.move", false},
		{reader, actionCancel, "assets", "asset.move", false},
		{canceller, actionCancel, "assets", "asset.move", true},
		{canceller, actionRun, "assets", "asset.move", false},
		{noKinds, actionRead, "assets", "", true},
		{noKinds, actionRun, "assets", "asset.move", false},
		{nobody, actionRead, "assets", "", false},
		{nobody, actionRun, "assets", "asset.move", false},
	} {
		r, err := newRoll([]AllowedClient{test.client}, inConfig, true)
		if err != nil {
			t.Fatal(err)
		}
		err = r[sumOf("a token")].may(test.a, test.runner, test.kind)
		if (err == nil) != test.want || err != nil && (!errors.Is(err, ErrNotAllowed) || status.Code(err) != codes.PermissionDenied) {
			t.Errorf("%s may %s %q at %q: %v, want %v", test.client.Name, test.a, test.kind, test.runner, err, test.want)
		}
	}
	if err := anything("me").may(actionCancel, "any", "any"); err != nil {
		t.Errorf("where no clients are configured: %v", err)
	}
}

func TestWhatIsWrongWithClients(t *testing.T) {
	t.Parallel()
	sum := sumText("a token")
	good := AllowedClient{Name: "good", TokenSHA256: []string{sum}}
	for _, test := range []struct {
		name    string
		clients []AllowedClient
		want    string
	}{
		{"no name", []AllowedClient{{TokenSHA256: []string{sum}}}, "Clients[0]: store: invalid: the name"},
		{"a name of two lines", []AllowedClient{{Name: "a\nb", TokenSHA256: []string{sum}}}, "control characters"},
		{"a long name", []AllowedClient{{Name: strings.Repeat("a", 1000), TokenSHA256: []string{sum}}}, "longer than"},
		{"a name twice", []AllowedClient{good, {Name: "good", TokenSHA256: []string{sumText("another")}}}, `Clients[1]: the name is "good"`},
		{"no token", []AllowedClient{{Name: "one"}}, "at least one"},
		{"a token in place of its sum", []AllowedClient{{Name: "one", TokenSHA256: []string{"a token"}}}, "64 hexadecimal digits"},
		{"a short sum", []AllowedClient{{Name: "one", TokenSHA256: []string{sum[:62]}}}, "62 bytes, want 64"},
		{"the sum of nothing", []AllowedClient{{Name: "one", TokenSHA256: []string{sumText("")}}}, "an empty token"},
		{"a token twice", []AllowedClient{good, {Name: "other", TokenSHA256: []string{strings.ToUpper(sum)}}}, `that "good" has already`},
		{"a token twice at one client", []AllowedClient{{Name: "one", TokenSHA256: []string{sum, sum}}}, "has already"},
		{"an empty runner", []AllowedClient{{Name: "one", TokenSHA256: []string{sum}, Runners: []string{"a", ""}}}, "Runners[1]"},
		{"an empty kind", []AllowedClient{{Name: "one", TokenSHA256: []string{sum}, Kinds: []string{""}}}, "Kinds[0]"},
		{"a certificate without TLS", []AllowedClient{{Name: "one", TokenSHA256: []string{sum}, Certificate: "c"}}, "there is no TLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := newDoor(doorConfig{clients: test.clients})
			if err == nil || !strings.HasPrefix(err.Error(), "remote: Clients[") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), sum) || strings.Contains(err.Error(), "a token\"")) {
				t.Errorf("error %v shows a token or its sum", err)
			}
		})
	}
}

// An absent token is looked up as an empty one. Nobody may have that, nor be found by a sum of zeros.
func TestNoTokenIsNobodys(t *testing.T) {
	t.Parallel()
	h := openHall(t, doorConfig{clients: []AllowedClient{{Name: "zeros", TokenSHA256: []string{hex.EncodeToString(make([]byte, 32))}}}})
	h.wantCode(h.dial(TLS{}, ""), codes.Unauthenticated, refusedToken)
}
