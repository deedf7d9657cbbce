package remote

import (
	"context"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
)

// enter waits for a place in the window.
func (c *Client) enter(ctx context.Context) error {
	select {
	case c.window <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(c.config.Away)
	defer timer.Stop()
	select {
	case c.window <- struct{}{}:
		return nil
	case <-timer.C:
		return c.stuck()
	case <-c.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stuck is why there is no place in the window for so long: nobody is there, or whoever is there is slow.
func (c *Client) stuck() error {
	if slices.ContainsFunc(c.Nodes(), func(n Node) bool { return n.Up }) {
		return &actors.FullError{Limit: "MaxUnacknowledged", Max: c.config.MaxUnacknowledged}
	}
	return c.noConnection()
}

// release gives back the place of a run. It is called with the lock.
func (c *Client) release(a *call) {
	if a.inWindow {
		a.inWindow = false
		<-c.window
	}
}
