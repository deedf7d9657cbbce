package main

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// Whatever the words, an error is what it was: whether it is tried again depends on that.
func TestWords(t *testing.T) {
	t.Parallel()
	address := &assets.AddressError{Host: "old.example.com", Addr: netip.MustParseAddr("10.0.0.1"), Reason: "private"}
	for _, test := range []struct {
		err         error
		serve, move string
	}{
		{assets.ErrTooLarge, "assets: larger than --max-bytes", "assets: larger than --max-bytes"},
		{
			address, "assets: old.example.com resolves to 10.0.0.1 (private), which is not in --allow-address",
			"assets: old.example.com resolves to 10.0.0.1 (private), from which demo move does not read",
		},
		{errors.New("GET https://host/Config.MaxBytes"), "GET https://host/Config.MaxBytes", "GET https://host/Config.MaxBytes"},
	} {
		err := messages.Discard(fmt.Errorf("downloading: %w", test.err))
		for want, got := range map[string]error{"downloading: " + test.serve: serveWords(err, 1), "downloading: " + test.move: moveWords(err, 1)} {
			var decision *messages.Decision
			if got.Error() != want || !errors.Is(got, test.err) || !errors.As(got, &decision) || decision.Verb != messages.VerbDiscard {
				t.Errorf("%v (%+v), want %s", got, decision, want)
			}
		}
	}
	if inWords(nil) != nil {
		t.Error("nothing became an error")
	}
}
