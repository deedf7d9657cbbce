package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/store"
)

// tally is what a session came to.
func tally(out io.Writer, h *history, sorted []*trail) {
	var t harness.Tally
	countTroubles(&t, h)
	byEvent, states, existed, unsure := map[what]int{}, map[store.State]int{}, 0, 0
	for _, e := range h.Events {
		byEvent[e.What]++
		if e.What == isAccepted && e.Existed {
			existed++
		}
	}
	recorded, twice := 0, 0
	for _, trail := range sorted {
		twice += trail.again()
		for _, task := range trail.Tasks {
			recorded++
			states[task.State]++
		}
		if len(trail.Tasks) > 0 && !trail.has(isAccepted) {
			unsure++
		}
	}
	t.Add("calls", byEvent[isAsked])
	t.Add("  accepted", byEvent[isAccepted])
	t.Add("    that existed: asked again, since the answer was lost", existed)
	t.Add("  refused", byEvent[isRefused])
	t.Add("tasks recorded", recorded)
	t.Add("  without an answer", unsure)
	for _, state := range []store.State{store.Completed, store.Discarded, store.Cancelled} {
		t.Add("  "+string(state), states[state])
	}
	t.Add("handlers started", byEvent[isStarted])
	t.Add("  more than once, though it had not failed", twice)
	t.Add("outcomes told", byEvent[isTold])
	t.Add("outcomes told to subscribers", byEvent[isHeard])
	t.Add("  again, since they were not acknowledged", heardAgain(h))
	t.Add("acknowledgements", byEvent[isAcknowledged])
	t.Print(out)
	printRecoveries(out, h)
	printCalls(out, h)
	printDowns(out, h)
}

func countTroubles(t *harness.Tally, h *history) {
	byKind := map[string]int{}
	for _, trouble := range h.Troubles {
		byKind[trouble.Kind]++
	}
	t.Add("troubles", len(h.Troubles))
	for _, e := range evils() {
		t.Add("  "+e.kind, byKind[e.kind])
	}
}

func printRecoveries(out io.Writer, h *history) {
	var after, whole []time.Duration
	for _, r := range recoveries(h) {
		if !r.unknown {
			after, whole = append(after, max(0, r.after)), append(whole, r.whole)
		}
	}
	harness.PrintTimes(out, "from the end of trouble to the next run that was accepted", after)
	harness.PrintTimes(out, "from its beginning", whole)
}

func printCalls(out io.Writer, h *history) {
	var accepted, refused []time.Duration
	for _, c := range callsOf(h) {
		if c.refused {
			refused = append(refused, c.took)
		} else {
			accepted = append(accepted, c.took)
		}
	}
	harness.PrintTimes(out, "calls that were accepted took", accepted)
	harness.PrintTimes(out, "calls that were refused took", refused)
}

// printDowns shows how late monitors told, by the kind of the trouble.
func printDowns(out io.Writer, h *history) {
	times := map[string][]time.Duration{}
	for _, d := range monitored(h) {
		if d.after >= 0 {
			times[d.trouble.Kind] = append(times[d.trouble.Kind], d.after)
		}
	}
	for _, e := range evils() {
		harness.PrintTimes(out, "down after "+e.kind, times[e.kind])
	}
}

// evidences is of how many broken promises of one kind the whole story is told.
const evidences = 3

// accuse prints what was broken, with the stories of a few runs of each kind.
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
	_, _ = fmt.Fprintln(out)
	for _, name := range slices.Sorted(maps.Keys(byPromise)) {
		_, _ = fmt.Fprintf(out, "BROKEN %d times: %s\n", byPromise[name], name)
	}
	for _, t := range h.Troubles {
		_, _ = fmt.Fprintf(out, "%13.6f s to %13.6f s: %s %s\n", t.From.Seconds(), t.To.Seconds(), h.Machines[t.Machine], t.Kind)
	}
}

// evidence tells the whole story of a run.
func (t *trail) evidence(h *history) string {
	var b strings.Builder
	fmt.Fprintf(&b, "run %s\n", t.Token)
	for _, e := range t.Events {
		line, _ := json.Marshal(e) //nolint:errchkjson // it was read as JSON
		fmt.Fprintf(&b, "  %13.6f s  %-10s life %d  %s\n", e.At.Seconds(), h.Machines[e.Machine], e.Life, line)
	}
	for i, task := range t.Tasks {
		fmt.Fprintf(&b, "  recorded at %s: task %s, number %d, %s, run %d, attempt %d, result %s\n",
			h.Machines[h.Receivers[t.At[i]]], task.ID, task.Seq, task.State, task.Run, task.Attempt, task.Result)
		for _, a := range task.History {
			fmt.Fprintf(&b, "    attempt %d, run %d: %s %.100q\n", a.Attempt, a.Run, a.State, a.Error)
		}
	}
	return b.String()
}
