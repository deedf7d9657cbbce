// Package assets measures how long it takes to move many small files from an HTTP origin to a folder and to an S3 bucket:
// ours, which records each as a task, and rclone, which records nothing. Both are programs that run to their end, in turns
// in the same run.
package assets

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

var (
	rounds = flag.Int("rounds", 0, "in how many rounds TestCompare measures everybody; 0 skips it")
	only   = flag.String("only", "", "TestCompare measures only those whose title matches this expression")
	write  = flag.String("write", "", "the file into which TestCompare writes its table, between the markers")
)

// turnTimeout is how long one client may take before it has failed. The slowest takes some 8 seconds.
const turnTimeout = 5 * time.Minute

// TestCompare measures everybody in turns, and fails where we are slower than rclone or need more memory than is promised.
func TestCompare(t *testing.T) {
	if *rounds <= 0 {
		t.Skip("run by make bench-assets")
	}
	chosen, err := regexp.Compile(*only)
	must(t, err)
	if *write != "" && *only != "" {
		t.Fatal("-write is for a whole run, not for -only")
	}
	r := &run{results: map[string][]result{}}
	for _, c := range contenders() {
		if chosen.MatchString(c.title()) {
			r.contenders = append(r.contenders, c)
		}
	}
	s := newSite(t, 1)
	for round := range *rounds {
		r.round(t, s, round)
	}
	r.finish(t, s)
}

// run is what has been measured so far.
type run struct {
	contenders []contender
	results    map[string][]result // by title, one of each round
}

// round measures everybody once. Every second round goes the other way round, so that a machine that gets slower or
// faster is nobody's luck.
func (r *run) round(t *testing.T, s *site, round int) {
	for _, c := range r.contenders {
		t.Run(fmt.Sprintf("round %d of %d, %s", round+1, *rounds, c.title()), func(t *testing.T) {
			got := s.turn(t, c)
			if got.memory == 0 {
				t.Fatal("the memory of the client is not known: it had less than we have")
			}
			r.results[c.title()] = append(r.results[c.title()], got)
			t.Logf("%s files/s, CPU %.2f s, of the gateway %.2f s, %.0f MiB",
				figures.Thousands(got.rate()), got.cpu.Seconds(), got.gateway.Seconds(), got.memory)
		})
	}
	slices.Reverse(r.contenders)
}

// finish prints the table, writes it if it was asked to, and judges.
func (r *run) finish(t *testing.T, s *site) {
	if t.Failed() || len(r.results) < len(contenders()) {
		return // the table is for a whole run
	}
	text, err := r.report(t, s)
	must(t, err)
	t.Logf("\n%s", text)
	if *write != "" {
		must(t, figures.WriteBetween(*write, "assets", text))
	}
	for _, b := range bars() {
		if got, ok := b.got(r); ok && !b.kept(got) {
			t.Errorf("%s: %s", b.promise, b.show(got))
		}
	}
}

// BenchmarkShort has ours move some of the files to each destination, so that a change that breaks it is seen. Its figures
// say little.
func BenchmarkShort(b *testing.B) {
	s := newSite(b, 50)
	for _, c := range contenders() {
		if !c.ours {
			continue // nobody needs rclone for this
		}
		b.Run(strings.ReplaceAll(c.title(), ", ", "/"), func(b *testing.B) {
			for range b.N {
				b.ReportMetric(s.turn(b, c).rate(), "files/s")
			}
		})
	}
}

// turn has one client move everything once, to a destination of its own, and looks whether everything has arrived.
func (s *site) turn(t testing.TB, c contender) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), turnTimeout)
	defer cancel()
	to, err := s.open(c.to)
	must(t, err)
	cmd := c.command(ctx, s, to)
	got, err := measure(cmd, to.gateway)
	must(t, err)
	got.files = len(s.files)
	must(t, compare(s.files, to.folder))
	if c.ours {
		must(t, recorded(ctx, to.database, len(s.files)))
	}
	return got
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
