package remote

import (
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

// run is what was measured, by the titles of the contenders.
type run struct {
	contenders []contender
	results    map[string][]result
}

// bar is something that is promised of us. One for which nothing was measured is passed over.
type bar struct {
	promise    string
	ours, than contender
	want       float64 // times as many calls in a second
}

func bars() []bar {
	return []bar{
		{
			"remote Run to completion, 256 callers: at least 3 times the calls of gRPC unary",
			contender{name: oursName, callers: 256}, contender{name: unaryName, callers: 256}, 3,
		},
		{
			"remote Run to completion with SQLite, 256 callers: at least half of the local one",
			contender{name: durableName, callers: 256}, contender{name: localDBName, callers: 256}, 0.5,
		},
	}
}

// got is how many times as many calls in a second ours has made: the median of the rounds, as both have a turn in each.
func (b bar) got(r *run) (float64, bool) {
	ours, others := r.each(b.ours, result.rate), r.each(b.than, result.rate)
	if len(ours) == 0 || len(ours) != len(others) {
		return 0, false
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / others[i]
	}
	return figures.Percentile(ratios, 0.5), true
}

// row is the bar with what was measured.
func (b bar) row(got float64) string {
	return fmt.Sprintf("| %s | %s | %s |\n", b.promise, figures.Times(got), figures.Verdict(got >= b.want))
}

// each gives one figure of each round.
func (r *run) each(c contender, of func(result) float64) (all []float64) {
	for _, one := range r.results[c.title()] {
		all = append(all, of(one))
	}
	return all
}

// times are those of all calls of all rounds.
func (r *run) times(c contender) (all []time.Duration) {
	for _, one := range r.results[c.title()] {
		all = append(all, one.times...)
	}
	return all
}
