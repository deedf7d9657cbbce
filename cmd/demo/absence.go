package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/remote"
)

const (
	// absenceAfter is how long no worker is reached before a person is told why: a worker that starts again is mostly faster.
	absenceAfter = 2 * time.Second
	// absenceEvery is how often that is looked at.
	absenceEvery = 200 * time.Millisecond
)

// absence tells why no worker is reached, once while none is, and that one is there again.
type absence struct {
	away  time.Duration // how long is waited
	since time.Time     // when the last worker went; zero: one is there
	told  bool
}

// look gives what there is to tell; empty: nothing.
func (a *absence) look(now time.Time, nodes []remote.Node) string {
	var reasons []string
	for _, n := range nodes {
		switch {
		case n.Up:
			return a.present()
		case n.Err != nil:
			reasons = append(reasons, fmt.Sprintf("%s: %v", n.Address, n.Err))
		}
	}
	if a.since.IsZero() {
		a.since = now
	}
	reason := strings.Join(reasons, "; ")
	if a.told || reason == "" || now.Sub(a.since) < absenceAfter {
		return ""
	}
	a.told = true
	return fmt.Sprintf("no worker is reached, still trying (--away %s): %s\n", a.away, oneLine(harmless(reason)))
}

// present is for a worker that is there.
func (a *absence) present() (text string) {
	if a.told {
		text = "a worker is reached\n"
	}
	a.since, a.told = time.Time{}, false
	return text
}

// watchAbsence has the screen tell of it, until it is stopped.
func watchAbsence(client *remote.Client, away time.Duration, screen *screen) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(absenceEvery)
		defer ticker.Stop()
		for a := (absence{away: away, since: time.Now()}); ; {
			select {
			case now := <-ticker.C:
				if text := a.look(now, client.Nodes()); text != "" {
					screen.notef("%s", text)
				}
			case <-stopped:
				return
			}
		}
	}()
	return func() { close(stopped); <-done }
}
