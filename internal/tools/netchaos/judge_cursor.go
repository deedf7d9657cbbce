package main

import (
	"fmt"
	"slices"

	"github.com/taskrunner-go/taskrunner/store"
)

// cursor is what a subscriber has heard, as the judge reads it event by event.
type cursor struct {
	log     []store.Task // all that it could hear
	at      int          // how many it has heard without a gap
	next    int          // the place of the one that must come next; -1: it has just begun to follow
	sure    int64        // up to where it has acknowledged
	repeats int
}

// step says what is wrong with the next event, "" if nothing is.
func (c *cursor) step(e event) string {
	switch {
	case e.What == isFollowing:
		c.next = -1
	case e.What == isAcknowledged && !e.Unsure:
		c.sure = max(c.sure, e.Pos)
	case e.What == isHeard:
		return c.hear(e)
	}
	return ""
}

// hear: what comes first is behind what was acknowledged and leaves nothing out; then one comes after the other.
func (c *cursor) hear(e event) string {
	i := slices.IndexFunc(c.log[c.near():], func(t store.Task) bool { return t.Pos == e.Pos }) + c.near()
	switch {
	case i < c.near():
		return fmt.Sprintf("was told of an outcome at %d, task %s, which is not recorded, or was told long ago", e.Pos, e.ID)
	case c.next >= 0 && i != c.next:
		return fmt.Sprintf("was told of the outcome at %d, and the next is that at %s", e.Pos, c.name(c.next))
	case i > c.at:
		return fmt.Sprintf("was told of the outcome at %d, and not of that at %s", e.Pos, c.name(c.at))
	case c.next < 0 && e.Pos <= c.sure:
		return fmt.Sprintf("was told again of the outcome at %d, and had acknowledged %d", e.Pos, c.sure)
	}
	if i < c.at {
		c.repeats++
	}
	c.next, c.at = i+1, max(c.at, i+1)
	if t := c.log[i]; t.ID != e.ID || t.Run != e.Run || t.State != e.State || e.State == store.Completed && string(t.Result) != e.Result {
		return fmt.Sprintf("was told of the outcome at %d that task %s is %s in run %d with %s, and task %s is %s in run %d with %s",
			e.Pos, e.ID, e.State, e.Run, e.Result, t.ID, t.State, t.Run, t.Result)
	}
	return ""
}

// near is where it is worth to look: what was told again was told a short time before, and searching all for each would take too long.
func (c *cursor) near() int { return max(0, c.at-20_000) }

// name names the outcome at a place.
func (c *cursor) name(i int) string {
	if i < 0 || i >= len(c.log) {
		return "the end"
	}
	return fmt.Sprint(c.log[i].Pos)
}

// cursors reads what all subscribers have heard, and says what was wrong with each first.
func cursors(h *history) (all map[pair]*cursor, wrong map[pair]string) {
	all, wrong = map[pair]*cursor{}, map[pair]string{}
	for _, e := range h.Events {
		if e.What != isFollowing && e.What != isHeard && e.What != isAcknowledged {
			continue
		}
		p := pair{e.Machine, h.Receivers[e.Peer]}
		if all[p] == nil {
			all[p] = &cursor{log: h.Recorded[e.Peer].Log, next: -1}
		}
		if text := all[p].step(e); text != "" && wrong[p] == "" {
			wrong[p] = text
		}
	}
	return all, wrong
}

// judgeCursors: a subscriber hears all outcomes in their order, over restarts of either side, and again only what it has not
// acknowledged. It hears of all that it was told by its handles.
func judgeCursors(h *history) (found []violation) {
	all, wrong := cursors(h)
	for p, text := range wrong {
		found = append(found, violation{"a subscriber misses nothing", fmt.Sprintf("%s at %s %s", h.Machines[p.sender], h.Machines[p.receiver], text), nil})
	}
	heard := map[string]bool{}
	for _, e := range h.Events {
		if e.What == isHeard {
			heard[h.Machines[e.Machine]+e.ID] = true
		}
	}
	for _, e := range h.Events {
		if e.What == isTold && len(all) > 0 && !heard[h.Machines[e.Machine]+e.ID] {
			found = append(found, violation{"a subscriber misses nothing", fmt.Sprintf("%s was told of task %s by its %s alone", h.Machines[e.Machine], e.ID, e.How), nil})
		}
	}
	return found
}

// heardAgain is how often subscribers were told of what they had heard.
func heardAgain(h *history) (n int) {
	all, _ := cursors(h)
	for _, c := range all {
		n += c.repeats
	}
	return n
}
