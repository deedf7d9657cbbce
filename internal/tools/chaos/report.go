package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/store"
)

// progress is what is shown while a session runs.
type progress struct {
	rounds, kills, accepted, returned, outcomes atomic.Int64
}

func (p *progress) note(e event) {
	switch e.What {
	case isAccepted:
		p.accepted.Add(1)
	case isReturned:
		p.returned.Add(1)
	case isOutcome:
		p.outcomes.Add(1)
	}
}

// tally is what the sessions came to.
type tally struct {
	harness.Tally
	reruns []time.Duration // from when a task could run again until it did
	cancel []time.Duration // from the answer to the cancel of a running task until its handler was told
}

// count adds what one session came to.
func (t *tally) count(h *history, sorted []*trail) {
	t.countLives(h)
	states, byEvent, unsure, doubled, full, taken := map[store.State]int{}, map[what]int{}, 0, 0, 0, 0
	for _, e := range h.Events {
		byEvent[e.What]++
		switch {
		case e.What == isRefused && strings.Contains(e.Text, store.ErrFull.Error()):
			full++
		case e.What == isTold && e.How == byTaken:
			taken++
		}
	}
	for _, trail := range sorted {
		m := &matter{h, trail, trail.of(isStarted)}
		for _, r := range m.reruns() {
			t.reruns = append(t.reruns, r.after)
		}
		t.cancel = append(t.cancel, m.cancelTimes()...)
		if trail.Task != nil && !trail.has(func(e event) bool { return e.What == isAccepted }) {
			unsure++
		}
		doubled += max(0, len(slices.DeleteFunc(trail.of(isReturned), func(e event) bool { return e.How != withValue }))-completions(trail))
	}
	for i := range h.Log {
		states[h.Log[i].State]++
	}
	t.Add("tasks asked for", byEvent[isAsked])
	t.Add("  accepted", byEvent[isAccepted])
	t.Add("  refused", byEvent[isRefused])
	t.Add("    for want of room on the disk", full)
	t.Add("  recorded without an answer", unsure)
	t.Add("tasks recorded", len(h.Tasks))
	t.Add("outcomes", len(h.Log))
	for _, state := range []store.State{store.Completed, store.Discarded, store.Cancelled} {
		t.Add("  "+string(state), states[state])
	}
	t.Add("handlers started", byEvent[isStarted])
	t.Add("  told to stop", byEvent[isTold])
	t.Add("    because the task was taken", taken)
	t.Add("values returned and not recorded", doubled)
	t.Add("cancels by hand answered", byEvent[isCancelled])
	t.Add("retries by hand answered", byEvent[isRetried])
	t.Add("outcomes awaited", byEvent[isAwaited])
	t.Add("outcomes told by the hook", byEvent[isHooked])
	t.Add("outcomes told to cursors", byEvent[isOutcome])
}

func (t *tally) countLives(h *history) {
	var killed, early, stopped, paused int
	for i := range h.Lives {
		l := &h.Lives[i]
		paused += len(l.Pauses)
		switch {
		case l.Stopped:
			stopped++
		case l.Killed && l.Ready == 0:
			early++
			killed++
		case l.Killed:
			killed++
		}
	}
	t.Add("processes killed", killed)
	t.Add("  before they were ready", early)
	t.Add("processes stopped in order", stopped)
	t.Add("processes paused", paused)
}

func completions(t *trail) (n int) {
	for _, o := range t.Outcomes {
		if o.State == store.Completed {
			n++
		}
	}
	return n
}

// cancelTimes are how long it took until handlers were told of a cancel.
func (m *matter) cancelTimes() (times []time.Duration) {
	for _, e := range m.t.of(isTold) {
		if e.How != byCancel {
			continue
		}
		for _, c := range m.t.of(isCancelled) {
			if c.Run == e.Run && c.Text == "" {
				times = append(times, max(0, e.At-c.At))
				break
			}
		}
	}
	return times
}

// print shows the table.
func (t *tally) print(out io.Writer) {
	t.Print(out)
	harness.PrintTimes(out, "from kill to re-run", t.reruns)
	harness.PrintTimes(out, "from the cancel of a running task to its handler", t.cancel)
}

// evidences is of how many broken promises of one kind the whole story is told.
const evidences = 3

// accuse prints what was broken, with the stories of a few tasks of each kind.
func accuse(out io.Writer, h *history, found []violation) {
	byPromise := map[string]int{}
	for _, v := range found {
		byPromise[v.Promise]++
		if n := byPromise[v.Promise]; n > evidences {
			continue
		}
		_, _ = fmt.Fprintf(out, "\nBROKEN: %s\n%s\n", v.Promise, v.Text)
		if v.Trail != nil {
			_, _ = fmt.Fprint(out, v.Trail.evidence(h))
		}
	}
	names := slices.Sorted(maps.Keys(byPromise))
	_, _ = fmt.Fprintln(out)
	for _, name := range names {
		_, _ = fmt.Fprintf(out, "BROKEN %d times: %s\n", byPromise[name], name)
	}
	for i := range h.Lives {
		l := &h.Lives[i]
		_, _ = fmt.Fprintf(out, "%-6s node %s, born %s, ready %s, told to stop %s, died %s, gone %s, killed %t, stopped %t, pauses %v\n",
			l.Name, l.Node, l.Born, l.Ready, l.Told, l.Died, l.Gone, l.Killed, l.Stopped, l.Pauses)
	}
}
