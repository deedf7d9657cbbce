package process

import (
	"cmp"
	"fmt"
	"reflect"
	"runtime"
	"slices"

	"github.com/taskrunner-go/taskrunner/messages"
)

// Status is what a process is doing.
type Status string

// What a process may be doing.
const (
	Waiting   Status = "waiting"   // for a message
	Running   Status = "running"   // a callback, or its function
	Suspended Status = "suspended" // by Suspend
	Exiting   Status = "exiting"   // it was told to end, and its code has not returned yet
	Abandoned Status = "abandoned" // it was declared dead, and its code still runs
)

// Info is what can be seen of a process from outside, without waiting for it (OTP: Process.info/1).
type Info struct {
	PID         messages.PID
	Name        string         // under which it is registered; empty without one
	What        string         // the type of its server, or the name of its function
	Parent      messages.PID   // who started it, or supervises it; zero if that was no process
	Status      Status         // what it is doing
	Callback    string         // which callback runs, and for which type of message; empty between messages
	Mailbox     int            // how many messages wait
	TrapExit    bool           // exit signals are messages to it
	Links       []messages.PID // children among them, and the parent, in the order of their ids
	Monitors    int            // how many processes it monitors
	MonitoredBy int            // by how many it is monitored
	Place                      // under its supervisor
}

// Info tells of one process; false if there is none.
func (s *System) Info(target messages.Target) (Info, bool) {
	if p := s.find(target); p != nil {
		return p.info(), true
	}
	return Info{}, false
}

// Processes tells of all processes, in the order in which they were started, those that are declared dead and still run
// among them.
func (s *System) Processes() []Info {
	var list []Info
	s.table.each(func(p *proc) { list = append(list, p.info()) })
	for _, p := range s.abandoned.list() {
		if s.table.get(p.pid.ID) == nil { // else it is about to leave the table, and was listed
			list = append(list, p.info())
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return cmp.Compare(a.PID.ID, b.PID.ID) })
	return list
}

func (p *proc) info() Info {
	i := Info{PID: p.pid, Name: p.title(), What: WhatIs(p.what), TrapExit: p.trapExit}
	p.mu.Lock()
	if p.parent != nil {
		i.Parent = p.parent.pid
	}
	for other := range p.links {
		i.Links = append(i.Links, other.pid)
	}
	if p.parent != nil && p.parent.alive() {
		i.Links = append(i.Links, p.parent.pid)
	}
	i.Monitors, i.MonitoredBy = len(p.watching), len(p.watchers)
	p.mu.Unlock()
	slices.SortFunc(i.Links, func(a, b messages.PID) int { return cmp.Compare(a.ID, b.ID) })
	i.Links = slices.Compact(i.Links)
	if place := p.place.Load(); place != nil {
		i.Place = *place
	}
	if p.box != nil {
		i.Mailbox = p.box.queue.UserMessageCount() + int(p.box.holding.Load())
		i.Callback = p.box.callback()
	}
	i.Status = p.status(i.Callback)
	return i
}

func (p *proc) status(callback string) Status {
	switch {
	case !p.alive():
		return Abandoned
	case p.exiting.Load():
		return Exiting
	case p.box == nil || callback != "":
		return Running
	case p.box.suspended.Load():
		return Suspended
	default:
		return Waiting
	}
}

// callback names what runs now: "HandleCall main.Get".
func (m *mailbox) callback() string {
	d := m.current.Load()
	if d == nil {
		return ""
	}
	name, message := m.describe(d.message)
	if message == nil {
		return name
	}
	return fmt.Sprintf("%s %T", name, message)
}

// title is the name of a process as people know it.
func (p *proc) title() string {
	switch {
	case p.name != "":
		return string(p.name)
	case p.via != nil:
		return p.via.String()
	}
	return ""
}

// WhatIs names a server by its type and a function by its name. What has a ProcessTitle says itself what it is. It is no
// fmt.Stringer: a user's may read what its process writes.
func WhatIs(what any) (name string) {
	defer func() {
		if recover() != nil {
			name = fmt.Sprintf("%T", what)
		}
	}()
	if titled, ok := what.(interface{ ProcessTitle() string }); ok {
		return titled.ProcessTitle()
	}
	if v := reflect.ValueOf(what); v.Kind() == reflect.Func {
		if f := runtime.FuncForPC(v.Pointer()); f != nil {
			return f.Name()
		}
	}
	return fmt.Sprintf("%T", what)
}
