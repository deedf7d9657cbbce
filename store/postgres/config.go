package postgres

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Config says how a store behaves. Its zero value is the documented default of each field.
type Config struct {
	// Schema is the schema of the database in which the tables are; it is made if it does not exist. Stores with different
	// schemas have nothing in common. At most 50 bytes, none of them a control character; it must not begin with pg_, as the
	// server's own do. Empty is "taskrunner".
	Schema string

	// Connections is how many connections the store opens at most: 6 are its own, the others are for calls that read or that
	// change single tasks; a call that finds none free waits until its context ends. 0 is 12; at least 8, which the server must
	// allow (max_connections, CONNECTION LIMIT) or Open fails. Not for New: there, the pool has its own limit.
	Connections int

	// TransactionPooling says that between us and the server stands a pooler that gives a connection to each transaction
	// anew, such as PgBouncer with pool_mode = transaction. Then the store prepares no statements, keeps nothing in sessions
	// and does not LISTEN: it polls. What a pooler says to a store without it, which then names this field:
	//
	//	unsupported startup parameter: enable_seqscan
	//	prepared statement "taskrunner_…" already exists
	//	prepared statement "taskrunner_…" does not exist
	TransactionPooling bool

	// PollInterval is how often the store looks for changes which it was not told of. 0 is 1 second; with TransactionPooling,
	// where it is told of none, 50 milliseconds.
	PollInterval time.Duration

	// Spool is the path of a file in which Finish keeps outcomes while the server is away, so that they outlive the process;
	// it is made if it does not exist, and locked. See the package. Empty: outcomes wait in memory only.
	Spool string

	// SpoolBytes limits the size of the spool. What does not fit waits in memory only, and Finish says so. 0 is 64 MiB.
	SpoolBytes int64

	// Queue is how many calls of Insert, and how many of Finish, may wait for the one that is being written; the next one
	// waits for room until its context ends. 0 is 1024.
	Queue int

	// Timeout is how long one exchange with the server may take before its connection is given up, and the call begins anew
	// on another. 0 is 15 seconds.
	Timeout time.Duration

	// Logger is told once of each outage of the server, with the reason; nil: nobody is. Calls that end while it lasts answer
	// with the reason too.
	Logger *slog.Logger
}

const (
	defaultSchema       = "taskrunner"
	maxSchema           = 50 // so that the channel's name fits into the 63 bytes of an identifier
	defaultConnections  = 12
	minConnections      = ownConnections + callConnections
	defaultPollInterval = time.Second
	pooledPollInterval  = 50 * time.Millisecond
	defaultSpoolBytes   = 64 << 20
	defaultQueue        = 1024
	defaultTimeout      = 15 * time.Second
)

// ownConnections are those that the store keeps: for inserting, for finishing, for what is rarer, for the lease, to tell
// others, and to be told. There must be callConnections more, since what answers a call may wait for another call.
const (
	ownConnections    = 6
	pooledConnections = ownConnections - 2 // nothing is told
	callConnections   = 2
)

func (c Config) withDefaults() (Config, error) {
	if c.Schema == "" {
		c.Schema = defaultSchema
	}
	if len(c.Schema) > maxSchema || store.ValidName("Schema", c.Schema) != nil {
		return c, fmt.Errorf("store/postgres: Config.Schema is %q: it must have at most %d bytes of UTF-8 without control characters",
			c.Schema, maxSchema)
	}
	if strings.HasPrefix(c.Schema, "pg_") {
		return c, fmt.Errorf("store/postgres: Config.Schema is %q: it must not begin with pg_, as the server's own do", c.Schema)
	}
	if c.Connections == 0 {
		c.Connections = defaultConnections
	}
	if c.Connections < minConnections {
		return c, fmt.Errorf("store/postgres: Config.Connections is %d: it must be at least %d", c.Connections, minConnections)
	}
	if c.PollInterval == 0 {
		c.PollInterval = defaultPollInterval
		if c.TransactionPooling {
			c.PollInterval = pooledPollInterval
		}
	}
	return c.limits()
}

// limits fills in those of the fields that are only limits.
func (c Config) limits() (Config, error) {
	switch {
	case c.PollInterval < 0:
		return c, negative("PollInterval", c.PollInterval)
	case c.SpoolBytes < 0:
		return c, negative("SpoolBytes", c.SpoolBytes)
	case c.Queue < 0:
		return c, negative("Queue", c.Queue)
	case c.Timeout < 0:
		return c, negative("Timeout", c.Timeout)
	}
	if c.SpoolBytes == 0 {
		c.SpoolBytes = defaultSpoolBytes
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return c, nil
}

func negative(field string, value any) error {
	return fmt.Errorf("store/postgres: Config.%s is %v: it must not be negative", field, value)
}
