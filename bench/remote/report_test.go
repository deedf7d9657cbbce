package remote

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

// finish tells what was measured, and which promises were not kept.
func (r *run) finish(t *testing.T) {
	text := r.report()
	t.Log("\n" + text)
	if *write != "" {
		if err := figures.WriteBetween(*write, "remote", text); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range bars() {
		if got, ok := b.got(r); ok && got < b.want {
			t.Errorf("%s: %s", b.promise, figures.Times(got))
		}
	}
}

// report is the tables in Markdown.
func (r *run) report() string {
	var text strings.Builder
	fmt.Fprintf(&text, "Measured on %s with %s on %d cores (%s): the medians of %d rounds.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), figures.Processor(), *rounds)
	text.WriteString("| what | callers | calls/s | slowest to fastest round | p50 | p99 | processor for each, µs: client | server |\n")
	text.WriteString("|---|---:|---:|---|---:|---:|---:|---:|\n")
	for _, c := range r.contenders {
		r.writeRow(&text, c)
	}
	text.WriteString("\nWhat is promised:\n\n| promise | measured | |\n|---|---:|---|\n")
	for _, b := range bars() {
		if got, ok := b.got(r); ok {
			text.WriteString(b.row(got))
		}
	}
	return text.String()
}

func (r *run) writeRow(text *strings.Builder, c contender) {
	rates, times := r.each(c, result.rate), r.times(c)
	server := ""
	if c.server != "" {
		server = fmt.Sprintf("%.1f", figures.Percentile(r.each(c, func(one result) float64 { return perCall(one.server.cpu, one.calls) }), 0.5))
	}
	fmt.Fprintf(text, "| %s | %d | **%s** | %s to %s | %s | %s | %.1f | %s |\n", c.name, c.callers,
		figures.Thousands(figures.Percentile(rates, 0.5)), figures.Thousands(figures.Percentile(rates, 0)), figures.Thousands(figures.Percentile(rates, 1)),
		short(figures.Percentile(times, 0.5)), short(figures.Percentile(times, 0.99)),
		figures.Percentile(r.each(c, func(one result) float64 { return perCall(one.client, one.calls) }), 0.5), server)
}

// short gives a time with three digits or so.
func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// TestTheMedianOfTheRatiosCounts and what was not measured is passed over.
func TestTheMedianOfTheRatiosCounts(t *testing.T) {
	rate := func(calls ...int) (all []result) {
		for _, n := range calls {
			all = append(all, result{calls: n, took: time.Second})
		}
		return all
	}
	b := bars()[0]
	r := &run{results: map[string][]result{b.ours.title(): rate(300, 900, 200), b.than.title(): rate(100, 150, 100)}}
	if got, ok := b.got(r); !ok || got != 3 || !strings.Contains(b.row(got), "kept") || !strings.Contains(b.row(2.9), "missed") {
		t.Errorf("%v, %v, %s", got, ok, b.row(got))
	}
	delete(r.results, b.than.title())
	if _, ok := b.got(r); ok {
		t.Error("a ratio to nothing")
	}
}
