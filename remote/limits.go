package remote

import (
	"fmt"
	"time"
)

// What a listener lets one client, and all of them, take. Zero values of Limits mean these.
const (
	// DefaultMaxUnacknowledged is how many runs of one client may be unanswered, and how many outcomes may be owed to it.
	DefaultMaxUnacknowledged = 10_000
	// DefaultMaxBytes is how many bytes of arguments a runner that records nothing keeps for those with the same token or certificate. One task
	// can have a mebibyte of them.
	DefaultMaxBytes = 256 << 20
	// DefaultMaxMessage is how large a message on a stream may be. One task has at most messages.MaxArgs.
	DefaultMaxMessage = 8 << 20
	// DefaultMaxClients is how many clients may have a stream at a time.
	DefaultMaxClients = 256
	// DefaultMaxClientsPerName is how many of them may have come with the same token or certificate.
	DefaultMaxClientsPerName = 16
	// DefaultMaxSubscribers is how many subscribers those with the same token or certificate may have at one runner, which has
	// store.MaxSubscribers for all.
	DefaultMaxSubscribers = 20
	// DefaultMaxStreams is how many streams and calls of one connection may be under way.
	DefaultMaxStreams = 256
	// DefaultMaxRate is how many requests of those with the same token or certificate are dealt with in a second; more wait, and their sender
	// with them.
	DefaultMaxRate = 1_000_000
	// DefaultAcceptTimeout is how long the database may take to record a run before the answer is store.ErrUnavailable.
	DefaultAcceptTimeout = 10 * time.Second
)

// Limits bounds what clients can take of a listener. Zero is the default of each.
type Limits struct {
	MaxUnacknowledged int           // runs of one client that are unanswered, and outcomes that are owed to it
	MaxBytes          int           // of arguments, of tasks that are not recorded and whose outcomes have not arrived
	MaxMessage        int           // bytes of one message
	MaxClients        int           // with a stream at a time
	MaxClientsPerName int           // of those, with the same token or certificate
	MaxSubscribers    int           // of those with the same token or certificate, at one runner
	MaxStreams        int           // of one connection
	MaxRate           int           // requests in a second, of those with the same token or certificate
	AcceptTimeout     time.Duration // of the database, for a run
}

// minMessage lets a message with the largest task through.
const minMessage = 2 << 20

func (l Limits) withDefaults() Limits {
	l.MaxUnacknowledged = orDefault(l.MaxUnacknowledged, DefaultMaxUnacknowledged)
	l.MaxBytes = orDefault(l.MaxBytes, DefaultMaxBytes)
	l.MaxMessage = orDefault(l.MaxMessage, DefaultMaxMessage)
	l.MaxClients = orDefault(l.MaxClients, DefaultMaxClients)
	l.MaxClientsPerName = orDefault(l.MaxClientsPerName, DefaultMaxClientsPerName)
	l.MaxSubscribers = orDefault(l.MaxSubscribers, DefaultMaxSubscribers)
	l.MaxStreams = orDefault(l.MaxStreams, DefaultMaxStreams)
	l.MaxRate = orDefault(l.MaxRate, DefaultMaxRate)
	l.AcceptTimeout = orDefault(l.AcceptTimeout, DefaultAcceptTimeout)
	return l
}

func orDefault[T comparable](given, otherwise T) T {
	var zero T
	if given == zero {
		return otherwise
	}
	return given
}

func (l Limits) validate() error {
	for _, limit := range []struct {
		name     string
		is, want int64
	}{
		{"MaxUnacknowledged", int64(l.MaxUnacknowledged), 1},
		{"MaxBytes", int64(l.MaxBytes), 1},
		{"MaxMessage", int64(l.MaxMessage), minMessage},
		{"MaxClients", int64(l.MaxClients), 1},
		{"MaxClientsPerName", int64(l.MaxClientsPerName), 1},
		{"MaxSubscribers", int64(l.MaxSubscribers), 1},
		{"MaxStreams", int64(l.MaxStreams), 1},
		{"MaxRate", int64(l.MaxRate), 1},
		{"AcceptTimeout", int64(l.AcceptTimeout), 1},
	} {
		if limit.is < limit.want {
			return fmt.Errorf("remote: Limits: %s is %d, want at least %d", limit.name, limit.is, limit.want)
		}
	}
	return nil
}
