package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
)

const (
	// serveTimeout keeps a move that hangs somewhere from keeping its place for ever. Nobody watches a service. An asset of
	// 16 GiB needs 5 MB/s for it.
	serveTimeout = time.Hour
	// moveTimeout is none: whoever calls demo move sees it stand still.
	moveTimeout = time.Duration(0)

	defaultStall    = 60 * time.Second
	defaultMaxBytes = 16 << 30
)

// limits are what a single move may take.
type limits struct {
	timeout  time.Duration // of one attempt; 0 is none
	stall    time.Duration
	maxBytes int64
}

// The flags of both commands that move what is not their own.

func timeoutFlag(prefix string, timeout time.Duration) cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Usage: "how long one attempt to move an asset may take; 0s: as long as it takes", Value: timeout, Sources: env(prefix, "timeout")}
}

func stallTimeoutFlag(prefix string) cli.Flag {
	return &cli.DurationFlag{Name: "stall-timeout", Usage: "how long a source may send nothing before the attempt fails", Value: defaultStall, Sources: env(prefix, "stall-timeout")}
}

func maxBytesFlag(prefix string) cli.Flag {
	return &cli.Int64Flag{Name: "max-bytes", Usage: "how many bytes an asset may have; a larger one is not tried again", Value: defaultMaxBytes, DefaultText: "17179869184, which is 16 GiB", Sources: env(prefix, "max-bytes")}
}

// limitsOf checks what the flags say.
func limitsOf(c *cli.Command) (limits, error) {
	l := limits{timeout: c.Duration("timeout"), stall: c.Duration("stall-timeout"), maxBytes: c.Int64("max-bytes")}
	switch {
	case l.timeout < 0:
		return l, fmt.Errorf("--timeout is %s, want 0s for none, or more", l.timeout)
	case l.stall <= 0:
		return l, fmt.Errorf("--stall-timeout is %s, want more than 0s", l.stall)
	case l.maxBytes <= 0:
		return l, fmt.Errorf("--max-bytes is %d, want 1 or more", l.maxBytes)
	}
	return l, nil
}
