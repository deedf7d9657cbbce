package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

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
	rows   []row
	reruns []time.Duration // from when a task could run again until it did
	cancel []time.Duration // from the answer to the cancel of a running task until its handler was told
}

type row struct {
	name  string
	count int
}

func (t *tally) add(name string, n int) {
	i := slices.IndexFunc(t.rows, func(r row) bool { return r.name == name })
	if i < 0 {
		t.rows = append(t.rows, row{name: name})
		i = len(t.rows) - 1
	}
	t.rows[i].count += n
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
	t.add("tasks asked for", byEvent[isAsked])
	t.add("  accepted", byEvent[isAccepted])
	t.add("  refused", byEvent[isRefused])
	t.add("    for want of room on the disk", full)
	t.add("  recorded without an answer", unsure)
	t.add("tasks recorded", len(h.Tasks))
	t.add("outcomes", len(h.Log))
	for _, state := range []store.State{store.Completed, store.Discarded, store.Cancelled} {
		t.add("  "+string(state), states[state])
	}
	t.add("handlers started", byEvent[isStarted])
	t.add("  told to stop", byEvent[isTold])
	t.add("    because the task was taken", taken)
	t.add("values returned and not recorded", doubled)
	t.add("cancels by hand answered", byEvent[isCancelled])
	t.add("retries by hand answered", byEvent[isRetried])
	t.add("outcomes awaited", byEvent[isAwaited])
	t.add("outcomes told by the hook", byEvent[isHooked])
	t.add("outcomes told to cursors", byEvent[isOutcome])
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
	t.add("processes killed", killed)
	t.add("  before they were ready", early)
	t.add("processes stopped in order", stopped)
	t.add("processes paused", paused)
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
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range t.rows {
		if r.count > 0 {
			_, _ = fmt.Fprintf(w, "%d\t  %s\n", r.count, r.name)
		}
	}
	_ = w.Flush()
	printTimes(out, "from kill to re-run", t.reruns)
	printTimes(out, "from the cancel of a running task to its handler", t.cancel)
}

func printTimes(out io.Writer, name string, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	_, _ = fmt.Fprintf(out, "%s: %d times, p50 %s, p99 %s, max %s\n", name, len(times),
		round(quantile(times, 0.5)), round(quantile(times, 0.99)), round(times[len(times)-1]))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// quantile of sorted times: the smallest that is not below such a share of them.
func quantile(times []time.Duration, share float64) time.Duration {
	i := int(share*float64(len(times)) + 0.999999)
	return times[min(max(i-1, 0), len(times)-1)]
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
