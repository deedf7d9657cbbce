package process

import (
	"fmt"
	"strings"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Tree draws all processes as text, one a line, each below its parent, in the order in which they were started: what it
// is, its name or its PID, what it does, how many messages wait, how often it was restarted and why the last one ended.
func (s *System) Tree() string {
	list := s.Processes()
	known := map[messages.PID]bool{}
	for _, i := range list {
		known[i.PID] = true
	}
	children := map[messages.PID][]Info{}
	for _, i := range list {
		parent := i.Parent
		if !known[parent] {
			parent = messages.PID{} // it has none, or that has ended
		}
		children[parent] = append(children[parent], i)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "node %s, %d processes\n", s.node, len(list))
	drawChildren(&b, children, messages.PID{}, "")
	return b.String()
}

func drawChildren(b *strings.Builder, children map[messages.PID][]Info, parent messages.PID, indent string) {
	list := children[parent]
	delete(children, parent) // so that a circle is drawn once
	for n, i := range list {
		branch, below := "├─ ", "│  "
		if n == len(list)-1 {
			branch, below = "└─ ", "   "
		}
		b.WriteString(indent + branch + i.String() + "\n")
		drawChildren(b, children, i.PID, indent+below)
	}
}

// String is the process on one line.
func (i Info) String() string {
	parts := []string{i.PID.String()}
	add := func(format string, value any, shown bool) {
		if shown {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	add("%s", i.Name, i.Name != "")
	add("%s", i.What, true)
	add("id=%s", i.ID, i.ID != "" && i.ID != i.Name && !strings.HasSuffix(i.What, i.ID))
	add("%s", i.Status, i.Status != Waiting)
	add("in %s", i.Callback, i.Callback != "")
	add("mailbox=%d", i.Mailbox, i.Mailbox > 0)
	add("restarts=%d", i.Restarts, i.Restarts > 0)
	add("last exit: %v", i.LastExit, i.LastExit != nil)
	return strings.Join(parts, " ")
}
