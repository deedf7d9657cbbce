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
	parents := parentsOf(list)
	children := map[messages.PID][]Info{}
	for _, i := range list {
		children[parents[i.PID]] = append(children[parents[i.PID]], i)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "node %s, %d processes\n", s.node, len(list))
	drawChildren(&b, children, messages.PID{}, "")
	return b.String()
}

// parentsOf says below whom each process is drawn: the zero PID if its parent has ended, and once in a circle of processes that
// have adopted each other.
func parentsOf(list []Info) map[messages.PID]messages.PID {
	parents := map[messages.PID]messages.PID{}
	for _, i := range list {
		parents[i.PID] = i.Parent
	}
	for _, i := range list {
		if _, known := parents[i.Parent]; !known || circular(parents, i.PID) {
			parents[i.PID] = messages.PID{}
		}
	}
	return parents
}

func circular(parents map[messages.PID]messages.PID, pid messages.PID) bool {
	above := parents[pid]
	for range parents {
		if above == pid {
			return true
		}
		above = parents[above]
	}
	return false
}

func drawChildren(b *strings.Builder, children map[messages.PID][]Info, parent messages.PID, indent string) {
	list := children[parent]
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
	add("last exit: %s", strings.Join(strings.Fields(Render(fmt.Sprint(i.LastExit))), " "), i.LastExit != nil) // one line, whatever it is
	return strings.Join(parts, " ")
}
