package main

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// narrator is the runner's HandleInfo hook: it says how each task ends that somebody starts once the demo stays up.
type narrator struct{ screen atomic.Pointer[screen] }

// open has it talk from now on.
func (n *narrator) open(screen *screen) { n.screen.Store(screen) }

// hear is told every outcome.
func (n *narrator) hear(_ context.Context, message any) {
	screen := n.screen.Load()
	if screen == nil {
		return
	}
	switch m := message.(type) {
	case messages.Completed:
		moved, _ := m.Value.(assets.Moved)
		how := "copied"
		if !moved.Copied {
			how = "unchanged"
		}
		screen.printf("%-10s %s\n", how, printable(moved.Source))
	case messages.Failed:
		how := "again"
		if m.Discarded() {
			how = "failed"
		}
		screen.printf("%-10s %s\n", how, strings.TrimPrefix(m.Reason.Error(), "assets: "))
	case messages.Cancelled:
		screen.printf("%-10s %s\n", "cancelled", m.TaskID)
	}
}
