package main

import (
	"math/rand/v2"
)

// desk knows the tasks of a session while it runs, and draws what is done to them by hand. It belongs to the session's lock.
type desk struct {
	rng      *rand.Rand
	accepted ring             // of all that were accepted, the last
	ended    ring             // of those that have ended, the last
	last     map[string]int64 // the Pos of each task's last outcome that is known
	retried  map[string]int64 // and that of which a retry was asked for
	retrying map[string]bool  // the answer is not known; if its process has died, it never will be
	asked    map[string]ask   // with an id of the caller's, and without an answer, by token
	orphans  []ask            // of these, what dead processes have left: others ask again
}

type ask struct {
	process int
	id      string
	order   order
}

// ring holds the last ids.
type ring struct {
	ids  [512]string
	next int
}

func (r *ring) add(id string) {
	r.ids[r.next%len(r.ids)] = id
	r.next++
}

// draw gives one of them, "" if there is none.
func (r *ring) draw(rng *rand.Rand) string {
	if r.next == 0 {
		return ""
	}
	return r.ids[rng.IntN(min(r.next, len(r.ids)))]
}

func newDesk(rng *rand.Rand) *desk {
	return &desk{rng: rng, last: map[string]int64{}, retried: map[string]int64{}, retrying: map[string]bool{}, asked: map[string]ask{}}
}

// note takes notice of an event.
func (d *desk) note(e event) {
	switch e.What {
	case isAsked:
		if e.ID != "" {
			d.asked[e.Token] = ask{e.Process, e.ID, *e.Order}
		}
	case isAccepted:
		delete(d.asked, e.Token)
		d.accepted.add(e.ID)
	case isRefused:
		if !e.Unsure {
			delete(d.asked, e.Token)
		}
	case isOutcome:
		if e.Pos > d.last[e.ID] {
			d.last[e.ID] = e.Pos
			d.ended.add(e.ID)
		}
	case isRetried:
		if !e.Unsure {
			delete(d.retrying, e.ID)
		}
	}
}

// died has others ask for what the process asked for.
func (d *desk) died(process int) {
	for token, a := range d.asked {
		if a.process == process {
			delete(d.asked, token)
			d.orphans = append(d.orphans, a)
		}
	}
}

// draw gives the next command, for whichever process; false if there is nothing to do.
func (d *desk) draw() (command, bool) {
	if n := len(d.orphans); n > 0 && d.rng.IntN(2) == 0 {
		a := d.orphans[n-1]
		d.orphans = d.orphans[:n-1]
		return command{Do: doAsk, ID: a.id, Order: &a.order}, true
	}
	switch d.rng.IntN(5) {
	case 0, 1:
		id := d.accepted.draw(d.rng)
		return command{Do: doCancel, ID: id}, id != ""
	case 2:
		id := d.accepted.draw(d.rng)
		return command{Do: doAwait, ID: id}, id != ""
	default:
		id := d.ended.draw(d.rng)
		if id == "" || d.retrying[id] || d.retried[id] == d.last[id] {
			return command{}, false
		}
		d.retrying[id], d.retried[id] = true, d.last[id]
		return command{Do: doRetry, ID: id}, true
	}
}
