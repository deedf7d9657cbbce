package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// recovery is how long it took, after trouble that was between a sender and a receiver, until a run was accepted.
type recovery struct {
	trouble trouble
	pair    pair
	after   time.Duration // since the trouble was over; or since somebody asked, if nobody waited for an answer then
	whole   time.Duration // since the trouble began
	unknown bool          // other trouble came before
}

// recoveries finds them. Pairs of which nothing was asked any more have none.
func recoveries(h *history) (found []recovery) {
	calls := callsByPair(h)
	for _, t := range h.Troubles {
		for p, all := range calls {
			if p.sender != t.Machine && p.receiver != t.Machine {
				continue
			}
			if asked, accepted, ok := nextAccepted(all, t.To); ok {
				found = append(found, recovery{t, p, accepted - asked, accepted - t.From, h.disturbed(p, t, accepted)})
			}
		}
	}
	return found
}

// callsByPair gives the calls that were accepted, by when they were.
func callsByPair(h *history) map[pair][]aCall {
	found := map[pair][]aCall{}
	for _, c := range callsOf(h) {
		if !c.refused {
			found[c.pair] = append(found[c.pair], c)
		}
	}
	for _, all := range found {
		slices.SortFunc(all, func(a, b aCall) int { return cmp.Compare(a.from+a.took, b.from+b.took) })
	}
	return found
}

// nextAccepted gives when the next run was accepted, and since when somebody waited for that.
func nextAccepted(calls []aCall, to time.Duration) (asked, accepted time.Duration, ok bool) {
	i, _ := slices.BinarySearchFunc(calls, to, func(c aCall, to time.Duration) int { return cmp.Compare(c.from+c.took, to) })
	if i == len(calls) {
		return 0, 0, false
	}
	asked = calls[i].from
	for _, c := range calls[i:min(i+callers*maxMany, len(calls))] { // more cannot have been under way
		asked = min(asked, c.from)
	}
	return max(asked, to), calls[i].from + calls[i].took, true
}

// disturbed reports whether other trouble was between the two while they recovered.
func (h *history) disturbed(p pair, own trouble, until time.Duration) bool {
	return slices.ContainsFunc(h.Troubles, func(t trouble) bool {
		return t != own && (t.Machine == p.sender || t.Machine == p.receiver) && t.From < until && t.To > own.To
	})
}

// soon is within what time everything must go on when the trouble is over: a connection that is tried in vain waits for up to 2 seconds
// before the next time, and what is on its way then takes a few seconds more, since the kernel sends what was lost at growing intervals.
const soon = 15 * time.Second

// judgeRecovery: everything goes on when the trouble is over.
func judgeRecovery(h *history) (found []violation) {
	for _, r := range recoveries(h) {
		if r.after > soon && !r.unknown {
			found = append(found, violation{"everything goes on soon after trouble", fmt.Sprintf("%s of %s from %s to %s: %s accepted nothing of %s for %s",
				r.trouble.Kind, h.Machines[r.trouble.Machine], r.trouble.From, r.trouble.To, h.Machines[r.pair.receiver], h.Machines[r.pair.sender], r.after), nil})
		}
	}
	return found
}

// Times within which a monitor tells.
const (
	atOnce   = 2 * time.Second // the connection was closed, and this machine may be busy
	atLatest = 15 * time.Second
)

// within says by when a monitor must tell of a trouble of its receiver.
func within(kind string) time.Duration {
	switch kind {
	case killed, stopped, cutReset:
		return atOnce
	}
	return atLatest
}

// downs are how long it took until the monitors of a receiver told.
type downs struct {
	trouble trouble
	of      string
	after   time.Duration // negative: they did not
	reason  string
}

// monitored gives what the monitors told of each trouble in which they were in place.
func monitored(h *history) (found []downs) {
	for _, t := range h.Troubles {
		peer := slices.Index(h.Receivers, t.Machine)
		for _, of := range []string{ofRunner, ofTask} {
			if peer < 0 || !h.inPlace(peer, t.From) {
				continue
			}
			d := downs{t, of, -1, ""}
			for _, e := range h.Events {
				if e.What == isDown && e.Peer == peer && e.How == of && e.At >= t.From {
					d.after, d.reason = e.At-t.From, e.Text
					break
				}
			}
			found = append(found, d)
		}
	}
	return found
}

// inPlace reports whether the monitors of a receiver were in place at that time.
func (h *history) inPlace(peer int, at time.Duration) bool {
	in := false
	for _, e := range h.Events {
		if e.Peer == peer && e.At < at && (e.What == isWatching || e.What == isDown) {
			in = e.What == isWatching
		}
	}
	return in
}

// judgeMonitors: who monitors is told that it can no longer be known, at once or in time.
func judgeMonitors(h *history) (found []violation) {
	for _, d := range monitored(h) {
		name := fmt.Sprintf("%s of %s: the monitor of the %s ", d.trouble.Kind, h.Machines[d.trouble.Machine], d.of)
		switch {
		case d.after < 0:
			found = append(found, violation{"a monitor tells", name + "did not tell", nil})
		case d.after > within(d.trouble.Kind):
			found = append(found, violation{"a monitor tells in time", fmt.Sprintf("%stold after %s", name, d.after), nil})
		case d.reason != messages.NoConnection.Error():
			found = append(found, violation{"a monitor tells noconnection", name + "told " + d.reason, nil})
		}
	}
	return found
}
