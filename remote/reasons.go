package remote

import (
	"errors"

	"github.com/taskrunner-go/taskrunner/actors"
)

// Why something is refused to a client who is known, besides the reasons in refusals.go. These words are kept.
const (
	refusedBadHello   = "bad_hello"       // a stream that does not begin as it must
	refusedBadMessage = "bad_message"     // a message that breaks a rule of the stream, and ends it
	refusedBadRun     = "bad_run"         // a run that cannot be read, or has a field that cannot be
	refusedUnknown    = "unknown_request" // a request that this listener does not know
	refusedNoRunner   = "unknown_runner"  // there is none of that name, and the client may know
	refusedNoKind     = "unknown_kind"    // the runner has none of that name
	refusedClients    = "clients"         // more than MaxClients, or MaxClientsPerName
	refusedLimit      = "limit"           // more than another of Limits; its name is in the error that is logged
)

// reasonOfError is how an error is counted that a request ends with; empty: it is no refusal, or was counted where it arose. That a runner is full
// is none: a client that waits for room meets it all the time.
func reasonOfError(err error) string {
	full, isFull := errors.AsType[*actors.FullError](err)
	switch {
	case isFull && clientLimits[full.Limit]:
		return refusedLimit
	case errors.Is(err, ErrUnknownRunner):
		return refusedNoRunner
	case errors.Is(err, actors.ErrUnknownKind):
		return refusedNoKind
	}
	return ""
}

// clientLimits are those that a request can meet because of what the same client has asked for before.
var clientLimits = map[string]bool{"MaxUnacknowledged": true, "MaxBytes": true, "MaxSubscribers": true, "MaxRate": true, "MaxFollowers": true}
