package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

// recovery is how long it took, after trouble that was between a sender and a receiver, until a run was accepted again that was asked for
// after it.
type recovery struct {
	trouble trouble
	pair    pair
	after   time.Duration // since the trouble was over
	whole   time.Duration // since it began
	unknown bool          // the next trouble came before
}

// recoveries finds them. Pairs of which nothing was asked any more have none.
func recoveries(h *history) (found []recovery) {
	troubles := slices.Clone(h.Troubles)
	slices.SortFunc(troubles, func(a, b trouble) int { return cmp.Compare(a.From, b.From) })
	accepted := acceptances(h)
	for _, t := range troubles {
		for p, at := range accepted {
			if p.sender != t.Machine && p.receiver != t.Machine {
				continue
			}
			i, _ := slices.BinarySearchFunc(at, t.To, func(a acceptance, to time.Duration) int { return cmp.Compare(a.asked, to) })
			if i == len(at) {
				continue
			}
			found = append(found, recovery{t, p, at[i].accepted - t.To, at[i].accepted - t.From, h.disturbed(p, t, at[i].accepted)})
		}
	}
	return found
}

// acceptance is when a run was asked for that was accepted, and when it was.
type acceptance struct{ asked, accepted time.Duration }

// acceptances are those of each pair, by when they were asked for. Of those that were asked for later and accepted sooner the time counts.
func acceptances(h *history) map[pair][]acceptance {
	asked, found := map[string]time.Duration{}, map[pair][]acceptance{}
	for _, e := range h.Events {
		switch e.What {
		case isAsked:
			asked[e.Token] = e.At
		case isAccepted:
			p := pair{e.Machine, h.Receivers[e.Peer]}
			found[p] = append(found[p], acceptance{asked[e.Token], e.At})
		}
	}
	for _, all := range found {
		slices.SortStableFunc(all, func(a, b acceptance) int { return cmp.Compare(a.asked, b.asked) })
		for i := len(all) - 2; i >= 0; i-- {
			all[i].accepted = min(all[i].accepted, all[i+1].accepted)
		}
	}
	return found
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
