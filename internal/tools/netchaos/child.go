package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/taskrunner-go/taskrunner/remote"
)

// asChild is the environment variable that makes a process a child; it holds its childConfig.
const asChild = "TASKRUNNER_NETCHAOS_CHILD"

// Roles of children.
const (
	receiving = "receiver"
	sending   = "sender"
	watching  = "watcher"
)

// childConfig is what a child is told at its start.
type childConfig struct {
	Role      string
	Name      string // of its machine
	Life      int    // which of the processes of its machine it is
	Dir       string // where all files are
	Receivers []string
	Seed      uint64
	Load      load
}

// load is how much a sender does.
type load struct {
	Callers int           // goroutines that ask
	Runs    int           // that each of them asks for
	Pause   time.Duration // of each between two calls, on the average
	Burst   int           // how many calls come one after the other without a pause, on the average
	Many    bool          // they ask for many in one call, by RunMany
}

const (
	runnerName = "net"
	kind       = "net.work"
	port       = "7070"
	// away is how long a call of a sender goes on when nobody can be reached.
	away = 10 * time.Second
)

func (c *childConfig) journal() string { return journalOf(c.Dir, c.Name) }

func journalOf(dir, name string) string { return filepath.Join(dir, name+".journal") }

func databaseOf(dir, name string) string { return filepath.Join(dir, name+".db") }

// certificates names those of one side; all are in one directory.
func certificates(dir, side string) remote.TLS {
	dir = filepath.Join(dir, "tls")
	return remote.TLS{
		Certificate: filepath.Join(dir, side+".pem"), Key: filepath.Join(dir, side+"-key.pem"), CA: filepath.Join(dir, "ca.pem"),
	}
}

// runChild is the whole life of a child. A receiver lives until it is told to stop, the others until all is done.
func runChild(ctx context.Context, config string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return fmt.Errorf("netchaos: %s: %w", asChild, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	j, before, err := openJournal(c.journal(), c.Life)
	if err != nil {
		return err
	}
	switch c.Role {
	case receiving:
		err = runReceiver(ctx, &c, j)
	case sending:
		err = runSender(ctx, &c, j, before)
	case watching:
		err = runWatcher(ctx, &c, j)
	}
	switch {
	case err == nil:
	case ctx.Err() == nil:
		j.write(event{What: isBroken, Text: err.Error()})
	case errors.Is(err, context.Canceled): // it was told to stop while it was still starting
		return nil
	}
	return err
}
