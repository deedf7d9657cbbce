package postgres

import "time"

const (
	// beatEvery is how often a handle raises the beat of its leases, and lookEvery how often it looks at those of the others.
	beatEvery = time.Second
	lookEvery = 500 * time.Millisecond
	// deadAfter is how long a beat must not have changed, while we were in contact with the database, until its node is dead.
	deadAfter = 3 * time.Second
	// orphanAfter is how long tasks must have run in a node that has no lease, and never had one, until they are taken back.
	orphanAfter = time.Minute
	// longestGap is how long may lie between two looks: if it is more, we were stopped, or out of contact, and so may have been the
	// others; what we have seen before says nothing.
	longestGap = 1500 * time.Millisecond
)

// watch decides who is dead. Time is that of our own clock, which nobody sets: what other clocks say, the server's too, has no part
// in it. It is used by one goroutine.
type watch[K comparable] struct {
	deadAfter time.Duration
	seen      map[K]sighting
	last      time.Duration // when we looked last
}

// sighting is since when a beat is as it is.
type sighting struct {
	beat  int64
	since time.Duration
}

// look takes what is seen now, and gives those whose beat has not changed for that long.
func (w *watch[K]) look(now time.Duration, beats map[K]int64) (dead []K) {
	if now-w.last > longestGap {
		w.seen = nil
	}
	w.last = now
	seen := make(map[K]sighting, len(beats))
	for key, beat := range beats {
		before, known := w.seen[key]
		if !known || before.beat != beat {
			before = sighting{beat: beat, since: now}
		}
		seen[key] = before
		if now-before.since >= w.deadAfter {
			dead = append(dead, key)
		}
	}
	w.seen = seen
	return dead
}

// lose forgets what was seen: there is no contact.
func (w *watch[K]) lose() { w.seen = nil }
