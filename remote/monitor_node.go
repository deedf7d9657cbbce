package remote

import (
	"cmp"
	"maps"
	"slices"

	"github.com/taskrunner-go/taskrunner/messages"
)

// MonitorNode has told called once, with messages.NoConnection, when there is no connection to a node any more: at once when it was closed, within
// 15 seconds when the other side is silent, and at once if there is none to a node of this name. It is what erlang:monitor_node is, but
// that nobody is called: a client connects to its addresses and to nobody else.
//
// name is a Node's Name, which is that of one start of a program: one that is started again is another node. A node that is leaving is
// there until it has told the outcomes that it owes; then it closes its connections, and told is called, as Runner.Monitor has it called.
func (c *Client) MonitorNode(name string, told func(messages.Down)) *Monitor {
	a := &call{closes: true, told: told, answered: make(chan struct{})}
	c.mu.Lock()
	defer c.unlock()
	c.lastSeq++
	a.seq = c.lastSeq
	c.watchNode(a, name)
	return &Monitor{c, a}
}

// watchNode enters a monitor at a connection to the node, or has it told that there is none. It is called with the lock.
func (c *Client) watchNode(a *call, name string) {
	for _, l := range c.links {
		if l.up && l.node == name {
			a.link = l
			l.watchers[a] = struct{}{}
			return
		}
	}
	a.link = nil
	c.fail(a, messages.NoConnection)
}

// nodeLost sees to those who watch the node of a connection that is lost: another address may lead to the same one, as with IPv4 and IPv6.
// It is called with the lock.
func (c *Client) nodeLost(l *link) {
	watchers := slices.SortedFunc(maps.Keys(l.watchers), func(a, b *call) int { return cmp.Compare(a.seq, b.seq) })
	clear(l.watchers)
	for _, a := range watchers {
		c.watchNode(a, l.node)
	}
}
