package remote

import (
	"runtime/debug"

	"github.com/taskrunner-go/taskrunner/messages"
)

// tellDown has told called of an end, once. It is called with the lock.
func (c *Client) tellDown(a *call, reason error) {
	if told := a.told; told != nil {
		a.told = nil
		c.downs = append(c.downs, func() { told(messages.Down{Ref: messages.Ref(a.seq), Reason: reason}) })
	}
}

// unlock unlocks, and has those told who are to be told, each by a goroutine of its own: they may call this client, and wait.
func (c *Client) unlock() {
	downs := c.downs
	c.downs = nil
	if closed := c.closed; closed || len(downs) == 0 {
		c.mu.Unlock()
		for _, tell := range downs {
			c.tell(tell)
		}
		return
	}
	c.telling.Add(len(downs)) // with the lock, and so before Close waits
	c.mu.Unlock()
	for _, tell := range downs {
		go func() {
			defer c.telling.Done()
			c.tell(tell)
		}()
	}
}

// tell calls code of the user's. Its panic ends nothing else.
func (c *Client) tell(told func()) {
	defer func() {
		if value := recover(); value != nil {
			c.logger.Error("remote: who is told of a Down has panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	told()
}
