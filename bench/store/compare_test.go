// Package store measures durable task queues side by side: ours and those that a Go team can pick today. Every queue syncs
// what it answers for, every task has the same arguments and does nothing, and all are measured in turns in the same run.
package store

import (
	"context"
	"flag"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

var (
	rounds = flag.Int("rounds", 0, "in how many rounds TestCompare measures everybody; 0 skips it")
	only   = flag.String("only", "", "TestCompare measures only those whose title matches this expression")
	write  = flag.String("write", "", "the file into which TestCompare writes its tables, between the markers")
)

// roundTimeout is how long one contender may take for one round before it has failed. The slowest takes some 15 seconds.
const roundTimeout = 5 * time.Minute

// TestCompare measures everybody in turns, and fails where we are not as fast as is promised.
func TestCompare(t *testing.T) {
	if *rounds <= 0 {
		t.Skip("run by make bench-store")
	}
	chosen, err := regexp.Compile(*only)
	must(t, err)
	if *write != "" && *only != "" {
		t.Fatal("-write is for a whole run, not for -only")
	}
	r := &run{site: newSite(t), rates: map[string][]float64{}, kept: map[string]int{}, waits: map[string][]time.Duration{}}
	for _, c := range contenders() {
		if chosen.MatchString(c.title()) {
			r.contenders = append(r.contenders, c)
		}
	}
	for _, l := range latencies() {
		if chosen.MatchString(l.title) {
			r.latencies = append(r.latencies, l)
		}
	}
	for round := range *rounds {
		t.Logf("round %d of %d", round+1, *rounds)
		r.round(t)
	}
	r.finish(t)
}

// run is what has been measured so far.
type run struct {
	site       *site
	contenders []contender
	latencies  []latency
	rates      map[string][]float64       // tasks per second, by title, one of each round
	kept       map[string]int             // finished rows after a round, by title
	waits      map[string][]time.Duration // by title, of all rounds
}

// round measures everybody once. Every second round goes the other way round, so that a machine that gets slower or
// faster is nobody's luck.
func (r *run) round(t *testing.T) {
	for _, c := range r.contenders {
		got := r.measure(t, c)
		rate := float64(c.load.tasks) / got.took.Seconds()
		r.rates[c.title()] = append(r.rates[c.title()], rate)
		r.kept[c.title()] = got.kept
		t.Logf("  %-42s %9s tasks/s, %s finished rows", c.title(), figures.Thousands(rate), figures.Thousands(float64(got.kept)))
	}
	for _, l := range r.latencies {
		took := r.sample(t, l)
		r.waits[l.title] = append(r.waits[l.title], took...)
		t.Logf("  %-42s %9s at the median", l.title, figures.Percentile(took, 0.5))
	}
	slices.Reverse(r.contenders)
	slices.Reverse(r.latencies)
}

// settle has nobody pay for what those before have left in memory and on its way to the disk.
func settle() {
	runtime.GC()
	syscall.Sync()
}

func (r *run) measure(t *testing.T, c contender) result {
	r.need(t, c.title(), c.engine)
	ctx, cancel := context.WithTimeout(t.Context(), roundTimeout)
	defer cancel()
	settle()
	got, err := c.measure(ctx, r.site)
	if err != nil {
		t.Fatalf("%s: %v", c.title(), err)
	}
	return got
}

func (r *run) sample(t *testing.T, l latency) []time.Duration {
	r.need(t, l.title, l.engine)
	ctx, cancel := context.WithTimeout(t.Context(), roundTimeout)
	defer cancel()
	settle()
	took, err := l.inFolder(ctx, r.site, l.calls)
	if err != nil {
		t.Fatalf("%s: %v", l.title, err)
	}
	return took
}

func (r *run) need(t *testing.T, title string, e engine) {
	if !r.site.has(e) {
		t.Fatalf("%s: there is no %s here: install postgresql and redis-server, or choose others with -only", title, e)
	}
}

// finish prints the tables, writes them if it was asked to, and judges.
func (r *run) finish(t *testing.T) {
	if len(r.rates) < len(contenders()) {
		return // the tables are for a whole run
	}
	text, err := r.report(t.Context())
	must(t, err)
	t.Logf("\n%s", text)
	if *write != "" {
		must(t, figures.WriteBetween(*write, "store", text))
	}
	for _, b := range bars() {
		if got, ok := b.got(r); ok && !b.met(got) {
			t.Errorf("%s: %s", b.promise, b.show(got))
		}
	}
}

// BenchmarkShort has each contender do a few hundred tasks, and each single call made once, so that a change that breaks one
// is seen. Its figures say little. Those whose server is not installed are left out.
func BenchmarkShort(b *testing.B) {
	s := newSite(b)
	for _, c := range contenders() {
		short(b, s, c.title(), c.engine, func(b *testing.B) {
			c.load.tasks, c.load.batch = 200, min(c.load.batch, 50)
			for range b.N {
				r, err := c.measure(b.Context(), s)
				must(b, err)
				b.ReportMetric(float64(c.load.tasks)/r.took.Seconds(), "tasks/s")
			}
		})
	}
	for _, l := range latencies() {
		short(b, s, l.title, l.engine, func(b *testing.B) {
			took, err := l.inFolder(b.Context(), s, b.N)
			must(b, err)
			b.ReportMetric(float64(figures.Percentile(took, 0.5).Nanoseconds()), "p50-ns")
		})
	}
}

func short(b *testing.B, s *site, title string, e engine, f func(*testing.B)) {
	b.Run(strings.ReplaceAll(title, ", ", "/"), func(b *testing.B) {
		if !s.has(e) {
			b.Skipf("there is no %s here", e)
		}
		f(b)
	})
}
